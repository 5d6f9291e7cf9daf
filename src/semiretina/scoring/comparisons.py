"""Is one method better than another? Differences of scores on the same photographs, with intervals and tests.

The one estimand: the mean over seeds and patients of score(ours) - score(theirs), where both were trained from the same
seed and answer the same photographs. Its interval speaks of methods (another seed, other patients), not of two files of
weights. With one seed nothing can be said of methods, and the interval is of these two graders alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, t

from semiretina.scoring.bootstrap import RESAMPLES, resamples
from semiretina.scoring.intervals import LEVEL, Floats, Groups, Ints, area_and_variance, group_numbers
from semiretina.scoring.weighted import aurocs, kappas, macro_aurocs, shares

Score = Literal["auroc", "accuracy", "quadratic_kappa"]


@dataclass(frozen=True, slots=True)
class Difference:
    """score(ours) - score(theirs), its interval [low, high], and the two-sided p of "there is none".

    `error` is the standard error and `df` the degrees of freedom of Student's quantile; `seed_error` is the part of
    `error` that seeds alone explain, at seeds - 1 degrees of freedom. The interval is the wider of these two, and
    p <= 1 - level exactly where it leaves out 0. All but `value` are NaN where nothing varies, as between equal
    answers. `groups` counts patients.
    """

    value: float
    low: float
    high: float
    p: float
    error: float
    df: float
    seeds: int
    groups: int
    seed_error: float = 0.0

    def interval(self, level: float) -> tuple[float, float]:
        """The interval at another level."""
        half = float(t.isf((1 - level) / 2, self.df)) * self.error
        if self.seed_error > 0:
            half = max(half, float(t.isf((1 - level) / 2, self.seeds - 1)) * self.seed_error)
        return self.value - half, self.value + half


@dataclass(frozen=True, slots=True)
class McNemar:
    """Photographs that only ours has right (`gained`), that only theirs has right (`lost`), and the two-sided p."""

    gained: int
    lost: int
    p: float


def paired_difference(
    score: Score,
    labels: npt.ArrayLike,
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    groups: Groups,
    count: int = RESAMPLES,
) -> Difference:
    """The mean paired difference over s seeds and the patients, with its 95 % interval.

    `labels` [n] are 0 or 1, or classes. `ours` and `theirs` [s, n], row by row of the same seed: probabilities of 1 for
    "auroc" ([s, n, k] for k classes: the mean over classes of one against the rest), answers for "accuracy" and
    "quadratic_kappa". `groups` [n] name the patients.

    The variance comes from the crossed bootstrap of seeds and patients (the pigeonhole bootstrap: Owen, Annals of
    Applied Statistics 2007; 1:386). By itself it counts a seed's own patients thrice and the spread of s seeds
    (s - 1) / s times. Its three parts are therefore taken apart, each is scaled to be unbiased, and they are added as
    those of readers and cases are in studies of many readers (Obuchowski, Rockette, Communications in Statistics 1995;
    24:285), with Student's quantiles at Satterthwaite's degrees of freedom (Hillis, Statistics in Medicine 2007;
    26:596), here of patients too.

    Two or three seeds happen to agree now and then where most would not; then those degrees of freedom are many, and
    "no difference" would be refuted in 12 % of studies that two seeds decide. So the interval is never narrower than
    Student's over the seeds alone, of the part of their spread that patients do not explain (our own precaution; from
    five seeds on it changes next to nothing). What all this buys is measured in `benchmarks/judge.py`. With one seed:
    `delong` for two areas, patients alone for the rest.
    """
    y, g = np.asarray(labels, np.int64), group_numbers(groups)
    a, b = np.asarray(ours), np.asarray(theirs)
    assert a.shape == b.shape, "the same seeds and photographs on both sides"
    assert a.shape[1] == len(y) == len(g), "a label and a patient for each photograph"
    assert a.size, "nothing to compare"
    assert (y >= 0).all(), "labels must be known"
    assert np.isfinite([a, b]).all(), "answers must be finite"
    if len(a) == 1 and score == "auroc" and a.ndim == 2:
        return delong(y, a[0], b[0], g)
    observed = _differences(score, y, a, b, np.ones((1, len(y))))[0]
    blocks = resamples(g, "paired difference", count=count)
    drawn = np.concatenate([_differences(score, y, a, b, weights) for weights in blocks])
    independent = _independent_groups(score, y, a, g)
    error, df, seed_error = _error(observed, drawn[np.isfinite(drawn).all(axis=1)], independent)
    whole = Difference(float(observed.mean()), nan, nan, nan, error, df, len(a), len(np.unique(g)), seed_error)
    return _with_interval(whole)


def _error(observed: Floats, drawn: Floats, groups: int) -> tuple[float, float, float]:
    """`error`, `df` and `seed_error`, from the seeds' differences [s] and those of resampled patients [b, s].

    Resampling seeds needs no draws, since the estimand is a plain mean over them.
    """
    seeds = len(observed)
    if len(drawn) < 2 or groups < 2 or not np.isfinite(observed).all():
        return nan, nan, 0.0
    unbiased = groups / (groups - 1)
    over_patients = float(drawn.mean(axis=1).var()) * unbiased
    if seeds == 1:
        return sqrt(over_patients), groups - 1.0, 0.0
    over_seeds = float(observed.var(ddof=1)) / seeds
    apart = drawn - drawn.mean(axis=1, keepdims=True)
    interaction = float(apart.var(axis=0).sum()) / (seeds * (seeds - 1)) * unbiased
    # Both hold the interaction once, whatever few seeds happen to show; together they must hold it once, not twice.
    over_seeds, over_patients = max(over_seeds, interaction), max(over_patients, interaction)
    variance = over_seeds + over_patients - interaction
    if variance == 0:
        return 0.0, nan, 0.0
    df = variance**2 / (over_seeds**2 / (seeds - 1) + over_patients**2 / (groups - 1))
    return sqrt(variance), df, sqrt(over_seeds - interaction)


def _with_interval(difference: Difference) -> Difference:
    """Its interval and p from its errors; without them where nothing varies."""
    d = difference
    if not d.error > 1e-9:
        return Difference(d.value, nan, nan, nan, nan, nan, d.seeds, d.groups)
    p = 2 * float(t.sf(abs(d.value) / d.error, d.df))
    if d.seed_error > 0:
        p = max(p, 2 * float(t.sf(abs(d.value) / d.seed_error, d.seeds - 1)))
    low, high = d.interval(LEVEL)
    return replace(d, low=low, high=high, p=p)


def _differences(score: Score, y: Ints, ours: Floats, theirs: Floats, weights: Floats) -> Floats:
    """[b, s] differences of every seed's two scores, for each row of photographs' weights [b, n]."""
    pairs = zip(ours, theirs, strict=True)
    return np.stack([SCORES[score](y, a, weights) - SCORES[score](y, b, weights) for a, b in pairs], axis=1)


def _auroc(y: Ints, values: Floats, weights: Floats) -> Floats:
    return aurocs(y, values, weights) if values.ndim == 1 else macro_aurocs(y, values, weights)


def _kappa(y: Ints, answers: Floats, weights: Floats) -> Floats:
    chosen = answers.astype(np.int64)
    return kappas(y, chosen, int(max(y.max(), chosen.max())) + 1, weights)


SCORES: Mapping[Score, Callable[[Ints, Floats, Floats], Floats]] = {
    "auroc": _auroc,
    "accuracy": lambda y, answers, weights: shares(answers == y, weights),
    "quadratic_kappa": _kappa,
}


def _independent_groups(score: Score, y: Ints, ours: Floats, g: Ints) -> int:
    """How many patients the spread over patients rests on: for an area of yes and no, those of the rarer class."""
    if score == "auroc" and ours.ndim == 2:
        return min(len(np.unique(g[y == 1])), len(np.unique(g[y == 0])))
    return len(np.unique(g))


def delong(labels: npt.ArrayLike, ours: npt.ArrayLike, theirs: npt.ArrayLike, groups: Groups) -> Difference:
    """The difference of two areas under the ROC curve on the same photographs, for two graders as they are.

    `labels` [n] are 0 or 1, `ours` and `theirs` [n] probabilities. DeLong's test for paired curves (DeLong, DeLong,
    Clarke-Pearson, Biometrics 1988; 44:837), its components summed over patients (Obuchowski, Biometrics 1997; 53:567),
    with the normal quantile, as is classical.
    """
    y, g = np.asarray(labels, np.int64), group_numbers(groups)
    value, variance, _ = area_and_variance(y, np.asarray(ours, np.float64), g, np.asarray(theirs, np.float64))
    error = float(np.sqrt(np.maximum(variance, 0.0)))
    return _with_interval(Difference(value, nan, nan, nan, error, inf, 1, len(np.unique(g))))


def mcnemar(labels: npt.ArrayLike, ours: npt.ArrayLike, theirs: npt.ArrayLike) -> McNemar:
    """McNemar's exact test of two graders' answers [n] to the same photographs, one photograph a patient."""
    y = np.asarray(labels)
    right_a, right_b = np.asarray(ours) == y, np.asarray(theirs) == y
    gained, lost = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return McNemar(gained, lost, min(1.0, 2 * float(binom.cdf(min(gained, lost), gained + lost, 0.5))))


def best_case(gain: int) -> float:
    """The least p that McNemar's exact test can give to `gain` more photographs right: nothing lost, 2 / 2^gain.

    The paper's gains of table 2 are 4 photographs (74.79 to 76.47 % of 238) and 5 (86.97 to 89.08 %): 0.125 and 0.0625.
    """
    return min(1.0, 2.0 ** (1 - gain))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each: those at most 0.05 may all be called shown, with 5 % risk of any error among them.

    An undefined (NaN) one counts as 1. Holm, Scandinavian Journal of Statistics 1979; 6:65.
    """
    p = np.nan_to_num(np.asarray(p_values, np.float64), nan=1.0)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]
