"""What happens after an epoch: scores on validation, a row in the log, the choice of the best epoch, a checkpoint."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from semiretina import checkpoint
from semiretina.batch import Progress
from semiretina.config import Config, Stage
from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.data.steps import Update, steps_of
from semiretina.errors import NonFiniteLoss
from semiretina.judging.inference import infer_rows, quick_scores, reconstruct_rows
from semiretina.methods import Method
from semiretina.models.network import Network
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task
from semiretina.training.learner import Learner
from semiretina.training.ranks import Place

STEP_ROWS_EVERY = 20
# An adaptive lambda knows its norms at every labelled update; past these many updates it gets a tenth of the rows.
NORM_ROWS_UP_TO, NORM_ROWS_EVERY = 1000, 10


@dataclass(frozen=True)
class Position:
    """Where a phase stands; what a checkpoint says besides tensors. Epochs are those that are done."""

    phase: str
    stage: int = 0
    epoch: int = 0
    labeled_updates: int = 0  # in this phase
    planned_epochs: int = 0  # of the stage, in phase "train"
    selected_epoch: int = 0  # of the last stage, counted from 1; 0 while there is none
    selected_updates: int = 0  # labelled updates of this phase up to the selected epoch
    best: float | None = None  # validation score of the selected epoch
    log_size: int = 0
    tracked: list[dict[str, float]] = field(default_factory=list)  # test accuracy by epoch: the paper's protocol
    reconstruction: dict[str, float] = field(default_factory=dict)  # test errors when the decoder was ready


@dataclass(frozen=True)
class Phase:
    """One training of one network from its first weights to its last, and all it needs."""

    name: str  # "train", or "refit" on train + val
    stages: Sequence[Stage]
    config: Config
    methods: Mapping[str, type[Method]]
    tasks: Mapping[str, Task]
    split: Split
    pixels: Pixels
    targets: Mapping[str, Tensor]
    run: RunFolder
    place: Place
    select: bool  # by validation; otherwise the last epoch counts
    last_epoch: int | None = None  # of the last stage, where it ends before its schedule does

    @property
    def last_role(self) -> str:
        """The photographs that are looked at last: `test`, or `val` where the test set stays unopened."""
        return "test" if self.config.open_test else "val"


class EpochLog:
    """What the log says of one epoch's steps."""

    def __init__(self, phase: Phase, at: Progress, updates: Sequence[Update]) -> None:
        self.phase, self.updates, self.began = phase, updates, time.monotonic()
        self.facts = {"phase": phase.name, "stage": at.stage, "epoch": at.epoch}
        self.norm_rows_every = 1 if at.labeled_updates < NORM_ROWS_UP_TO else NORM_ROWS_EVERY
        self.norms = 0  # steps of this epoch that have them
        self.losses: list[float] = []
        self.losses_cl: list[float | None] = []  # what figure 3 colours: the classifier's loss, None without labels
        self.sums: dict[str, list[float]] = {}

    def step(self, number: int, logs: Mapping[str, Tensor], rate: float) -> None:
        """Notes one step; a row now and then, and when gradient norms were taken."""
        # One transfer for all of them: each `item()` would make a GPU wait.
        stacked = torch.stack([value.detach().float() for value in logs.values()]).tolist()
        values = dict(zip(logs, stacked, strict=True))
        self.losses.append(values["loss"])
        classification = [values[f"loss_{task}"] for task in self.phase.tasks if f"loss_{task}" in values]
        self.losses_cl.append(sum(classification) if classification else None)
        for name, value in values.items():
            self.sums.setdefault(name, []).append(value)
        shown = number % STEP_ROWS_EVERY == 0
        if "grad_norm_ae" in values:
            shown = shown or self.norms % self.norm_rows_every == 0
            self.norms += 1
        if self.phase.place.first and shown:
            self.phase.run.append({"kind": "step", **self.facts, "step": number, **values, "lr": rate})

    @property
    def means(self) -> dict[str, float]:
        """Each logged value, averaged over the steps that have it."""
        return {name: sum(values) / len(values) for name, values in self.sums.items()}


