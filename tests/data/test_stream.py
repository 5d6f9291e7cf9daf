"""From steps to batches: the right pixels, targets and views, in order, whatever the sharding."""

import numpy as np
import pytest
import torch

from semiretina.batch import Views
from semiretina.config import Augment
from semiretina.data.pixels import Pixels
from semiretina.data.steps import Step
from semiretina.data.stream import Stream
from semiretina.data.views import VIEWS, augment
from semiretina.errors import BadConfig

KEY = (0, "train", 0, 4)
NONE = np.empty(0, np.int64)
WEAK = Views(("weak",), ("weak",))
CPU = torch.device("cpu")


@pytest.fixture
def stored():
    return np.random.default_rng(2).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def stream(stored):
    # Ten rows of a split over seven rows of the cache; row 9 has no role.
    pixels = Pixels(stored, np.array([6, 5, 4, 3, 2, 1, 0, 0, 1, -1]), CPU)
    return Stream(pixels, {"dr": torch.arange(10.0)[:, None], "severity": torch.arange(10)}, Augment())


STEPS = [
    [step]
    for step in (Step(np.array([4, 1, 7]), NONE), Step(NONE, np.array([2, 3])), Step(np.array([0]), np.array([8, 5])))
]


def test_pixels_follow_the_split_into_the_cache(stored):
    pixels = Pixels(stored, np.array([6, 5, -1]), CPU)
    assert torch.equal(pixels.take(np.array([1, 0])), torch.from_numpy(stored[[5, 6]]))
    with pytest.raises(AssertionError, match="without pixels"):
        pixels.take(np.array([2]))


def test_batches_hold_what_the_steps_name(stream, stored):
    batches = list(stream.batches(STEPS, Views(*[("plain", "weak")] * 2), KEY))
    assert [(b.labeled is not None, b.unlabeled is not None) for b in batches] == [
        (True, False),
        (False, True),
        (True, True),
    ]
    first = batches[0].labeled
    assert first.rows.tolist() == [4, 1, 7]
    plain = torch.from_numpy(stored[[2, 5, 0]]).permute(0, 3, 1, 2) / 255.0
    torch.testing.assert_close(first.views["plain"], plain)
    assert first.targets["dr"].tolist() == [[4.0], [1.0], [7.0]]
    assert first.targets["severity"].tolist() == [4, 1, 7]
    assert batches[1].unlabeled.targets == {}, "an unlabelled side must not even carry its labels"
    drawn = augment(torch.from_numpy(stored[[4, 3]]), np.array([2, 3]), (*KEY, 1, "weak"), Augment())
    assert torch.equal(batches[1].unlabeled.views["weak"], drawn)


def test_only_the_views_that_are_wanted_are_made(stream):
    assert set(next(stream.batches(STEPS, Views(*[("plain",)] * 2), KEY)).labeled.views) == {"plain"}


def test_shards_together_are_the_whole(stream):
    whole = list(stream.batches(STEPS[:2], WEAK, KEY))
    shards = [list(stream.batches(STEPS[:2], WEAK, KEY, rank, 2)) for rank in (0, 1)]
    for number, name in ((0, "labeled"), (1, "unlabeled")):
        side, parts = getattr(whole[number], name), [getattr(shard[number], name) for shard in shards]
        for rank, part in enumerate(parts):
            assert part.rows.tolist() == side.rows[rank::2].tolist()
            assert torch.equal(part.views["weak"], side.views["weak"][rank::2])


def test_the_settings_of_augmentation_are_used(stream, stored):
    still = Stream(stream.pixels, {}, Augment(rotation=0.0, scale=(1.0, 1.0), flip=False))
    weak = next(still.batches(STEPS, WEAK, KEY)).labeled.views["weak"]
    torch.testing.assert_close(weak, torch.from_numpy(stored[[2, 5, 0]]).permute(0, 3, 1, 2) / 255.0, atol=1e-5, rtol=0)


def test_an_unreadable_cache_is_an_error_of_the_step_and_not_silence(stream, monkeypatch):
    def broken(self, rows):
        raise OSError("the disk is gone")

    monkeypatch.setattr(Pixels, "read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream.batches(STEPS, WEAK, KEY))


def test_no_steps_are_no_batches(stream):
    assert list(stream.batches([], WEAK, KEY)) == []


def test_views_are_named_instances_with_draws_of_their_own_and_may_differ_by_side(stream, stored):
    views = Views(labeled=("plain", "weak"), unlabeled=("weak", "weak_2"))
    both = list(stream.batches(STEPS, views, KEY))[2]
    assert set(both.labeled.views) == {"plain", "weak"}
    one, two = both.unlabeled.views["weak"], both.unlabeled.views["weak_2"]
    images = torch.from_numpy(stored[[1, 1]])  # rows 8 and 5 of the split
    assert torch.equal(one, augment(images, np.array([8, 5]), (*KEY, 2, "weak"), Augment()))
    assert torch.equal(two, augment(images, np.array([8, 5]), (*KEY, 2, "weak_2"), Augment()))
    assert not torch.equal(one, two)


def test_a_new_kind_of_view_is_one_line_of_the_table(stream, monkeypatch):
    dark = {**VIEWS, "dark": lambda images, rows, key, settings: 0.5 * VIEWS["plain"](images, rows, key, settings)}
    monkeypatch.setattr("semiretina.data.views.VIEWS", dark)
    side = next(stream.batches(STEPS, Views(labeled=("dark", "plain")), KEY)).labeled
    assert torch.equal(side.views["dark"], 0.5 * side.views["plain"])


def test_an_unknown_view_lists_the_known_ones(stream):
    with pytest.raises(BadConfig, match="unknown name 'week'; did you mean 'weak'"):
        next(stream.batches(STEPS, Views(labeled=("week",)), KEY))
