"""A probe: a logistic regression on a few numbers, cross-validated over whole groups.

Its answers are of photographs whose patients it has not seen, so the area under the ROC curve of useless numbers is 0.5
or, because folds are balanced, a little less.
"""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semiretina.scoring.intervals import Floats, Ints

FOLDS = 5
LEAST = 20  # photographs of each class, and groups, below which no probe is trained


def fit(values: Floats, labels: Ints) -> Callable[[Floats], Floats]:
    """Trains on `values` [n, k] and `labels` [n] of 0 and 1; gives the function from values to P(1), within (0, 1)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values, labels)

    def answer(values: Floats) -> Floats:
        return np.asarray(np.clip(model.predict_proba(values)[:, 1], 1e-6, 1 - 1e-6), np.float64)

    return answer


def cross_validated(values: Floats, labels: Ints, groups: Ints) -> Floats | None:
    """[n] P(1), each from a fit without the photograph's group; None where there is too little to learn from."""
    if min(int(labels.sum()), int((1 - labels).sum())) < LEAST or len(np.unique(groups)) < LEAST:
        return None
    answers = np.full(len(labels), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(values, labels, groups):
        if len(np.unique(labels[train])) < 2:
            return None
        answers[test] = fit(values[train], labels[train])(values[test])
    return answers
