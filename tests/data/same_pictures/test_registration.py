"""Views of a photograph, and one laid over another."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from semiretina.data.same_pictures.registration import SIDE, lay_over, views
from semiretina.data.simulator.drawings import drawings


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    """Four eyes of two patients, 256 px square."""
    some = drawings(4, 256, "real")
    return [ImageOps.fit(Image.fromarray(drawing.draw()[0]), (256, 256)) for drawing in some]


def one_view(image: Image.Image):  # type: ignore[no-untyped-def]
    return views(np.asarray(image)[None])[0]


@pytest.mark.parametrize("side", [64, 128, 200, 256])
def test_photographs_of_any_size_have_views_that_lie_on_each_other(photographs: list[Image.Image], side: int) -> None:
    small = photographs[0].resize((side, side), Image.Resampling.BOX)
    fit = lay_over(one_view(photographs[0]), one_view(small))
    assert one_view(small).detail.shape == (SIDE, SIDE)
    assert fit.detail > 0.9
    assert abs(fit.angle) < 0.1
    assert abs(fit.scale - 1) < 0.005


def test_detail_does_not_change_with_brightness_and_contrast(photographs: list[Image.Image]) -> None:
    pixels = np.asarray(photographs[1])
    flatter = np.where(pixels > 25, np.clip(pixels * 0.8 + 12, 0, 255), pixels).astype(np.uint8)
    one, other = views(np.stack([pixels, flatter]))
    both = (one.field > 0) & (other.field > 0)
    assert both.mean() > 0.5
    assert np.corrcoef(one.detail[both], other.detail[both])[0, 1] > 0.98


def test_a_mirrored_view_is_the_view_of_the_mirrored_photograph(photographs: list[Image.Image]) -> None:
    view = one_view(photographs[2])
    for left_right, up_down, change in ((True, False, ImageOps.mirror), (False, True, ImageOps.flip)):
        mirrored, expected = view.mirrored(left_right, up_down), one_view(change(photographs[2]))
        np.testing.assert_array_equal(mirrored.field, expected.field)
        np.testing.assert_allclose(mirrored.detail, expected.detail, atol=1e-3)


@pytest.mark.parametrize(("angle", "start"), [(0.0, 0.0), (1.5, 0.0), (3.0, 4.0), (-5.0, -4.0)])
def test_the_rotation_counter_clockwise_of_the_moving_photograph_is_measured(
    photographs: list[Image.Image], angle: float, start: float
) -> None:
    turned = photographs[0].rotate(angle, Image.Resampling.BICUBIC)
    fit = lay_over(one_view(turned), one_view(photographs[0]), start)
    assert fit.angle == pytest.approx(angle, abs=0.1)
    assert fit.scale == pytest.approx(1, abs=0.003)
    assert fit.shift < 0.01
    assert fit.detail > 0.97


def test_scale_and_shift_are_measured(photographs: list[Image.Image]) -> None:
    # Each place (x, y) of the result shows 1.02 (x - 127.5) + 127.5 + 4 of the original: 4 px of a radius of 128.
    corner = 127.5 + 4 - 1.02 * 127.5
    change = (1.02, 0, corner, 0, 1.02, corner - 4)
    moved = photographs[3].transform((256, 256), Image.Transform.AFFINE, change, Image.Resampling.BICUBIC)
    fit = lay_over(one_view(moved), one_view(photographs[3]))
    assert fit.scale == pytest.approx(1.02, abs=0.002)
    assert fit.shift == pytest.approx(4 / 128, abs=0.003)
    assert fit.detail > 0.95


def test_other_eyes_do_not_agree_fellow_eyes_mirrored_neither(photographs: list[Image.Image]) -> None:
    right, left, other, _ = (one_view(image) for image in photographs)
    for one, two in ((right, left), (right, left.mirrored(True, False)), (right, other)):
        assert lay_over(one, two).detail < 0.5


@pytest.mark.parametrize("level", [0, 9, 128, 255])
def test_a_plane_colour_shows_nothing(level: int) -> None:
    plane: npt.NDArray[np.uint8] = np.full((1, 96, 96, 3), level, np.uint8)
    assert views(plane)[0].blank


def test_noise_of_a_sensor_on_a_disc_shows_nothing_that_agrees() -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    rng = np.random.default_rng(3)
    noisy = (np.hypot(x, y) < 62)[None, :, :, None] * rng.normal(90, 2, (2, 128, 128, 1)) * np.ones(3)
    one, other = views(noisy.clip(0, 255).astype(np.uint8))
    assert abs(lay_over(one, other).detail) < 0.3
