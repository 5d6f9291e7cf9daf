"""Lesions drawn pixel by pixel, whose contrasts one can work out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from semiretina.scoring.lesion_survival import SIZES, Lesion, lesion_survival, size_class, survival_table

SIDE = 40


def retina(side=SIDE):
    """An even ground: 0.5 in red, 0.4 in green, 0.1 in blue."""
    return np.full((side, side, 3), (0.5, 0.4, 0.1))


def spot(y, x, height=2, width=2, side=SIDE):
    mask = np.zeros((side, side), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def painted(mask, green):
    picture = retina()
    picture[mask, 1] = green
    return picture


def test_contrasts_by_hand():
    # Inside 0.3, around 0.4: -0.1. After: 0.34 inside, 0.38 around.
    mask = spot(10, 12, 2, 3)
    after = np.where(mask[..., None], 0.34, 0.38) * np.ones(3)
    (lesion,) = lesion_survival(painted(mask, 0.3), after, {"MA": mask})
    assert (lesion.type, lesion.pixels, lesion.survives) == ("MA", 6, False)
    assert lesion.contrast == pytest.approx(-0.1)
    assert lesion.contrast_after == pytest.approx(-0.04)


def test_the_ring_is_two_to_four_pixels_off():
    # A 1 x 1 lesion: 9 x 9 less 3 x 3 are 72 pixels. A step of 0.072 in one of them moves the mean by 0.001.
    mask = spot(20, 20, 1, 1)
    for y, x in ((20, 22), (16, 16), (24, 20), (18, 22)):
        picture = painted(mask, 0.2)
        picture[y, x, 1] += 0.072
        (lesion,) = lesion_survival(picture, picture, {"MA": mask})
        assert lesion.contrast == pytest.approx(-0.2 - 0.001), (y, x)
    for y, x in ((20, 21), (19, 19), (15, 20), (20, 25)):
        picture = painted(mask, 0.2)
        picture[y, x, 1] += 0.072
        (lesion,) = lesion_survival(picture, picture, {"MA": mask})
        assert lesion.contrast == pytest.approx(-0.2), (y, x)


@pytest.mark.parametrize(
    ("kept", "survives"),
    [(1.0, True), (0.51, True), (0.49, False), (0.0, False), (-1.0, False), (-3.0, False), (4.0, True)],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_half_of_the_contrast_with_the_same_sign_survives(kept, survives, sign):
    mask = spot(10, 10, 3, 3)
    before, after = painted(mask, 0.4 + 0.1 * sign), painted(mask, 0.4 + 0.1 * sign * kept)
    (lesion,) = lesion_survival(before, after, {"EX": mask})
    assert lesion.survives is survives


def test_red_and_blue_do_not_count():
    mask = spot(10, 10, 3, 3)
    before = painted(mask, 0.3)
    after = before.copy()
    after[..., 0], after[..., 2] = 0, 1
    assert lesion_survival(before, after, {"HE": mask})[0].survives is True


def test_lesions_that_touch_at_a_corner_are_one():
    diagonal = spot(10, 10, 1, 1) | spot(11, 11, 1, 1)
    apart = spot(20, 20, 1, 1) | spot(20, 22, 1, 1)
    found = lesion_survival(painted(diagonal | apart, 0.2), retina(), {"MA": diagonal | apart})
    assert [lesion.pixels for lesion in found] == [2, 1, 1]


def test_a_ring_holds_no_pixel_of_any_lesion():
    mask, bright = spot(10, 10), spot(8, 13, 6, 1)
    picture = painted(mask, 0.3)
    picture[bright, 1] = 1.0
    dark, _ = lesion_survival(picture, picture, {"HE": mask, "EX": bright})
    assert dark.contrast == pytest.approx(-0.1)
    # Without its mask the bright streak is ground, and pulls the ring up.
    (alone,) = lesion_survival(picture, picture, {"HE": mask})
    assert alone.contrast < -0.12


def test_the_ring_ends_with_the_field_of_view_of_the_original():
    mask = spot(10, 10)
    before = painted(mask, 0.3)
    before[:, 14:] = 0
    after = before.copy()
    after[:, 14:] = 0.9  # what a decoder makes of the surround is nobody's lesion
    (lesion,) = lesion_survival(before, after, {"HE": mask})
    assert lesion.contrast == pytest.approx(-0.1)
    assert lesion.contrast_after == pytest.approx(-0.1)


def test_what_cannot_be_measured_is_told_apart():
    # No ring: the field of view ends at the lesion.
    mask = spot(10, 10)
    walled = np.where(mask[..., None], painted(mask, 0.3), 0.0)
    (hidden,) = lesion_survival(walled, walled, {"MA": mask})
    assert hidden.survives is None
    assert np.isnan(hidden.contrast)
    # A contrast of one step of 255.
    faint = painted(mask, 0.4 - 1 / 255)
    assert lesion_survival(faint, faint, {"MA": mask})[0].survives is None
    assert lesion_survival(painted(mask, 0.4 - 3 / 255), faint, {"MA": mask})[0].survives is False
    # 0.05 among pixels that spread by 0.1: two standard errors of the difference of 4 and 92 pixels are 0.102.
    stripes = retina()
    stripes[::2, :, 1] = 0.5
    stripes[1::2, :, 1] = 0.3
    stripes[mask, 1] = 0.35
    assert lesion_survival(stripes, stripes, {"MA": mask})[0].survives is None
    stripes[mask, 1] = 0.29
    assert lesion_survival(stripes, stripes, {"MA": mask})[0].survives is True


def test_a_lesion_at_the_edge_of_the_picture():
    mask = spot(0, 0, 3, 3) | spot(37, 37, 3, 3)
    found = lesion_survival(painted(mask, 0.2), painted(mask, 0.2), {"SE": mask})
    assert [(lesion.pixels, lesion.survives) for lesion in found] == [(9, True), (9, True)]
    assert found[0].contrast == pytest.approx(-0.2)


def test_no_mask_no_lesion():
    assert lesion_survival(retina(), retina(), {}) == []
    assert lesion_survival(retina(), retina(), {"MA": np.zeros((SIDE, SIDE), bool)}) == []


@given(
    st.lists(st.tuples(st.integers(0, 36), st.integers(0, 36), st.integers(1, 4), st.integers(1, 4)), max_size=8),
    st.integers(0, 1000),
)
def test_of_the_original_all_survive_and_of_a_flat_picture_none(boxes, seed):
    mask = np.zeros((SIDE, SIDE), bool)
    for y, x, height, width in boxes:
        mask |= spot(y, x, height, width)
    noise = np.random.default_rng(seed).normal(0, 0.02, (SIDE, SIDE, 1))
    picture = (painted(mask, 0.25) + noise).astype(np.float32)
    found = lesion_survival(picture, picture, {"MA": mask})
    assert len(found) == ndimage.label(mask, np.ones((3, 3)))[1]
    assert sum(lesion.pixels for lesion in found) == mask.sum()
    assert all(lesion.survives in (True, None) for lesion in found)
    assert not any(lesion.survives for lesion in lesion_survival(picture, retina(), {"MA": mask}))


def test_a_blur_takes_the_small_ones_first():
    small, large = spot(8, 8, 2, 2), spot(20, 20, 12, 12)
    picture = painted(small | large, 0.2)
    smooth = ndimage.gaussian_filter(picture, (2, 2, 0))
    found = lesion_survival(picture, smooth, {"HE": small | large})
    assert [(lesion.pixels, lesion.survives) for lesion in found] == [(4, False), (144, True)]


# The table


def lesions(*cells):
    return [Lesion(name, pixels, -0.1, -0.1, survives) for name, pixels, survives in cells]


def test_the_table_by_hand():
    first = lesions(("MA", 4, True), ("MA", 9, False), ("EX", 200, True), ("MA", 5, None))
    second = lesions(("MA", 10, True), ("EX", 100, False))
    rows = {(row.type, row.sizes): row for row in survival_table([first, second])}
    assert list(rows) == [("MA", "1-9"), ("MA", "10-29"), ("MA", "all"), ("EX", "100+"), ("EX", "all")]
    counts = {key: (row.lesions, row.measurable, row.surviving.value) for key, row in rows.items()}
    assert counts[("MA", "1-9")] == (3, 2, 0.5)
    assert counts[("MA", "10-29")] == (1, 1, 1.0)
    assert counts[("MA", "all")] == (4, 3, pytest.approx(2 / 3))
    assert counts[("EX", "all")] == (2, 2, 0.5)
    # One lesion a photograph: Wilson's interval of 1 in 2.
    assert (rows["EX", "all"].surviving.low, rows["EX", "all"].surviving.high) == pytest.approx(
        (0.0945, 0.9055), abs=1e-4
    )


def test_lesions_of_one_photograph_are_no_independent_witnesses():
    alike = [lesions(*[("EX", 5, number % 2 == 0)] * 25) for number in range(8)]
    mixed = [lesions(*[("EX", 5, lesion % 2 == 0) for lesion in range(24)]) for _ in range(8)]
    (of_alike, _), (of_mixed, _) = survival_table(alike), survival_table(mixed)
    assert of_alike.surviving.value == of_mixed.surviving.value == 0.5
    assert of_alike.surviving.high - of_alike.surviving.low > 0.5
    assert of_mixed.surviving.high - of_mixed.surviving.low < 0.2


def test_nothing_measurable_has_no_share():
    (own, whole) = survival_table([lesions(("MA", 3, None))])
    assert (own.lesions, own.measurable) == (1, 0)
    assert np.isnan(own.surviving.value)
    assert whole.sizes == "all"
    assert survival_table([[], []]) == []


def test_size_classes_meet_without_gap():
    assert [size_class(pixels) for pixels in (1, 9, 10, 29, 30, 99, 100, 5000)] == [
        name for name in SIZES for _ in range(2)
    ]
