"""AERes18, the paper's autoencoder around ResNet18 (section 4.2)."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from semiretina.models.architectures import RESNET18, make_encoder
from semiretina.models.classifier import Activation, Classifier, Hidden
from semiretina.models.decoder import Kernel, Output, doubling_widths, make_decoder
from semiretina.models.network import BatchNorm, Network, check_size
from semiretina.models.plain import IMAGENET_MEAN, IMAGENET_STD
from semiretina.models.weights import load_encoder

Bottleneck = Literal["spatial", "pooled"]


def aeres18(
    outputs: Mapping[str, int],
    size: int,
    *,
    bottleneck: Bottleneck = "spatial",
    kernel: Kernel = "k4s2p1",
    output: Output = "bare",
    weights: str = "",
    hidden: Hidden = 4,
    activation: Activation = "linear",
    batch_norm: BatchNorm = "train",
) -> Network:
    """ResNet18 as encoder, transposed convolutions without skip connections as decoder; C sees pooled features.

    "spatial": the decoder reads the map 512@(size/32)^2: five doublings, each but the last followed by a refining
    layer, nine layers in all at any size. "pooled": it reads the average-pooled features 512@1x1, to which the paper's
    "all layers but the last" comes down: log2(size) doublings, nine at 512 px; all that is reconstructed passes
    through 512 numbers. The paper gives each layer ReLU and batch norm; here the last one is bare, as in AECL1.
    `weights`: "" random, "IMAGENET1K_V1" (may download), or a converted local file (`models.weights`).

    Raises BadConfig unless the side is a multiple of 32 ("spatial") or a power of two from 32 on ("pooled").
    """
    check_size(f"an AERes18 with {bottleneck} bottleneck", size, 32, 32, power_of_two=bottleneck == "pooled")
    encoder = make_encoder(RESNET18)
    load_encoder(encoder, RESNET18, weights)
    decoder: nn.Module
    if bottleneck == "spatial":
        decoder = make_decoder(doubling_widths(512, 5, 32, 512), kernel=kernel, refine=True, output=output)
    else:
        widths = doubling_widths(512, size.bit_length() - 1, 16, 512)
        # Pooling belongs to E in the paper. Done here it gives the same numbers, and E keeps its map.
        decoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), make_decoder(widths, kernel=kernel, output=output))
    classifier = Classifier(512, outputs, hidden=hidden, activation=activation)
    return Network(encoder, classifier, decoder, mean=IMAGENET_MEAN, std=IMAGENET_STD, batch_norm=batch_norm)
