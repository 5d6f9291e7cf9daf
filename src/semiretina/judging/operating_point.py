"""What is fixed on the validation photographs and frozen into the grader before anyone looks at the test set.

`out_of_fold` fixes the same on the answers of a cross-validation.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy.typing as npt

from semiretina.config import Config
from semiretina.judging.test_set import Answers
from semiretina.scoring.abstention import conformal, conformal_quantile, referrals
from semiretina.scoring.intervals import Floats, Ints
from semiretina.scoring.thresholds import point_at, threshold_for
from semiretina.tasks import Targets, Task


class Known(NamedTuple):
    """The photographs whose label for one output is known: 0 or 1, or their class."""

    labels: Ints  # [n]
    probabilities: Floats  # [n], or [n, k] of classes
    patients: Ints  # [n]


@dataclass(frozen=True)
class HeldOut:
    """Answers to n photographs that the network did not learn from, by task, and what is known of these photographs."""

    tasks: Mapping[str, Task]
    logits: Mapping[str, npt.ArrayLike]  # [n, k]
    targets: Mapping[str, Targets]
    patients: Ints
    source: str  # whose answers these are, in words


@dataclass(frozen=True)
class OperatingPoints:
    """By KEY what was fixed, as in `result.json`, and the calibrated answers that it was fixed on; or nothing."""

    points: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    answers: Mapping[str, Known] = field(default_factory=dict)

    @property
    def temperatures(self) -> dict[str, float]:
        """KEY -> what its logits are divided by."""
        return {key: point["temperature"] for key, point in self.points.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """KEY -> the threshold of each yes or no."""
        return {key: point["threshold"] for key, point in self.points.items() if "threshold" in point}

    def add_to(self, scores: Mapping[str, dict[str, Any]], test: Mapping[str, Known]) -> None:
        """Adds to the scores of each KEY what the grader gains on test by not answering: "abstention", and "conformal".

        The conformal quantile comes from the answers that the points were fixed on. That their temperature does too,
        and that out-of-fold answers are of other networks, the guarantee of coverage does not allow for: the coverage
        that is measured tells.
        """
        for key, (labels, p, patients) in (test if self.points else {}).items():
            quantile = conformal_quantile(self.answers[key].labels, self.answers[key].probabilities)
            rows = referrals(labels, p, patients, self.thresholds.get(key, 0.5))
            scores[key]["abstention"] = [asdict(row) for row in rows]
            scores[key]["conformal"] = asdict(conformal(labels, p, patients, quantile))
            scores[key]["caution"] += self.points[key].get("caution", [])


def known_answers(
    tasks: Mapping[str, Task], values: Answers, targets: Mapping[str, Targets], patients: Ints
) -> dict[str, Known]:
    """KEY -> labels, probabilities and patients [n] where the label is known."""
    answers = {}
    for name, task in tasks.items():
        labels = task.labels(targets[name])
        for key, p in task.by_key(values[name]).items():
            known = labels[key] >= 0
            answers[key] = Known(labels[key][known], p[known], patients[known])
    return answers


def lacking_labels(tasks: Mapping[str, Task], targets: Mapping[str, Targets]) -> list[str]:
    """What photographs with these targets lack to fix anything on, output by output; empty where they suffice.

    A yes or no needs 50 of each, a choice among classes 100 labels.
    """
    lacking = {
        key: task.lacking(labels[labels >= 0])
        for name, task in tasks.items()
        for key, labels in task.labels(targets[name]).items()
    }
    return [f"{words} of '{key}'" for key, words in lacking.items() if words]


def fix_points(config: Config, held_out: HeldOut) -> OperatingPoints:
    """The temperature of each output, and the threshold of each yes or no, from answers to photographs not trained on.

    The points are those of `result.json`: KEY -> temperature and n; of a yes or no also its threshold (of the
    calibrated probability), what it is `aimed` at, the sensitivity and specificity that it reaches on these
    photographs, and positives. The configuration's threshold stays where nothing is aimed at.

    Raises Refused below 50 positives or negatives.
    """
    operating, tasks = config.operating, held_out.tasks
    assert operating
    temperatures = {key: 1.0 for task in tasks.values() for key in task.keys}
    if operating.calibrate:
        for name, task in tasks.items():
            temperatures |= task.fit_temperatures(held_out.logits[name], held_out.targets[name])
    values = {
        name: task.probabilities(held_out.logits[name], [temperatures[key] for key in task.keys])
        for name, task in tasks.items()
    }
    aims = {"sensitivity": operating.sensitivity, "specificity": operating.specificity}
    aim = {name: wanted for name, wanted in aims.items() if wanted is not None}
    aimed = " ".join(f"{name} {wanted:g}" for name, wanted in (aim or {"threshold": config.threshold}).items())
    answers = known_answers(tasks, values, held_out.targets, held_out.patients)
    points: dict[str, dict[str, Any]] = {}
    for key, (labels, p, patients) in answers.items():
        points[key] = {"temperature": temperatures[key], "n": len(labels), "from": held_out.source}
        if p.ndim == 1:
            chosen = threshold_for(labels, p, **aim) if aim else config.threshold
            points[key] |= {"aimed": aimed, **asdict(point_at(labels, p, patients, chosen))}
    return OperatingPoints(points, answers)
