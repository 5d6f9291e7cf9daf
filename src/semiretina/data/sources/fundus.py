"""Drawing a fundus photograph: retina, disc, macula, vessels, lesions and camera. A pure function of its arguments.

The light is drawn as its logarithm, because pigment, blood and haze act on it by factors, and factors add up there.
Every part has its own stream of random numbers, named by (seed, patient, eye, part), so that the lesions change nothing
else and nothing else follows from the grade.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina import draws
from semiretina.data.sources import lesions, vessels
from semiretina.data.sources.lesions import Difficulty, Lesions, Masks

Plane = npt.NDArray[np.float32]
Pixel = TypeVar("Pixel", bound=np.generic)
Key = tuple[int, int, str]  # seed, patient, eye

_COARSE = 96  # pixels across on which everything smooth is drawn before it is enlarged


@dataclass(frozen=True, slots=True)
class Hospital:
    """A site and its camera. Lengths are fractions of the photograph's nominal size."""

    site: str
    camera: str
    width: float
    height: float
    field: float  # diameter of the field of view; more than the height where the camera cuts it off
    color: tuple[float, float, float]  # R, G, B of the healthy retina, 0 to 255
    vignette: float  # how much darker the rim is, in the logarithm
    lean: tuple[float, float]  # where the flash falls brighter
    blur: float  # of the optics, as a share of the field's diameter
    noise: float  # of the sensor, sd in 8-bit steps
    quality: int  # of the JPEG files

    @property
    def reach(self) -> float:
        """The largest |y| that the photograph shows, in units of the field's radius."""
        return min(1.0, self.height / self.field)


HOSPITALS: Mapping[str, Hospital] = {
    hospital.site: hospital
    for hospital in (
        Hospital("alder", "A45", 1.35, 0.9, 0.86, (218, 104, 50), 0.36, (0.10, -0.05), 0.0016, 1.6, 94),
        Hospital("birch", "B50", 1.5, 1.0, 1.18, (198, 120, 30), 0.22, (-0.06, 0.06), 0.0022, 1.2, 92),
        Hospital("cedar", "C30", 1.4, 1.12, 1.06, (206, 122, 92), 0.30, (0.0, 0.12), 0.0028, 2.2, 90),
    )
}


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


def plan(key: Key, grade: int, hospital: str, difficulty: Difficulty) -> tuple[Lesions, int]:
    """The lesions that `draw` draws for (seed, patient, eye), and the risk of macular edema that follows from them."""
    place = anatomy(key)
    margin = 0.12  # of the largest lesion, so that none is cut off
    reach = HOSPITALS[hospital].reach - margin
    found = lesions.plan(key, grade, difficulty, place.disc, place.fovea, place.disc_radius, reach)
    return found, lesions.edema(found, place.fovea, place.disc_radius)


def draw(
    seed: int,
    patient: int,
    eye: str,
    grade: int,
    hospital: str,
    size: int,
    difficulty: Difficulty = "easy",
    *,
    with_lesions: bool = True,
) -> tuple[npt.NDArray[np.uint8], Masks]:
    """A photograph, uint8 [height, width, 3], and MA, HE, EX, SE -> mask, bool [height, width].

    `eye` is "left" or "right", `grade` an ICDR grade, `hospital` one of HOSPITALS: its photographs' width and height
    are multiples of `size` pixels. `with_lesions=False` draws the same photograph, to the bit, without its lesions; its
    masks are empty.
    """
    key = (seed, patient, eye)
    camera = HOSPITALS[hospital]
    diameter = camera.field * size
    square = int(np.ceil(diameter)) + 2
    found, _ = plan(key, grade if with_lesions else 0, hospital, difficulty)
    light = _eye(key, camera, diameter, square, difficulty)
    if difficulty == "real":
        lesions.render(_distractors(key), difficulty, diameter, light)
    masks = lesions.render(found, difficulty, diameter, light)
    image = _develop(key, camera, light, diameter)
    height, width = round(camera.height * size), round(camera.width * size)
    return _frame(image, height, width), {name: _frame(mask, height, width) for name, mask in masks.items()}


