"""Operating points: the threshold that reaches a wanted sensitivity or specificity, and what it reaches."""

from dataclasses import dataclass
from math import ceil, nextafter

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from semiretina.errors import Refused
from semiretina.scoring.intervals import Estimate, Floats, Ints, group_numbers, share
from semiretina.scoring.scores import Groups

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
    """The threshold that reaches one of the two on these photographs and costs the other least.

    All thresholds between two neighbours among the `probabilities` [n] give these photographs the same answers. For a
    sensitivity it is the highest such gap that reaches it, for a specificity the lowest; of the gap the middle, so that
    the rounding of another machine, or of a table, changes no answer. 0 and 1 are neighbours too.

    Raises Refused below 50 positives or negatives.
    """
    assert (sensitivity is None) != (specificity is None), "one of the two is wanted"
    p = np.asarray(probabilities, np.float64)
    if found := lacking(labels):
        raise Refused(f"operating point: {found} are too few to fix a threshold on; give at least {LEAST} of each")
    values = np.unique(p)
    if sensitivity is not None:
        falling = -np.sort(-p[labels == 1])
        first = np.searchsorted(values, falling[_least(sensitivity, len(falling)) - 1])
    else:
        assert specificity is not None
        rising = np.sort(p[labels == 0])
        first = np.searchsorted(values, rising[_least(specificity, len(rising)) - 1], "right")
    # values[first:] are a yes.
    below = float(values[first - 1]) if first else 0.0
    above = float(values[first]) if first < len(values) else nextafter(1.0, 2.0)
    middle = (below + above) / 2
    return middle if below < middle else above


def point_at(
    labels: Ints, probabilities: Floats, groups: Groups, threshold: float, level: float = 0.95
) -> OperatingPoint:
    """What a threshold reaches on photographs with `labels` [n] of 0 or 1, with the intervals of `share`."""
    yes, patients = np.asarray(probabilities, np.float64) >= threshold, group_numbers(groups)
    ill = labels == 1
    return OperatingPoint(
        threshold,
        share(yes[ill], patients[ill], level),
        share(~yes[~ill], patients[~ill], level),
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
