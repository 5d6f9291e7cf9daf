"""Scores of weighted photographs against scikit-learn with sample_weight, one resample at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    roc_auc_score,
)

from semiretina.scoring import weighted

RESAMPLES = 3


@st.composite
def answers(draw, classes=2):
    """Labels, values of [0, 1] with or without ties, and weights of which some are 0 and some not whole."""
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(2, 40))
    decimals, whole = draw(st.sampled_from([1, 2, 8])), draw(st.booleans())
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, classes, n)
    labels[: min(n, classes)] = np.arange(min(n, classes))
    values = np.round(numbers.random((n, classes)), decimals)
    weights = numbers.integers(0, 4, (RESAMPLES, n)).astype(float)
    weights = weights if whole else weights * numbers.random((RESAMPLES, n))
    weights[:, : min(n, classes)] += 0.5  # each class counts
    return labels, values, weights


@settings(deadline=None, max_examples=60)
@given(answers())
def test_areas_precisions_and_briers_against_scikit_learn(case):
    labels, values, weights = case
    values = values[:, 0]
    for ours, theirs in (
        (weighted.aurocs, roc_auc_score),
        (weighted.average_precisions, average_precision_score),
        (weighted.briers, brier_score_loss),
    ):
        expected = [theirs(labels, values, sample_weight=row) for row in weights]
        assert ours(labels, values, weights) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(answers())
def test_shares_against_scikit_learn(case):
    labels, values, weights = case
    yes = (values[:, 0] >= 0.5).astype(int)
    shares = [accuracy_score(labels, yes, sample_weight=row) for row in weights]
    assert weighted.shares(yes == labels, weights) == pytest.approx(shares, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(answers(classes=4))
def test_scores_of_classes_against_scikit_learn(case):
    labels, values, weights = case
    probabilities = (values + 0.01) / (values + 0.01).sum(axis=1, keepdims=True)
    chosen = probabilities.argmax(axis=1)
    for row, kappa, area, brier in zip(
        weights,
        weighted.kappas(labels, chosen, 4, weights),
        weighted.macro_aurocs(labels, probabilities, weights),
        weighted.briers(labels, probabilities, weights),
        strict=True,
    ):
        expected = cohen_kappa_score(labels, chosen, weights="quadratic", labels=range(4), sample_weight=row)
        assert kappa == pytest.approx(expected, abs=1e-12, nan_ok=True)
        areas = [roc_auc_score(labels == k, probabilities[:, k], sample_weight=row) for k in np.unique(labels)]
        assert area == pytest.approx(np.mean(areas), abs=1e-12)
        each = [brier_score_loss(labels == k, probabilities[:, k], sample_weight=row) for k in range(4)]
        assert brier == pytest.approx(sum(each), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(answers())
def test_calibration_errors_against_a_loop_over_bins(case):
    labels, values, weights = case
    values = values[:, 0]
    for row, ours in zip(weights, weighted.calibration_errors(labels, values, weights), strict=True):
        error = 0.0
        for k in range(15):
            inside = (values > k / 15) & (values <= (k + 1) / 15) | ((k == 0) & (values == 0))
            if row[inside].sum():
                gap = np.average(labels[inside], weights=row[inside]) - np.average(values[inside], weights=row[inside])
                error += row[inside].sum() / row.sum() * abs(gap)
        assert ours == pytest.approx(error, abs=1e-12)


def test_calibration_error_by_hand():
    # Bin (0.2, 0.267]: 0.25 said, 0.5 true, half of the photographs; bin (0.867, 0.933]: 0.9 said, 1 true.
    error = weighted.calibration_errors(np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.9, 0.9]), np.ones((1, 4)))
    assert error == pytest.approx([0.5 * 0.25 + 0.5 * 0.1])


def test_the_brier_score_of_two_classes_is_twice_that_of_one():
    labels, p = np.array([0, 1, 1]), np.array([0.2, 0.9, 0.4])
    both = np.stack([1 - p, p], axis=1)
    one = np.ones((1, 3))
    assert weighted.briers(labels, p, one) == pytest.approx([(0.04 + 0.01 + 0.36) / 3])
    assert weighted.briers(labels, both, one) == pytest.approx(2 * weighted.briers(labels, p, one))


SCORES = {
    "aurocs": lambda y, p, w: weighted.aurocs(y, p[:, 1], w),
    "average_precisions": lambda y, p, w: weighted.average_precisions(y, p[:, 1], w),
    "briers": lambda y, p, w: weighted.briers(y, p[:, 1], w),
    "briers of classes": weighted.briers,
    "calibration_errors": lambda y, p, w: weighted.calibration_errors(y, p[:, 1], w),
    "shares": lambda y, p, w: weighted.shares(p.argmax(1) == y, w),
    "kappas": lambda y, p, w: weighted.kappas(y, p.argmax(1), 2, w),
    "macro_aurocs": weighted.macro_aurocs,
}


@pytest.mark.parametrize("name", SCORES)
@settings(deadline=None, max_examples=10)
@given(answers(), st.integers(0, 1000))
def test_order_changes_nothing_and_a_weight_is_a_number_of_copies(name, case, seed):
    labels, values, weights = case
    score, weights = SCORES[name], np.ceil(weights)
    expected = score(labels, values, weights)
    order = np.random.default_rng(seed).permutation(len(labels))
    assert score(labels[order], values[order], weights[:, order]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    for row, value in zip(weights, expected, strict=True):
        copies = np.repeat(np.arange(len(labels)), row.astype(int))
        plain = score(labels[copies], values[copies], np.ones((1, len(copies))))
        assert plain == pytest.approx([value], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", SCORES)
def test_without_photographs_nothing_is_defined(name):
    values, labels = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])
    assert np.isnan(SCORES[name](labels, values, np.zeros((2, 2)))).all()
    assert np.isnan(SCORES[name](labels[:0], values[:0], np.ones((1, 0)))).all()


@pytest.mark.parametrize("name", ["aurocs", "average_precisions", "macro_aurocs"])
def test_a_resample_of_one_class_leaves_undefined_what_needs_two(name):
    values, labels = np.array([[0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 0])
    found = SCORES[name](labels, values, np.array([[1.0, 0, 1], [0, 2, 0], [1, 1, 1]]))
    assert [math.isnan(value) for value in found] == [True, True, False]


def test_ties_count_half_and_are_answered_together():
    labels, values, one = np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.5, 0.1]), np.ones((1, 4))
    assert weighted.aurocs(labels, values, one) == pytest.approx([(0.5 + 1 + 0.5 + 1) / 4])
    assert weighted.average_precisions(labels, values, one) == pytest.approx([2 / 3])
