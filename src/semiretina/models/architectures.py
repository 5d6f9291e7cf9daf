"""Encoders of other libraries by name: torchvision's, and timm's, which is an extra and imported only when asked for.

An architecture is named `torchvision/resnet18` or `timm/tf_efficientnet_lite0`. Its encoder is the network without
pool and head, under the library's own names of parameters, so that weights files fit it.
"""

import difflib
from collections import OrderedDict

import torchvision
from torch import nn

from semiretina.errors import BadConfig, MissingInput

RESNET18, INCEPTIONV3, TIMM = "torchvision/resnet18", "torchvision/inception_v3", "timm/"


def make_encoder(architecture: str) -> nn.Module:
    """Normalised [n, 3, h, w] -> [n, c, h', w'], with random weights.

    Raises BadConfig for a model that timm does not know, MissingInput where timm is not installed.
    """
    if architecture == RESNET18:
        return _without(torchvision.models.resnet18(weights=None), "avgpool", "fc")
    if architecture == INCEPTIONV3:
        whole = torchvision.models.inception_v3(
            weights=None, aux_logits=False, transform_input=False, init_weights=True
        )
        return _without(whole, "avgpool", "dropout", "fc")
    assert architecture.startswith(TIMM), architecture
    return _make_timm(architecture.removeprefix(TIMM))


def _without(whole: nn.Module, *parts: str) -> nn.Sequential:
    # In both networks the children stand in the order of the forward pass.
    return nn.Sequential(OrderedDict((name, child) for name, child in whole.named_children() if name not in parts))


def _make_timm(name: str) -> nn.Module:
    try:
        import timm  # noqa: PLC0415  (an extra, and slow to import)
    except ModuleNotFoundError:
        raise MissingInput("model: timm is not installed; run: pip install 'semiretina[timm]'") from None
    known = timm.list_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() names them all"
        raise BadConfig(f"encoder: timm {timm.__version__} has no model '{name}'; {hint}")
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
