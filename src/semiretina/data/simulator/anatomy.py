"""An eye that is drawn: what names it, and where its optic disc and its fovea lie."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from semiretina import draws

Key = tuple[int, int, str]  # seed, patient, and "left" or "right"
Difficulty = Literal["easy", "real"]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where things lie in one eye's photograph, in units of the field's radius around its centre, x right, y down."""

    disc: npt.NDArray[np.float64]  # [2]
    fovea: npt.NDArray[np.float64]  # [2]
    disc_radius: float


def anatomy(key: Key) -> Anatomy:
    """The places of disc and fovea. The disc lies on the side of the nose: right in a right eye's photograph."""
    seed, patient, eye = key
    rng = draws.generator(*key, "anatomy")
    side = 1.0 if eye == "right" else -1.0
    gaze = rng.normal(0, 1, 2) * (0.04, 0.03)
    disc = np.array([side * 0.62, -0.03]) + gaze + rng.normal(0, 0.015, 2)
    fovea = np.array([side * -0.02, 0.05]) + gaze + rng.normal(0, 0.015, 2)
    return Anatomy(disc, fovea, draws.generator(seed, patient, "disc").uniform(0.135, 0.165))
