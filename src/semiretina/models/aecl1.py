"""AECL1, the paper's symmetric autoencoder with a classifier (section 4.2, figure 2)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import nn

from semiretina.errors import BadConfig
from semiretina.models.classifier import Activation, Classifier, Hidden
from semiretina.models.decoder import Kernel, Output, TiedDecoder, make_decoder
from semiretina.models.network import BatchNorm, Network, check_size

WIDTHS = (128, 256, 512, 512, 1024, 1024, 2048, 4096)  # figure 2
SMALL_WIDTHS = (16, 32, 64, 64, 128, 128)

Widths = Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)]


def aecl1(
    outputs: Mapping[str, int],
    size: int,
    *,
    widths: Widths = WIDTHS,
    kernel: Kernel | None = None,
    tied: bool = False,
    output: Output = "bare",
    hidden: Hidden = 4,
    activation: Activation = "linear",
    batch_norm: BatchNorm = "train",
) -> Network:
    """An autoencoder of len(widths) levels, each halving the side on the way in and doubling it on the way out.

    Encoder: 3x3 convolution, 2x2 max pool, ReLU, batch norm. Decoder: transposed convolution, ReLU, batch norm, the
    last one bare; its widths are the encoder's backwards, then 3. `kernel` is the decoder's: "k2s2" is the paper's,
    whose reconstructions show seams; "k4s2p1" has none and is the default. `tied` uses the encoder's own kernels,
    which makes it "k3s2p1" and halves the convolutions' weights. Photographs are not normalised.

    Raises BadConfig unless the side is a multiple of 2**len(widths).
    """
    check_size(f"an AECL1 of {len(widths)} levels", size, 2 ** len(widths), 2 ** len(widths))
    if tied and kernel not in (None, "k3s2p1"):
        raise BadConfig(f"model.kernel: tied weights are the encoder's 3x3 kernels, not {kernel}; leave kernel away")
    encoder = nn.Sequential()
    for before, after in zip((3, *widths), widths, strict=False):
        level = (nn.Conv2d(before, after, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(after))
        encoder.append(nn.Sequential(*level))
    decoder: nn.Module
    if tied:
        decoder = TiedDecoder([m for m in encoder.modules() if isinstance(m, nn.Conv2d)], output=output)
    else:
        decoder = make_decoder((*reversed(widths), 3), kernel=kernel or "k4s2p1", output=output)
    classifier = Classifier(widths[-1], outputs, hidden=hidden, activation=activation)
    return Network(encoder, classifier, decoder, batch_norm=batch_norm)
