"""Which photographs show the same picture or the same eye: found by looking, for collections that do not say it.

Same picture: the pixels agree but for their encoding (another JPEG quality, another size of file). Same eye: another
photograph of the same fundus, displaced, turned or lit otherwise; the vessels agree after a shift and a small rotation.
The photographs of one collection are compared, all framed alike; fellow eyes of a patient cannot be told by looking.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft, ndimage

from semiretina.data.same_pictures import Pair
from semiretina.errors import BadData, summary
from semiretina.progress import progress

Array = npt.NDArray[np.float32]

WIDTH, HEIGHT = 268, 178  # of a thumbnail; 1/16 of IDRiD's 4288 x 2848
# Measured on the 467 photographs of IDRiD's training parts (108,811 pairs); the pairs around the limits were looked at.
SAME_PICTURE = 0.95  # 47 same pictures at 0.990 or more; the next pair, one eye photographed twice, at 0.85
PERHAPS_SAME_EYE = 0.30  # the screening: the 12 pairs of one eye at 0.40 or more, other eyes at 0.35 or less
SAME_EYE = 0.50  # the closer look: the 12 pairs at 0.63 or more, other eyes at 0.37 or less
SCREENED_ROTATIONS = (-5.0, 0.0, 5.0)  # degrees; vessels still match when 2 or 3 degrees off
ROTATIONS = (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0)
LEAST_OVERLAP = 0.25  # of a thumbnail's pixels that two displaced fields of view must share


def find_pairs(files: Sequence[Path]) -> list[Pair]:
    """All pairs of the same picture or the same eye, the first before the second, the most alike first.

    Raises BadData that names every file that cannot be read.
    """
    if len(files) < 2:
        return []
    thumbnails = _thumbnails(files)
    small = [_halved(thumbnail) for thumbnail in thumbnails]
    pairs = _same_pictures(small)
    same = {(pair.first, pair.second) for pair in pairs}
    for i, j in _perhaps_same_eye(small):
        if (i, j) not in same:
            correlation = _displaced_correlation(thumbnails[i], thumbnails[j])
            if correlation >= SAME_EYE:
                pairs.append(Pair(i, j, "eye", correlation))
    return sorted(pairs, key=lambda pair: (pair.kind == "eye", -pair.score, pair.first, pair.second))


def find_same_pictures(files: Sequence[Path]) -> list[Pair]:
    """The pairs of the same picture alone, for collections where looking for the same eye would take too long.

    Raises BadData that names every file that cannot be read.
    """
    return _same_pictures([_halved(thumbnail) for thumbnail in _thumbnails(files)]) if len(files) > 1 else []


def _thumbnails(files: Sequence[Path]) -> list[npt.NDArray[np.uint8]]:
    thumbnails, defects = [], []
    with progress("looking at photographs", len(files)) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a damaged file; what cannot be read is told below
        for file in files:
            try:
                with Image.open(file) as image:
                    image.draft("RGB", (2 * WIDTH, 2 * HEIGHT))
                    thumbnails.append(np.asarray(image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BOX)))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                defects.append(f"{file}: {error}")
            advance()
    if defects:
        raise BadData(summary("reading photographs", defects, "fetch these files again"))
    return thumbnails


def _halved(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(thumbnail.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3)), np.uint8)


def _field(thumbnail: npt.NDArray[np.uint8], margin: int) -> Array:
    """1 inside the field of view, away from its border, whose edge is the same in every photograph; else 0."""
    inside = np.pad(thumbnail.max(2) > 20, 1)
    return np.asarray(ndimage.binary_erosion(inside, iterations=margin)[1:-1, 1:-1], np.float32)


def _blurred(values: Array, field: Array, sigma: float) -> Array:
    """A Gaussian mean over the field of view alone."""
    weight = np.maximum(ndimage.gaussian_filter(field, sigma), 1e-3)
    return np.asarray(ndimage.gaussian_filter(values * field, sigma) / weight, np.float32)


def _same_pictures(small: Sequence[npt.NDArray[np.uint8]]) -> list[Pair]:
    same = _aligned_correlations(small)
    return [
        Pair(int(i), int(j), "copy", min(1.0, float(same[i, j])))
        for i, j in zip(*np.nonzero(np.triu(same, 1) >= SAME_PICTURE), strict=True)
    ]


def _aligned_correlations(small: Sequence[npt.NDArray[np.uint8]]) -> Array:
    """[n, n] Pearson's correlations, on shared fields of view, of the green channel less its local mean."""
    fields = [_field(thumbnail, 3) for thumbnail in small]
    greens = [thumbnail[..., 1].astype(np.float32) for thumbnail in small]
    details = [green - _blurred(green, field, 3) for green, field in zip(greens, fields, strict=True)]
    m = np.stack(fields).reshape(len(small), -1)
    x = np.stack(details).reshape(len(small), -1) * m
    count = np.maximum(m @ m.T, 1)
    mean, square = (x @ m.T) / count, (x * x @ m.T) / count
    variance = np.maximum(square - mean**2, 1e-6)
    return np.asarray(((x @ x.T) / count - mean * mean.T) / np.sqrt(variance * variance.T), np.float32)


