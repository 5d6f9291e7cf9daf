"""Scores of a grader: labels and probabilities in, numbers with 95 % intervals out.

Accuracy stands beside the majority vote, the accuracy of always naming the commonest class.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from semiretina.draws import generator
from semiretina.scoring.intervals import Estimate, Floats, Ints, auroc, group_numbers, share

RESAMPLES = 2000
CELLS = 4_000_000  # of one block of resamples x photographs: bounds the memory of the bootstrap

Scores = dict[str, Estimate | float | int]
Groups = Sequence[str] | npt.NDArray[np.str_]


def binary_scores(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups, threshold: float = 0.5, level: float = 0.95
) -> Scores:
    """Scores of one yes-or-no output.

    `labels` [n] are 0 or 1; unknown ones (NaN or negative) are dropped. `probabilities` [n] of 1; a probability at or
    above `threshold` is a yes. `groups` [n] name the patients. Keys: n, positives (ints), majority (float), and the
    `Estimate`s accuracy, auroc, sensitivity, specificity, each NaN where its class is missing.
    """
    y, p, g = _known(labels, probabilities, groups)
    yes = p >= threshold
    n, positives = len(y), int(y.sum())
    return {
        "n": n,
        "positives": positives,
        "majority": max(positives, n - positives) / n if n else nan,
        "accuracy": share(yes == (y == 1), g, level),
        "auroc": auroc(y, p, g, level),
        "sensitivity": share(yes[y == 1], g[y == 1], level),
        "specificity": share(~yes[y == 0], g[y == 0], level),
    }


def class_scores(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups, level: float = 0.95) -> Scores:
    """Scores of one choice among k classes in their order (grades).

    `labels` [n] are class numbers; negative ones are unknown and dropped. `probabilities` [n, k]; the largest is the
    answer. Keys: n (int), majority (float), and the `Estimate`s accuracy, quadratic_kappa (Cohen's, weights (i - j)^2)
    and auroc (the mean over classes of one against the rest; a class that is absent, or alone, is left out). The
    intervals of the last two are percentiles of 2000 resamples of patients, drawn the same at each call; NaN where the
    resamples do not vary.
    """
    y, p, g = _known(labels, probabilities, groups)
    n, classes = len(y), p.shape[1]
    assert n == 0 or y.max() < classes, "a label beyond the last class"
    answers = p.argmax(axis=1)
    everyone = np.ones((1, n))
    values = (
        np.concatenate([_kappas(y, answers, everyone, classes), _macro_aurocs(y, p, everyone)]) if n else [nan, nan]
    )
    kappa_interval, auroc_interval = _bootstrap(y, answers, p, g, level)
    return {
        "n": n,
        "majority": float(np.bincount(y).max() / n) if n else nan,
        "accuracy": share(answers == y, g, level),
        "quadratic_kappa": Estimate(float(values[0]), *kappa_interval),
        "auroc": Estimate(float(values[1]), *auroc_interval),
    }


def _known(labels: npt.ArrayLike, probabilities: npt.ArrayLike, groups: Groups) -> tuple[Ints, Floats, Ints]:
    y, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    assert y.ndim == 1, "one label a photograph"
    assert len(y) == len(p) == len(groups), f"{len(y)} labels, {len(p)} probabilities, {len(groups)} groups"
    known = y >= 0
    p = p[known]
    assert np.isfinite(p).all(), "probabilities must be finite"
    return y[known].astype(np.int64), p, group_numbers(np.asarray(groups, np.str_)[known])


def _bootstrap(
    y: Ints, answers: Ints, p: Floats, g: Ints, level: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Percentile intervals of kappa and macro AUROC over resamples of the groups."""
    if len(y) == 0:
        return (nan, nan), (nan, nan)
    count = int(g.max()) + 1
    draw = generator("scoring bootstrap", count)
    block = max(1, CELLS // max(len(y), p.shape[1] ** 2))
    kappas, aurocs = [], []
    for start in range(0, RESAMPLES, block):
        times = draw.multinomial(count, np.full(count, 1 / count), size=min(block, RESAMPLES - start))
        weights = times[:, g].astype(np.float64)  # [resamples, n]: how often a photograph is in a resample
        kappas.append(_kappas(y, answers, weights, p.shape[1]))
        aurocs.append(_macro_aurocs(y, p, weights))
    return _percentiles(np.concatenate(kappas), level), _percentiles(np.concatenate(aurocs), level)


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if len(defined) == 0 or np.ptp(defined) < 1e-12:
        return nan, nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _kappas(y: Ints, answers: Ints, weights: Floats, classes: int) -> Floats:
    """[resamples] Cohen's kappa with quadratic weights; NaN where chance alone agrees fully."""
    cells = np.zeros((len(y), classes * classes))
    cells[np.arange(len(y)), y * classes + answers] = 1
    tables = (weights @ cells).reshape(-1, classes, classes)
    distance = np.square(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(np.float64)
    observed = (tables * distance).sum(axis=(1, 2))
    expected = np.einsum("bi,ij,bj->b", tables.sum(axis=2), distance, tables.sum(axis=1)) / tables.sum(axis=(1, 2))
    disagreement: Floats = np.divide(observed, expected, out=np.full_like(observed, nan), where=expected > 0)
    return 1 - disagreement


def _macro_aurocs(y: Ints, p: Floats, weights: Floats) -> Floats:
    """[resamples] mean over the classes of the area of one against the rest, over those a resample lets define."""
    total, defined = np.zeros(len(weights)), np.zeros(len(weights))
    for k in range(p.shape[1]):
        if not 0 < (y == k).sum() < len(y):
            continue
        order = np.argsort(p[:, k], kind="stable")
        starts = np.flatnonzero(np.diff(p[order, k], prepend=np.nan) != 0)  # ties make one step of the curve
        sorted_weights = weights[:, order]
        here = (y == k)[order]
        positives = np.add.reduceat(sorted_weights * here, starts, axis=1)
        negatives = np.add.reduceat(sorted_weights * ~here, starts, axis=1)
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        below = negatives.cumsum(axis=1) - negatives / 2
        won = np.einsum("bu,bu->b", positives, below)
        total += np.divide(won, pairs, out=np.zeros_like(won), where=pairs > 0)
        defined += pairs > 0
    return np.divide(total, defined, out=np.full_like(total, nan), where=defined > 0)
