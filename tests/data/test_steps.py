"""The paper's sampler, the last batch, accumulation, and lengths in epochs or labelled updates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semiretina.config import Stage
from semiretina.data.steps import STREAMS, Sides, StageSteps, sees_labels, steps_of
from semiretina.errors import BadConfig

sizes = st.integers(0, 40)


def stage(batch=4, accumulate=1, **length):
    optimizer = {"lr": 0.1, "accumulate": accumulate}
    return Stage.model_validate({"method": {"name": "x"}, "batch": batch, "optimizer": optimizer, **length})


def rows(first, count):
    return np.arange(first, first + count)


def epoch_steps(kind, labeled, unlabeled, batch, key):
    return STREAMS[kind](Sides(labeled, unlabeled, batch), key[:-1], key[-1])


def listed(steps):
    return [(step.labeled.tolist(), step.unlabeled.tolist()) for step in steps]


@given(num_labeled=sizes, num_unlabeled=sizes, batch=st.integers(1, 9), seed=st.integers(0, 5))
def test_alternate_shows_every_photograph_once_in_batches_of_one_kind(num_labeled, num_unlabeled, batch, seed):
    steps = epoch_steps("alternate", rows(0, num_labeled), rows(100, num_unlabeled), batch, (seed, "train", 0, 0))
    assert all(bool(len(step.labeled)) != bool(len(step.unlabeled)) for step in steps)
    seen = [row for step in steps for row in (*step.labeled, *step.unlabeled)]
    assert sorted(seen) == [*range(num_labeled), *range(100, 100 + num_unlabeled)]
    for side, count in (("labeled", num_labeled), ("unlabeled", num_unlabeled)):
        lengths = [len(getattr(step, side)) for step in steps if len(getattr(step, side))]
        # Proportion: one batch for each full `batch`, and a rest of at least two gets its own.
        expected = count // batch + (count % batch >= 2) if count > batch else min(count, 1)
        if batch > 1:
            assert len(lengths) == expected
            assert all(2 <= length <= batch + 1 for length in lengths) or count == 1


@given(key=st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 9)))
def test_the_order_is_a_pure_function_of_seed_stage_and_epoch(key):
    seed, number, epoch = key
    place = (seed, "train", number, epoch)
    first = listed(epoch_steps("alternate", rows(0, 16), rows(16, 24), 4, place))
    np.random.default_rng().random(100)
    assert listed(epoch_steps("alternate", rows(0, 16), rows(16, 24), 4, place)) == first
    for other in (
        (seed + 1, "train", number, epoch),
        (seed, "refit", number, epoch),
        (seed, "train", number + 1, epoch),
        (seed, "train", number, epoch + 1),
    ):
        assert listed(epoch_steps("alternate", rows(0, 16), rows(16, 24), 4, other)) != first


def test_labeled_and_unlabeled_batches_are_mixed_in_any_order():
    patterns = {
        tuple(len(step.labeled) > 0 for step in epoch_steps("alternate", rows(0, 8), rows(8, 8), 4, (seed,)))
        for seed in range(60)
    }
    assert len(patterns) == 6  # all orders of two and two


@pytest.mark.parametrize(("count", "lengths"), [(9, [4, 5]), (10, [4, 4, 2]), (8, [4, 4]), (1, [1]), (5, [5])])
def test_a_last_batch_of_one_joins_the_one_before(count, lengths):
    steps = epoch_steps("labeled", rows(0, count), rows(0, 0), 4, (0,))
    assert [len(step.labeled) for step in steps] == lengths


def test_single_sided_streams_have_one_side():
    assert all(not len(step.unlabeled) for step in epoch_steps("labeled", rows(0, 9), rows(9, 9), 4, (0,)))
    assert all(not len(step.labeled) for step in epoch_steps("unlabeled", rows(0, 9), rows(9, 9), 4, (0,)))


def test_a_length_in_updates_counts_those_that_see_labels():
    plan = StageSteps(stage(updates=7), "alternate", rows(0, 12), rows(12, 40), (0,))
    assert sum(sees_labels(update) for epoch in plan for update in epoch) == 7
    # Three labelled batches an epoch: two whole epochs, and a third that ends with the labelled batch that fills up.
    assert [sum(map(sees_labels, epoch)) for epoch in plan] == [3, 3, 1]
    assert [len(epoch) for epoch in list(plan)[:2]] == [13, 13]
    assert sees_labels(plan[2][-1])
    # A method without labels counts all its updates.
    plan = StageSteps(stage(updates=7), "unlabeled", rows(0, 0), rows(0, 12), (0,))
    assert [len(epoch) for epoch in plan] == [3, 3, 1]


def test_a_length_in_epochs():
    plan = StageSteps(stage(epochs=3), "labeled", rows(0, 12), rows(12, 8), (0,))
    assert [len(epoch) for epoch in plan] == [3, 3, 3]
    assert len({str(listed(steps_of(epoch))) for epoch in plan}) == 3


def test_accumulation_joins_steps_and_keeps_their_order():
    joined = StageSteps(stage(epochs=1, accumulate=2), "alternate", rows(0, 12), rows(12, 8), (0,))[0]
    single = StageSteps(stage(epochs=1), "alternate", rows(0, 12), rows(12, 8), (0,))[0]
    assert [len(update) for update in joined] == [2, 2, 1]
    assert listed(steps_of(joined)) == listed(steps_of(single))


def test_processes_need_two_photographs_each():
    with pytest.raises(BadConfig, match="3 processes need at least 6"):
        StageSteps(stage(batch=4, epochs=1), "labeled", rows(0, 12), rows(0, 0), (0,), ranks=3)
    plan = StageSteps(stage(batch=8, epochs=1), "labeled", rows(0, 19), rows(0, 0), (0,), ranks=2)
    assert [len(step.labeled) for step in steps_of(plan[0])] == [8, 11]


# The paired stream


def paired_epochs(num_labeled, num_unlabeled, batch, unlabeled_batch, epochs, seed=0):
    sides = Sides(rows(0, num_labeled), rows(100, num_unlabeled), batch, unlabeled_batch)
    return [STREAMS["paired"](sides, (seed, "train", 0), epoch) for epoch in range(epochs)]


@given(
    num_labeled=st.integers(1, 20),
    num_unlabeled=st.integers(1, 30),
    batch=st.integers(2, 6),
    unlabeled_batch=st.integers(1, 30),
    seed=st.integers(0, 5),
)
def test_paired_sees_every_unlabeled_row_before_any_again_and_repeats_none_in_a_step(
    num_labeled, num_unlabeled, batch, unlabeled_batch, seed
):
    size = min(unlabeled_batch, num_unlabeled)
    epochs = paired_epochs(num_labeled, num_unlabeled, batch, size, 4, seed)
    steps = [step for epoch in epochs for step in epoch]
    assert all(len(step.unlabeled) == size == len(set(step.unlabeled.tolist())) for step in steps)
    drawn = [row for step in steps for row in step.unlabeled.tolist()]
    for start in range(0, len(drawn), num_unlabeled):
        one_pass = drawn[start : start + num_unlabeled]
        assert len(set(one_pass)) == len(one_pass)
    # The epoch is that of the labelled side.
    alone = [
        STREAMS["labeled"](Sides(rows(0, num_labeled), rows(0, 0), batch), (seed, "train", 0), e) for e in range(4)
    ]
    assert [[s.labeled.tolist() for s in e] for e in epochs] == [[s.labeled.tolist() for s in e] for e in alone]


@pytest.mark.parametrize(("num_unlabeled", "size"), [(7, 5), (40, 6)])
def test_paired_steps_follow_from_the_number_of_steps_before_them(num_unlabeled, size):
    """Epochs of 1 step and epochs of 3 draw the same unlabelled rows in the same order; no two passes are alike."""
    long, short = paired_epochs(9, num_unlabeled, 3, size, 6), paired_epochs(3, num_unlabeled, 3, size, 18)
    drawn = [[step.unlabeled.tolist() for epoch in epochs for step in epoch] for epochs in (long, short)]
    assert drawn[0] == drawn[1]
    flat = [row for batch in drawn[0] for row in batch]
    assert flat[:num_unlabeled] != flat[num_unlabeled : 2 * num_unlabeled]


def test_a_pass_shows_rows_in_an_order_of_its_own_for_each_seed():
    heads = {tuple(paired_epochs(4, 30, 4, 10, 1, seed)[0][0].unlabeled.tolist()) for seed in range(20)}
    assert len(heads) == 20


def test_paired_stages_have_as_many_unlabeled_as_they_say():
    for settings, size in (({"unlabeled_batch": 9}, 9), ({}, 4)):
        steps = steps_of(StageSteps(stage(epochs=1, **settings), "paired", rows(0, 12), rows(12, 20), (0,))[0])
        assert [len(step.unlabeled) for step in steps] == [size] * 3
    with pytest.raises(BadConfig, match="unlabeled_batch = 3: 2 processes need at least 4"):
        StageSteps(stage(epochs=1, unlabeled_batch=3), "paired", rows(0, 12), rows(12, 20), (0,), ranks=2)
