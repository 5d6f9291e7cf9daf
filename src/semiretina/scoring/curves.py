"""Curves of a yes-or-no answer over its threshold, with pointwise bands over patients.

Both curves are steps: what is reached at a specificity of *at least* so much, and how precise the answer is where it
finds *at least* that share of the positives. Nothing is interpolated, so the band is that of an operating point that
exists. A band holds 95 % of the bootstrap's curves at each place by itself, not everywhere at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.intervals import TAILS, Floats, Ints

RESAMPLES = 1000  # fewer than for a score: a band is looked at, not read to three decimals
PLACES = 201


@dataclass(frozen=True)
class Band:
    """A curve at the places `x`, and its interval there; NaN where undefined. All [g]."""

    x: Floats
    value: Floats
    low: Floats
    high: Floats


def roc_band(labels: Ints, values: Floats, groups: Ints) -> Band:
    """The ROC curve of `labels` [n], some 0 and some 1, ranked by `values` [s, n]: on average over s seeds at equal x.

    `x` is 1 - specificity. `groups` [n] are the patients' numbers.
    """
    return _band(sensitivities, np.linspace(0, 1, PLACES), labels, values, groups)


def precision_band(labels: Ints, values: Floats, groups: Ints) -> Band:
    """The precision-recall curve, on average over the s seeds at equal recall, which is `x`."""
    return _band(precisions, np.linspace(0, 1, PLACES)[1:], labels, values, groups)


def sensitivities(labels: Ints, values: Floats, weights: Floats, places: Floats) -> Floats:
    """[b, g] the highest sensitivity at which at most the share `places` [g] of the negatives is called positive.

    `weights` [b, n] as in `scoring.weighted`; NaN where a class is missing.
    """
    right, wrong = _running(labels, values, weights)
    reached = np.full((len(weights), len(places)), np.nan)
    for row, (ours, theirs) in enumerate(zip(right, wrong, strict=True)):
        if ours[-1] > 0 and theirs[-1] > 0:
            last = np.searchsorted(theirs, places * theirs[-1] * (1 + 1e-12), "right") - 1
            reached[row] = ours[last] / ours[-1]
    return reached


def precisions(labels: Ints, values: Floats, weights: Floats, places: Floats) -> Floats:
    """[b, g] the precision at the highest threshold that finds at least the share `places` [g] > 0 of the positives."""
    right, wrong = _running(labels, values, weights)
    reached = np.full((len(weights), len(places)), np.nan)
    for row, (ours, theirs) in enumerate(zip(right, wrong, strict=True)):
        if ours[-1] > 0 and theirs[-1] > 0:
            first = np.searchsorted(ours, places * ours[-1] * (1 - 1e-12), "left")
            reached[row] = ours[first] / (ours[first] + theirs[first])
    return reached


def _running(labels: Ints, values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """[b, t + 1] the weight of positives and of negatives above each of the t different values, from 0 on."""
    order = np.argsort(-values, kind="stable")
    falling = -values[order]
    ends = np.flatnonzero(np.append(np.diff(falling) != 0, True))  # photographs of equal value are answered together
    positive = labels[order] == 1
    sums = [np.cumsum(weights[:, order] * side, axis=1)[:, ends] for side in (positive, ~positive)]
    zero = np.zeros((len(weights), 1))
    return np.concatenate([zero, sums[0]], axis=1), np.concatenate([zero, sums[1]], axis=1)


def _band(
    curve: Callable[[Ints, Floats, Floats, Floats], Floats],
    places: Floats,
    labels: Ints,
    values: Floats,
    groups: Ints,
) -> Band:
    assert values.shape[1:] == labels.shape == groups.shape

    def mean(weights: Floats) -> Floats:
        return np.asarray(np.mean([curve(labels, seed, weights, places) for seed in values], axis=0), np.float64)

    value = mean(np.ones((1, len(labels))))[0]
    drawn = np.concatenate([mean(block) for block in resamples(groups, "curve", width=4, count=RESAMPLES)])
    defined = drawn[np.isfinite(drawn).all(axis=1)]
    if not len(defined):
        nothing = np.full_like(places, np.nan)
        return Band(places, value, nothing, nothing)
    low, high = np.quantile(defined, TAILS, axis=0)
    return Band(places, value, low, high)
