"""ResNet18 and InceptionV3 without a decoder: Res18, the classifier of AERes18, and the plain baselines of figure 5."""

from collections.abc import Mapping

from semiretina.models.architectures import INCEPTIONV3, RESNET18, make_encoder
from semiretina.models.classifier import Activation, Classifier, Hidden, Probability
from semiretina.models.inception import AUXILIARY_SIDE, Inception
from semiretina.models.network import BatchNorm, Network, check_size
from semiretina.models.weights import load_encoder

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def resnet18(
    outputs: Mapping[str, int],
    size: int,
    *,
    weights: str = "",
    hidden: Hidden = 4,
    activation: Activation = "linear",
    batch_norm: BatchNorm = "train",
) -> Network:
    """torchvision's ResNet18, 512@(size/32)^2, and the classifier.

    `weights`: "" random, "IMAGENET1K_V1" (may download), or a converted local file (`models.weights`).
    """
    check_size("a ResNet18", size, 32)
    encoder = make_encoder(RESNET18)
    load_encoder(encoder, RESNET18, weights)
    classifier = Classifier(512, outputs, hidden=hidden, activation=activation)
    return Network(encoder, classifier, mean=IMAGENET_MEAN, std=IMAGENET_STD, batch_norm=batch_norm)


def inceptionv3(
    outputs: Mapping[str, int],
    size: int,
    *,
    weights: str = "",
    hidden: Hidden = 0,
    activation: Activation = "linear",
    dropout: Probability = 0.5,
    aux: bool = False,
    batch_norm: BatchNorm = "train",
) -> Network:
    """torchvision's InceptionV3, 2048 channels, and the classifier.

    `aux` adds the auxiliary head, by which each task's loss becomes L + 0.4 L_aux (`models.inception`); it starts
    random, also with pretrained weights, because it answers these tasks.

    `weights` as for `resnet18`. These weights want inputs in [-1, 1], to which torchvision brings photographs that
    were normalised by ImageNet's mean (`transform_input`); here photographs go to [-1, 1] at once. `dropout` is
    torchvision's.
    """
    if aux:
        check_size("an InceptionV3 with aux = true", size, AUXILIARY_SIDE)
    check_size("an InceptionV3", size, 75)
    encoder = make_encoder(INCEPTIONV3)
    load_encoder(encoder, INCEPTIONV3, weights)
    classifier = Classifier(2048, outputs, hidden=hidden, activation=activation, dropout=dropout)
    kind = Inception if aux else Network
    return kind(encoder, classifier, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), batch_norm=batch_norm)
