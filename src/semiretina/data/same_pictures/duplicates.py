"""Which photographs show the same picture: the same pixels, or these resized, recompressed, toned, mirrored or turned.

Another photograph of the same eye is another picture, though of much the same retina: the flash falls otherwise. So is
the fellow eye, whose vessels differ. `docs/results/duplicates.md` has the measured recall and the false pairs.

Candidates are found by a small descriptor, exactly, in blocks of matrix products; each is then laid over its
counterpart (`registration`) and accepted where both detail and light of the two agree.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from semiretina.data.same_pictures import Pair
from semiretina.data.same_pictures.registration import SIDE, View, lay_over, views
from semiretina.progress import progress

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Candidate = tuple[int, int, int]  # positions of two descriptors, first < second, and what lays the first on the second

GRID = 32  # px, the side of a descriptor
TURNS = (-4.0, 0.0, 4.0)  # degrees that descriptors are compared at; the photographs may differ by 6
MIRRORS = ((False, False), (True, False), (False, True), (True, True))  # left-right, up-down
WAYS = tuple((*mirror, angle) for mirror in MIRRORS for angle in TURNS)
INSIDE = np.hypot(*(np.mgrid[:GRID, :GRID] - (GRID - 1) / 2)) < 0.46 * GRID  # where a descriptor is not 0
SMOOTH = 2.0  # px of a view, standard deviation
# Measured at 128 px on IDRiD's 467 photographs and on 600 drawn ones; IDRiD's pairs around the limits were looked at.
CANDIDATE = 0.72  # correlation of descriptors: copies at 0.80 or more; 13 of IDRiD's 108,811 other pairs at 0.72
SAME_DETAIL = 0.65  # copies at 0.69 or more, the poorest at 77 px and JPEG 50; other eyes at 0.57 or less
SAME_LIGHT = 0.9958  # copies at 0.9967 or more, nearly all; second photographs of one eye at 0.9949 or less
MOST_CANDIDATES = 50  # of a photograph; the most alike
TURNED = 1.0  # degrees, from which on a copy is called rotated
PAIRS = 64  # candidates whose views are held at once
BLOCK = 128  # photographs whose descriptors are made, or compared with all others, at once


def find_duplicates(pixels: Pixels, block: int = BLOCK) -> list[Pair]:
    """All pairs of the same picture among photographs, uint8 [n, s, s, 3], cropped to their fields of view; sorted.

    Photographs of identical pixels are paired with the first of them alone, and only that one with others. A photograph
    that shows nothing (black, blank, no field of view) is paired with none. `block` bounds the memory beyond the
    pixels, some 100 MB plus 5 kB a photograph, and changes no result.
    """
    assert pixels.dtype == np.uint8
    assert pixels.shape[3:] == (3,), pixels.shape
    first: dict[bytes, int] = {}
    pairs, different = [], []
    descriptors = []
    with progress("Looking for duplicates", 2 * len(pixels)) as advance:
        for start in range(0, len(pixels), block):
            rows = np.asarray(pixels[start : start + block])
            for number, view in enumerate(views(rows), start):
                if view.blank:
                    continue
                before = first.setdefault(sha256(rows[number - start].tobytes()).digest(), number)
                if before == number:
                    different.append(number)
                    descriptors.append(_descriptor(view))
                else:
                    pairs.append(Pair(before, number, "identical", 1.0))
            advance(len(rows))
        advance(len(pixels) - len(different))
        for start in range(0, len(different), block):
            candidates = _candidates(descriptors, start, block)
            pairs += _same_pictures(pixels, different, candidates)
            advance(len(descriptors[start : start + block]))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _descriptor(view: View) -> Array:
    """What shows in a photograph, coarsely, [GRID, GRID] of length 1."""
    coarse = ndimage.gaussian_filter(view.detail, SMOOTH, mode="constant")
    small = coarse.reshape(GRID, SIDE // GRID, GRID, SIDE // GRID).mean(axis=(1, 3))
    return np.asarray(small / max(1e-6, float(np.linalg.norm(small))), np.float32)


def _same_pictures(pixels: Pixels, numbers: Sequence[int], candidates: Sequence[Candidate]) -> Iterator[Pair]:
    """The candidates, given by their positions in `numbers`, that show the same picture."""
    for start in range(0, len(candidates), PAIRS):
        some = candidates[start : start + PAIRS]
        members = sorted({numbers[end] for first, second, _ in some for end in (first, second)})
        view_of = dict(zip(members, views(np.asarray(pixels[members])), strict=True))
        for first, second, way in some:
            left_right, up_down, angle = WAYS[way]
            one, other = numbers[first], numbers[second]
            fit = lay_over(view_of[other], view_of[one].mirrored(left_right, up_down), angle)
            if fit.detail >= SAME_DETAIL and fit.light >= SAME_LIGHT:
                rotated = "rotated" if abs(fit.angle) >= TURNED else "copy"
                yield Pair(one, other, "mirrored" if left_right or up_down else rotated, min(1.0, fit.detail))


def _candidates(descriptors: Sequence[Array], start: int, block: int) -> list[Candidate]:
    """The pairs that look alike, of each of a block of photographs with the later ones."""
    queries = np.stack([_turned(np.stack(descriptors[start : start + block]), *way) for way in WAYS], axis=1)
    size = len(queries)
    alike: list[list[tuple[float, int, int]]] = [[] for _ in range(size)]  # -likeness, position, way
    for begin in range(start, len(descriptors), block):
        others = np.stack(descriptors[begin : begin + block])[:, INSIDE]
        products = (queries.reshape(size * len(WAYS), -1) @ others.T).reshape(size, len(WAYS), -1)
        likeness = products.max(axis=1)
        for number, other in np.argwhere(likeness >= CANDIDATE).tolist():
            if begin + other > start + number:
                way = int(products[number, :, other].argmax())
                alike[number].append((-float(likeness[number, other]), begin + other, way))
    return [
        (start + number, other, way)
        for number, some in enumerate(alike)
        for _, other, way in sorted(some)[:MOST_CANDIDATES]
    ]


def _turned(descriptors: Array, left_right: bool, up_down: bool, angle: float) -> Array:
    """The descriptors, [n, INSIDE], of the photographs mirrored and then rotated counter-clockwise."""
    part = (slice(None), slice(None, None, -1 if up_down else 1), slice(None, None, -1 if left_right else 1))
    turned = descriptors[part]
    if angle:
        turned = ndimage.rotate(turned, angle, axes=(2, 1), reshape=False, order=1)
    return np.asarray(turned[:, INSIDE], np.float32)
