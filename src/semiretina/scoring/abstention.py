"""What a grader gains by not answering: accuracy over the share referred, and sets of answers that hold the truth.

Both take probabilities [n] of a yes, or [n, k] of classes, and labels [n] that are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.bootstrap import interval, resamples
from semiretina.scoring.intervals import Estimate, Floats, Groups, Ints, group_numbers, share
from semiretina.scoring.weighted import shares

REFERRED = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Referral:
    """The share of photographs that is referred to a person, and the accuracy of the n answers to the others."""

    referred: float
    n: int
    accuracy: Estimate


def referrals(
    labels: Ints,
    probabilities: Floats,
    groups: Groups,
    threshold: float = 0.5,
    wanted: Sequence[float] = REFERRED,
) -> list[Referral]:
    """Accuracy where at most the `wanted` shares are referred, the least certain photographs first.

    The certainty of a yes or no is the distance of its log-odds from the threshold's; that of a choice among classes is
    the answer's probability. Photographs of equal certainty are referred together or not at all, so that the order of
    rows means nothing: the share referred may be lower than the one wanted (below 1).
    """
    p, patients = np.asarray(probabilities, np.float64), group_numbers(groups)
    if p.ndim == 1:
        right, certainty = (p >= threshold) == (labels == 1), np.abs(_log_odds(p) - _log_odds(threshold))
    else:
        right, certainty = p.argmax(axis=1) == labels, p.max(axis=1)
    rising, rows = np.sort(certainty), []
    for part in wanted if len(rising) else ():
        kept = certainty >= rising[int(part * len(rising) + 1e-9)]
        rows.append(Referral(float((~kept).mean()), int(kept.sum()), share(right[kept], patients[kept])))
    return rows


@dataclass(frozen=True, slots=True)
class Conformal:
    """What the sets of answers are worth on n photographs: `coverage` is to be at least `nominal`.

    `quantile` is the score up to which an answer is in a set. `size` is the mean number of answers in a set, `single`
    the share of sets with exactly one, `empty` that of sets with none: photographs unlike any of the calibration's.
    """

    nominal: float
    quantile: float
    n: int
    coverage: Estimate
    size: Estimate
    single: Estimate
    empty: Estimate


def conformal_scores(probabilities: Floats) -> Floats:
    """[n, k] 1 - the probability of each answer; k = 2, no and yes, for probabilities [n] of a yes."""
    p = np.asarray(probabilities, np.float64)
    return np.stack([p, 1 - p], axis=1) if p.ndim == 1 else 1 - p


def conformal_quantile(labels: Ints, probabilities: Floats, alpha: float = 0.1) -> float:
    """The score up to which an answer belongs into a set, from photographs that are kept for this alone.

    The ceil((n + 1)(1 - alpha))-th smallest score of the n true answers: a new photograph, exchangeable with these, has
    its true answer in the set with a probability of at least 1 - alpha (Vovk, Gammerman, Shafer 2005; Angelopoulos,
    Bates, arXiv:2107.07511, section 1). Infinite, so that sets hold all answers, where n is too small for that.
    """
    true = np.sort(conformal_scores(probabilities)[np.arange(len(labels)), labels])
    place = ceil((len(true) + 1) * (1 - alpha) - 1e-9)
    return float(true[place - 1]) if place <= len(true) else inf


def conformal_sets(probabilities: Floats, quantile: float) -> npt.NDArray[np.bool_]:
    """[n, k] whether each answer is in the photograph's set."""
    return np.asarray(conformal_scores(probabilities) <= quantile)


def conformal(labels: Ints, probabilities: Floats, groups: Groups, quantile: float, alpha: float = 0.1) -> Conformal:
    """Measures the sets of that quantile on photographs that it does not come from.

    The intervals are those of `share`; that of the mean size is the bootstrap's.
    """
    sets, patients = conformal_sets(probabilities, quantile), group_numbers(groups)
    sizes = sets.sum(axis=1)
    drawn = [_mean(sizes, weights) for weights in resamples(patients, "conformal")]
    low, high = interval(np.concatenate(drawn or [np.zeros(0)]))
    return Conformal(
        1 - alpha,
        quantile,
        len(labels),
        share(sets[np.arange(len(labels)), labels], patients),
        Estimate(float(sizes.mean()) if len(sizes) else nan, low, high),
        share(sizes == 1, patients),
        share(sizes == 0, patients),
    )


def _mean(sizes: npt.NDArray[np.int_], weights: Floats) -> Floats:
    """[b] mean sizes: the shares of sets with more than 0, more than 1, ... answers."""
    means = np.zeros(len(weights))
    for size in range(int(sizes.max())):
        means += shares(sizes > size, weights)
    return means


def _log_odds(probabilities: Floats | float) -> Floats:
    inside = np.clip(np.asarray(probabilities, np.float64), TINY, 1 - TINY)
    return np.asarray(np.log(inside) - np.log1p(-inside))
