"""From steps to batches: the right pixels, targets and views, in order, whatever the sharding."""

import numpy as np
import pytest
import torch

from semiretina.config import Augment
from semiretina.data.pixels import Pixels
from semiretina.data.stream import Step, Stream
from semiretina.data.views import augment

KEY = (0, "train", 0, 4)
NONE = np.empty(0, np.int64)
CPU = torch.device("cpu")


@pytest.fixture
def stored():
    return np.random.default_rng(2).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def stream(stored):
    # Ten rows of a split over seven rows of the cache; row 9 has no role.
    pixels = Pixels(stored, np.array([6, 5, 4, 3, 2, 1, 0, 0, 1, -1]), CPU)
    return Stream(pixels, {"dr": torch.arange(10.0)[:, None], "severity": torch.arange(10)}, Augment())


STEPS = [Step(np.array([4, 1, 7]), NONE), Step(NONE, np.array([2, 3])), Step(np.array([0]), np.array([8, 5]))]


def test_pixels_follow_the_split_into_the_cache(stored):
    pixels = Pixels(stored, np.array([6, 5, -1]), CPU)
    assert torch.equal(pixels.take(np.array([1, 0])), torch.from_numpy(stored[[5, 6]]))
    with pytest.raises(AssertionError, match="without pixels"):
        pixels.take(np.array([2]))


def test_batches_hold_what_the_steps_name(stream, stored):
    batches = list(stream.batches(STEPS, ("plain", "weak"), KEY))
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
    drawn = augment(torch.from_numpy(stored[[4, 3]]), np.array([2, 3]), (*KEY, 1, "weak"))
    assert torch.equal(batches[1].unlabeled.views["weak"], drawn)


def test_only_the_views_that_are_wanted_are_made(stream):
    assert set(next(stream.batches(STEPS, ("plain",), KEY)).labeled.views) == {"plain"}


def test_shards_together_are_the_whole(stream):
    whole = list(stream.batches(STEPS[:2], ("weak",), KEY))
    shards = [list(stream.batches(STEPS[:2], ("weak",), KEY, rank, 2)) for rank in (0, 1)]
    for number, name in ((0, "labeled"), (1, "unlabeled")):
        side, parts = getattr(whole[number], name), [getattr(shard[number], name) for shard in shards]
        for rank, part in enumerate(parts):
            assert part.rows.tolist() == side.rows[rank::2].tolist()
            assert torch.equal(part.views["weak"], side.views["weak"][rank::2])


def test_the_settings_of_augmentation_are_used(stream, stored):
    still = Stream(stream.pixels, {}, Augment(rotation=0.0, scale=(1.0, 1.0), flip=False))
    weak = next(still.batches(STEPS, ("weak",), KEY)).labeled.views["weak"]
    torch.testing.assert_close(weak, torch.from_numpy(stored[[2, 5, 0]]).permute(0, 3, 1, 2) / 255.0, atol=1e-5, rtol=0)


def test_an_unreadable_cache_is_an_error_of_the_step_and_not_silence(stream, monkeypatch):
    def broken(self, rows):
        raise OSError("the disk is gone")

    monkeypatch.setattr(Pixels, "read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream.batches(STEPS, ("weak",), KEY))


def test_no_steps_are_no_batches(stream):
    assert list(stream.batches([], ("weak",), KEY)) == []