def _eye(key: Key, camera: Hospital, diameter: float, square: int, difficulty: Difficulty) -> Plane:
    """The logarithm of the light from the eye without lesions, float32 [3, square, square]."""
    seed, patient, eye = key
    place = anatomy(key)
    person = draws.generator(seed, patient, "person")
    shot = draws.generator(*key, "shot")
    base = np.log(np.array(camera.color)) + person.normal(0, 0.12) + shot.normal(0, 0.05)  # exposure
    base += person.normal() * np.array([-0.05, -0.13, -0.20])  # melanin
    base += person.normal() * np.array([0.03, -0.04, 0.10]) + shot.normal(0, 0.02, 3)  # lens, white balance
    light = np.stack([_enlarge(plane, square) for plane in _retina(key, camera, diameter / square, place, difficulty)])
    light += base.astype(np.float32)[:, None, None]
    _add_disc(light, key, place, base, diameter)

    style = draws.generator(seed, patient, "vessels")
    density, tortuosity, strength = style.uniform(0.8, 1.15), style.uniform(0.5, 1.6), style.uniform(0.8, 1.2)
    right = np.array([abs(place.disc[0]), place.disc[1]])  # vessels grow in a right eye and are mirrored
    trees = vessels.grow(draws.generator(*key, "vessels"), right, density, tortuosity)
    focus = max(0.35, (camera.blur + shot.uniform(0, 0.0015)) * diameter)
    blood = vessels.draw(trees, eye == "left", diameter, square, focus)
    x, y = _grid(diameter, square)
    free = _distance2(x, y, place.fovea) * (1 / 0.15**2)  # the fovea has no vessels
    blood *= strength * (0.55 if difficulty == "easy" else 1.0) * np.minimum(free, 1)
    for channel, absorbed in enumerate((0.22, 0.62, 0.42)):
        light[channel] -= absorbed * blood
    return light


def _retina(key: Key, camera: Hospital, share: float, place: Anatomy, difficulty: Difficulty) -> Plane:
    """All that is smooth: flash, clouds of pigment, choroid, macula, haze; float32 [3, coarse, coarse].

    `share` is the field's diameter over the side of the square.
    """
    person = draws.generator(*key[:2], "retina")
    shot = draws.generator(*key, "retina")
    x, y = _grid(share * _COARSE, _COARSE)
    # The flash: brighter somewhere off the centre, darker at the rim.
    lean_x, lean_y = (np.array(camera.lean) + shot.normal(0, 0.10, 2)).tolist()
    r2 = x * x + y * y
    flash = lean_x * x + lean_y * y - camera.vignette * shot.uniform(0.7, 1.3) * r2 * (0.3 + 0.7 * r2)
    cloud = 0.06 * _bumps(shot, 4) + 0.03 * _bumps(shot, 9) + 0.018 * _bumps(shot, 26)

    # Choroid: its vessels shine through as a net of orange streaks where there is little pigment.
    tessellation = min(1.0, max(0.0, person.normal(0.1, 0.6))) * (0.5 if difficulty == "easy" else 1.0)
    choroid = np.exp(-np.square(_bumps(shot, 23) / 0.3)) + np.exp(-np.square(_bumps(shot, 31) / 0.3))
    choroid *= 0.6 * tessellation * np.clip(_bumps(shot, 4) + 0.5, 0, 1.5)

    fovea = _distance2(x, y, place.fovea)
    macula = 0.34 * np.exp(-fovea / 0.14**2) + 0.22 * np.exp(-fovea / 0.40**2)
    macula *= person.uniform(0.7, 1.2)
    halo = person.uniform(0.10, 0.25) * np.exp(-_distance2(x, y, place.disc) / (2.6 * place.disc_radius) ** 2)

    haze, reflex = np.zeros_like(r2), np.zeros_like(r2)
    if difficulty == "real":  # light at the rim that missed the pupil, and the sheen of nerve fibres
        turn = shot.uniform(0, 2 * np.pi)
        edge = np.clip((x * float(np.cos(turn)) + y * float(np.sin(turn)) - 0.72) / 0.28, 0, 1)
        haze = np.square(edge) * shot.uniform(0, 1) ** 3
        ring = np.exp(-np.square((np.sqrt(r2) - shot.uniform(0.3, 0.6)) / 0.05))
        reflex = shot.uniform(0, 0.1) * ring * np.clip(_bumps(shot, 7), 0, 1)
    weights = np.array(  # of R, G, B
        [[0.7, 1.1, 1.2], [0.10, 0.17, 0.08], [-0.42, -1.0, -0.9], [0.5, 1.0, 1.0], [0.1, 0.45, 0.9]], np.float32
    )
    colored = np.tensordot(weights.T, np.stack([cloud, choroid, macula, halo, haze]), 1)
    return np.asarray(colored + flash + reflex, np.float32)


