"""Scores of a grader: labels and probabilities in, numbers with 95 % intervals out.

Accuracy stands beside the majority vote, the accuracy of always naming the commonest class. How often the intervals
hold the truth is measured in `benchmarks/coverage.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.bootstrap import logit_interval, reflected_interval, resamples
from semiretina.scoring.intervals import (
    Estimate,
    Floats,
    Ints,
    auroc,
    group_numbers,
    mean_of,
    predictive_value,
    share,
    wilson,
)
from semiretina.scoring.weighted import (
    average_precisions,
    briers,
    calibration_errors,
    kappas,
    macro_aurocs,
)

Scores = dict[str, Estimate | float | int]
Groups = Sequence[str] | npt.NDArray[np.str_] | Ints
Values = Mapping[str, Floats]  # of scores in resamples
RANGES = {"quadratic_kappa": (-1.0, 1.0), "brier": (0.0, 2.0)}  # of a choice among classes; otherwise 0 to 1


def binary_scores(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: Groups,
    threshold: float = 0.5,
    level: float = 0.95,
    prevalence: float | None = None,
) -> Scores:
    """Scores of one yes-or-no output.

    `labels` [n] are 0 or 1; unknown ones (NaN or negative) are dropped. `probabilities` [n] of 1; a probability at or
    above `threshold` is a yes. `groups` [n] name the patients. Keys: n, positives (ints), majority and prevalence
    (floats: the stated `prevalence`, or else the sample's), and the `Estimate`s accuracy, balanced_accuracy, auroc,
    average_precision, sensitivity, specificity, ppv and npv (at that prevalence, which counts as known), brier and ece;
    each NaN where its class is missing.

    Intervals: `share` for accuracy, sensitivity and specificity, and from the latter two `mean_of` and
    `predictive_value`; `auroc`; 2000 resamples of patients, drawn the same at each call, for average precision and
    Brier's score (`logit_interval`) and for the calibration error (`reflected_interval`).
    """
    y, p, g = _known(labels, probabilities, groups)
    yes, positive = p >= threshold, y == 1
    n, positives = len(y), int(y.sum())
    assert prevalence is None or 0 < prevalence < 1, "a prevalence is a share between 0 and 1"
    rate = (positives / n if n else nan) if prevalence is None else prevalence
    sensitivity, specificity = share(yes[positive], g[positive], level), share(~yes[~positive], g[~positive], level)

    def values(weights: Floats) -> Values:
        return {
            "average_precision": average_precisions(y, p, weights),
            "brier": briers(y, p, weights),
            "ece": calibration_errors(y, p, weights),
        }

    resampled = _bootstrap(values, y, g, level)
    precision = resampled["average_precision"]
    if precision.value == 1:
        # A perfect ranking, as in `auroc`: no resample is worse.
        precision = wilson(1.0, len(np.unique(g[positive])), level)
    return {
        "n": n,
        "positives": positives,
        "majority": max(positives, n - positives) / n if n else nan,
        "prevalence": rate,
        "accuracy": share(yes == positive, g, level),
        "balanced_accuracy": mean_of([sensitivity, specificity]),
        "auroc": auroc(y, p, g, level),
        "average_precision": precision,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": predictive_value(sensitivity, specificity, rate),
        "npv": predictive_value(specificity, sensitivity, 1 - rate),
        "brier": resampled["brier"],
        "ece": resampled["ece"],
    }


def class_scores(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups, level: float = 0.95) -> Scores:
    """Scores of one choice among k classes in their order (grades).

    `labels` [n] are class numbers; negative ones are unknown and dropped. `probabilities` [n, k]; the largest is the
    answer. Keys: n (int), majority (float), and the `Estimate`s accuracy, balanced_accuracy (the mean over classes of
    the share answered rightly), quadratic_kappa (Cohen's, weights (i - j)^2), auroc (the mean over classes of one
    against the rest), brier (summed over classes) and ece (of the answer's probability). A class that is absent is left
    out of the means. The intervals of accuracy and balanced accuracy are those of `share` and `mean_of`; the others are
    `logit_interval`s, that of ece a `reflected_interval`, NaN where the resamples do not vary.
    """
    y, p, g = _known(labels, probabilities, groups)
    n, classes = len(y), p.shape[1]
    assert n == 0 or y.max() < classes, "a label beyond the last class"
    answers = p.argmax(axis=1)
    right, certainty = answers == y, p.max(axis=1, initial=0)

    def values(weights: Floats) -> Values:
        return {
            "quadratic_kappa": kappas(y, answers, classes, weights),
            "auroc": macro_aurocs(y, p, weights),
            "brier": briers(y, p, weights),
            "ece": calibration_errors(right, certainty, weights),
        }

    own = [y == k for k in range(classes) if (y == k).any()]
    return {
        "n": n,
        "majority": float(np.bincount(y).max() / n) if n else nan,
        "accuracy": share(right, g, level),
        "balanced_accuracy": mean_of([share(right[k], g[k], level) for k in own] if len(own) > 1 else []),
        **_bootstrap(values, y, g, level, RANGES, width=classes),
    }


def _known(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups) -> tuple[Ints, Floats, Ints]:
    y, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    assert y.ndim == 1, "one label a photograph"
    assert len(y) == len(p) == len(groups), f"{len(y)} labels, {len(p)} probabilities, {len(groups)} groups"
    known = y >= 0
    p = p[known]
    assert np.isfinite(p).all(), "probabilities must be finite"
    return y[known].astype(np.int64), p, group_numbers(np.asarray(groups)[known])


def _bootstrap(
    values: Callable[[Floats], Values],
    y: Ints,
    groups: Ints,
    level: float,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    width: int = 1,
) -> dict[str, Estimate]:
    """`values` of the photographs as they are, with intervals from one set of resamples of the groups.

    A score lies between 0 and 1, if not in its own one of `ranges`. How sure its standard error is depends on the
    patients that have anything but the commonest class: with few of them all resamples are alike.
    """
    observed = values(np.ones((1, len(groups))))
    blocks = [values(weights) for weights in resamples(groups, "scores", width=width)]
    patients = len(np.unique(groups))
    rarer = len(np.unique(groups[y != np.bincount(y).argmax()])) if len(y) else 0
    estimates = {}
    for name, whole in observed.items():
        value, drawn = float(whole[0]), np.concatenate([block[name] for block in blocks] or [np.zeros(0)])
        if name == "ece":
            bounds = reflected_interval(value, drawn, level)
        else:
            bounds = logit_interval(value, drawn, patients, rarer - 1, level, *(ranges or {}).get(name, (0.0, 1.0)))
        estimates[name] = Estimate(value, *bounds)
    return estimates
