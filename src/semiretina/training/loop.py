"""The training loop, in sight.

A phase trains one network through all stages; a stage is a method for some epochs. After every epoch comes a
checkpoint. A run that was stopped goes on at its last checkpoint and ends with the same bits, because nothing random
is carried: see `draws`.
"""

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from semiretina import checkpoint
from semiretina.batch import Batch, Progress
from semiretina.config import Stage
from semiretina.data.pixels import Rows
from semiretina.data.split import Split
from semiretina.data.stream import Step, Stream
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
from semiretina.training.epoch import EpochLog, Phase, Position, end_epoch, held_out_reconstruction
from semiretina.training.optimizers import learning_rate, make_optimizer, move
from semiretina.training.ranks import Place
from semiretina.training.updates import StagePlan, sees_labels, steps_of

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def train_phase(phase: Phase, network: Network, position: Position, tensors: Mapping[str, Tensor]) -> Network:
    """Trains through all stages from where `position` stands; returns the network with the selected weights.

    `position` moves along. `tensors` is the state of the checkpoint that it comes from, empty at the beginning.
    """
    for number in range(position.stage, len(phase.stages)):
        if number > position.stage:
            position.stage, position.epoch = number, 0
        stage = phase.stages[number]
        method = make_method(stage, number, network, phase.methods).to(phase.place.device)
        if phase.config.engine.channels_last:
            method.to(memory_format=torch.channels_last)
        train_stage(phase, stage, method, position, tensors)
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
            position.reconstruction = held_out_reconstruction(phase, network, role)
    phase.place.share(network)
    return network


def train_stage(phase: Phase, stage: Stage, method: Method, position: Position, tensors: Mapping[str, Tensor]) -> None:
    """Trains one stage from where `position` stands, which moves along.

    `tensors` is the state of the checkpoint that it comes from, empty at the stage's beginning.
    """
    place, engine = phase.place, phase.config.engine
    key = (phase.config.seed, phase.name, position.stage)
    labeled, unlabeled = sides(phase.split, phase.name, stage, type(method))
    plan = StagePlan(stage, method.stream, labeled, unlabeled, key, place.ranks)

    optimizer = make_optimizer([p for p in method.parameters() if p.requires_grad], stage.optimizer)
    scaler = torch.amp.GradScaler(place.device.type, enabled=engine.precision == "fp16")
    restore(method, optimizer, scaler, tensors)
    # Unlabelled steps leave the classifier without gradients, so DDP must look for what was used.
    wrapped = DistributedDataParallel(method, find_unused_parameters=True) if place.ranks > 1 else method
    stream = Stream(phase.pixels, phase.targets, phase.config.augment)

    with show_progress(f"{phase.name}: {stage.method['name']}", plan.steps(position.epoch)) as advance:
        for epoch in range(position.epoch, len(plan)):
            began, updates = time.monotonic(), plan[epoch]
            at = plan.start(position.stage, epoch)
            log = EpochLog(phase, at)
            method.train()
            batches = stream.batches(steps_of(updates), method.views, (*key, epoch), place.rank, place.ranks)
            with contextlib.closing(batches):  # type: ignore[type-var]
                for update in updates:
                    rate = learning_rate(stage.optimizer, at.fraction)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    learned = False
                    for step in update:
                        batch = next(batches)
                        weight = share(step, batch, place) / len(update)
                        at = replace(at, weight=weight, loss_scale=scaler.get_scale())
                        torch.manual_seed(seed_of(*key, epoch, at.step, place.rank))
                        with torch.autocast(
                            place.device.type, PRECISIONS[engine.precision], enabled=engine.precision != "fp32"
                        ):
                            logs = wrapped(batch, at)
                        loss = logs["loss"]
                        if loss.requires_grad:
                            scaler.scale(loss * weight).backward()
                            learned = True
                        log.step(at.step, logs, rate)
                        check_finite(log.losses[-1], batch, phase, at)
                        at = at.next_step()
                        advance(note=f"epoch {epoch + 1}/{len(plan)}, loss {log.losses[-1]:.4g}")
                    if learned:
                        move(optimizer, scaler, stage.optimizer.clip)
                        method.after_step(at)
                    position.labeled_updates += sees_labels(update)
                    at = at.next_update(labeled=sees_labels(update))
            position.epoch = epoch + 1
            check_weights(method, phase, position)
            place.wait()
            if place.first:
                network = method.evaluated  # a method may fit it now, so it comes before the state is taken
                state = state_of(method, optimizer, scaler)
                end_epoch(phase, method, network, state, position, log, updates, time.monotonic() - began)
            place.wait()


def make_method(stage: Stage, number: int, network: Network, methods: Mapping[str, type[Method]]) -> Method:
    """The stage's method around the network. Raises BadConfig for an unknown name or parameter."""
    where = f"stages.{number}.method"
    kind = lookup(methods, stage.method["name"], where)
    given = {name: value for name, value in stage.method.items() if name != "name"}
    return kind(network, **arguments(kind.__init__, given, where, skip=("network",)))


def sides(split: Split, phase: str, stage: Stage, method: type[Method]) -> tuple[Rows, Rows]:
    """The rows used with and those used without their labels, in phase "train" or "refit".

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
    if method.stream == "unlabeled" and stage.images == "all":
        unlabeled = np.sort(np.concatenate([labeled, unlabeled]))
    return labeled, unlabeled


def share(step: Step, batch: Batch, place: Place) -> float:
    """What this process's loss counts among the `ranks` that DDP averages, so that all photographs count the same."""
    own = sum(len(side) for side in (batch.labeled, batch.unlabeled) if side is not None)
    return own * place.ranks / (len(step.labeled) + len(step.unlabeled))


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


def state_of(method: Method, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """Everything that going on needs, as named tensors."""
    scale: dict[str, Any] = scaler.state_dict()
    return {
        **{f"method.{name}": value for name, value in method.state_dict().items()},
        **checkpoint.optimizer_tensors(optimizer),
        **{f"scaler.{name}": torch.tensor(value, dtype=torch.float64) for name, value in scale.items()},
    }


def restore(
    method: Method, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of `state_of`; nothing happens without tensors."""
    if not tensors:
        return
    method.load_state_dict({k.removeprefix("method."): v for k, v in tensors.items() if k.startswith("method.")})
    checkpoint.load_optimizer(optimizer, tensors)
    scale = {k.removeprefix("scaler."): v.item() for k, v in tensors.items() if k.startswith("scaler.")}
    if scale:
        scaler.load_state_dict(
            {k: int(v) if k in ("growth_interval", "_growth_tracker") else v for k, v in scale.items()}
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
