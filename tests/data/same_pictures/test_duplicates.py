"""Planted copies are found, other photographs are not."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance, ImageOps

from semiretina.data.same_pictures.duplicates import find_duplicates
from semiretina.data.simulator.drawings import drawings
from semiretina.grouping import first_joined

SIDE = 128
BICUBIC = Image.Resampling.BICUBIC
Change = Callable[[Image.Image], Image.Image]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out)


def resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), BICUBIC)


CHANGES: dict[str, tuple[Change, str]] = {
    "identical": (lambda image: image, "identical"),
    "resized": (lambda image: resized(resized(image, 90), SIDE), "copy"),
    "recompressed": (lambda image: jpeg(image, 30), "copy"),
    "brighter": (lambda image: ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(1.1)).enhance(0.9), "copy"),
    "mirrored": (ImageOps.mirror, "mirrored"),
    "upside down": (ImageOps.flip, "mirrored"),
    "rotated": (lambda image: image.rotate(3, BICUBIC), "rotated"),
    "rotated back": (lambda image: image.rotate(-5, BICUBIC), "rotated"),
    "all of it": (lambda image: jpeg(resized(ImageOps.mirror(image).rotate(3, BICUBIC), 100), 50), "mirrored"),
}


@pytest.fixture(scope="module")
def eyes() -> list[Image.Image]:
    """200 photographs of 100 patients, both difficulties; the two eyes of a patient next to each other."""
    some = [*drawings(100, SIDE, "easy", seed=0), *drawings(100, SIDE, "real", seed=1)]
    return [ImageOps.fit(Image.fromarray(drawing.draw()[0]), (SIDE, SIDE)) for drawing in some]


def stack(images: list[Image.Image]) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(resized(image.convert("RGB"), SIDE)) for image in images])


def test_neither_fellow_eyes_nor_other_patients_are_the_same_picture(eyes: list[Image.Image]) -> None:
    assert find_duplicates(stack(eyes)) == []


@pytest.mark.parametrize("name", CHANGES)
def test_planted_copies_are_found_with_their_kind_and_nothing_else(eyes: list[Image.Image], name: str) -> None:
    change, kind = CHANGES[name]
    some = eyes[20:28] + eyes[120:128]
    pairs = find_duplicates(stack(some + [change(image) for image in some]))
    assert [(pair.first, pair.second, pair.kind) for pair in pairs] == [(i, i + 16, kind) for i in range(16)]


def test_another_photograph_of_the_same_eye_is_another_picture() -> None:
    wide = Image.fromarray(drawings(1, 224, "real")[0].draw()[0])
    middle = wide.width // 2, wide.height // 2
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    aperture = (np.hypot(x, y) < SIDE / 2)[..., None]

    def shown(shift: int) -> npt.NDArray[np.uint8]:
        left, top = middle[0] - SIDE // 2 + shift, middle[1] - SIDE // 2
        return np.asarray(wide.crop((left, top, left + SIDE, top + SIDE))) * aperture

    assert find_duplicates(np.stack([shown(0), shown(16)])) == []
    assert [pair.kind for pair in find_duplicates(np.stack([shown(0), shown(2)]))] == ["copy"]  # a crop differs so far


def test_copies_of_copies_of_identical_pixels_are_paired_with_the_first_alone(eyes: list[Image.Image]) -> None:
    a, b = eyes[0], eyes[2]
    pairs = find_duplicates(stack([b, a, ImageOps.mirror(a), a, ImageOps.mirror(a), a]))
    kinds = [(pair.first, pair.second, pair.kind) for pair in pairs]
    assert kinds == [(1, 2, "mirrored"), (1, 3, "identical"), (1, 5, "identical"), (2, 4, "identical")]
    joined = first_joined([(pair.first, pair.second) for pair in pairs], 6)
    assert joined.tolist() == [0, 1, 1, 1, 1, 1]


def test_blocks_bound_the_memory_and_change_nothing(eyes: list[Image.Image]) -> None:
    some = eyes[:12]
    pixels = stack(some + [ImageOps.mirror(jpeg(image, 60)) for image in some[::-1]])
    whole = find_duplicates(pixels, block=1000)
    assert len(whole) == 12
    for block in (1, 7):
        parts = find_duplicates(pixels, block=block)
        assert [(p.first, p.second, p.kind) for p in parts] == [(p.first, p.second, p.kind) for p in whole]
        np.testing.assert_allclose([p.score for p in parts], [p.score for p in whole], atol=1e-4)


def test_the_result_is_the_same_each_time_and_in_any_order(eyes: list[Image.Image]) -> None:
    pixels = stack(eyes[:8] + [image.rotate(2, BICUBIC) for image in eyes[:8]])
    pairs = find_duplicates(pixels)
    assert pairs == find_duplicates(pixels.copy())
    order = np.random.default_rng(5).permutation(len(pixels))
    shuffled = find_duplicates(pixels[order])
    assert sorted(sorted((order[p.first], order[p.second])) for p in shuffled) == [[p.first, p.second] for p in pairs]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("level", [0, 3, 128, 255])
def test_photographs_that_show_nothing_are_paired_with_none(count: int, level: int) -> None:
    assert find_duplicates(np.full((count, 48, 48, 3), level, np.uint8)) == []


def test_one_photograph_has_no_pair_and_blank_ones_hide_none(eyes: list[Image.Image]) -> None:
    pixels = stack([eyes[0]])
    assert find_duplicates(pixels) == []
    black = np.zeros_like(pixels)
    found = find_duplicates(np.concatenate([black, pixels, black, pixels, black]))
    assert [(pair.first, pair.second) for pair in found] == [(1, 3)]


def test_small_and_large_photographs_of_a_cache_are_compared_alike(eyes: list[Image.Image]) -> None:
    some = eyes[:6] + [ImageOps.mirror(image) for image in eyes[:6]]
    for side in (64, 200):
        pixels = np.stack([np.asarray(resized(image, side)) for image in some])
        pairs = find_duplicates(pixels)
        assert [(pair.first, pair.second, pair.kind) for pair in pairs] == [(i, i + 6, "mirrored") for i in range(6)]
