"""The training loop, in sight.

A phase trains one network through all stages; a stage is a method for some epochs. After every epoch comes a
checkpoint. A run that was stopped goes on at its last checkpoint and ends with the same bits, because nothing random
is carried: see `draws`.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from semiretina import checkpoint
from semiretina.batch import Batch, Progress
from semiretina.config import Stage
from semiretina.data.pixels import Rows
from semiretina.data.split import Split
from semiretina.data.steps import StageSteps, sees_labels
from semiretina.data.stream import Stream
from semiretina.draws import seed_of
from semiretina.errors import BadConfig, BadData, MissingInput, NonFiniteLoss
from semiretina.judging.inference import reconstruct_rows
from semiretina.judging.lesion_survival import write_survival
from semiretina.judging.samples import SAMPLES, write_samples
from semiretina.lookup import arguments, lookup
from semiretina.methods import Method
from semiretina.models.network import Network
from semiretina.progress import progress as show_progress
from semiretina.progress import say
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task
from semiretina.training.epoch import EpochLog, Phase, Position, end_epoch, held_out_reconstruction
from semiretina.training.learner import Learner


def train_phase(
    phase: Phase, network: Network, position: Position, tensors: Mapping[str, Tensor]
) -> tuple[Network, Position]:
    """Trains through all stages from `position` on; returns the network with the selected weights, and where it stands.

    `tensors` is the state of the checkpoint that `position` comes from, empty at the beginning.
    """
    for number in range(position.stage, len(phase.stages)):
        if number > position.stage:
            position = replace(position, stage=number, epoch=0)
        stage = phase.stages[number]
        method = make_method(stage, number, network, phase.tasks, phase.methods).to(phase.place.device)
        if phase.config.engine.channels_last:
            method.to(memory_format=torch.channels_last)
        position = train_stage(phase, method, position, tensors)
        network, tensors = method.finish(), {}
        if phase.select and number == len(phase.stages) - 1:
            best, _ = checkpoint.load(phase.run.checkpoints / "best")
            network.load_state_dict(best)
        if method.reconstructs and phase.place.first:
            # Now, while the decoder fits the encoder: the next stage moves the one without the other.
            batch, role = phase.config.engine.eval_batch, phase.last_role
            shown = reconstruct_rows(network, phase.pixels, phase.split.rows(role)[:SAMPLES], batch)[1]
            write_samples(phase.run.sample_list, phase.split, role, phase.pixels, shown)
            write_survival(phase.run.survival, phase.split, role, phase.pixels, network, batch)
            position = replace(position, reconstruction=held_out_reconstruction(phase, network, role))
    phase.place.send_weights(network)
    return network, position


def train_stage(phase: Phase, method: Method, position: Position, tensors: Mapping[str, Tensor]) -> Position:
    """Trains one stage from `position` on, and returns where it ends.

    `tensors` is the state of the checkpoint that `position` comes from, empty at the stage's beginning.
    """
    place, stage = phase.place, phase.stages[position.stage]
    key = (phase.config.seed, phase.name, position.stage)
    labeled, unlabeled = sides(phase.split, phase.name, stage, type(method))
    steps = StageSteps(stage, method.stream, labeled, unlabeled, key, place.ranks)
    if phase.name == "train":
        position = replace(position, planned_epochs=len(steps))
    last_stage = position.stage == len(phase.stages) - 1
    end = min(len(steps), phase.last_epoch) if phase.last_epoch and last_stage else len(steps)
    learner = Learner(method, stage.optimizer, phase.config.engine.precision, place, tensors)
    stream = Stream(phase.pixels, phase.targets, phase.config.augment)
    with show_progress(f"{phase.name}: {stage.method['name']}", steps.left(position.epoch, end)) as advance:
        for epoch in range(position.epoch, end):
            at, updates = steps.start(position.stage, epoch), steps[epoch]
            log = EpochLog(phase, at, updates)
            batches = stream.batches(updates, method.views, (*key, epoch), place.rank, place.ranks)
            with contextlib.closing(batches):  # type: ignore[type-var]
                train_epoch(learner, batches, log, at, advance)
            method.end_epoch()
            seen = position.labeled_updates + sum(map(sees_labels, updates))
            position = replace(position, epoch=epoch + 1, labeled_updates=seen)
            check_weights(method, phase, position)
            place.wait()
            if place.first:
                position = end_epoch(phase, learner, position, log)
            place.wait()
    return position


def train_epoch(
    learner: Learner, batches: Iterator[Batch], log: EpochLog, at: Progress, advance: Callable[..., None]
) -> None:
    """The steps and updates of one epoch."""
    key = (log.phase.config.seed, log.phase.name)
    learner.method.train()
    for update in log.updates:
        learner.set_rate(at.fraction)
        for _ in update:
            batch = next(batches)
            torch.manual_seed(seed_of(*key, at.stage, at.epoch, at.step, learner.place.rank))
            logs = learner.step(batch, at)
            # A step's part of its update's loss, times their number: as large as that of a step alone.
            log.step(at.step, logs | {"loss": logs["loss"].detach() * len(update)}, learner.rate)
            check_finite(log.losses[-1], batch, log.phase, at)
            at = at.next_step()
            advance(note=f"epoch {at.epoch + 1}, loss {log.losses[-1]:.4g}")
        learner.update(at)
        at = at.next_update(labeled=sees_labels(update))


def make_method(
    stage: Stage, number: int, network: Network, tasks: Mapping[str, Task], methods: Mapping[str, type[Method]]
) -> Method:
    """The stage's method around the network. Raises BadConfig for an unknown name or parameter."""
    where = f"stages.{number}.method"
    if stage.method["name"] == "combined" and ("balance" in stage.method or "lambda_cl" not in stage.method):
        raise BadConfig(
            f'{where}: "combined" is equation 3 and needs its lambda_cl, such as 3.0; weights that move while training '
            'are the method "balanced": { name = "balanced", balance = { name = "norm_ratio", rho = 1.0 } }, where '
            '"gradnorm" and "eq4" may stand for "norm_ratio"'
        )
    kind = lookup(methods, stage.method["name"], where)
    if stage.unlabeled_batch and kind.stream != "paired":
        raise BadConfig(
            f"stages.{number}.unlabeled_batch: every step of '{stage.method['name']}' has one side, of `batch` "
            "photographs; take it out"
        )
    given = {name: value for name, value in stage.method.items() if name != "name"}
    return kind(network, tasks, **arguments(kind.__init__, given, where, skip=("network", "tasks")))


