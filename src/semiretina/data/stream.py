"""From the split to the steps of an epoch, and from a step to its batch.

Which photographs a step holds is a pure function of (seed, phase, stage, epoch), so an epoch can be planned, drawn
as figure 3, cut short and repeated. Photographs come from the pixel cache: held on the GPU where they fit, otherwise
read from the memory map by one thread that works a step ahead. There are no loader workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semiretina.batch import Batch, Photographs, StreamKind
from semiretina.config import Augment
from semiretina.data.pixels import Pixels, Rows
from semiretina.data.views import augment, to_float
from semiretina.draws import generator


@dataclass(frozen=True, slots=True)
class Step:
    """The split rows of one step: labelled ones, unlabelled ones, or both; an absent side is empty."""

    labeled: Rows
    unlabeled: Rows


def plan_epoch(
    kind: StreamKind, labeled: Rows, unlabeled: Rows, batch: int, key: tuple[int | str, ...], smallest: int = 2
) -> list[Step]:
    """The steps of an epoch, in order.

    `labeled` and `unlabeled` shuffle their side into batches; a last one below `smallest` joins the one before,
    because batch normalisation needs two images. `alternate` is the paper's sampler (section 4.3, figure 3):
    minibatches wholly labelled or wholly unlabelled, without replacement, in proportion to the two sizes: the
    shuffled list [labelled]*n_l + [unlabelled]*n_u.
    """
    none = np.empty(0, np.int64)
    with_labels = [Step(rows, none) for rows in _batches(labeled, batch, (*key, "labeled"), smallest)]
    without = [Step(none, rows) for rows in _batches(unlabeled, batch, (*key, "unlabeled"), smallest)]
    if kind == "labeled":
        return with_labels
    if kind == "unlabeled":
        return without
    sides = [True] * len(with_labels) + [False] * len(without)
    queues = {True: iter(with_labels), False: iter(without)}
    return [next(queues[sides[i]]) for i in generator(*key, "sides").permutation(len(sides))]


def _batches(rows: Rows, batch: int, key: tuple[int | str, ...], smallest: int) -> list[Rows]:
    shuffled = rows[generator(*key).permutation(len(rows))]
    parts = [shuffled[start : start + batch] for start in range(0, len(rows), batch)]
    if len(parts) > 1 and len(parts[-1]) < smallest:
        last = parts.pop()
        parts[-1] = np.concatenate([parts[-1], last])
    return parts


@dataclass(frozen=True)
class Stream:
    """Turns the steps of an epoch into batches, one step read ahead."""

    pixels: Pixels
    targets: Mapping[str, Tensor]  # task -> [n, ...] on the device, by split row
    settings: Augment

    def batches(
        self, steps: Sequence[Step], views: Sequence[str], key: tuple[int | str, ...], rank: int = 0, ranks: int = 1
    ) -> Iterator[Batch]:
        """The batches of these steps, in order; each of `ranks` processes gets its share of every step."""
        shards = [Step(step.labeled[rank::ranks], step.unlabeled[rank::ranks]) for step in steps]
        with ThreadPoolExecutor(1, thread_name_prefix="pixels") as reader:
            ahead = reader.submit(self._read, shards[0]) if shards else None
            for number, step in enumerate(shards):
                assert ahead is not None
                labeled, unlabeled = ahead.result()
                ahead = reader.submit(self._read, shards[number + 1]) if number + 1 < len(shards) else None
                place = (*key, number)
                yield Batch(
                    labeled=self._side(labeled, step.labeled, views, place, with_targets=True),
                    unlabeled=self._side(unlabeled, step.unlabeled, views, place, with_targets=False),
                )

    def _read(self, step: Step) -> tuple[Tensor, Tensor]:
        return self.pixels.read(step.labeled), self.pixels.read(step.unlabeled)

    def _side(
        self, read: Tensor, rows: Rows, views: Sequence[str], key: tuple[int | str, ...], *, with_targets: bool
    ) -> Photographs | None:
        if not len(rows):
            return None
        images = self.pixels.send(read)
        index = torch.from_numpy(rows).to(images.device)
        targets = {task: values[index] for task, values in self.targets.items()} if with_targets else {}
        return Photographs({view: self._view(view, images, rows, key) for view in views}, rows, targets)

    def _view(self, view: str, images: Tensor, rows: Rows, key: tuple[int | str, ...]) -> Tensor:
        if view == "plain":
            return to_float(images)
        assert view == "weak", view
        s = self.settings
        return augment(images, rows, (*key, view), rotation=s.rotation, scale=s.scale, flip=s.flip)
