"""Calibration: one number that makes probabilities mean what they say, and the diagram that shows whether they do."""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import softmax

from semiretina.draws import generator
from semiretina.scoring.intervals import TAILS, Estimate, Floats, Groups, Ints, group_numbers, share
from semiretina.scoring.weighted import BINS, bins_of

COLDEST, HOTTEST = 0.05, 20.0
DRAWS = 200


def fit_temperature(logits: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The temperature: divided by it, the logits make the targets likeliest (Guo et al., ICML 2017, section 4.2).

    `targets` of the logits' shape are answers to a sigmoid for each logit: 0 or 1, NaN where unknown. `targets` [n] of
    `logits` [n, k] are classes, of a softmax over the logits, negative where unknown. At least one must be known.

    One of the n answers counts as drawn at random: otherwise logits without an error would be sharpened without end. In
    1 / temperature the likelihood is then concave, with one maximum; it lies in [0.05, 20], and is 1 for logits that
    say nothing.
    """
    z, y = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    assert y.shape in (z.shape, z.shape[:1]), f"logits {z.shape} and targets {y.shape}"
    if z.shape == y.shape:
        z, y = np.stack([np.zeros(z.size), z.ravel()], axis=1), y.ravel()
    known = y >= 0
    z, y = z[known], y[known].astype(np.int64)
    n, classes = z.shape
    assert n, "no label is known"
    z = z - z.mean(axis=1, keepdims=True)
    if not z.any():
        return 1.0
    wanted = np.full((n, classes), 1 / (n * classes))
    wanted[np.arange(n), y] += 1 - 1 / n

    def slope(inverse: float) -> float:
        return float((z * (softmax(inverse * z, axis=1) - wanted)).sum())

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return 1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-12, rtol=1e-12))


def error_by_chance(probabilities: Floats) -> Estimate:
    """The calibration error that chance alone gives a grader whose `probabilities` [n] of 1 are exactly right.

    Labels are drawn from the probabilities, 200 times, the same at each call: the mean of their expected calibration
    errors, and the range that holds 95 % of them. An error in that range says nothing against the grader (the resampled
    consistency of Broecker, Smith, Weather and Forecasting 2007; 22:651). NaN without any.
    """
    n = len(probabilities)
    if n == 0:
        return Estimate(nan)
    random, bins = generator("error by chance", n), bins_of(probabilities)
    errors = []
    for _ in range(DRAWS):
        gaps = np.bincount(bins, (random.random(n) < probabilities) - probabilities, BINS)
        errors.append(np.abs(gaps).sum() / n)
    low, high = np.quantile(errors, TAILS)
    return Estimate(float(np.mean(errors)), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Bin:
    """The photographs whose probability of a yes lies in (low, high]; the first bin holds 0 too.

    `probability` is their mean probability and `observed` the share of them that is a yes; NaN where n = 0.
    """

    low: float
    high: float
    n: int
    probability: float
    observed: Estimate


def reliability(labels: Ints, probabilities: Floats, groups: Groups) -> list[Bin]:
    """The bins of a reliability diagram, those that the expected calibration error sums over (`weighted`), from 0 to 1.

    `labels` [n] are 0 or 1, or whether the answer was right; `probabilities` [n] of 1. Intervals as of `share`.
    """
    edges = np.linspace(0, 1, BINS + 1)
    numbers = bins_of(probabilities)
    patients = group_numbers(groups)
    bins = []
    for number in range(BINS):
        here = numbers == number
        mean = float(probabilities[here].mean(dtype=np.float64)) if here.any() else nan
        observed = share(labels[here] == 1, patients[here])
        bins.append(Bin(float(edges[number]), float(edges[number + 1]), int(here.sum()), mean, observed))
    return bins
