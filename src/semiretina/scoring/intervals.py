"""Intervals of shares and of the area under the ROC curve, for photographs in groups (the eyes of a patient).

Two photographs of one patient tell less than two of different patients. A `groups` array names each photograph's
patient; an empty name is a patient of its own. With one photograph a patient every interval here equals its well-known
plain form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, inf, isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri, stdtrit
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEVEL = 0.95  # of all intervals, unless another one is asked for
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)

Groups = Sequence[str] | npt.NDArray[np.str_] | Ints  # names of patients, or numbers for them


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval [low, high]; NaN where undefined."""

    value: float
    low: float = nan
    high: float = nan


def group_numbers(groups: Groups) -> Ints:
    """[n] whole numbers 0, 1, ..., equal where the names are equal; an empty name is a group of its own.

    Whole numbers may stand for names.
    """
    names = np.asarray(groups)
    if names.dtype.kind not in "iu":
        names = names.astype(np.str_)
        unnamed = names == ""
        names = np.unique(names, return_inverse=True)[1]
        names = np.where(unnamed, len(names) + np.cumsum(unnamed), names)
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def wilson(value: float, trials: float, level: float = LEVEL) -> Estimate:
    """Wilson's score interval of a share observed in `trials`, which may be an effective, fractional number."""
    z = float(ndtri((1 + level) / 2))
    center = (value + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(value * (1 - value) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # Rounding must not push a bound past the value, which it equals at 0 and at 1.
    return Estimate(value, min(max(center - half, 0.0), value), max(min(center + half, 1.0), value))


def share(hits: npt.NDArray[np.bool_], groups: Ints, level: float = LEVEL) -> Estimate:
    """The share of true `hits` [n], with Wilson's interval at the effective number of photographs; NaN when n = 0.

    `groups` [n] are numbers as of `group_numbers`.
    """
    if len(hits) == 0:
        return Estimate(nan)
    return wilson(float(hits.mean()), effective_number(hits, groups, level), level)


def effective_number(hits: npt.NDArray[np.bool_], groups: Ints, level: float = LEVEL) -> float:
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
    students = float(stdtrit(n - 1, (1 + level) / 2) / stdtrit(len(sizes) - 1, (1 + level) / 2))
    return n / max(1.0, between / independent) * students**2


def mean_of(shares: Sequence[Estimate]) -> Estimate:
    """The mean of shares of different photographs, from their intervals; NaN where there is none or one is NaN.

    Each bound is away from the mean by the root of the summed squares of the shares' own distances (MOVER: Zou, Donner,
    Statistics in Medicine 2008; 27:1693), as if the shares were independent. For sensitivity and specificity that is
    wide enough: what raises a grader's answer to both eyes of a patient raises the one and lowers the other.
    """
    count = len(shares)
    value = sum(each.value for each in shares) / count if count else nan
    if isnan(value):
        return Estimate(nan)
    below = hypot(*(each.value - each.low for each in shares)) / count
    above = hypot(*(each.high - each.value for each in shares)) / count
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def predictive_value(named: Estimate, passed: Estimate, frequency: float) -> Estimate:
    """Of those that a test names, the share that is what it names, where a share of `frequency` of all is.

    PPV from sensitivity (`named`), specificity (`passed`) and prevalence; NPV from specificity, sensitivity and 1 -
    prevalence, by Bayes's theorem. `frequency` counts as known. The interval is that of the likelihood ratio named /
    (1 - passed), by MOVER for ratios (Donner, Zou, Statistical Methods in Medical Research 2012; 21:347); it is defined
    where all or none are named. NaN where nothing is named or a share is NaN.
    """
    a, c = named.value, 1 - passed.value
    if not a + c > 0:
        return Estimate(nan)
    lower_c, upper_c = 1 - passed.high, 1 - passed.low
    # The two roots r of (a - r c)^2 = (distance of the bound of a)^2 + (r times that of c)^2.
    from_below, from_above = named.low * (2 * a - named.low), named.high * (2 * a - named.high)
    root = sqrt(max(0.0, (a * c) ** 2 - from_below * upper_c * (2 * c - upper_c)))
    low = from_below / (a * c + root) if from_below > 0 else 0.0
    root = sqrt(max(0.0, (a * c) ** 2 - from_above * lower_c * (2 * c - lower_c)))
    high = (a * c + root) / (lower_c * (2 * c - lower_c)) if lower_c > 0 else inf
    value, low, high = (_posterior(ratio, frequency) for ratio in (a / c if c > 0 else inf, low, high))
    # Rounding must not push a bound past the value.
    return Estimate(value, min(low, value), max(high, value))


def _posterior(ratio: float, frequency: float) -> float:
    return 1.0 if ratio == inf else ratio * frequency / (ratio * frequency + 1 - frequency)


def auroc(labels: Ints, probabilities: Floats, groups: Ints, level: float = LEVEL) -> Estimate:
    """Area under the ROC curve of `labels` [n] (0 or 1), with the interval of its logit; NaN when a class is missing.

    Variance and degrees of freedom of Student's quantile are those of `area_and_variance`. Where the variance is zero
    or cannot be had (perfect or constant ranking, a class of one group), the interval is Wilson's with as many trials
    as the smaller class has groups.
    """
    value, variance, df = area_and_variance(labels, probabilities, groups)
    if isnan(value):
        return Estimate(nan)
    if isnan(variance) or variance < 1e-12 or not 0 < value < 1:
        trials = min(len(np.unique(groups[labels == 1])), len(np.unique(groups[labels != 1])))
        return wilson(value, trials, level)
    half = float(stdtrit(df, (1 + level) / 2)) * sqrt(variance) / (value * (1 - value))
    return Estimate(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)))


