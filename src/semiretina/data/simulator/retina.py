"""The retina that a camera sees, without lesions: disc, macula, vessels and the colour of the eye's ground.

The light is drawn as its logarithm, because pigment, blood and haze act on it by factors, and factors add up there.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina import draws
from semiretina.data.simulator import vessels
from semiretina.data.simulator.anatomy import Anatomy, Difficulty, Key, anatomy
from semiretina.data.simulator.cameras import Camera

Plane = npt.NDArray[np.float32]

_COARSE = 96  # pixels across on which everything smooth is drawn before it is enlarged


def draw_eye(key: Key, camera: Camera, diameter: float, square: int, difficulty: Difficulty) -> Plane:
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
    x, y = grid(diameter, square)
    free = distance2(x, y, place.fovea) * (1 / 0.15**2)  # the fovea has no vessels
    blood *= strength * (0.55 if difficulty == "easy" else 1.0) * np.minimum(free, 1)
    for channel, absorbed in enumerate((0.22, 0.62, 0.42)):
        light[channel] -= absorbed * blood
    return light


def _retina(key: Key, camera: Camera, part: float, place: Anatomy, difficulty: Difficulty) -> Plane:
    """All that is smooth: flash, clouds of pigment, choroid, macula, haze; float32 [3, coarse, coarse].

    `part` is the field's diameter over the side of the square.
    """
    person = draws.generator(*key[:2], "retina")
    shot = draws.generator(*key, "retina")
    x, y = grid(part * _COARSE, _COARSE)
    # The flash: brighter somewhere off the centre, darker at the rim.
    lean_x, lean_y = (np.array(camera.lean) + shot.normal(0, 0.10, 2)).tolist()
    r2 = x * x + y * y
    flash = lean_x * x + lean_y * y - camera.vignette * shot.uniform(0.7, 1.3) * r2 * (0.3 + 0.7 * r2)
    cloud = 0.06 * _bumps(shot, 4) + 0.03 * _bumps(shot, 9) + 0.018 * _bumps(shot, 26)

    # Choroid: its vessels shine through as a net of orange streaks where there is little pigment.
    tessellation = min(1.0, max(0.0, person.normal(0.1, 0.6))) * (0.5 if difficulty == "easy" else 1.0)
    choroid = np.exp(-np.square(_bumps(shot, 23) / 0.3)) + np.exp(-np.square(_bumps(shot, 31) / 0.3))
    choroid *= 0.6 * tessellation * np.clip(_bumps(shot, 4) + 0.5, 0, 1.5)

    fovea = distance2(x, y, place.fovea)
    macula = 0.34 * np.exp(-fovea / 0.14**2) + 0.22 * np.exp(-fovea / 0.40**2)
    macula *= person.uniform(0.7, 1.2)
    halo = person.uniform(0.10, 0.25) * np.exp(-distance2(x, y, place.disc) / (2.6 * place.disc_radius) ** 2)

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
    x, y = grid(diameter, light.shape[1])
    near = 1.6 * place.disc_radius
    columns = slice(*np.searchsorted(x[0], (place.disc[0] - near, place.disc[0] + near)).tolist())
    rows = slice(*np.searchsorted(y[:, 0], (place.disc[1] - near, place.disc[1] + near)).tolist())
    x, y = x[:, columns], y[rows]
    narrow = person.uniform(0.82, 0.98)  # the disc is higher than wide
    rim = np.sqrt(distance2(x, y, place.disc, narrow)) / place.disc_radius
    inside = 1 / (1 + np.exp((rim - 1) * 12))
    temporal = place.disc - np.array([np.sign(place.disc[0]) * 0.02, 0])
    cup = np.sqrt(distance2(x, y, temporal, narrow)) / place.disc_radius
    cup = 1 / (1 + np.exp((cup - person.uniform(0.35, 0.6)) * 9))
    pale = np.log([258, 222, 140]) + person.normal(0, 0.04, 3)
    for channel, deep in enumerate((0.06, 0.16, 0.22)):
        part = light[channel, rows, columns]
        # Its own colour, but not quite free of the light's, and little of the pigment's clouds.
        tissue = float(base[channel] + 0.72 * (pale[channel] - base[channel]) + 0.12)
        part += inside * (tissue + deep * cup + 0.3 * (part - float(base[channel])) - part)


@lru_cache(maxsize=16)
def grid(diameter: float, square: int) -> tuple[Plane, Plane]:
    """x [1, square] and y [square, 1] of the pixels' centres, in units of the field's radius."""
    line = ((np.arange(square) - (square - 1) / 2) / (diameter / 2)).astype(np.float32)
    return line[None], line[:, None]


def distance2(x: Plane, y: Plane, center: npt.NDArray[np.float64], narrow: float = 1.0) -> Plane:
    """The squared distance of each pixel from `center` [2]; that along x counts 1 / `narrow` times."""
    dx, dy = (x - np.float32(center[0])) * np.float32(1 / narrow), y - np.float32(center[1])
    return np.asarray(dx * dx + dy * dy, np.float32)


def _bumps(rng: np.random.Generator, cells: int) -> Plane:
    """Smooth random values of about unit variance, with `cells` bumps across, on the coarse square."""
    return _enlarge(rng.standard_normal((cells, cells), np.float32), _COARSE)


def _enlarge(plane: Plane, side: int) -> Plane:
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC), np.float32)
