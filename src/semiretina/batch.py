"""What a method sees of the data: one step's photographs, with labels where they are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

# The sides of the steps that a method wants; `data.stream.plan_epoch` says how each kind is drawn.
StreamKind = Literal["labeled", "unlabeled", "alternate"]


@dataclass(frozen=True, slots=True)
class Photographs:
    """One side of a step. Every view holds the same photographs, float [n, 3, h, w] in [0, 1], in the same order."""

    views: Mapping[str, Tensor]  # "plain" as stored, "weak" the paper's augmentation (section 4.5)
    rows: npt.NDArray[np.int64]  # [n] rows of the split, to name a photograph in an error
    # task -> float [n, logits] with NaN, or long [n] with -1, where unknown; empty if unlabelled
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step: a labelled side, an unlabelled side, or both; the paper's sampler gives one of them (section 4.3)."""

    labeled: Photographs | None = None
    unlabeled: Photographs | None = None


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
    # of this step in its update: what the loop multiplies the loss by, for DDP's mean over processes
    weight: float = 1.0
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
