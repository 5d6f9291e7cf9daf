"""Scores of weighted photographs, for many sets of weights at once.

`weights` [b, n] say how often (or how much) each of n photographs counts in each of b resamples; every score is [b],
NaN where a resample does not define it. With weights of 1 each is the plain score. Photographs are sorted once, not
once a resample.
"""

from math import nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.intervals import Floats, Ints

BINS = 15  # of equal width, as in Guo et al., ICML 2017 (arXiv:1706.04599)


def shares(hits: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """The share of `hits` [n]."""
    return _over(weights @ hits.astype(np.float64), weights.sum(axis=1))


def aurocs(labels: npt.NDArray[np.bool_] | Ints, values: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve of `labels` [n] (0 or 1) ranked by `values` [n], ties counting half."""
    positive = np.asarray(labels) == 1
    negatives = np.flatnonzero(~positive)
    negatives = negatives[np.argsort(values[negatives], kind="stable")]
    lower = np.searchsorted(values[negatives], values[positive], "left")
    upper = np.searchsorted(values[negatives], values[positive], "right")
    beaten = _running(weights[:, negatives])
    of_positives = weights[:, positive]
    won = np.einsum("bp,bp->b", of_positives, beaten[:, lower])
    if not np.array_equal(lower, upper):
        won = (won + np.einsum("bp,bp->b", of_positives, beaten[:, upper])) / 2
    return _over(won, of_positives.sum(axis=1) * beaten[:, -1])


def average_precisions(labels: Ints, values: Floats, weights: Floats) -> Floats:
    """The precision at each positive's own value, on average over the positives; undefined where a class is missing.

    This is the step-wise area under the precision-recall curve, without interpolation.
    """
    order = np.argsort(-values, kind="stable")
    falling = -values[order]
    positive = (np.asarray(labels) == 1)[order]
    of_positives = weights[:, order[positive]]
    answered = _running(weights[:, order])
    right = _running(of_positives)
    # Photographs of equal value are answered together.
    all_above = answered[:, np.searchsorted(falling, falling[positive], "right")]
    right_above = right[:, np.searchsorted(falling[positive], falling[positive], "right")]
    precision = np.divide(right_above, all_above, out=np.zeros_like(right_above), where=all_above > 0)
    positives = right[:, -1]
    both = (positives > 0) & (positives < answered[:, -1])
    return np.where(both, _over(np.einsum("bp,bp->b", of_positives, precision), positives), nan)


def briers(labels: Ints, probabilities: Floats, weights: Floats) -> Floats:
    """Brier's score: the mean squared error of `probabilities` [n] of 1.

    Of `probabilities` [n, k] the squared errors of the k classes are summed, as Brier did (Monthly Weather Review 1950;
    78:1): between 0 and 2, and for two classes twice the other.
    """
    if probabilities.ndim == 1:
        errors = np.square(probabilities - labels)
    else:
        errors = np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1)
    return _over(weights @ errors, weights.sum(axis=1))


def calibration_errors(labels: npt.NDArray[np.bool_] | Ints, probabilities: Floats, weights: Floats) -> Floats:
    """Expected calibration error: |share of 1 - mean probability| of each of `BINS` bins, on average over photographs.

    `probabilities` [n] of 1. Chance alone lifts it above 0, the more so the fewer
    photographs a bin holds.
    """
    gaps = np.zeros((len(labels), BINS))
    gaps[np.arange(len(labels)), bins_of(probabilities)] = labels - probabilities
    return _over(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def bins_of(probabilities: Floats) -> Ints:
    """[n] the bin of each, from 0 on; a bin holds its upper edge, and the first 0 too."""
    return np.digitize(probabilities, np.arange(1, BINS) / BINS, right=True).astype(np.int64)


def kappas(labels: Ints, answers: Ints, classes: int, weights: Floats) -> Floats:
    """Cohen's kappa with quadratic weights, 1 - (i - j)^2; undefined where chance alone agrees fully."""
    cells = np.zeros((len(labels), classes * classes))
    cells[np.arange(len(labels)), labels * classes + answers] = 1
    tables = (weights @ cells).reshape(-1, classes, classes)
    distance = np.square(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(np.float64)
    observed = (tables * distance).sum(axis=(1, 2))
    margins = np.einsum("bi,ij,bj->b", tables.sum(axis=2), distance, tables.sum(axis=1))
    return 1 - _over(observed, _over(margins, tables.sum(axis=(1, 2))))


def macro_aurocs(labels: Ints, probabilities: Floats, weights: Floats) -> Floats:
    """The mean over classes of the area of one against the rest, over those that a resample lets define."""
    total, defined = np.zeros(len(weights)), np.zeros(len(weights))
    for k in range(probabilities.shape[1]):
        if (labels == k).any():
            areas = aurocs(labels == k, probabilities[:, k], weights)
            total += np.nan_to_num(areas)
            defined += np.isfinite(areas)
    return _over(total, defined)


def _running(weights: Floats) -> Floats:
    """[b, n + 1] sums of the first 0, 1, ... n columns."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """Their ratio, NaN where the denominator is not above 0."""
    ratio: Floats = np.divide(numerator, denominator, out=np.full_like(numerator, nan), where=denominator > 0)
    return ratio
