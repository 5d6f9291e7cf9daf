"""Scores of a grader: labels and probabilities in, numbers with 95 % intervals out.

The tables `BINARY` and `CLASSES` name every score; a new one is a line there and one in the report's columns. Accuracy
stands beside the majority vote, the accuracy of always naming the commonest class. How often the intervals hold the
truth is measured in `benchmarks/coverage.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from semiretina.scoring.bootstrap import logit_interval, reflected_interval, resamples
from semiretina.scoring.calibration import error_by_chance
from semiretina.scoring.intervals import (
    Estimate,
    Floats,
    Groups,
    Ints,
    auroc,
    group_numbers,
    mean_of,
    predictive_value,
    share,
    wilson,
)
from semiretina.scoring.weighted import average_precisions, briers, calibration_errors, kappas, macro_aurocs

Score = Estimate | float | int
Scores = dict[str, Score]


@dataclass(frozen=True)
class YesNo:
    """The answers to n photographs whose label is known: `labels` 0 or 1, and `probabilities` of 1."""

    labels: Ints
    probabilities: Floats
    groups: Ints  # [n] the patients' numbers
    threshold: float
    stated: float | None = None  # the prevalence, the sample's if None

    @cached_property
    def yes(self) -> npt.NDArray[np.bool_]:
        """[n] the answers."""
        return np.asarray(self.probabilities >= self.threshold)

    @cached_property
    def prevalence(self) -> float:
        """The stated one, or else the sample's."""
        if self.stated is not None:
            return self.stated
        return int(self.labels.sum()) / len(self.labels) if len(self.labels) else nan

    @cached_property
    def sensitivity(self) -> Estimate:
        """The share of positives that are a yes."""
        ill = self.labels == 1
        return share(self.yes[ill], self.groups[ill])

    @cached_property
    def specificity(self) -> Estimate:
        """The share of negatives that are a no."""
        healthy = self.labels != 1
        return share(~self.yes[healthy], self.groups[healthy])


@dataclass(frozen=True)
class Choice:
    """The answers to n photographs whose label is known: `labels`, and `probabilities` [n, k] of classes."""

    labels: Ints
    probabilities: Floats
    groups: Ints

    @cached_property
    def answers(self) -> Ints:
        """[n] the likeliest classes."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """[n] whether the answer is the label."""
        return np.asarray(self.answers == self.labels)

    @cached_property
    def certainty(self) -> Floats:
        """[n] the answers' probabilities."""
        return np.asarray(self.probabilities.max(axis=1, initial=0), np.float64)

    @cached_property
    def shares_right(self) -> list[Estimate]:
        """Of each class that is there the share answered rightly; none where there is but one class."""
        classes = [self.labels == k for k in range(self.probabilities.shape[1]) if (self.labels == k).any()]
        rows = classes if len(classes) > 1 else []
        return [share(self.right[of_class], self.groups[of_class]) for of_class in rows]


Answered = TypeVar("Answered", YesNo, Choice)


@dataclass(frozen=True)
class Resampled(Generic[Answered]):
    """A score whose interval comes from resamples of the patients: [b] values for weights [b, n] of the photographs.

    It lies between `least` and `most` (`logit_interval`), or is `lifted` by chance (`reflected_interval`).
    """

    values: Callable[[Answered, Floats], Floats]
    least: float = 0.0
    most: float = 1.0
    lifted: bool = False
    perfect: Callable[[Answered], Estimate] | None = None  # instead, where the value is `most`


BINARY: Mapping[str, Callable[[YesNo], Score] | Resampled[YesNo]] = {
    "n": lambda s: len(s.labels),
    "positives": lambda s: int(s.labels.sum()),
    "majority": lambda s: _majority(s.labels),
    "prevalence": lambda s: s.prevalence,
    "accuracy": lambda s: share(s.yes == (s.labels == 1), s.groups),
    "balanced_accuracy": lambda s: mean_of([s.sensitivity, s.specificity]),
    "auroc": lambda s: auroc(s.labels, s.probabilities, s.groups),
    "average_precision": Resampled(
        lambda s, weights: average_precisions(s.labels, s.probabilities, weights),
        # A perfect ranking, as in `auroc`: no resample is worse.
        perfect=lambda s: wilson(1.0, len(np.unique(s.groups[s.labels == 1]))),
    ),
    "sensitivity": lambda s: s.sensitivity,
    "specificity": lambda s: s.specificity,
    "ppv": lambda s: predictive_value(s.sensitivity, s.specificity, s.prevalence),
    "npv": lambda s: predictive_value(s.specificity, s.sensitivity, 1 - s.prevalence),
    "brier": Resampled(lambda s, weights: briers(s.labels, s.probabilities, weights)),
    "ece": Resampled(lambda s, weights: calibration_errors(s.labels, s.probabilities, weights), lifted=True),
    "ece_by_chance": lambda s: error_by_chance(s.probabilities),
}