def _vessels(thumbnail: npt.NDArray[np.uint8], scale: float) -> tuple[Array, Array]:
    """Detail of vessel width in units of its local spread, and the field of view; `scale` 1 is a full thumbnail.

    Bright detail is clipped lower than dark: exudates change from visit to visit, vessels do not.
    """
    field = _field(thumbnail, round(8 * scale))
    green = thumbnail[..., 1].astype(np.float32)
    detail = _blurred(green, field, scale) - _blurred(green, field, 4 * scale)
    spread = np.sqrt(_blurred(detail**2, field, 12 * scale)) + 0.5
    detail = np.clip(detail / spread, -2.5, 1.0)
    return (detail - (detail * field).sum() / max(1.0, float(field.sum()))) * field, field


def _perhaps_same_eye(small: Sequence[npt.NDArray[np.uint8]]) -> list[tuple[int, int]]:
    shape = (fft.next_fast_len(HEIGHT * 9 // 16, real=True), fft.next_fast_len(WIDTH * 9 // 16, real=True))

    def spectra(angle: float) -> npt.NDArray[np.complex64]:
        turned = [ndimage.rotate(detail, angle, reshape=False, order=1) if angle else detail for detail in details]
        unit = np.stack([detail / max(1e-6, float(np.linalg.norm(detail))) for detail in turned])
        return np.asarray(fft.rfft2(unit, shape, workers=-1), np.complex64)

    details = [_vessels(thumbnail, 0.5)[0] for thumbnail in small]
    upright = spectra(0.0)
    turned = [spectra(angle) for angle in SCREENED_ROTATIONS]
    alike = []
    with progress("comparing photographs", len(small) - 1) as advance:
        for i in range(len(small) - 1):
            best = np.zeros(len(small) - 1 - i, np.float32)
            for others in turned:
                products = fft.irfft2(upright[i] * np.conj(others[i + 1 :]), shape, workers=-1)
                best = np.maximum(best, products.reshape(len(products), -1).max(1))
            alike += [(i, i + 1 + int(k)) for k in np.flatnonzero(best >= PERHAPS_SAME_EYE)]
            advance()
    return alike


def _displaced_correlation(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """The highest correlation over all shifts and `ROTATIONS`, on what the two fields of view share."""
    shape = (2 * HEIGHT, 2 * WIDTH)

    def spectra(detail: Array, field: Array) -> tuple[npt.NDArray[np.complex64], ...]:
        return fft.rfft2(detail, shape), fft.rfft2(detail**2, shape), fft.rfft2(field, shape)

    def correlate(a: npt.NDArray[np.complex64], b: npt.NDArray[np.complex64]) -> Array:
        return np.asarray(fft.irfft2(a * np.conj(b), shape), np.float32)

    detail, field = _vessels(second, 1.0)
    x, xx, xm = spectra(*_vessels(first, 1.0))
    best = -1.0
    for angle in ROTATIONS:
        turned = ndimage.rotate(detail, angle, reshape=False, order=1)
        y, yy, ym = spectra(turned, ndimage.rotate(field, angle, reshape=False, order=0))
        energy = np.maximum(correlate(xx, ym) * correlate(xm, yy), 1.0)
        enough = correlate(xm, ym) >= LEAST_OVERLAP * WIDTH * HEIGHT
        best = max(best, float(np.where(enough, correlate(x, y) / np.sqrt(energy), -1.0).max()))
    return best
