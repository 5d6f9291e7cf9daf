"""The lesions of a drawn retina: which, how many, how large and how strong, by grade; and their drawing.

Grades are those of the ICDR scale (Wilkinson et al., Ophthalmology 2003; 110(9):1677): 0 nothing, 1 microaneurysms
only, 2 more than that, 3 haemorrhages in all four quadrants, 4 a large preretinal haemorrhage. New vessels, the other
sign of grade 4, are not drawn: none of the four masks could hold them. `real` takes its numbers from `IDRID`; `easy`
has fewer lesions, several times as large and strong, which a small network finds at 64 pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semiretina import draws
from semiretina.data.simulator.anatomy import Anatomy, Difficulty, Key
from semiretina.records import LESIONS

Float = npt.NDArray[np.float64]
Masks = dict[str, npt.NDArray[np.bool_]]  # lesion -> where it is


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of lesion. Sizes are diameters over that of the field of view; contrasts are log(lesion / its ring)."""

    size: float  # median diameter
    size_sd: float  # of its logarithm, which is nearly normal
    contrast: tuple[float, float, float]  # median of R, G, B (8-bit values as stored, not linear light)
    contrast_sd: float  # of the logarithm of the green contrast
    contrast_growth: float  # exponent of the size in the contrast: large lesions stand out more
    # grade -> fraction of photographs that have any, median count of those, sd of the count's logarithm
    counts: Mapping[int, tuple[float, float, float]]


# Measured on the masks of IDRiD's 54 training photographs (Porwal et al., Data 2018, 3(3):25) by benchmarks/lesions.py,
# which prints these numbers and says how. Two are not from the masks: grade 1, which no masked photograph has, is our
# choice; and the fraction with hard exudates is that of a risk of macular edema > 0 in IDRiD's 413 graded photographs,
# because the masked ones were chosen for having lesions of every kind.
IDRID: Mapping[str, Kind] = {
    "MA": Kind(
        0.0050, 0.35, (-0.022, -0.080, -0.055), 0.45, 0.35,
        {1: (1.0, 5, 0.6), 2: (1.0, 23, 0.92), 3: (1.0, 62, 0.51), 4: (1.0, 82, 0.36)},
    ),
    "HE": Kind(
        0.0130, 0.60, (-0.028, -0.092, -0.046), 0.48, 0.23,
        {2: (0.97, 12, 0.89), 3: (1.0, 41, 0.51), 4: (1.0, 48, 0.38)},
    ),
    "EX": Kind(
        0.0052, 0.66, (0.031, 0.087, 0.078), 0.47, 0.44,
        {2: (0.88, 56, 0.97), 3: (0.96, 58, 1.17), 4: (0.92, 222, 0.27)},
    ),
    "SE": Kind(
        0.0309, 0.40, (0.036, 0.146, 0.169), 0.44, 0.63,
        {2: (0.41, 4, 0.71), 3: (0.75, 3, 0.82), 4: (0.50, 5, 0.85)},
    ),
}  # fmt: skip

EASY: Mapping[str, Kind] = {
    "MA": Kind(
        0.026, 0.12, (-0.26, -0.55, -0.38), 0.15, 0.0,
        {1: (1.0, 7, 0.35), 2: (1.0, 8, 0.25), 3: (1.0, 9, 0.25), 4: (1.0, 8, 0.25)},
    ),
    "HE": Kind(
        0.046, 0.30, (-0.28, -0.64, -0.42), 0.15, 0.0,
        {2: (1.0, 3, 0.3), 3: (1.0, 10, 0.2), 4: (1.0, 5, 0.3)},
    ),
    "EX": Kind(
        0.022, 0.30, (0.20, 0.46, 0.36), 0.15, 0.0,
        {2: (0.7, 10, 0.3), 3: (0.8, 14, 0.3), 4: (0.8, 14, 0.3)},
    ),
    "SE": Kind(
        0.060, 0.20, (0.14, 0.34, 0.42), 0.15, 0.0,
        {2: (0.3, 1, 0.3), 3: (0.6, 2, 0.3), 4: (0.5, 2, 0.3)},
    ),
}  # fmt: skip

KINDS: Mapping[str, Mapping[str, Kind]] = {"easy": EASY, "real": IDRID}
_PRERETINAL = {"easy": 0.13, "real": 0.09}  # diameter of grade 4's large haemorrhage
_SOFT = {"MA": 0.7, "HE": 0.3, "EX": 0.6, "SE": 0.9}  # fraction of the radius over which a lesion fades out