CLASSES: Mapping[str, Callable[[Choice], Score] | Resampled[Choice]] = {
    "n": lambda s: len(s.labels),
    "majority": lambda s: _majority(s.labels),
    "accuracy": lambda s: share(s.right, s.groups),
    "balanced_accuracy": lambda s: mean_of(s.shares_right),
    "quadratic_kappa": Resampled(
        lambda s, weights: kappas(s.labels, s.answers, s.probabilities.shape[1], weights), least=-1.0
    ),
    "auroc": Resampled(lambda s, weights: macro_aurocs(s.labels, s.probabilities, weights)),
    "brier": Resampled(lambda s, weights: briers(s.labels, s.probabilities, weights), most=2.0),
    "ece": Resampled(lambda s, weights: calibration_errors(s.right, s.certainty, weights), lifted=True),
    "ece_by_chance": lambda s: error_by_chance(s.certainty),
}


def binary_scores(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: Groups,
    threshold: float = 0.5,
    prevalence: float | None = None,
) -> Scores:
    """Scores of one yes-or-no output.

    `labels` [n] are 0 or 1; unknown ones (NaN or negative) are dropped. `probabilities` [n] of 1; a probability at or
    above `threshold` is a yes. `groups` [n] name the patients. Keys: n, positives (ints), majority and prevalence
    (floats: the stated `prevalence`, or else the sample's), and the `Estimate`s accuracy, balanced_accuracy, auroc,
    average_precision, sensitivity, specificity, ppv and npv (at that prevalence, which counts as known), brier, ece and
    ece_by_chance (`error_by_chance`); each NaN where its class is missing.

    Intervals: `share` for accuracy, sensitivity and specificity, and from the latter two `mean_of` and
    `predictive_value`; `auroc`; 2000 resamples of patients, drawn the same at each call, for average precision and
    Brier's score (`logit_interval`) and for the calibration error (`reflected_interval`).
    """
    assert prevalence is None or 0 < prevalence < 1, "a prevalence is a share between 0 and 1"
    return scores_of(BINARY, YesNo(*_known(labels, probabilities, groups), threshold, prevalence), width=1)


def class_scores(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups) -> Scores:
    """Scores of one choice among k classes in their order (grades).

    `labels` [n] are class numbers; negative ones are unknown and dropped. `probabilities` [n, k]; the largest is the
    answer. Keys: n (int), majority (float), and the `Estimate`s accuracy, balanced_accuracy (the mean over classes of
    the share answered rightly), quadratic_kappa (Cohen's, weights (i - j)^2), auroc (the mean over classes of one
    against the rest), brier (summed over classes), ece (of the answer's probability) and ece_by_chance. A class that is
    absent is left out of the means. The intervals of accuracy and balanced accuracy are those of `share` and `mean_of`;
    the others are `logit_interval`s, that of ece a `reflected_interval`, NaN where the resamples do not vary.
    """
    choice = Choice(*_known(labels, probabilities, groups))
    classes = choice.probabilities.shape[1]
    assert len(choice.labels) == 0 or choice.labels.max() < classes, "a label beyond the last class"
    return scores_of(CLASSES, choice, width=classes)


def _known(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups) -> tuple[Ints, Floats, Ints]:
    y, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    assert y.ndim == 1, "one label a photograph"
    assert len(y) == len(p) == len(groups), f"{len(y)} labels, {len(p)} probabilities, {len(groups)} groups"
    known = y >= 0
    p = p[known]
    assert np.isfinite(p).all(), "probabilities must be finite"
    return y[known].astype(np.int64), p, group_numbers(np.asarray(groups)[known])


def _majority(labels: Ints) -> float:
    """The share of the commonest label; NaN without any."""
    return float(np.bincount(labels).max() / len(labels)) if len(labels) else nan


def scores_of(
    table: Mapping[str, Callable[[Answered], Score] | Resampled[Answered]], answered: Answered, width: int
) -> Scores:
    """All scores of a table; those that are resampled share one set of resamples, of `width` cells a photograph.

    How sure the standard error of a resampled score is depends on the patients that have anything but the commonest
    class: with few of them all resamples are alike.
    """
    y, groups = answered.labels, answered.groups
    resampled = {name: score for name, score in table.items() if isinstance(score, Resampled)}
    drawn: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in resampled}
    for weights in resamples(groups, "scores", width=width) if resampled else ():
        for name, score in resampled.items():
            drawn[name].append(score.values(answered, weights))
    patients = len(np.unique(groups))
    rarer = len(np.unique(groups[y != np.bincount(y).argmax()])) if len(y) else 0

    def estimate(name: str, score: Resampled[Answered]) -> Estimate:
        value, values = float(score.values(answered, np.ones((1, len(y))))[0]), np.concatenate(drawn[name])
        if score.perfect is not None and value == score.most:
            return score.perfect(answered)
        if score.lifted:
            return Estimate(value, *reflected_interval(value, values))
        ends = score.least, score.most
        return Estimate(value, *logit_interval(value, values, patients, rarer - 1, ends))

    return {
        name: estimate(name, score) if isinstance(score, Resampled) else score(answered)
        for name, score in table.items()
    }
