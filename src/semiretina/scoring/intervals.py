"""Intervals of shares and of the area under the ROC curve, for photographs in groups (the eyes of a patient).

Two photographs of one patient tell less than two of different patients. A `groups` array names each photograph's
patient; an empty name is a patient of its own. With one photograph a patient every interval here equals its well-known
plain form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import norm, rankdata, t

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval [low, high]; NaN where undefined."""

    value: float
    low: float = nan
    high: float = nan


def group_numbers(groups: Sequence[str] | npt.NDArray[np.str_]) -> Ints:
    """[n] whole numbers, equal where the names are equal; an empty name is a group of its own."""
    names = np.asarray(groups, dtype=np.str_)
    _, numbers = np.unique(names, return_inverse=True)
    unnamed = names == ""
    numbers = np.where(unnamed, len(names) + np.cumsum(unnamed), numbers)
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def wilson(value: float, trials: float, level: float = 0.95) -> Estimate:
    """Wilson's score interval of a share observed in `trials`, which may be an effective, fractional number."""
    z = float(norm.isf((1 - level) / 2))
    center = (value + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(value * (1 - value) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # Rounding must not push a bound past the value, which it equals at 0 and at 1.
    return Estimate(value, min(max(center - half, 0.0), value), max(min(center + half, 1.0), value))


def share(hits: npt.NDArray[np.bool_], groups: Ints, level: float = 0.95) -> Estimate:
    """The share of true `hits` [n], with Wilson's interval at the effective number of photographs; NaN when n = 0.

    `groups` [n] are numbers as of `group_numbers`.
    """
    if len(hits) == 0:
        return Estimate(nan)
    return wilson(float(hits.mean()), effective_number(hits, groups, level), level)


def effective_number(hits: npt.NDArray[np.bool_], groups: Ints, level: float = 0.95) -> float:
    """How many independent photographs would give the share of `hits` as precisely: n / design effect.

    The design effect is the variance of the share over groups, as of a ratio (Rao, Scott, Biometrics 1992; 48:577),
    over its variance if photographs were independent, and at least 1: few groups may look more alike than chance by
    chance. The factor of Student quantiles (Korn, Graubard, Survey Methodology 1998; 24:193) tells for few groups.
    Where nothing can be estimated (all hits equal, or one group), the photographs of a group count as copies of each
    other: n^2 / sum of squared group sizes.
    """
    n = len(hits)
    sizes = np.bincount(groups)
    sizes = sizes[sizes > 0]
    if len(sizes) == n:
        return float(n)
    value = hits.mean()
    if len(sizes) == 1 or value in (0.0, 1.0):
        return float(n**2 / np.square(sizes).sum())
    residuals = np.bincount(groups, weights=hits - value)  # of a group: hits - size * value
    between = len(sizes) / (len(sizes) - 1) * float(np.square(residuals).sum())
    independent = n / (n - 1) * n * float(value * (1 - value))
    students = float(t.isf((1 - level) / 2, n - 1) / t.isf((1 - level) / 2, len(sizes) - 1))
    return n / max(1.0, between / independent) * students**2


def auroc(labels: Ints, probabilities: Floats, groups: Ints, level: float = 0.95) -> Estimate:
    """Area under the ROC curve of `labels` [n] (0 or 1), with the interval of its logit; NaN when a class is missing.

    Variance by structural components (DeLong, DeLong, Clarke-Pearson, Biometrics 1988; 44:837), summed over groups,
    which may hold both classes (Obuchowski, Biometrics 1997; 53:567). Where that variance is zero or cannot be had
    (perfect or constant ranking, a class of one group), the interval is Wilson's with as many trials as the smaller
    class has groups.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return Estimate(nan)
    ranks = rankdata(probabilities)
    # Of a photograph: the share of the other class that it is ranked rightly against, ties counting half.
    over_negatives = (ranks[positive] - rankdata(probabilities[positive])) / n
    under_positives = 1 - (ranks[~positive] - rankdata(probabilities[~positive])) / m
    value = float(over_negatives.mean())
    of_positives, of_negatives = groups[positive], groups[~positive]
    clusters = len(np.unique(groups))
    positive_clusters, negative_clusters = len(np.unique(of_positives)), len(np.unique(of_negatives))
    fallback = wilson(value, min(positive_clusters, negative_clusters), level)
    if min(positive_clusters, negative_clusters) == 1:
        return fallback
    count = int(groups.max()) + 1
    v10 = np.bincount(of_positives, weights=over_negatives - value, minlength=count)
    v01 = np.bincount(of_negatives, weights=under_positives - value, minlength=count)
    s10 = positive_clusters / (positive_clusters - 1) * float(v10 @ v10) / m
    s01 = negative_clusters / (negative_clusters - 1) * float(v01 @ v01) / n
    s11 = clusters / (clusters - 1) * float(v10 @ v01)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    if variance < 1e-12 or not 0 < value < 1:
        return fallback
    half = float(norm.isf((1 - level) / 2)) * sqrt(variance) / (value * (1 - value))
    return Estimate(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)))