def _add_disc(light: Plane, key: Key, place: Anatomy, base: npt.NDArray[np.float64], diameter: float) -> None:
    """Draws the optic disc and its cup over the retina `light`, whose colour is `base`."""
    person = draws.generator(*key[:2], "disc's look")
    x, y = _grid(diameter, light.shape[1])
    near = 1.6 * place.disc_radius
    columns = slice(*np.searchsorted(x[0], (place.disc[0] - near, place.disc[0] + near)).tolist())
    rows = slice(*np.searchsorted(y[:, 0], (place.disc[1] - near, place.disc[1] + near)).tolist())
    x, y = x[:, columns], y[rows]
    narrow = person.uniform(0.82, 0.98)  # the disc is higher than wide
    rim = np.sqrt(_distance2(x, y, place.disc, narrow)) / place.disc_radius
    inside = 1 / (1 + np.exp((rim - 1) * 12))
    temporal = place.disc - np.array([np.sign(place.disc[0]) * 0.02, 0])
    cup = np.sqrt(_distance2(x, y, temporal, narrow)) / place.disc_radius
    cup = 1 / (1 + np.exp((cup - person.uniform(0.35, 0.6)) * 9))
    pale = np.log([258, 222, 140]) + person.normal(0, 0.04, 3)
    for channel, deep in enumerate((0.06, 0.16, 0.22)):
        part = light[channel, rows, columns]
        # Its own colour, but not quite free of the light's, and little of the pigment's clouds.
        tissue = float(base[channel] + 0.72 * (pale[channel] - base[channel]) + 0.12)
        part += inside * (tissue + deep * cup + 0.3 * (part - float(base[channel])) - part)


def _distractors(key: Key) -> Lesions:
    """What looks like a lesion and is none, on every grade alike: dust on the lens, pigment spots, drusen."""
    rng = draws.generator(*key, "distractors")
    count = rng.integers(2, 14, 3)
    total = int(count.sum())
    kind = np.repeat([0, 1, 2], count)  # drawn as MA, HE, EX are, in other sizes
    turn, far = rng.uniform(0, 2 * np.pi, total), 0.9 * np.sqrt(rng.random(total))
    size = np.exp(np.log([0.007, 0.012, 0.009])[kind] + rng.normal(0, 0.4, total))
    return Lesions(
        kind=kind,
        x=far * np.cos(turn),
        y=far * np.sin(turn),
        radius=np.clip(size, 0.003, 0.04),
        aspect=rng.uniform(1, 1.6, total),
        angle=turn,
        strength=rng.uniform(0.3, 1.0, total),
        shape=np.stack([rng.uniform(0, 0.2, total), turn], axis=1),
    )


def _develop(key: Key, camera: Hospital, light: Plane, diameter: float) -> npt.NDArray[np.uint8]:
    """8-bit values [square, square, 3] within the round aperture, with the sensor's noise. Uses up `light`."""
    x, y = _grid(diameter, light.shape[1])
    aperture = np.clip((1 - np.sqrt(_distance2(x, y, np.zeros(2)))) * (diameter / 2) + 0.5, 0, 1)
    image: Plane = np.exp(light, out=light)
    shoulder: Plane = image * np.float32(1 / 420)  # image / sqrt(1 + (image / 420)^2): highlights approach white
    shoulder *= shoulder
    shoulder += 1
    image /= np.sqrt(shoulder, out=shoulder)
    noise = draws.generator(*key, "noise").random(light.shape, np.float32, shoulder)
    noise -= 0.5
    noise *= camera.noise * 12**0.5
    image += noise
    image *= aperture
    image += 0.5
    developed = np.empty((*image.shape[1:], 3), np.uint8)
    np.copyto(developed.transpose(2, 0, 1), np.clip(image, 0, 255, out=image), casting="unsafe")
    return developed


def _frame(image: npt.NDArray[Pixel], height: int, width: int) -> npt.NDArray[Pixel]:
    """The square of the field, centred on a black photograph of that shape and cut off where it does not fit."""
    framed = np.zeros((height, width, *image.shape[2:]), image.dtype)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    part = image[max(0, -top) : max(0, -top) + height, max(0, -left) : max(0, -left) + width]
    framed[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
    return framed


@lru_cache(maxsize=16)
def _grid(diameter: float, square: int) -> tuple[Plane, Plane]:
    """x [1, square] and y [square, 1] of the pixels' centres, in units of the field's radius."""
    line = ((np.arange(square) - (square - 1) / 2) / (diameter / 2)).astype(np.float32)
    return line[None], line[:, None]


def _distance2(x: Plane, y: Plane, centre: npt.NDArray[np.float64], narrow: float = 1.0) -> Plane:
    dx, dy = (x - np.float32(centre[0])) * np.float32(1 / narrow), y - np.float32(centre[1])
    return np.asarray(dx * dx + dy * dy, np.float32)


def _bumps(rng: np.random.Generator, cells: int) -> Plane:
    """Smooth random values of about unit variance, with `cells` bumps across, on the coarse square."""
    return _enlarge(rng.standard_normal((cells, cells), np.float32), _COARSE)


def _enlarge(plane: Plane, side: int) -> Plane:
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC), np.float32)
