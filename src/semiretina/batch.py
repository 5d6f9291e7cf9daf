"""What a method sees of the data: one step's photographs, with labels where they are known."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

# The sides of the steps that a method wants; `data.steps.STREAMS` says how each kind is drawn.
StreamKind = Literal["labeled", "unlabeled", "alternate", "paired"]


class Views(NamedTuple):
    """The views that a method wants of either side of a step, by name: see `data.views.VIEWS`."""

    labeled: tuple[str, ...] = ()
    unlabeled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Photographs:
    """One side of a step. Every view holds the same photographs, float [n, 3, h, w] in [0, 1], in the same order."""

    views: Mapping[str, Tensor]
    rows: npt.NDArray[np.int64]  # [n] rows of the split, to name a photograph in an error
    # task -> float [n, logits] with NaN, or long [n] with -1, where unknown; empty if unlabelled
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step: a labelled side, an unlabelled side, or both; the paper's sampler gives one of them (section 4.3).

    `planned` counts what the whole update will see, all its steps together, over the number of processes: the
    photographs "labeled" and "unlabeled", and the known targets of each task. It is empty in a batch that no stream
    made.
    """

    labeled: Photographs | None = None
    unlabeled: Photographs | None = None
    planned: Mapping[str, float] = field(default_factory=dict)

    def part(self, count: int, *terms: str) -> float:
        """What a mean over `count` photographs or targets of this step counts in the update's loss.

        So that a loss is a sum over all that its update sees, divided by the planned count of `terms`: accumulated
        steps and several processes then equal one large batch. 1 where the update is one step of one process.
        """
        return count / sum(self.planned[term] for term in terms) if self.planned and count else 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands when a step begins; all counts from zero."""

    stage: int
    epoch: int
    step: int  # within the epoch
    steps: int  # of the epoch
    update: int  # optimiser updates done in this stage
    updates: int  # planned in this stage
    labeled_updates: int  # updates done in this stage that saw labels
    loss_scale: float = 1.0  # fp16: what losses are multiplied by before a gradient is taken, or it would underflow

    @property
    def fraction(self) -> float:
        """The share of the stage that is done, in [0, 1)."""
        return self.update / self.updates

    def next_step(self) -> "Progress":
        """After one more step."""
        return replace(self, step=self.step + 1)

    def next_update(self, *, labeled: bool) -> "Progress":
        """After one more update of the optimiser, which saw labels or did not."""
        return replace(self, update=self.update + 1, labeled_updates=self.labeled_updates + labeled)