def end_epoch(phase: Phase, learner: Learner, position: Position, log: EpochLog) -> Position:
    """Scores of the network, log row, selection and checkpoint, by the first process; where the phase stands then."""
    method, steps, network = learner.method, steps_of(log.updates), learner.method.evaluated
    row: dict[str, Any] = {
        "kind": "epoch",
        **log.facts,
        "method": phase.stages[position.stage].method["name"],
        "seconds": time.monotonic() - log.began,
        "images": sum(len(step.labeled) + len(step.unlabeled) for step in steps),
        "labeled_updates": position.labeled_updates,
        "losses": log.losses,
        "losses_cl": log.losses_cl,
        "labeled": [int(len(step.labeled) > 0) for step in steps],
        "train": log.means,
        "val": {},
    }
    if phase.name == "train":
        row["val"] = scores_of(phase, network, "val", method)
    if phase.config.track_test and method.stream != "unlabeled":
        row["test"] = scores_of(phase, network, "test", method)
        tracked = {task: row["test"][task]["accuracy"] for task in phase.tasks}
        position = replace(position, tracked=[*position.tracked, tracked])
    phase.run.append(row)
    if position.stage == len(phase.stages) - 1:
        position = _select(phase, network, row["val"], position)
    position = replace(position, log_size=phase.run.log_size())
    checkpoint.save_next(phase.run.checkpoints, learner.state(), {"position": asdict(position)})
    return position


def scores_of(phase: Phase, network: Network, role: str, method: Method) -> dict[str, dict[str, float]]:
    """The log's scores: of the tasks and of the reconstruction, as far as the method trains classifier and decoder."""
    rows, batch = phase.split.rows(role), phase.config.engine.eval_batch
    scores: dict[str, dict[str, float]] = {}
    if method.reconstructs and (errors := held_out_reconstruction(phase, network, role)):
        scores["reconstruction"] = errors
    if method.stream != "unlabeled" and len(rows):
        index = torch.from_numpy(rows)
        logits = infer_rows(network, phase.pixels, rows, batch)
        if not all(bool(torch.isfinite(values).all()) for values in logits.values()):
            raise NonFiniteLoss(
                f"{phase.run.path}: the network's answers to the {role} photographs became infinite or NaN in phase "
                f"{phase.name}; lower optimizer.lr or set optimizer.clip; the last good checkpoint is kept"
            )
        for name, task in phase.tasks.items():
            scores[name] = quick_scores(task, logits[name], phase.targets[name].cpu()[index], phase.config.threshold)
    return scores


def held_out_reconstruction(phase: Phase, network: Network, role: str) -> dict[str, float]:
    """The mean squared error (equation 1) on the held-out photographs: "mse" of those with labels, "mse_unlabeled".

    `role` is `val` or `test`; what has no photograph is left out.
    """
    rows = {"mse": phase.split.rows(role), "mse_unlabeled": phase.split.rows(f"unlabeled-{role}")}
    batch = phase.config.engine.eval_batch
    return {name: reconstruct_rows(network, phase.pixels, r, batch)[0] for name, r in rows.items() if len(r)}


def _select(phase: Phase, network: Network, val: Mapping[str, Mapping[str, float]], position: Position) -> Position:
    """Notes the best epoch and keeps its weights; among equals the earlier one.

    By the mean over tasks of the AUROC, or of the accuracy and, among equal ones, the AUROC (`select`); by the
    reconstruction's error where the classifier is not trained. Where none is defined (one class in validation), the
    later epoch counts.
    """
    selected = replace(position, selected_epoch=position.epoch, selected_updates=position.labeled_updates)
    if not phase.select:
        return replace(selected, selected_epoch=max(position.epoch, position.selected_epoch))
    curves = [_select_by(phase.config, val[task]) for task in phase.tasks if task in val]
    defined = [curve for curve in curves if not math.isnan(curve)]
    if not curves and "reconstruction" in val:
        defined = [-error for error in list(val["reconstruction"].values())[:1]]
    score = sum(defined) / len(defined) if defined else 0.0
    if position.best is not None and score <= position.best and defined:
        return position
    checkpoint.save(
        phase.run.checkpoints / "best", network.state_dict(), {"phase": phase.name, "epoch": position.epoch}
    )
    return replace(selected, best=score)


def _select_by(config: Config, scores: Mapping[str, float]) -> float:
    if config.select == "auroc":
        return scores["auroc"]
    # Accuracies of n photographs are 1 / n apart at least, which no AUROC bridges here.
    return scores["accuracy"] + (0.0 if math.isnan(scores["auroc"]) else 1e-6 * scores["auroc"])
