"""What is fixed on the validation photographs and frozen into the grader before anyone looks at the test set.

`out_of_fold` fixes the same on the answers of a cross-validation.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from semiretina import checkpoint
from semiretina.config import Operating
from semiretina.judging.inference import Floats, infer_rows, probabilities
from semiretina.judging.test_set import patients_of
from semiretina.models.network import Network
from semiretina.scoring.abstention import conformal, conformal_quantile, referrals
from semiretina.scoring.intervals import Floats as Doubles
from semiretina.scoring.intervals import Ints
from semiretina.scoring.thresholds import LEAST, lacking, point_at, threshold_for
from semiretina.tasks import Targets, Task, classes_of, keys_of
from semiretina.training.epoch import Phase


class Known(NamedTuple):
    """The photographs whose label for one output is known: 0 or 1, or their class."""

    labels: Ints  # [n]
    probabilities: Doubles  # [n], or [n, k] of classes
    patients: Ints  # [n]


def known_labels(task: Task, targets: Targets) -> dict[str, Ints]:
    """KEY -> [n] labels, or classes; negative where unknown."""
    if task.kind != "binary":
        return {task.name: classes_of(task, targets)}
    return {key: np.nan_to_num(targets[:, number], nan=-1).astype(np.int64) for number, key in enumerate(keys_of(task))}


def known_answers(
    tasks: Mapping[str, Task], values: Mapping[str, Floats], targets: Mapping[str, Tensor], patients: Ints
) -> dict[str, Known]:
    """KEY -> labels, probabilities and patients [n] where the label is known."""
    found = {}
    for name, task in tasks.items():
        for number, (key, labels) in enumerate(known_labels(task, targets[name].cpu().numpy()).items()):
            known = labels >= 0
            column = values[name][:, number] if task.kind == "binary" else values[name]
            found[key] = Known(labels[known], column[known].astype(np.float64), patients[known])
    return found


def lacking_labels(tasks: Mapping[str, Task], targets: Mapping[str, Targets]) -> list[str]:
    """What photographs with these targets lack to fix anything on, output by output; empty where they suffice.

    A yes or no needs 50 of each, a choice among classes 100 labels.
    """
    wanting = []
    for name, task in tasks.items():
        for key, labels in known_labels(task, targets[name]).items():
            known = labels[labels >= 0]
            if task.kind == "binary":
                found = lacking(known)
            else:
                found = f"{len(known)} labels" if len(known) < 2 * LEAST else ""
            if found:
                wanting.append(f"{found} of '{key}'")
    return wanting


def fix_on_val(phase: Phase, network: Network) -> tuple[dict[str, dict[str, Any]], dict[str, Known]]:
    """The operating points (`fix_points`), and the answers to the validation photographs that they were fixed on.

    A refit trains on these photographs: then it is the answers of the network that was selected before it that count.
    """
    config, split, rows, source = phase.config, phase.split, phase.split.rows("val"), "val"
    assert config.operating
    if config.refit == "train+val":
        network, source = deepcopy(network), "val, by the network selected before the refit"
        network.load_state_dict(checkpoint.load(phase.run.checkpoints / "best")[0])
    logits = infer_rows(network.eval(), phase.pixels, rows, config.engine.eval_batch)
    patients = patients_of([split.records[row] for row in rows], [split.groups[row] for row in rows])
    return fix_points(config.operating, config.threshold, phase.tasks, logits, phase.truth(rows), patients, source)


def fix_points(
    operating: Operating,
    threshold: float,
    tasks: Mapping[str, Task],
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    patients: Ints,
    source: str,
) -> tuple[dict[str, dict[str, Any]], dict[str, Known]]:
    """The temperature of each output, and the threshold of each yes or no, from answers of photographs not trained on.

    The points are those of `result.json`: KEY -> temperature and n; of a yes or no also its threshold (of the
    calibrated probability), what it is `aimed` at, the sensitivity and specificity that it reaches on these
    photographs, and positives. `threshold` stays where nothing is aimed at; `source` says whose answers these are.
    With them come the calibrated answers.

    Raises Refused below 50 positives or negatives.
    """
    temperatures = {key: 1.0 for task in tasks.values() for key in keys_of(task)}
    if operating.calibrate:
        temperatures = fit_temperatures(tasks, logits, targets)
    values = {
        name: probabilities(task, logits[name], [temperatures[key] for key in keys_of(task)])
        for name, task in tasks.items()
    }
    aims = {"sensitivity": operating.sensitivity, "specificity": operating.specificity}
    aim = {name: wanted for name, wanted in aims.items() if wanted is not None}
    aimed = " ".join(f"{name} {wanted:g}" for name, wanted in (aim or {"threshold": threshold}).items())
    answers = known_answers(tasks, values, targets, patients)
    points: dict[str, dict[str, Any]] = {}
    for key, (labels, p, own) in answers.items():
        points[key] = {"temperature": temperatures[key], "n": len(labels), "from": source}
        if p.ndim == 1:
            chosen = threshold_for(labels, p, **aim) if aim else threshold
            points[key] |= {"aimed": aimed, **asdict(point_at(labels, p, own, chosen))}
    return points, answers


def fit_temperatures(
    tasks: Mapping[str, Task], logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> dict[str, float]:
    """KEY -> the temperature that its logits are divided by."""
    temperatures: dict[str, float] = {}
    for name, task in tasks.items():
        temperatures |= task.fit_temperatures(logits[name].numpy(), targets[name].cpu().numpy())
    return temperatures


def uncertainty(
    thresholds: Mapping[str, float], fixed_on: Mapping[str, Known], test: Mapping[str, Known]
) -> dict[str, dict[str, Any]]:
    """KEY -> what the grader gains on test by not answering: "abstention", and "conformal".

    The conformal quantile comes from the answers that the points were `fixed_on`. That their temperature does too, and
    that out-of-fold answers are of other networks, the guarantee of coverage does not allow for: the coverage that is
    measured tells.
    """
    found = {}
    for key, (labels, p, patients) in test.items():
        quantile = conformal_quantile(fixed_on[key].labels, fixed_on[key].probabilities)
        found[key] = {
            "abstention": [asdict(row) for row in referrals(labels, p, patients, thresholds.get(key, 0.5))],
            "conformal": asdict(conformal(labels, p, patients, quantile)),
        }
    return found
