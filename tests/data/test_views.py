"""One random affine map for each photograph, drawn from its place and its row alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semiretina.config import Augment
from semiretina.data import views as module
from semiretina.data.views import affine_maps, augment, to_float

KEY = (0, "train", 1, 2, 3, "weak")


def pictures(count=5, size=16):
    return torch.from_numpy(np.random.default_rng(5).integers(0, 256, (count, size, size, 3)).astype(np.uint8))


def drawn(rows, **settings):
    """The maps that `augment` draws."""
    kept = {}

    def keep(angles, scales, mirrored):
        kept.update(angles=angles, scales=scales, mirrored=mirrored)
        return affine_maps(angles, scales, mirrored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "affine_maps", keep)
        augment(torch.zeros(len(rows), 2, 2, 3, dtype=torch.uint8), np.asarray(rows), KEY, Augment(**settings))
    return kept


def test_to_float():
    images = pictures()
    floats = to_float(images)
    assert floats.shape == (5, 3, 16, 16)
    assert floats[1, 2, 3, 4] == images[1, 3, 4, 2] / torch.tensor(255.0)


def test_nothing_is_changed_without_rotation_scale_and_flip():
    images = pictures()
    same = augment(images, np.arange(5), KEY, Augment(rotation=0.0, scale=(1.0, 1.0), flip=False))
    torch.testing.assert_close(same, to_float(images), atol=1e-5, rtol=0)


def test_a_photograph_is_drawn_alike_alone_and_in_any_batch():
    images, rows = pictures(), np.array([40, 3, 17, 8, 99])
    whole = augment(images, rows, KEY, Augment())
    for shard in ([2], [4, 0], [3, 2, 1]):
        assert torch.equal(augment(images[shard], rows[shard], KEY, Augment()), whole[shard])
    twice = augment(images[[0, 0]], rows[:2], KEY, Augment())
    assert not torch.equal(twice[0], twice[1])


@pytest.mark.parametrize("place", range(6))
def test_every_word_of_the_place_changes_the_draw(place):
    other = list(KEY)
    other[place] = "strong" if isinstance(KEY[place], str) else KEY[place] + 1
    images = pictures(1)
    assert not torch.equal(
        augment(images, np.array([3]), KEY, Augment()), augment(images, np.array([3]), tuple(other), Augment())
    )


def apply(matrix, images):
    grid = torch.nn.functional.affine_grid(torch.from_numpy(matrix), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, mode="nearest", align_corners=False)


def test_a_quarter_turn_of_a_small_array():
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    ones = np.ones(1)
    # Output (x, y) reads input (-y, x), with y down: what stood in the right column comes to the top row.
    turned = apply(affine_maps(np.array([np.pi / 2]), ones, ones), image)
    assert turned[0, 0].tolist() == [[2.0, 4.0], [1.0, 3.0]]
    mirrored = apply(affine_maps(np.zeros(1), ones, -ones), image)
    assert mirrored[0, 0].tolist() == [[2.0, 1.0], [4.0, 3.0]]


def test_scale_is_the_visible_share_of_the_side():
    image = torch.arange(16.0, dtype=torch.float64).reshape(1, 1, 4, 4)
    half = apply(affine_maps(np.zeros(1), np.array([0.5]), np.ones(1)), image)
    # The middle two by two, each pixel doubled.
    assert half[0, 0].tolist() == [[5, 5, 6, 6], [5, 5, 6, 6], [9, 9, 10, 10], [9, 9, 10, 10]]


def test_values_stay_in_the_unit_range():
    white = torch.full((64, 16, 16, 3), 255, dtype=torch.uint8)
    seen = augment(white, np.arange(64), KEY, Augment(rotation=180.0, scale=(0.5, 1.5)))
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-6
    assert seen.min() < 0.5, "a turn brings black in from outside"


@given(
    rotation=st.floats(0, 180),
    low=st.floats(0.5, 1.0),
    width=st.floats(0, 0.5),
    rows=st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
)
def test_draws_lie_in_their_ranges(rotation, low, width, rows):
    draws = drawn(rows, rotation=rotation, scale=(low, low + width))
    assert (np.abs(np.degrees(draws["angles"])) <= rotation + 1e-9).all()
    assert ((draws["scales"] >= low) & (draws["scales"] <= low + width + 1e-12)).all()
    assert set(draws["mirrored"]) <= {-1.0, 1.0}


def test_draws_are_spread_evenly():
    draws = drawn(range(4000), rotation=15.0, scale=(0.9, 1.0))
    for values, low, high in ((np.degrees(draws["angles"]), -15, 15), (draws["scales"], 0.9, 1.0)):
        counts = np.histogram(values, 10, (low, high))[0]
        assert counts.sum() == 4000
        assert (np.abs(counts - 400) < 100).all()  # five standard deviations
    assert abs((draws["mirrored"] < 0).mean() - 0.5) < 0.04
    assert np.corrcoef(draws["angles"], draws["scales"])[0, 1] == pytest.approx(0, abs=0.08)
    assert (drawn(range(100), flip=False)["mirrored"] == 1).all()
