"""Views of a photograph, made of whole batches on the device that trains.

A new kind of view is a function and its line in `VIEWS`.

Section 4.5: "15 degree random rotation, random scaling in the range [0.9, 1], and random horizontal flips". The map
is applied in one resampling (bilinear), and every draw is a function of (seed, phase, stage, epoch, step,
photograph): see `draws`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from semiretina.config import Augment
from semiretina.draws import uniform
from semiretina.lookup import lookup

Key = tuple[int | str, ...]


def to_float(images: Tensor) -> Tensor:
    """Stored photographs, uint8 [n, h, w, 3], as float [n, 3, h, w] in [0, 1]: the view "plain"."""
    return images.permute(0, 3, 1, 2).float().div_(255.0)


def augment(images: Tensor, rows: npt.NDArray[np.int64], key: Key, settings: Augment) -> Tensor:
    """The view "weak": float [n, 3, h, w] in [0, 1], each photograph turned, scaled and perhaps mirrored.

    What a turn brings in from outside is black, like the surround of a fundus photograph. `rows` names the photographs,
    `key` the place of the draw.
    """
    low, high = settings.scale
    angles = np.radians(settings.rotation * (2.0 * uniform(*key, "angle", rows) - 1.0))
    scales = low + (high - low) * uniform(*key, "scale", rows)
    mirrored = np.where((uniform(*key, "flip", rows) < 0.5) & settings.flip, -1.0, 1.0)
    maps = torch.from_numpy(affine_maps(angles, scales, mirrored)).to(images.device, torch.float32)
    floats = to_float(images).contiguous()
    grid = functional.affine_grid(maps, list(floats.shape), align_corners=False)
    return functional.grid_sample(floats, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


# kind of view -> function of the stored photographs, their rows, the key of its draws and the settings
VIEWS: Mapping[str, Callable[[Tensor, npt.NDArray[np.int64], Key, Augment], Tensor]] = {
    "plain": lambda images, rows, key, settings: to_float(images),
    "weak": augment,
}


def make_view(name: str, images: Tensor, rows: npt.NDArray[np.int64], key: Key, settings: Augment) -> Tensor:
    """The view of this name: "weak", or "weak_2" for one more of the kind, whose draws have a key of their own."""
    return lookup(VIEWS, name.partition("_")[0], "view")(images, rows, (*key, name), settings)


def affine_maps(
    angles: npt.NDArray[np.float64], scales: npt.NDArray[np.float64], mirrored: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """[n, 2, 3] maps from output to input coordinates in [-1, 1]^2, as torch's `affine_grid` wants them.

    `angles` in radians, `scales` > 0, `mirrored` 1 or -1 (left and right swapped).
    """
    cos, sin = np.cos(angles) * scales, np.sin(angles) * scales
    nought = np.zeros_like(cos)
    return np.stack([cos * mirrored, -sin, nought, sin * mirrored, cos, nought], axis=1).reshape(-1, 2, 3)
