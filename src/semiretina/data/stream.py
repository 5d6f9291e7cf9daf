"""From the steps of an epoch to their batches.

Photographs come from the pixel cache: held on the GPU where they fit, otherwise read from the memory map by one thread
that works a step ahead. There are no loader workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from semiretina.batch import Batch, Photographs, Views
from semiretina.config import Augment
from semiretina.data.pixels import Pixels, Rows
from semiretina.data.steps import Key, Step, Update, steps_of
from semiretina.data.views import make_view


@dataclass(frozen=True)
class Stream:
    """Turns the updates of an epoch into the batches of their steps, one step read ahead."""

    pixels: Pixels
    targets: Mapping[str, Tensor]  # task -> [n, ...] on the device, by split row
    settings: Augment

    def batches(
        self, updates: Sequence[Update], views: Views, key: Key, rank: int = 0, ranks: int = 1
    ) -> Iterator[Batch]:
        """The batches of these updates' steps, in order; each of `ranks` processes gets its part of every step."""
        planned = [counts for update in updates for counts in [self._planned(update, ranks)] * len(update)]
        shards = [Step(step.labeled[rank::ranks], step.unlabeled[rank::ranks]) for step in steps_of(updates)]
        with ThreadPoolExecutor(1, thread_name_prefix="pixels") as reader:
            ahead = reader.submit(self._read, shards[0]) if shards else None
            for number, step in enumerate(shards):
                assert ahead is not None
                labeled, unlabeled = ahead.result()
                ahead = reader.submit(self._read, shards[number + 1]) if number + 1 < len(shards) else None
                yield Batch(
                    self._side(labeled, step.labeled, views.labeled, (*key, number), with_targets=True),
                    self._side(unlabeled, step.unlabeled, views.unlabeled, (*key, number), with_targets=False),
                    planned[number],
                )

    @cached_property
    def _known(self) -> Mapping[str, Tensor]:
        """Task -> how many known targets each split row has, on the CPU."""
        known = {t: ~v.isnan() if v.is_floating_point() else v >= 0 for t, v in self.targets.items()}
        return {task: values.reshape(len(values), -1).sum(1).cpu() for task, values in known.items()}

    def _planned(self, update: Update, ranks: int) -> dict[str, float]:
        labeled = np.concatenate([step.labeled for step in update])
        counts = {"labeled": len(labeled), "unlabeled": sum(len(step.unlabeled) for step in update)}
        counts |= {task: int(known[torch.from_numpy(labeled)].sum()) for task, known in self._known.items()}
        return {term: count / ranks for term, count in counts.items()}

    def _read(self, step: Step) -> tuple[Tensor, Tensor]:
        return self.pixels.read(step.labeled), self.pixels.read(step.unlabeled)

    def _side(
        self, read: Tensor, rows: Rows, views: Sequence[str], key: Key, *, with_targets: bool
    ) -> Photographs | None:
        if not len(rows):
            return None
        images = self.pixels.send(read)
        index = torch.from_numpy(rows).to(images.device)
        targets = {task: values[index] for task, values in self.targets.items()} if with_targets else {}
        return Photographs({view: make_view(view, images, rows, key, self.settings) for view in views}, rows, targets)
