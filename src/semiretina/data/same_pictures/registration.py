"""Laying one fundus photograph over another: what shows in it at the width of vessels, and how well two then agree.

Two things of it are compared inside the field of view. *Detail*, without illumination, colour and contrast: vessels,
lesions, the texture of the retina; it tells eyes apart. *Light*, the coarse brightness: the flash falls anew in every
photograph, so that light tells two photographs of one eye apart, whose details agree.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

SIDE = 128  # px that a photograph is compared at
FINE, COARSE, AROUND = 0.8, 5.0, 14.0  # px of SIDE, standard deviations: detail lies between the first two
LIGHT = 8.0  # px of SIDE, standard deviation
RADIUS = 0.46  # of the side; the rim is the same in every photograph
LEAST_CONTRAST = 0.6  # levels of 255, added to the local spread, so that noise on a blank field stays small
LEAST_FIELD = 0.2  # of the square, that must be left of the field of view
STEPS = (10, 6)  # at most, at a half and at the whole of SIDE
CLOSE = 1e-3  # of the radius: a step that moves the rim by less is the last
LEAST_SHARED = 0.7  # of the smaller of two fields of view
MOST_SHIFT, MOST_SCALE, MOST_TURN = 0.08, 0.06, 9.0  # of the radius, of 1, degrees


@dataclass(frozen=True)
class View:
    """What is compared of a photograph: detail in units of its local spread, light in grey levels, both 0 outside the
    field, which is 0 or 1.

    All float32 [SIDE, SIDE]. `blank` where there is too little of a field or of detail to tell it from others.
    """

    detail: Array
    light: Array
    field: Array
    blank: bool

    def mirrored(self, left_right: bool, up_down: bool) -> "View":
        """The view of the mirrored photograph."""
        part = (slice(None, None, -1 if up_down else 1), slice(None, None, -1 if left_right else 1))
        return View(self.detail[part], self.light[part], self.field[part], self.blank)


@dataclass(frozen=True)
class Fit:
    """How one photograph lies on another: `angle` in degrees, counter-clockwise, `scale`, and `shift` over the radius.

    `detail` and `light` are the correlations of what shows in both; -1 where they cannot be laid over each other.
    """

    angle: float
    scale: float
    shift: float
    detail: float
    light: float


def views(pixels: Pixels) -> list[View]:
    """The views of photographs, uint8 [n, s, s, 3], cropped to their fields of view."""
    shrink = _resizing(pixels.shape[1])
    green = shrink @ pixels[..., 1].astype(np.float32) @ shrink.T
    brightest = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    brightness = shrink @ brightest.astype(np.float32) @ shrink.T
    disc = _disc(SIDE, RADIUS)
    level = np.maximum(8.0, 0.25 * brightness[:, disc].mean(axis=1))[:, None, None]
    lit = (brightness > level).astype(np.float32)
    field = ((_blurred(lit, 1.5) > 0.99) & disc).astype(np.float32)

    def mean(planes: Array, sigma: float) -> Array:
        return np.asarray(_blurred(planes * field, sigma) / np.maximum(_blurred(field, sigma), 1e-3), np.float32)

    detail = mean(green, FINE) - mean(green, COARSE)
    spread = np.sqrt(mean(detail**2, AROUND))
    detail = np.clip(detail / (spread + LEAST_CONTRAST), -3, 3) * field
    size = field.mean(axis=(1, 2))
    strength = (spread * field).sum(axis=(1, 2)) / np.maximum(size * SIDE**2, 1)
    blank = (size < LEAST_FIELD) | (strength < LEAST_CONTRAST / 2)
    return [View(*view) for view in zip(detail, mean(green, LIGHT) * field, field, blank.tolist(), strict=True)]


def lay_over(fixed: View, moving: View, angle: float = 0.0) -> Fit:
    """The similarity that lays `moving` on `fixed`, looked for from a rotation by `angle` degrees on.

    Gauss-Newton steps on the squared difference, with the gradient of the fixed view (inverse compositional: Baker and
    Matthews, Int. J. Comput. Vision 2004; 56(3):221, section 3.2). A similarity is z -> c z + t in the complex plane.
    """
    c, t = complex(np.exp(1j * np.radians(angle))), 0j
    for halved, steps in zip((True, False), STEPS, strict=True):
        one, other = (_halved(fixed), _halved(moving)) if halved else (fixed, moving)
        c, t = _refined(one, other, c, t, steps)
    turn = float(np.degrees(np.angle(c)))
    near = abs(t) <= MOST_SHIFT and abs(abs(c) - 1) <= MOST_SCALE and abs(turn) <= MOST_TURN
    return Fit(turn, abs(c), abs(t), *(_agreement(fixed, moving, c, t) if near else (-1.0, -1.0)))


def _refined(fixed: View, moving: View, c: complex, t: complex, steps: int) -> tuple[complex, complex]:
    """c and t after that many steps, or fewer where they no longer move."""
    side = len(fixed.detail)
    inside = fixed.field > 0
    z = _grid(side)[inside]
    gy, gx = (np.asarray(np.gradient(fixed.detail, axis=axis), np.float32)[inside] * (side / 2) for axis in (0, 1))
    # The derivatives by the real and imaginary parts of c and t, at c = 1, t = 0.
    slopes = np.stack([gx * z.real + gy * z.imag, gy * z.real - gx * z.imag, gx, gy])
    target = fixed.detail[inside]
    for _ in range(steps):
        (values,), shown = _sample(moving.field, c * z + t, moving.detail)
        some = slopes * shown
        error = values - target
        try:
            a, b, x, y = np.linalg.solve(some @ slopes.T, some @ error)
        except np.linalg.LinAlgError:
            break
        step = 1 + complex(a, b)
        if not 0.8 < abs(step) < 1.25:
            break
        c, t = c / step, t - c * complex(x, y) / step
        if max(abs(step - 1), abs(complex(x, y))) < CLOSE or abs(t) > 2 * MOST_SHIFT:
            break
    return c, t


def _agreement(fixed: View, moving: View, c: complex, t: complex) -> tuple[float, float]:
    """The correlations of the two details and of the two lights, where both fields show."""
    inside = fixed.field > 0
    (detail, light), both = _sample(moving.field, c * _grid(SIDE)[inside] + t, moving.detail, moving.light)
    if both.sum() < LEAST_SHARED * min(inside.sum(), moving.field.sum()):
        return -1.0, -1.0
    return _correlation(fixed.detail[inside][both], detail[both]), _correlation(fixed.light[inside][both], light[both])


def _correlation(one: Array, other: Array) -> float:
    """Pearson's, 0 where one of the two does not vary."""
    x, y = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    return float(x @ y / max(1e-9, float(np.sqrt((x @ x) * (y @ y)))))


