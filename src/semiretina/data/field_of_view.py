"""Finds the field of view of a fundus photograph: the bright disc on black, also where the frame cuts it off.

The rim is the outline of the largest bright region. Three points of it give a circle; the circle that most of the
rim agrees with wins (RANSAC: Fischler and Bolles, Commun. ACM 1981; 24(6):381), so that text in a corner, a straight
cut inside the frame, a notch or a dark side of the disc do not move it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Floats = npt.NDArray[np.float64]

LONG_SIDE = 288  # of the reduced copy the disc is looked for on; the fit is finer than its pixels
NUM_TRIALS = 200
NUM_VOTERS = 200  # of the rim's points, enough to tell the trials apart; the fit then takes all
MIN_CONTRAST = 6.0  # grey levels between surround and disc
MIN_AREA = 0.03  # of the frame
MIN_AGREEING = 0.35  # of the rim; a disc cut straight at top and bottom has about half of its rim on the circle


@dataclass(frozen=True)
class Disc:
    """A circle in pixels of the picture it was found on; pixel 0 reaches from 0.0 to 1.0."""

    x: float
    y: float
    radius: float


def find_disc(image: Image.Image) -> Disc | None:
    """The field of view of an RGB photograph, or None where no bright region stands out from a dark surround.

    A bright region that is no disc (a rectangular field) gives the circle inscribed in its bounding square.
    """
    factor = max(1, round(max(image.size) / LONG_SIDE))
    small = image.reduce(factor) if factor > 1 else image
    red, green, blue = np.moveaxis(np.asarray(small), 2, 0)
    region = _bright_region(np.maximum(np.maximum(red, green), blue).astype(np.float64))
    if region is None:
        return None
    rim = _rim(region)
    disc = _fit(rim, region)
    if disc is None:
        ys, xs = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        top, bottom, left, right = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
        disc = Disc((left + right) / 2, (top + bottom) / 2, max(bottom - top, right - left) / 2)
    return Disc(float(disc.x * factor), float(disc.y * factor), float(disc.radius * factor))


def _bright_region(gray: Floats) -> npt.NDArray[np.bool_] | None:
    """The largest connected region brighter than the surround, bool [h, w]; None where one of the two is missing."""
    patch = max(2, min(gray.shape) // 16)
    ends = (slice(patch), slice(-patch, None))
    corners = [gray[ys, xs] for ys in ends for xs in ends]
    # Medians twice: text fills part of one corner, a flap of light another.
    medians = [np.median(corner) for corner in corners]
    surround = float(np.median(medians))
    spreads = [np.median(np.abs(corner - median)) for corner, median in zip(corners, medians, strict=True)]
    noise = 1.4826 * float(np.median(spreads))
    bright = float(gray[gray > _otsu(gray)].mean()) if gray.max() > gray.min() else surround
    contrast = bright - surround
    if contrast < MIN_CONTRAST or surround > bright / 2:
        return None
    # Low, because the illumination falls towards the rim; above the noise, but never so high that the disc is lost.
    level = surround + min(max(0.15 * contrast, 4 * noise, 3.0), contrast / 2)
    labels, count = ndimage.label(_opened(gray > level))
    if count == 0:
        return None
    areas = np.bincount(labels.ravel())[1:]
    if areas.max() < MIN_AREA * gray.size:
        return None
    region = labels == 1 + int(areas.argmax())
    return region if not (region[0, 0] and region[0, -1] and region[-1, 0] and region[-1, -1]) else None


def _opened(bright: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Without what is narrower than three pixels; dark beyond the frame. SciPy's `binary_opening`, but much faster."""
    padded = np.pad(bright, 2)
    core = padded[:-2] & padded[1:-1] & padded[2:]
    core = core[:, :-2] & core[:, 1:-1] & core[:, 2:]
    grown = core[:-2] | core[1:-1] | core[2:]
    opened: npt.NDArray[np.bool_] = grown[:, :-2] | grown[:, 1:-1] | grown[:, 2:]
    return opened


