"""Reconstruction losses: how far the decoder's picture is from the photograph."""

from typing import Literal

from torch import Tensor

Reduction = Literal["mean", "image"]


def squared_error(reconstruction: Tensor, images: Tensor, reduction: Reduction = "mean") -> Tensor:
    """L_ae = sum (x - x^)^2 / n, equation 1; both [n, 3, h, w].

    The paper leaves open what n counts, which moves lambda by orders of magnitude: "mean" divides by all values,
    "image" sums each photograph and divides by the number of photographs, 3 h w times as large.
    """
    squares = (reconstruction - images).square()
    return squares.mean() if reduction == "mean" else squares.sum() / len(images)