def _sample(field: Array, z: npt.NDArray[np.complex64], *planes: Array) -> tuple[list[Array], npt.NDArray[np.bool_]]:
    """The planes at places of the photograph, between its pixels, and where the field shows there."""
    side = len(field)
    at = np.stack([z.imag, z.real]) * (side / 2) + (side - 1) / 2
    shown = ndimage.map_coordinates(field, at, order=1, mode="constant") > 0.99
    return [ndimage.map_coordinates(plane, at, order=1, mode="constant") for plane in planes], shown


def _halved(view: View) -> View:
    """The view at half of SIDE; its field is what all four pixels show."""
    half = SIDE // 2
    detail, light = (plane.reshape(half, 2, half, 2).mean(axis=(1, 3)) for plane in (view.detail, view.light))
    field = view.field.reshape(half, 2, half, 2).min(axis=(1, 3))
    return View(detail * field, light * field, field, view.blank)


def _grid(side: int) -> npt.NDArray[np.complex64]:
    """x + iy of each pixel's centre; the square reaches from -1 to 1."""
    x = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    return np.asarray(x[None, :] + 1j * x[:, None], np.complex64)


def _disc(side: int, radius: float) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(_grid(side)) < 2 * radius, np.bool_)


def _blurred(planes: Array, sigma: float) -> Array:
    """A Gaussian mean along both sides; what lies beyond counts as 0. Two matrix products are faster than a filter."""
    places = np.arange(planes.shape[-1])
    kernel = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    matrix = kernel.astype(np.float32)
    return np.asarray(matrix @ planes @ matrix, np.float32)


def _resizing(side: int) -> Array:
    """[SIDE, side]: the mean of the pixels that each of SIDE pixels covers, or between two where `side` is smaller."""
    if side < SIDE:
        at = np.clip((np.arange(SIDE) + 0.5) * side / SIDE - 0.5, 0, side - 1)
        return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side))), np.float32)
    edges = np.arange(SIDE + 1) * side / SIDE
    left, right = np.maximum(edges[:-1, None], np.arange(side)), np.minimum(edges[1:, None], np.arange(side) + 1)
    return np.asarray(np.maximum(0, right - left) * SIDE / side, np.float32)
