"""Scores of eyes and patients, and of the parts of a test set: labels and probabilities in, numbers with intervals out.

A *unit* is an eye or a patient (or a photograph) with its photographs. The worst gradable photograph decides for it. A
unit without a gradable photograph is referred: a grader that cannot see answers "yes".
"""

from collections.abc import Callable, Mapping, Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.bootstrap import logit_interval, resamples
from semiretina.scoring.intervals import Estimate, Floats, Ints, auroc, share
from semiretina.scoring.scores import Scores
from semiretina.scoring.weighted import kappas

Flags = npt.NDArray[np.bool_]


def binary_level(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    members: Ints,
    groups: Ints,
    threshold: float = 0.5,
    level: float = 0.95,
) -> Scores:
    """Scores of the units of one yes-or-no output.

    `labels` [n] of photographs are 0 or 1, unknown where NaN or negative; `probabilities` [n] are NaN where the
    photograph is ungradable; `members` and `groups` [n] number units and patients (`group_numbers`), and no unit has
    two patients. A unit's probability is the largest of its photographs, its label the largest known one.

    Keys: units, ungradable (units without a gradable photograph), n (units whose label is known), positives (ints), and
    the `Estimate`s ungradable_rate and referral_rate (of all units), accuracy, sensitivity and specificity (of those
    n), and auroc (of those that have a probability); each NaN where its class is missing.
    """
    values = np.asarray(probabilities, np.float64)
    y, p, g = _of_units(_known(labels), values, members, groups)
    graded, known = ~np.isnan(p), ~np.isnan(y)
    yes = ~graded | (p >= threshold)
    ranked = graded & known
    return {
        "units": len(y),
        "ungradable": int((~graded).sum()),
        "n": int(known.sum()),
        "positives": int((y == 1).sum()),
        "ungradable_rate": share(~graded, g, level),
        "referral_rate": share(yes, g, level),
        "accuracy": share(yes[known] == (y[known] == 1), g[known], level),
        "auroc": auroc(y[ranked].astype(np.int64), p[ranked], g[ranked], level),
        "sensitivity": share(yes[y == 1], g[y == 1], level),
        "specificity": share(~yes[y == 0], g[y == 0], level),
    }


def class_level(
    labels: npt.ArrayLike, answers: npt.ArrayLike, classes: int, members: Ints, groups: Ints, level: float = 0.95
) -> Scores:
    """Scores of the units of one choice among `classes` grades, 0 the mildest.

    `labels` [n] of photographs are grades, unknown where NaN or negative; `answers` [n] are grades, NaN where the
    photograph is ungradable; `members` and `groups` as in `binary_level`. A unit's answer is the worst one of its
    photographs, its label the worst known one. A unit without a gradable photograph has no grade: it is counted and not
    scored.

    Keys: units, ungradable, n (units that have both a label and an answer), and the `Estimate`s ungradable_rate (of
    all units), accuracy and quadratic_kappa, with the interval that `class_scores` has.
    """
    y, answered, g = _of_units(_known(labels), np.asarray(answers, np.float64), members, groups)
    graded = ~np.isnan(answered)
    both = graded & ~np.isnan(y)
    truth, answer, g_both = y[both].astype(np.int64), answered[both].astype(np.int64), g[both]
    kappa = Estimate(nan)
    if len(truth):
        value = float(kappas(truth, answer, classes, np.ones((1, len(truth))))[0])
        blocks = resamples(g_both, "scores", width=classes)
        drawn = np.concatenate([kappas(truth, answer, classes, weights) for weights in blocks])
        rarer = len(np.unique(g_both[truth != np.bincount(truth).argmax()]))
        bounds = logit_interval(value, drawn, len(np.unique(g_both)), rarer - 1, level, (-1.0, 1.0))
        kappa = Estimate(value, *bounds)
    return {
        "units": len(y),
        "ungradable": int((~graded).sum()),
        "n": len(truth),
        "ungradable_rate": share(~graded, g, level),
        "accuracy": share(answer == truth, g_both, level),
        "quadratic_kappa": kappa,
    }


def binary_part(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Ints, threshold: float = 0.5, level: float = 0.95
) -> Scores:
    """The scores of a part of a test set, from the photographs [n] of one yes-or-no output.

    Keys: n, positives (ints; photographs with an unknown label are dropped), and the `Estimate`s accuracy, auroc,
    sensitivity and specificity, none by resampling; each NaN where its class is missing.
    """
    y, values = _known(labels), np.asarray(probabilities, np.float64)
    known = ~np.isnan(y)
    truth, p, g = y[known].astype(np.int64), values[known], groups[known]
    yes = p >= threshold
    return {
        "n": len(truth),
        "positives": int(truth.sum()),
        "accuracy": share(yes == (truth == 1), g, level),
        "auroc": auroc(truth, p, g, level),
        "sensitivity": share(yes[truth == 1], g[truth == 1], level),
        "specificity": share(~yes[truth == 0], g[truth == 0], level),
    }


def class_part(labels: npt.ArrayLike, answers: npt.ArrayLike, groups: Ints, level: float = 0.95) -> Scores:
    """As `binary_part`, of one choice among classes: n and accuracy."""
    y = _known(labels)
    known = ~np.isnan(y)
    right = np.asarray(answers, np.float64)[known] == y[known]
    return {"n": len(right), "accuracy": share(right, groups[known], level)}


def by_part(names: Sequence[str], score: Callable[[Flags], Scores]) -> Mapping[str, Scores]:
    """`score` of the photographs of each name, in the order of the names; empty where fewer than two have a label.

    `names` [n] are "" where unknown: these photographs stand in no part. `score` takes flags [n] of photographs.
    """
    of = np.array(names, np.str_)
    scored = {name: score(of == name) for name in sorted(set(names) - {""})}
    labeled = {name: scores for name, scores in scored.items() if scores["n"]}
    return labeled if len(labeled) > 1 else {}


def _known(labels: npt.ArrayLike) -> Floats:
    """[n] labels, NaN where unknown."""
    y = np.asarray(labels, np.float64)
    return np.where(y >= 0, y, nan)


def _of_units(labels: Floats, values: Floats, members: Ints, groups: Ints) -> tuple[Floats, Floats, Ints]:
    """Of each unit the largest label and the largest value, NaN where it has none, and its group."""
    assert len(labels) == len(values) == len(members) == len(groups), "one label, value, unit and group a photograph"
    _, first, unit = np.unique(members, return_index=True, return_inverse=True)
    assert (groups[first][unit] == groups).all(), "a unit of two patients"
    largest = np.full((2, len(first)), nan)
    np.fmax.at(largest[0], unit, labels)
    np.fmax.at(largest[1], unit, values)
    return largest[0], largest[1], groups[first]
