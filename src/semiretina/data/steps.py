"""Which photographs each step of a stage holds, and which steps make one update of the optimiser.

All of it is a pure function of (seed, phase, stage, epoch), so an epoch can be drawn as figure 3, cut short and
repeated.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semiretina.batch import Progress, StreamKind
from semiretina.config import Stage
from semiretina.data.pixels import Rows
from semiretina.draws import generator
from semiretina.errors import BadConfig

Key = tuple[int | str, ...]
NONE: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Step:
    """The split rows of one step: labelled ones, unlabelled ones, or both; an absent side is empty."""

    labeled: Rows
    unlabeled: Rows


Update = Sequence[Step]  # the steps whose gradients are added up before the optimiser moves


@dataclass(frozen=True, slots=True)
class Sides:
    """The rows that a stage uses with their labels and without, and how many of each make a step."""

    labeled: Rows
    unlabeled: Rows
    batch: int
    unlabeled_batch: int = 0  # of the paired stream
    smallest: int = 2  # a last batch with fewer joins the one before: batch normalisation needs two photographs


def labeled_steps(sides: Sides, key: Key, epoch: int) -> list[Step]:
    """The labelled rows, shuffled into batches."""
    return [Step(rows, NONE) for rows in _batches(sides.labeled, sides, (*key, epoch, "labeled"))]


def unlabeled_steps(sides: Sides, key: Key, epoch: int) -> list[Step]:
    """The unlabelled rows, shuffled into batches."""
    return [Step(NONE, rows) for rows in _batches(sides.unlabeled, sides, (*key, epoch, "unlabeled"))]


def alternate_steps(sides: Sides, key: Key, epoch: int) -> list[Step]:
    """The paper's sampler (section 4.3, figure 3): minibatches wholly labelled or wholly unlabelled.

    Without replacement, in proportion to the two sizes: the shuffled list [labelled]*n_l + [unlabelled]*n_u.
    """
    queues = {True: labeled_steps(sides, key, epoch), False: unlabeled_steps(sides, key, epoch)}
    kinds = [kind for kind, steps in queues.items() for _ in steps]
    following = {kind: iter(steps) for kind, steps in queues.items()}
    return [next(following[kinds[i]]) for i in generator(*key, epoch, "sides").permutation(len(kinds))]


def paired_steps(sides: Sides, key: Key, epoch: int) -> list[Step]:
    """Every step holds both sides; the epoch is the labelled side's.

    Unlabelled rows are drawn without replacement until all were seen, then anew, without regard to epochs: where a step
    stands in these passes follows from the number of steps before it. No step holds an unlabelled row twice, also where
    it takes the end of one pass and the beginning of the next.
    """
    labeled = _batches(sides.labeled, sides, (*key, epoch, "labeled"))
    number, size = len(sides.unlabeled), sides.unlabeled_batch
    start, stop = epoch * len(labeled) * size, (epoch + 1) * len(labeled) * size
    drawn = np.concatenate(list(_passes(sides.unlabeled, size, key, start // number, (stop - 1) // number)))
    drawn = drawn[start % number :]
    return [Step(rows, drawn[i * size : (i + 1) * size]) for i, rows in enumerate(labeled)]


# kind -> the steps of an epoch of the stage with this key (seed, phase, stage)
STREAMS: Mapping[StreamKind, Callable[[Sides, Key, int], list[Step]]] = {
    "labeled": labeled_steps,
    "unlabeled": unlabeled_steps,
    "alternate": alternate_steps,
    "paired": paired_steps,
}


def _batches(rows: Rows, sides: Sides, key: Key) -> list[Rows]:
    shuffled = rows[generator(*key).permutation(len(rows))]
    batches = [shuffled[start : start + sides.batch] for start in range(0, len(rows), sides.batch)]
    if len(batches) > 1 and len(batches[-1]) < sides.smallest:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches


def _passes(rows: Rows, size: int, key: Key, first: int, last: int) -> Iterator[Rows]:
    """The orders of the passes from `first` to `last` through the rows, for batches of `size` <= len(rows).

    A pass is a random order of all rows, but for its head: a batch that took its beginning from the end of the pass
    before takes no row of that end again. Of 2 `size` rows or more, the tail of a pass does not depend on its head, so
    that a pass needs to know the shuffle before it alone; of fewer, all of them from the first.
    """
    start = first if len(rows) >= 2 * size else 0
    before = rows[generator(*key, "paired", start - 1).permutation(len(rows))] if start else NONE
    for number in range(start, last + 1):
        order = rows[generator(*key, "paired", number).permutation(len(rows))]
        taken = number * len(rows) % size  # rows of the batch that the pass before ends with
        if taken:
            head = np.flatnonzero(~np.isin(order, before[-taken:]))[: size - taken]
            order = np.concatenate([order[head], np.delete(order, head)])
        if number >= first:
            yield order
        before = order


@dataclass(frozen=True, slots=True)
class Counts:
    """How long an epoch is."""

    steps: int
    updates: int
    labeled_updates: int  # those that see labels


class StageSteps:
    """The updates of every epoch of a stage: `steps[epoch]` is drawn when it is asked for, only counts are kept.

    A length in `updates` counts those that see labels (all of them, for a stream without labels); its last epoch is
    cut short. Raises BadConfig when a batch is too small for the processes that divide it.
    """

    def __init__(
        self, stage: Stage, stream: StreamKind, labeled: Rows, unlabeled: Rows, key: Key, ranks: int = 1
    ) -> None:
        smallest = 2 * ranks  # batch normalisation needs two photographs in every process
        sizes = {"batch": stage.batch}
        if stream == "paired":
            sizes["unlabeled_batch"] = stage.unlabeled_batch or stage.batch
            assert sizes["unlabeled_batch"] <= len(unlabeled), "a step would repeat a photograph"
        for name, size in sizes.items():
            if ranks > 1 and size < smallest:
                raise BadConfig(f"{name} = {size}: {ranks} processes need at least {smallest} photographs")
        for name, rows in (("labelled", labeled), ("unlabelled", unlabeled)):
            if ranks > 1 and 0 < len(rows) < smallest:
                raise BadConfig(f"{len(rows)} {name} photographs are too few for {ranks} processes; run in one")
        self._stage, self._stream, self._key = stage, stream, key
        self._sides = Sides(labeled, unlabeled, stage.batch, sizes.get("unlabeled_batch", 0), smallest)
        self.counts: list[Counts] = []
        left = stage.updates or 0  # counted ones, where the length is given in updates
        while len(self.counts) < stage.epochs if stage.epochs else left > 0:
            updates = self._draw(len(self.counts))
            counted = [self._counts(update) for update in updates]
            assert any(counted), "an epoch without a single counted update would never end"
            if stage.updates and sum(counted) >= left:
                ends = [number for number, counts in enumerate(counted, start=1) if counts]
                updates = updates[: ends[left - 1]]
            left -= sum(counted)
            self.counts.append(Counts(len(steps_of(updates)), len(updates), sum(map(sees_labels, updates))))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, epoch: int) -> list[Update]:
        number = range(len(self))[epoch]
        return self._draw(number)[: self.counts[number].updates]

    def left(self, epoch: int, end: int) -> int:
        """The steps from the first of `epoch` to the last before the epoch `end`."""
        return sum(counts.steps for counts in self.counts[epoch:end])

    def start(self, stage: int, epoch: int) -> Progress:
        """Where training stands when this epoch begins; `stage` is the stage's number."""
        before = self.counts[:epoch]
        return Progress(
            stage,
            epoch,
            step=0,
            steps=self.counts[epoch].steps,
            update=sum(counts.updates for counts in before),
            updates=sum(counts.updates for counts in self.counts),
            labeled_updates=sum(counts.labeled_updates for counts in before),
        )

    def _draw(self, epoch: int) -> list[Update]:
        steps = STREAMS[self._stream](self._sides, self._key, epoch)
        together = self._stage.optimizer.accumulate
        return [steps[start : start + together] for start in range(0, len(steps), together)]

    def _counts(self, update: Update) -> bool:
        return self._stream == "unlabeled" or sees_labels(update)


def sees_labels(update: Update) -> bool:
    """Whether any of its steps has a labelled side."""
    return any(len(step.labeled) for step in update)


def steps_of(updates: Sequence[Update]) -> list[Step]:
    """The steps in order."""
    return [step for update in updates for step in update]
