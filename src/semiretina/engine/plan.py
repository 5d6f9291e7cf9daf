"""How long a stage is, and which steps make one update of the optimiser."""

from collections.abc import Sequence

from semiretina.batch import StreamKind
from semiretina.config import Stage
from semiretina.data.stream import Rows, Step, plan_epoch
from semiretina.errors import BadConfig

Update = Sequence[Step]  # the steps whose gradients are added up before the optimiser moves


def plan_stage(
    stage: Stage, stream: StreamKind, labeled: Rows, unlabeled: Rows, key: tuple[int | str, ...], ranks: int = 1
) -> list[list[Update]]:
    """The updates of every epoch of a stage.

    A length in `updates` counts those that see labels (all of them, for a stream without labels); its last epoch is
    cut short. Raises BadConfig when the batch is too small for the processes that share it.
    """
    # Batch normalisation needs two photographs in every process.
    smallest = 2 * ranks
    if ranks > 1 and stage.batch < smallest:
        raise BadConfig(f"batch = {stage.batch}: {ranks} processes need at least {smallest} photographs a step")
    for name, rows in (("labelled", labeled), ("unlabelled", unlabeled)):
        if ranks > 1 and 0 < len(rows) < smallest:
            raise BadConfig(f"{len(rows)} {name} photographs are too few for {ranks} processes; run in one")
    epochs: list[list[Update]] = []
    counted = 0
    while len(epochs) < stage.epochs if stage.epochs else counted < (stage.updates or 0):
        steps = plan_epoch(stream, labeled, unlabeled, stage.batch, (*key, len(epochs)), smallest)
        updates: list[Update] = []
        for start in range(0, len(steps), stage.optimizer.accumulate):
            if stage.updates and counted >= stage.updates:
                break
            updates.append(steps[start : start + stage.optimizer.accumulate])
            counted += stream == "unlabeled" or sees_labels(updates[-1])
        assert counted, "an epoch without a single counted update would never end"
        epochs.append(updates)
    return epochs


def sees_labels(update: Update) -> bool:
    """Whether any of its steps has a labelled side."""
    return any(len(step.labeled) for step in update)


def steps_of(updates: Sequence[Update]) -> list[Step]:
    """The steps in order."""
    return [step for update in updates for step in update]