class Area(NamedTuple):
    """An area under the ROC curve, or a difference of two, its variance and the degrees of freedom of that variance."""

    value: float
    variance: float
    df: float


def area_and_variance(labels: Ints, values: Floats, groups: Ints, minus: Floats | None = None) -> Area:
    """Area under the ROC curve and its variance, NaN where undefined: each class needs one group, the variance two.

    With `minus`, other values of the same photographs: the area less theirs, and the variance of this difference.
    Variance by structural components (DeLong, DeLong, Clarke-Pearson, Biometrics 1988; 44:837), summed over groups,
    which may hold both classes (Obuchowski, Biometrics 1997; 53:567). Degrees of freedom by Satterthwaite (Biometrics
    Bulletin 1946; 2:110) of its two parts, the one over the groups that hold positives and the one over those that hold
    negatives: at least 1, and NaN where the parts are 0.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return Area(nan, nan, nan)
    over_negatives, under_positives = _placements(positive, values)
    if minus is not None:
        over_other, under_other = _placements(positive, minus)
        over_negatives, under_positives = over_negatives - over_other, under_positives - under_other
    area = float(over_negatives.mean())
    of_positives, of_negatives = groups[positive], groups[~positive]
    clusters, holding, free = (len(np.unique(each)) for each in (groups, of_positives, of_negatives))
    if min(holding, free) == 1:
        return Area(area, nan, nan)
    size = int(groups.max()) + 1
    v10 = np.bincount(of_positives, weights=over_negatives - area, minlength=size) / m
    v01 = np.bincount(of_negatives, weights=under_positives - area, minlength=size) / n
    positives = float(holding / (holding - 1) * v10 @ v10)
    negatives = float(free / (free - 1) * v01 @ v01)
    both = positives + negatives
    if both == 0:
        return Area(area, 0.0, nan)
    df = 1 / ((positives / both) ** 2 / (holding - 1) + (negatives / both) ** 2 / (free - 1))
    return Area(area, both + float(2 * clusters / (clusters - 1) * v10 @ v01), df)


def _placements(positive: npt.NDArray[np.bool_], values: Floats) -> tuple[Floats, Floats]:
    """Of positives and of negatives: the share of the other class that each is ranked rightly against, ties half."""
    ranks, m, n = rankdata(values), int(positive.sum()), int((~positive).sum())
    over_negatives = (ranks[positive] - rankdata(values[positive])) / n
    return over_negatives, 1 - (ranks[~positive] - rankdata(values[~positive])) / m