def _filled(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The region and what it encloses from all four sides."""
    filled = np.ones_like(region)
    for axis in (0, 1):
        filled &= np.logical_or.accumulate(region, axis)
        filled &= np.flip(np.logical_or.accumulate(np.flip(region, axis), axis), axis)
    return filled


def _otsu(gray: Floats) -> float:
    """The level that best splits the grey values in two (Otsu, IEEE Trans. SMC 1979; 9(1):62, eq. 18)."""
    counts = np.bincount(gray.ravel().astype(np.int64), minlength=256)
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * np.arange(256))
    above = gray.size - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between: Floats = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(np.nanargmax(between))


def _rim(region: npt.NDArray[np.bool_]) -> Floats:
    """Outer edges [n, 2] (x, y) of the first and last bright pixel of each row and column, but for the frame's edge."""
    height, width = region.shape
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    left, right = region.argmax(axis=1)[rows], width - region[:, ::-1].argmax(axis=1)[rows]
    top, bottom = region.argmax(axis=0)[columns], height - region[::-1].argmax(axis=0)[columns]
    xs = np.concatenate([left, right, columns + 0.5, columns + 0.5])
    ys = np.concatenate([rows + 0.5, rows + 0.5, top, bottom])
    inside = (xs > 1) & (xs < width - 1) & (ys > 1) & (ys < height - 1)
    rim: Floats = np.stack([xs, ys], axis=1)[inside]
    return rim


def _fit(rim: Floats, region: npt.NDArray[np.bool_]) -> Disc | None:
    """The circle that most rim points agree with; None where too few do, or where it is not filled by the region."""
    if len(rim) < 12:
        return None
    triples = np.random.default_rng(0).integers(0, len(rim), (NUM_TRIALS, 3))
    centers, radii = _through(rim[triples[:, 0]], rim[triples[:, 1]], rim[triples[:, 2]])
    height, width = region.shape
    possible = np.isfinite(radii) & (radii < np.hypot(width, height)) & (radii > min(width, height) / 12)
    if not possible.any():
        return None
    centers, radii = centers[possible], radii[possible]
    tolerance = max(1.5, 0.008 * max(region.shape))
    some = rim[:: max(1, len(rim) // NUM_VOTERS)]
    distances = np.hypot(some[:, 0] - centers[:, :1], some[:, 1] - centers[:, 1:])  # [trials, points]
    best = int((np.abs(distances - radii[:, None]) < tolerance).sum(axis=1).argmax())
    disc = Disc(centers[best, 0], centers[best, 1], radii[best])
    for _ in range(3):
        agreeing = np.abs(np.hypot(rim[:, 0] - disc.x, rim[:, 1] - disc.y) - disc.radius) < tolerance
        if agreeing.sum() < max(12, MIN_AGREEING * len(rim)):
            return None
        disc = _least_squares(rim[agreeing])
    ys, xs = np.ogrid[0.5:height, 0.5:width]
    distance = np.hypot(xs - disc.x, ys - disc.y)
    filled = _filled(region)
    outside = (filled & (distance > 1.03 * disc.radius + 1)).sum() / filled.sum()
    covered = filled[distance < disc.radius].mean()
    return disc if outside < 0.05 and covered > 0.5 else None


def _through(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Centres [n, 2] and radii [n] of the circles through three points each; not finite where they lie on a line."""
    with np.errstate(divide="ignore", invalid="ignore"):
        b, c = b - a, c - a
        twice = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
        bb, cc = (b**2).sum(axis=1), (c**2).sum(axis=1)
        x, y = (c[:, 1] * bb - b[:, 1] * cc) / twice, (b[:, 0] * cc - c[:, 0] * bb) / twice
    return np.stack([x, y], axis=1) + a, np.hypot(x, y)


def _least_squares(points: Floats) -> Disc:
    """The circle of least squared algebraic distance (Kasa, IEEE Trans. Instrum. Meas. 1976; 25(1):8)."""
    middle = points.mean(axis=0)
    shifted = points - middle
    columns = np.column_stack([2 * shifted, np.ones(len(points))])
    x, y, constant = np.linalg.lstsq(columns, (shifted**2).sum(axis=1), rcond=None)[0]
    return Disc(x + middle[0], y + middle[1], float(np.sqrt(constant + x**2 + y**2)))
