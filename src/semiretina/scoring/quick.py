"""Scores without intervals, for the log of a training; NaN where undefined."""

from collections.abc import Sequence
from math import isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score


def quick_share(hits: npt.NDArray[np.bool_]) -> float:
    """The share of true `hits` [n]."""
    return float(hits.mean()) if len(hits) else nan


def quick_auroc(labels: npt.NDArray[Any], values: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve of `labels` [n], 0 or 1, ranked by `values` [n]."""
    return float(roc_auc_score(labels, values)) if 0 < labels.sum() < len(labels) else nan


def mean_of_defined(values: Sequence[float]) -> float:
    """The mean of those that are not NaN."""
    defined = [value for value in values if not isnan(value)]
    return sum(defined) / len(defined) if defined else nan
