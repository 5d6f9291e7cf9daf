"""Drawing a fundus photograph: the retina, its lesions, what only looks like one, and the camera.

A pure function of its arguments. Every part has its own stream of random numbers, named by (seed, patient, eye, part),
so that the lesions change nothing else and nothing else follows from the grade.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from semiretina import draws
from semiretina.data.simulator import lesions
from semiretina.data.simulator.anatomy import Difficulty, Key, anatomy
from semiretina.data.simulator.cameras import CAMERAS, Camera
from semiretina.data.simulator.lesions import Lesions, Masks
from semiretina.data.simulator.retina import Plane, distance2, draw_eye, grid

Pixel = TypeVar("Pixel", bound=np.generic)

VERSION = 1  # of the drawing; photographs of two versions never mix


def plan(key: Key, grade: int, hospital: str, difficulty: Difficulty) -> tuple[Lesions, int]:
    """The lesions that `draw` draws in an eye, and the risk of macular edema that follows from them."""
    eye = anatomy(key)
    margin = 0.12  # of the largest lesion, so that none is cut off
    drawn = lesions.place_lesions(key, grade, difficulty, eye, CAMERAS[hospital].reach - margin)
    return drawn, lesions.edema(drawn, eye)


def draw(
    key: Key,
    grade: int,
    hospital: str,
    size: int,
    difficulty: Difficulty = "easy",
    *,
    with_lesions: bool = True,
) -> tuple[npt.NDArray[np.uint8], Masks]:
    """A photograph, uint8 [height, width, 3], and MA, HE, EX, SE -> mask, bool [height, width].

    `key` is (seed, patient, eye), `grade` an ICDR grade, `hospital` one of CAMERAS: its photographs' width and height
    are multiples of `size` pixels. `with_lesions=False` draws the same photograph, to the bit, without its lesions; its
    masks are empty.
    """
    camera = CAMERAS[hospital]
    diameter = camera.field * size
    square = int(np.ceil(diameter)) + 2
    drawn, _ = plan(key, grade if with_lesions else 0, hospital, difficulty)
    light = draw_eye(key, camera, diameter, square, difficulty)
    if difficulty == "real":
        lesions.render(_distractors(key), difficulty, diameter, light)
    masks = lesions.render(drawn, difficulty, diameter, light)
    image = _develop(key, camera, light, diameter)
    height, width = round(camera.height * size), round(camera.width * size)
    return _frame(image, height, width), {name: _frame(mask, height, width) for name, mask in masks.items()}


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


def _develop(key: Key, camera: Camera, light: Plane, diameter: float) -> npt.NDArray[np.uint8]:
    """8-bit values [square, square, 3] within the round aperture, with the sensor's noise. Uses up `light`."""
    x, y = grid(diameter, light.shape[1])
    aperture = np.clip((1 - np.sqrt(distance2(x, y, np.zeros(2)))) * (diameter / 2) + 0.5, 0, 1)
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
