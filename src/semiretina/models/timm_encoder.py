"""An autoencoder around any convolutional encoder of timm, which is an extra: `pip install 'semiretina[timm]'`."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from semiretina.errors import BadConfig
from semiretina.models.architectures import TIMM, make_encoder
from semiretina.models.classifier import Activation, Classifier, Hidden
from semiretina.models.decoder import Kernel, Output, doubling_widths, make_decoder
from semiretina.models.network import BatchNorm, Network, check_size
from semiretina.models.weights import load_encoder

DECODER_MOST = 512


def timm_autoencoder(
    outputs: Mapping[str, int],
    size: int,
    *,
    encoder: str = "tf_efficientnet_lite0",
    decoder: bool = True,
    width: Annotated[int, Field(gt=0)] = 16,
    kernel: Kernel = "k4s2p1",
    output: Output = "bare",
    weights: str = "",
    hidden: Hidden = 4,
    activation: Activation = "linear",
    batch_norm: BatchNorm = "train",
) -> Network:
    """timm's `encoder`, and a decoder with as many doublings as the encoder has halvings, unless `decoder` is false.

    The decoder's layers have `width` channels before the photograph and twice as many each step towards the map, at
    most 512. `weights`: "" random, or a converted local file (`models.weights`). Normalisation is the one that timm
    states for the encoder.

    Raises BadConfig for an unknown encoder, one that gives no map, or a side that is no multiple of the encoder's
    reduction; MissingInput where timm or the file of weights is absent.
    """
    model = make_encoder(TIMM + encoder)
    channels, side = _probe(model, encoder, size)
    decoding: nn.Module | None = None
    if decoder:
        doublings = max(1, round(math.log2(size / side)))
        check_size(f"the timm encoder {encoder}", size, 2**doublings, 2**doublings)
        if side * 2**doublings != size:
            raise BadConfig(
                f"model: the timm encoder {encoder} turns {size} px into {side}, which no doubling brings back; "
                "choose another encoder, or decoder = false"
            )
        widths = doubling_widths(channels, doublings, width, DECODER_MOST)
        decoding = make_decoder(widths, kernel=kernel, output=output)
    load_encoder(model, TIMM + encoder, weights)
    classifier = Classifier(channels, outputs, hidden=hidden, activation=activation)
    stated: Any = model.pretrained_cfg
    return Network(model, classifier, decoding, mean=stated["mean"], std=stated["std"], batch_norm=batch_norm)


@torch.no_grad()
def _probe(model: Any, encoder: str, size: int) -> tuple[int, int]:
    """Channels and side of the model's map at that size."""
    model.eval()
    try:
        shape = model(torch.zeros(1, 3, size, size)).shape
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BadConfig(f"model: the timm encoder {encoder} cannot take {size} px: {reason}") from None
    model.train()
    if len(shape) != 4 or shape[1] not in (model.num_features, model.head_hidden_size) or shape[2] != shape[3]:
        raise BadConfig(
            f"model: the timm encoder {encoder} gives {list(shape)}, not a map [1, channels, side, side]; "
            "choose a convolutional one such as tf_efficientnet_lite0 or resnet50"
        )
    return shape[1], shape[2]
