"""Operating points: the threshold that reaches a wanted sensitivity or specificity, and what it reaches."""

from dataclasses import dataclass
from math import ceil, nextafter

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from semiretina.errors import Refused
from semiretina.scoring.intervals import Estimate, Floats, Groups, Ints, group_numbers, share

LEAST = 50  # of either class: with 50 positives a sensitivity of 87 % has an interval from 75 to 94 %


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold, and what it reaches on the n photographs: a probability at or above it is a yes.

    Where the threshold was chosen on these photographs, one of the two is what was wanted, and other photographs are to
    tell what it is worth.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    n: int
    positives: int


def lacking(labels: Ints) -> str:
    """What these labels [n] of 0 and 1 lack to fix an operating point on them, as words; "" where they suffice."""
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    return f"{positives} positives and {negatives} negatives" if min(positives, negatives) < LEAST else ""


def threshold_for(
    labels: Ints, probabilities: Floats, *, sensitivity: float | None = None, specificity: float | None = None
) -> float:
    """The threshold that reaches one of the two on these photographs, costs the other least, and then reaches most.

    All thresholds between two neighbours among the `probabilities` [n] give these photographs the same answers. A
    wanted sensitivity leaves the highest specificity that any threshold with it has; of the thresholds with that
    specificity, the one of the highest sensitivity is taken, and the other way round for a wanted specificity. So no
    other threshold is better in one and as good in the other. Of the gap between the two neighbours it is the middle,
    so that the rounding of another machine, or of a table, changes no answer; where the classes are apart, that is the
    middle between the highest negative and the lowest positive. 0 and 1 are neighbours too.

    Raises Refused below 50 positives or negatives.
    """
    assert (sensitivity is None) != (specificity is None), "one of the two is wanted"
    p = np.asarray(probabilities, np.float64)
    if too_few := lacking(labels):
        raise Refused(f"operating point: {too_few} are too few to fix a threshold on; give at least {LEAST} of each")
    values, positives, negatives = np.unique(p), np.sort(p[labels == 1]), np.sort(p[labels == 0])
    if sensitivity is not None:
        lowest_yes = positives[-_least(sensitivity, len(positives))]
        lower = negatives[negatives < lowest_yes]  # down to the next of these, only positives become a yes
        first = np.searchsorted(values, lower[-1], "right") if len(lower) else 0
    else:
        assert specificity is not None
        highest_no = negatives[_least(specificity, len(negatives)) - 1]
        higher = positives[positives > highest_no]  # up to the next of these, only negatives become a no
        first = np.searchsorted(values, higher[0]) if len(higher) else len(values)
    # values[first:] are a yes.
    below = float(values[first - 1]) if first else 0.0
    above = float(values[first]) if first < len(values) else nextafter(1.0, 2.0)
    middle = (below + above) / 2
    return middle if below < middle else above


def point_at(labels: Ints, probabilities: Floats, groups: Groups, threshold: float) -> OperatingPoint:
    """What a threshold reaches on photographs with `labels` [n] of 0 or 1, with the intervals of `share`."""
    yes, patients = np.asarray(probabilities, np.float64) >= threshold, group_numbers(groups)
    ill = labels == 1
    return OperatingPoint(
        threshold,
        share(yes[ill], patients[ill]),
        share(~yes[~ill], patients[~ill]),
        len(labels),
        int(ill.sum()),
    )


def alike(labels: Ints, yes: npt.NDArray[np.bool_], groups: Groups, parts: Ints) -> float:
    """How likely chance alone makes the share of answers `yes` [n] differ so between `parts` [n], given the `labels`.

    The p-value of the generalised Cochran-Mantel-Haenszel test (Landis, Heyman, Koch, Int Stat Rev 1978; 46:237): a
    part that says yes too often does so with both kinds of labels. The statistic is scaled to as many photographs as
    there are patients (`groups`), which errs on the side of chance. 1 where there is nothing to compare.
    """
    part = np.unique(parts, return_inverse=True)[1]
    count = int(part.max()) + 1
    surplus, spread = np.zeros(count), np.zeros((count, count))
    for rows in (labels == 0, labels == 1):
        n, rate = int(rows.sum()), yes[rows].mean()
        sizes = np.bincount(part[rows], minlength=count).astype(np.float64)
        surplus += np.bincount(part[rows], yes[rows], count) - sizes * rate
        spread += rate * (1 - rate) * n / (n - 1) * (np.diag(sizes) - np.outer(sizes, sizes) / n)
    patients = len(np.unique(group_numbers(groups)))
    statistic = float(surplus @ np.linalg.pinv(spread) @ surplus) * patients / len(labels)
    return float(chi2.sf(statistic, np.linalg.matrix_rank(spread))) if spread.any() else 1.0


def _least(wanted: float, count: int) -> int:
    """The least number whose share of `count` is at least `wanted`, which rounding must not lift by one."""
    return max(1, ceil(wanted * count - 1e-9))
