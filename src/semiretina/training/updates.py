"""How long a stage is, and which steps make one update of the optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass

from semiretina.batch import Progress, StreamKind
from semiretina.config import Stage
from semiretina.data.pixels import Rows
from semiretina.data.stream import Step, plan_epoch
from semiretina.errors import BadConfig

Update = Sequence[Step]  # the steps whose gradients are added up before the optimiser moves


@dataclass(frozen=True, slots=True)
class Counts:
    """How long an epoch is."""

    steps: int
    updates: int
    labeled_updates: int  # those that see labels


class StagePlan:
    """The updates of every epoch of a stage: `plan[epoch]` is drawn when it is asked for, only counts are kept.

    A length in `updates` counts those that see labels (all of them, for a stream without labels); its last epoch is
    cut short. Raises BadConfig when the batch is too small for the processes that share it.
    """

    def __init__(
        self,
        stage: Stage,
        stream: StreamKind,
        labeled: Rows,
        unlabeled: Rows,
        key: tuple[int | str, ...],
        ranks: int = 1,
    ) -> None:
        # Batch normalisation needs two photographs in every process.
        self._smallest = 2 * ranks
        if ranks > 1 and stage.batch < self._smallest:
            raise BadConfig(f"batch = {stage.batch}: {ranks} processes need at least {self._smallest} photographs")
        for name, rows in (("labelled", labeled), ("unlabelled", unlabeled)):
            if ranks > 1 and 0 < len(rows) < self._smallest:
                raise BadConfig(f"{len(rows)} {name} photographs are too few for {ranks} processes; run in one")
        self._stage, self._stream, self._rows, self._key = stage, stream, (labeled, unlabeled), key
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

    def steps(self, epoch: int) -> int:
        """The steps from this epoch's first to the stage's last."""
        return sum(counts.steps for counts in self.counts[epoch:])

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
        steps = plan_epoch(self._stream, *self._rows, self._stage.batch, (*self._key, epoch), self._smallest)
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
