"""The bootstrap over patients: resamples as weights, and intervals from the scores of the resamples.

Percentiles are too narrow for few patients, and do not see how a score is squeezed against its end: of those of an
average precision of 100 photographs, 87 to 92 % hold the truth. `logit_interval` is what `scores` uses instead.
"""

from collections.abc import Iterator
from math import isnan, nan, sqrt

import numpy as np
from scipy.special import expit, logit, stdtrit

from semiretina.draws import generator
from semiretina.scoring.intervals import LEVEL, TAILS, Floats, Ints

RESAMPLES = 2000
CELLS = 150_000  # of one block of resamples x photographs: bounds the memory, and stays near the processor


def resamples(groups: Ints, *key: int | str, width: int = 1, count: int = RESAMPLES) -> Iterator[Floats]:
    """`count` resamples of the groups (patients), as blocks of weights [b, n] of the n photographs.

    As many groups as there are (`groups` [n] numbers them) are drawn with replacement; a photograph's weight is how
    often its group was drawn. A `key` and a number of groups give the same draws at each call, whatever the blocks.
    `width` is the number of cells that the caller needs for each photograph of a resample.
    """
    _, places = np.unique(groups, return_inverse=True)
    if len(places) == 0:
        return
    patients = int(places.max()) + 1
    draw = generator("bootstrap", *key, patients)
    block = max(1, CELLS // (len(places) * width))
    for start in range(0, count, block):
        rows = min(block, count - start)
        drawn = draw.integers(0, patients, (rows, patients))
        drawn += patients * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)
        yield times.astype(np.float64)[:, places]


def interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Percentiles of the resamples' scores [b] without undefined ones; NaN where there are none or they do not vary."""
    defined = _varying(values)
    if len(defined) == 0:
        return nan, nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def logit_interval(
    value: float, values: Floats, groups: int, df: int, ends: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """Around a score's `value` between its `ends`, by the standard deviation of its resamples [b].

    Symmetric on the logit of the value's place between them, by the delta method and Student's quantile at `df`. The
    variance over resamples of so many `groups` is (groups - 1) / groups of what it should be. NaN where the resamples
    do not vary, `df` is 0, or `value` is at an end.
    """
    defined, least, span = _varying(values), ends[0], ends[1] - ends[0]
    place = (value - least) / span
    if len(defined) == 0 or df < 1 or not 1e-12 < place < 1 - 1e-12:
        return nan, nan
    error = float(defined.std()) * sqrt(groups / (groups - 1)) / span
    half = float(stdtrit(df, TAILS[1])) * error / (place * (1 - place))
    low, high = expit(logit(place) + np.array([-half, half]))
    return least + span * float(low), least + span * float(high)


def reflected_interval(value: float, values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Percentiles mirrored at a score's `value` (the basic bootstrap), at least 0, and holding the value.

    For scores that chance lifts, such as the calibration error: resampling lifts them once more, by about as much.
    """
    low, high = interval(values, level)
    if isnan(low):
        return nan, nan
    return max(0.0, 2 * value - high), max(value, 2 * value - low)


def _varying(values: Floats) -> Floats:
    """Those that are defined, or none if they are all the same."""
    defined = values[np.isfinite(values)]
    return defined if len(defined) and np.ptp(defined) >= 1e-12 else defined[:0]
