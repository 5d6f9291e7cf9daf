"""Scores of eyes and patients, and of the parts of a test set: labels and probabilities in, numbers with intervals out.

A *unit* is an eye or a patient (or a photograph) with its photographs. The worst gradable photograph decides for it. A
unit without a gradable photograph is referred: a grader that cannot see answers "yes".
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf, nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.intervals import Floats, Ints, auroc, share
from semiretina.scoring.scores import BINARY, CLASSES, Choice, Scores, YesNo, scores_of

Flags = npt.NDArray[np.bool_]


def binary_level(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, members: Ints, groups: Ints, threshold: float = 0.5
) -> Scores:
    """Scores of the units of one yes-or-no output.

    `labels` [n] of photographs are 0 or 1, unknown where NaN or negative; `probabilities` [n] are NaN where the
    photograph is ungradable; `members` and `groups` [n] number units and patients (`group_numbers`), and no unit has
    two patients. A unit's probability is the largest of its photographs, its label the largest known one.

    Keys: units, ungradable (units without a gradable photograph), ungradable_rate and referral_rate (of all units), and
    those of `binary_part`, of the n units whose label is known; auroc is of those that have a probability, too.
    """
    y, p, g = _of_units(labels, probabilities, members, groups)
    blind = np.isnan(p)
    ranked = ~blind & ~np.isnan(y)
    surest = np.where(blind, inf, p)
    return {
        "units": len(y),
        "ungradable": int(blind.sum()),
        "ungradable_rate": share(blind, g),
        "referral_rate": share(surest >= threshold, g),
        **binary_part(y, surest, g, threshold),
        "auroc": auroc(y[ranked].astype(np.int64), p[ranked], g[ranked]),
    }


def class_level(labels: npt.ArrayLike, answers: npt.ArrayLike, classes: int, members: Ints, groups: Ints) -> Scores:
    """Scores of the units of one choice among `classes` grades, 0 the mildest.

    `labels` [n] of photographs are grades, unknown where NaN or negative; `answers` [n] are grades, NaN where the
    photograph is ungradable; `members` and `groups` as in `binary_level`. A unit's answer is the worst one of its
    photographs, its label the worst known one. A unit without a gradable photograph has no grade: it is counted and not
    scored.

    Keys: units, ungradable and ungradable_rate as in `binary_level`, and n, accuracy and quadratic_kappa of
    `class_scores`, of the n units that have both a label and an answer.
    """
    y, answered, g = _of_units(labels, answers, members, groups)
    blind = np.isnan(answered)
    both = ~blind & ~np.isnan(y)
    choice = Choice(y[both].astype(np.int64), np.eye(classes)[answered[both].astype(np.int64)], g[both])
    return {
        "units": len(y),
        "ungradable": int(blind.sum()),
        "ungradable_rate": share(blind, g),
        **scores_of({name: CLASSES[name] for name in ("n", "accuracy", "quadratic_kappa")}, choice, width=classes),
    }


def binary_part(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Ints, threshold: float = 0.5) -> Scores:
    """The scores of a part of a test set, from the photographs [n] of one yes-or-no output.

    Those of `binary_scores` that take no resampling: n, positives (ints; photographs with an unknown label are
    dropped), and the `Estimate`s accuracy, auroc, sensitivity and specificity; each NaN where its class is missing.
    """
    y = _known(labels)
    known = ~np.isnan(y)
    answers = YesNo(y[known].astype(np.int64), np.asarray(probabilities, np.float64)[known], groups[known], threshold)
    names = ("n", "positives", "accuracy", "auroc", "sensitivity", "specificity")
    return scores_of({name: BINARY[name] for name in names}, answers, width=1)


def class_part(labels: npt.ArrayLike, answers: npt.ArrayLike, groups: Ints) -> Scores:
    """As `binary_part`, of one choice among classes: n and accuracy."""
    y = _known(labels)
    known = ~np.isnan(y)
    right = np.asarray(answers, np.float64)[known] == y[known]
    return {"n": len(right), "accuracy": share(right, groups[known])}


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


def _of_units(labels: npt.ArrayLike, values: npt.ArrayLike, members: Ints, groups: Ints) -> tuple[Floats, Floats, Ints]:
    """Of each unit the largest label and the largest value, NaN where it has none, and its group."""
    known, value = _known(labels), np.asarray(values, np.float64)
    assert len(known) == len(value) == len(members) == len(groups), "one label, value, unit and group a photograph"
    _, first, unit = np.unique(members, return_index=True, return_inverse=True)
    assert (groups[first][unit] == groups).all(), "a unit of two patients"
    largest = np.full((2, len(first)), nan)
    np.fmax.at(largest[0], unit, known)
    np.fmax.at(largest[1], unit, value)
    return largest[0], largest[1], groups[first]