def sides(split: Split, phase: str, stage: Stage, method: type[Method]) -> tuple[Rows, Rows]:
    """The rows used with and those used without their labels, in phase "train" or "refit".

    In steps with both sides a labelled row stands on the unlabelled side too, unless `images` is "unlabeled": there it
    is without a label for every task. So a photograph that lacks one task's label teaches the others on the labelled
    side, and is an unlabelled photograph to that task on the other.

    Raises BadConfig when the stage needs rows there are none of.
    """
    joined = phase == "refit"
    labeled = split.rows("train", *(["val"] if joined else []))
    unlabeled = split.rows("unlabeled", *(["unlabeled-val"] if joined else []))
    name, where = stage.method["name"], ""
    if stage.datasets:
        chosen = np.array([record.dataset in stage.datasets for record in split.records])
        labeled, unlabeled = labeled[chosen[labeled]], unlabeled[chosen[unlabeled]]
        where = f" of {', '.join(stage.datasets)}"
        if method.stream != "unlabeled" and not len(labeled):
            raise BadConfig(f"stage {name}: no labelled photograph{where} is left to train on; see its `datasets`")
    if stage.images == "unlabeled" and method.stream != "labeled" and not len(unlabeled):
        raise BadConfig(
            f'stage {name}: images = "unlabeled", but the split has no unlabelled photograph{where}; set '
            'images = "all", lower data.labels, or add photographs without a grade to the manifest'
        )
    if method.stream in ("unlabeled", "paired") and stage.images == "all":
        unlabeled = np.sort(np.concatenate([labeled, unlabeled]))
    if method.stream == "paired" and (size := stage.unlabeled_batch or stage.batch) > len(unlabeled):
        raise BadConfig(
            f"stage {name}: a step of {size} photographs without labels repeats none, and there are {len(unlabeled)}"
            f"{where}; lower unlabeled_batch, or add photographs"
        )
    return labeled, unlabeled


def check_finite(loss: float, batch: Batch, phase: Phase, at: Progress) -> None:
    """Raises NonFiniteLoss, before the optimiser moves, that names the place and the photographs."""
    if math.isfinite(loss):
        return
    rows = [row for side in (batch.labeled, batch.unlabeled) if side is not None for row in side.rows]
    names = [phase.split.records[row].path.name for row in rows]
    raise NonFiniteLoss(
        f"{phase.run.path}: the loss became {loss} in phase {phase.name}, stage {at.stage}, "
        f"epoch {at.epoch + 1}, step {at.step + 1}, on {', '.join(names)}; lower optimizer.lr or set optimizer.clip; "
        "the last good checkpoint is kept"
    )


def check_weights(method: Method, phase: Phase, position: Position) -> None:
    """Raises NonFiniteLoss when an epoch's last updates broke the weights, whose loss nobody has seen yet."""
    values = [value for value in method.state_dict().values() if value.is_floating_point()]
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise NonFiniteLoss(
            f"{phase.run.path}: the weights became infinite or NaN in phase {phase.name}, stage {position.stage}, "
            f"epoch {position.epoch}; lower optimizer.lr or set optimizer.clip; the last good checkpoint is kept"
        )


def find_start(run: RunFolder) -> tuple[Position, dict[str, Tensor]] | None:
    """The newest whole checkpoint, or None; a damaged one is named and removed, and the one before it is used."""
    files = checkpoint.numbered(run.checkpoints)
    for file in files:
        try:
            tensors, facts = checkpoint.load(file)
        except (BadData, MissingInput) as error:
            before = "going on from the checkpoint before it" if file != files[-1] else "starting from the beginning"
            say(f"{error}; {before}")
            # It must not count among the newest two, or the next one would push out the whole one.
            checkpoint.remove(file)
        else:
            return Position(**facts["position"]), tensors
    return None
