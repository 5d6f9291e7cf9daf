"""Reconstruction losses: how far the decoder's picture is from the photograph.

Each takes (reconstruction, photographs), both float [n, 3, h, w], photographs in [0, 1], and gives a scalar that no
reconstruction pushes below that of the photograph itself, which is 0. The reconstruction need not stay in [0, 1].
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from semiretina.errors import BadConfig
from semiretina.losses.histograms import histogram_divergence, lost_information
from semiretina.losses.structure import structural_dissimilarity

Reduction = Literal["mean", "image"]


def squared_error(reconstruction: Tensor, images: Tensor, reduction: Reduction = "mean") -> Tensor:
    """L_ae = sum (x - x^)^2 / n, equation 1; both [n, 3, h, w].

    The paper leaves open what n counts, which moves lambda by orders of magnitude: "mean" divides by all values,
    "image" sums each photograph and divides by the number of photographs, 3 h w times as large.
    """
    squares = (reconstruction - images).square()
    return squares.mean() if reduction == "mean" else squares.sum() / len(images)


def absolute_error(reconstruction: Tensor, images: Tensor, reduction: Reduction = "mean") -> Tensor:
    """sum |x - x^| / n, less bent on large errors than equation 1; both [n, 3, h, w].

    `reduction` as in `squared_error`. Of equal errors a large one at an edge weighs no more than many small ones (Zhao,
    Gallo, Frosio, Kautz, IEEE Trans Comput Imaging 2017; 3(1); the paper's reference 18).
    """
    distances = (reconstruction - images).abs()
    return distances.mean() if reduction == "mean" else distances.sum() / len(images)


RECONSTRUCTION_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "l1": absolute_error,
    "kl": histogram_divergence,
    "mutual_information": lost_information,
    "ssim": structural_dissimilarity,
}

# Sums over pixels: the only losses of which equation 1's n is a question.
SUMS: Mapping[str, Callable[[Tensor, Tensor, Reduction], Tensor]] = {"mse": squared_error, "l1": absolute_error}


def check_reconstruction(name: str, reduction: Reduction = "mean") -> None:
    """Raises BadConfig for an unknown loss, and for a sum per photograph of a loss that is no sum over pixels."""
    if name not in RECONSTRUCTION_LOSSES:
        known = ", ".join(RECONSTRUCTION_LOSSES)
        raise BadConfig(f"method.reconstruction: no loss '{name}'; known are {known}")
    if reduction == "image" and name not in SUMS:
        raise BadConfig(
            f"method.reduction: 'image' sums a loss over the pixels of a photograph, and '{name}' is no such sum; "
            f'leave reduction = "mean", or choose reconstruction = {" or ".join(repr(known) for known in SUMS)}'
        )


def reconstruction_loss(
    reconstruction: Tensor, images: Tensor, name: str = "mse", reduction: Reduction = "mean"
) -> Tensor:
    """The loss of this name; what `check_reconstruction` lets pass.

    Computed in at least single precision, whatever autocast makes of the network: sums over a photograph, logarithms
    and differences of squares need it.
    """
    wide = torch.promote_types(torch.promote_types(reconstruction.dtype, images.dtype), torch.float32)
    reconstruction, images = reconstruction.to(wide), images.to(wide)
    with torch.autocast(reconstruction.device.type, enabled=False):
        if name in SUMS:
            return SUMS[name](reconstruction, images, reduction)
        return RECONSTRUCTION_LOSSES[name](reconstruction, images)