@dataclass(frozen=True, slots=True)
class Lesions:
    """Lesions of one photograph, one element each; lengths in units of the field's radius from its centre, y down."""

    kind: npt.NDArray[np.int64]  # index into LESIONS
    x: Float
    y: Float
    radius: Float
    aspect: Float  # longer half axis / shorter one
    angle: Float  # of the longer axis
    strength: Float  # 1 = the kind's median contrast
    shape: Float  # [n, 2] depth and phase of the outline's lobes

    def has(self, lesion: str) -> int:
        """1 where there is at least one of MA, HE, EX or SE, 0 otherwise."""
        return int((self.kind == LESIONS.index(lesion)).any())


def place_lesions(key: Key, grade: int, difficulty: Difficulty, eye: Anatomy, reach: float) -> Lesions:
    """The lesions of an eye of this ICDR grade, at places that the camera sees: not on the disc, |y| <= `reach`.

    `key` (seed, patient, eye) decides everything else.
    """
    kinds = []
    for number, (name, kind) in enumerate(KINDS[difficulty].items()):
        if grade not in kind.counts:
            continue
        rng = draws.generator(*key, "lesions", name)
        likely, median, spread = kind.counts[grade]
        if rng.random() >= likely:
            continue
        count = max(1, round(median * np.exp(spread * np.clip(rng.normal(), -2, 2))))
        logs = np.clip(rng.normal(0, 1, count), -2.5, 2.5)
        size = kind.size * np.exp(kind.size_sd * logs)
        if name == "HE" and grade == 4:
            size[0] = _PRERETINAL[difficulty] * rng.uniform(0.8, 1.25)
        clusters = max(1, count // 25) if name == "EX" else 0
        quadrants = name == "HE" and grade == 3
        spots = _centres(rng, count, eye, reach, clusters, quadrants)
        flame = (rng.random(count) < 0.35) & (name == "HE")
        nerve = np.arctan2(*(spots - eye.disc).T[::-1])  # fibres run away from the disc, and flames along them
        plump = rng.uniform(1.0, 1.0 if name == "MA" else 1.5, count)
        lobes = rng.uniform(0.05, 0.22, count) * (name != "MA")
        strength = np.exp(kind.contrast_sd * np.clip(rng.normal(0, 1, count), -2, 2))
        kinds.append(
            Lesions(
                kind=np.full(count, number),
                x=spots[:, 0],
                y=spots[:, 1],
                radius=size,  # a diameter in units of the field's is a radius in units of its radius
                aspect=np.where(flame, rng.uniform(1.8, 3.0, count), plump),
                angle=np.where(flame, nerve, rng.uniform(0, np.pi, count)),
                strength=strength * (size / kind.size) ** kind.contrast_growth,
                shape=np.stack([lobes, rng.uniform(0, 2 * np.pi, count)], axis=1),
            )
        )
    if not kinds:
        none = np.zeros(0)
        return Lesions(np.zeros(0, np.int64), none, none, none, none, none, none, np.zeros((0, 2)))
    return Lesions(*(np.concatenate([getattr(part, name) for part in kinds]) for name in Lesions.__slots__))


def edema(lesions: Lesions, eye: Anatomy) -> int:
    """The risk of macular edema: 0 no hard exudate, 1 some, 2 one within a disc diameter of the macula's centre."""
    exudates = lesions.kind == LESIONS.index("EX")
    if not exudates.any():
        return 0
    distance = np.hypot(lesions.x[exudates] - eye.fovea[0], lesions.y[exudates] - eye.fovea[1])
    return 2 if distance.min() <= 2 * eye.disc_radius else 1


def _centres(rng: np.random.Generator, count: int, eye: Anatomy, reach: float, clusters: int, quadrants: bool) -> Float:
    """[count, 2] centres, none on the disc or near it.

    They lie over the posterior pole or, where there are `clusters`, in that many heaps and rings near the macula. With
    `quadrants` each quadrant around the fovea holds at least one.
    """
    centres = np.zeros((0, 2))
    while len(centres) < count:
        n = 4 * count + 16
        if clusters:
            turn, far = rng.uniform(0, 2 * np.pi, clusters), rng.uniform(0.12, 0.5, clusters)
            middle = eye.fovea + np.stack([np.cos(turn), np.sin(turn)], axis=1) * far[:, None]
            heap = rng.integers(0, clusters, n)
            ring = np.where(rng.random(clusters) < 0.4, 0.13, 0.0)[heap]  # circinate: around a leaking vessel
            around = rng.uniform(0, 2 * np.pi, n)
            circle = np.stack([np.cos(around), np.sin(around)], axis=1) * ring[:, None]
            spots = middle[heap] + circle + rng.normal(0, 1, (n, 2)) * np.where(ring > 0, 0.04, 0.10)[:, None]
        else:
            pole = rng.normal(0, 0.42, (n, 2))
            wide = rng.uniform(-0.88, 0.88, (n, 2))
            spots = np.where(rng.random((n, 1)) < 0.5, pole, wide)
        clear = np.hypot(*(spots - eye.disc).T) > 1.5 * eye.disc_radius
        inside = (np.hypot(*spots.T) < 0.88) & (np.abs(spots[:, 1]) < reach) & clear
        centres = np.concatenate([centres, spots[inside]])
    if quadrants:
        right_below = centres > eye.fovea
        _, first = np.unique(2 * right_below[:, 0] + right_below[:, 1], return_index=True)
        centres = np.concatenate([centres[first], np.delete(centres, first, axis=0)])
    return centres[:count]


def render(lesions: Lesions, difficulty: Difficulty, diameter: float, light: npt.NDArray[np.float32]) -> Masks:
    """Adds to the logarithm of the light, [3, width, width], what the lesions take or give; their masks.

    The field of view has `diameter` pixels and is centred. A mask is set wherever its lesions change the light at all,
    so that nothing of them is left outside it, and at every lesion's centre, however small it is.
    """
    width = light.shape[1]
    density = np.zeros((len(LESIONS), width, width), np.float32)
    mask = np.zeros(density.shape, bool)
    middle = (width - 1) / 2
    x, y = lesions.x * diameter / 2 + middle, lesions.y * diameter / 2 + middle
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    # Smaller than a pixel, a lesion is drawn about as large as one and paler by the fraction of its area.
    drawn = np.maximum(lesions.radius * diameter / 2, 0.6)
    strength = lesions.strength * np.square(lesions.radius * diameter / 2 / drawn)
    soft = np.array([_SOFT[name] for name in LESIONS])[lesions.kind] * (1.0 if difficulty == "real" else 0.5)
    half = 2 ** np.ceil(np.log2(drawn * np.sqrt(lesions.aspect) * 1.25 + 2)).astype(int)  # of the square that holds it
    for reach in np.unique(half):  # all lesions of about one size at once
        at = np.flatnonzero(half == reach)
        steps = np.arange(-reach, reach + 1)
        columns, rows = column[at, None, None] + steps, row[at, None, None] + steps[:, None]
        turn = np.stack([np.cos(lesions.angle[at]), np.sin(lesions.angle[at])])[..., None, None]
        across, down = columns - x[at, None, None], rows - y[at, None, None]
        longer = np.sqrt(lesions.aspect[at])[:, None, None]
        u, v = (across * turn[0] + down * turn[1]) / longer, (down * turn[0] - across * turn[1]) * longer
        radius = drawn[at, None, None]
        edge = radius * _outline(u, v, lesions.shape[at]) if reach > 2 else radius
        fade = np.maximum(soft[at, None, None] * radius, 0.75)
        steep = np.minimum(fade / radius, 1)
        mean = 1 - steep + steep**2 / 3  # over the lesion, of what rises from 0 at its outline to 1 a fade inside
        coverage = np.clip((edge + 0.25 - np.hypot(u, v)) / fade, 0, 1) / mean
        coverage *= coverage > 0.05
        seen, rows, columns = np.broadcast_arrays(coverage, rows, columns)[0:3]
        hit = (seen > 0) & (rows >= 0) & (rows < width) & (columns >= 0) & (columns < width)
        which = np.nonzero(hit)[0]
        place = (lesions.kind[at][which], rows[hit], columns[hit])
        np.maximum.at(density, place, (seen[hit] * strength[at][which]).astype(np.float32))
        mask[place] = True
    mask[lesions.kind, np.clip(row, 0, width - 1), np.clip(column, 0, width - 1)] = True
    flat = light.reshape(3, -1)
    for number in np.unique(lesions.kind):
        at = np.flatnonzero(mask[number])
        contrast = np.array(KINDS[difficulty][LESIONS[number]].contrast, np.float32)
        flat[:, at] += contrast[:, None] * density[number].ravel()[at]
    return dict(zip(LESIONS, mask, strict=True))


def _outline(u: Float, v: Float, shape: Float) -> Float:
    """The lobed outline's radius over that of the circle, in the direction (u, v)."""
    turn, depth, phase = np.arctan2(v, u), shape[:, 0, None, None], shape[:, 1, None, None]
    lobes = np.sin(2 * turn + phase) + 0.7 * np.sin(3 * turn - phase) + 0.5 * np.sin(5 * turn)
    return np.asarray(1 + depth / 1.6 * lobes, np.float64)
