"""Decoders: from the encoder's map back to a photograph, each layer doubling the side."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kernel = Literal["k2s2", "k3s2p1", "k4s2p1"]
Output = Literal["bare", "sigmoid"]

# name -> kernel, padding, output padding of a transposed convolution of stride 2. All double the side exactly. Kernels
# of two do not overlap and leave seams with periods of 2, 4, 8 ... pixels; kernels of three overlap unevenly, of four
# evenly.
KERNELS = {"k2s2": (2, 0, 0), "k3s2p1": (3, 1, 1), "k4s2p1": (4, 1, 0)}


MID_GRAY: dict[Output, float] = {"bare": 0.5, "sigmoid": 0.0}  # what the last layer gives for a pixel of 0.5


def make_decoder(
    channels: Sequence[int], *, kernel: Kernel, refine: bool = False, output: Output = "bare"
) -> nn.Sequential:
    """len(channels) - 1 doublings, [n, channels[0], h, w] -> [n, channels[-1], h', w'].

    Each is a transposed convolution, ReLU, batch norm; the last is bare (section 4.2), or ends in a sigmoid. With
    `refine`, a layer that keeps side and width (3x3, stride 1) follows each doubling but the last. Its first
    reconstructions are near a uniform mid-grey. The paper is silent on initial values; torch's own give an error of
    about ten times the photographs' variance, and much of a short training goes into unlearning that.
    """
    size, padding, extra = KERNELS[kernel]
    layers = nn.Sequential()
    last = len(channels) - 2
    for number, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.ConvTranspose2d(before, after, size, stride=2, padding=padding, output_padding=extra))
        if number < last:
            layers.extend([nn.ReLU(), nn.BatchNorm2d(after)])
            if refine:
                layers.extend([nn.ConvTranspose2d(after, after, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(after)])
    final = layers[-1]
    assert isinstance(final, nn.ConvTranspose2d)
    assert final.bias is not None
    with torch.no_grad():
        final.weight.mul_(0.1)
        final.bias.fill_(MID_GRAY[output])
    if output == "sigmoid":
        layers.append(nn.Sigmoid())
    return layers


def doubling_widths(channels: int, doublings: int, width: int, most: int) -> list[int]:
    """Channels for `make_decoder`: the encoder's, then by halves down to `width` (none above `most`), then 3."""
    return [channels, *(min(most, width << number) for number in reversed(range(doublings - 1))), 3]


class TiedDecoder(nn.Module):
    """A decoder whose kernels are the encoder's (section 4.2): each layer transposes one of its convolutions.

    Only biases and batch norms are its own. In shape, stride 2, padding 1 and output padding 1 undo a 3x3 convolution
    of padding 1 and a 2x2 pool.
    """

    def __init__(self, convolutions: Sequence[nn.Conv2d], *, output: Output = "bare") -> None:
        super().__init__()
        # A tuple is not registered: the kernels stay parameters of the encoder alone, saved and counted once.
        self._convolutions = tuple(reversed(convolutions))
        widths = [convolution.in_channels for convolution in self._convolutions]
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths)
        nn.init.constant_(self.biases[-1], MID_GRAY[output])
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:-1])
        self.output = nn.Sigmoid() if output == "sigmoid" else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, 3, h', w']."""
        for number, (convolution, bias) in enumerate(zip(self._convolutions, self.biases, strict=True)):
            features = F.conv_transpose2d(features, convolution.weight, bias, stride=2, padding=1, output_padding=1)
            if number < len(self.norms):
                features = self.norms[number](F.relu(features))
        images: Tensor = self.output(features)
        return images
