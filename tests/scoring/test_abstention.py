"""Referrals and conformal sets, by hand and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semiretina.scoring.abstention import (
    conformal,
    conformal_quantile,
    conformal_scores,
    conformal_sets,
    referrals,
)
from semiretina.scoring.intervals import share


def alone(n):
    return [f"p{i}" for i in range(n)]


def test_referrals_of_a_yes_or_no_by_hand():
    # At a threshold of 0.5 the least certain are 0.55 and 0.4 (wrong both), then 0.3 (right).
    p, labels = np.array([0.9, 0.55, 0.4, 0.3, 0.05]), np.array([1, 0, 1, 0, 1])
    found = referrals(labels, p, alone(5), wanted=(0, 0.2, 0.4, 0.6, 0.79))
    assert [row.n for row in found] == [5, 4, 3, 2, 2]
    assert [row.referred for row in found] == [0, 0.2, 0.4, 0.6, 0.6]
    assert [row.accuracy.value for row in found] == [2 / 5, 2 / 4, 2 / 3, 1 / 2, 1 / 2]
    assert found[2].accuracy == share(np.array([True, True, False]), np.arange(3))


def test_certainty_is_the_distance_of_the_odds_from_the_thresholds():
    # Of odds 1 : 9 (0.1), the odds 1 : 1 are nine times as many, 1 : 99 eleven times as few.
    p, labels = np.array([0.5, 0.01, 0.1]), np.array([1, 0, 1])
    [third] = referrals(labels, p, alone(3), threshold=0.1, wanted=(0.34,))
    assert (third.n, third.accuracy.value) == (2, 1.0)
    [two_thirds] = referrals(np.array([0, 0, 1]), p, alone(3), threshold=0.1, wanted=(0.67,))
    assert (two_thirds.n, two_thirds.accuracy.value) == (1, 1.0)


def test_a_threshold_above_one_is_a_no_to_all():
    found = referrals(np.array([0, 0, 1]), np.array([0.2, 1.0, 0.9]), alone(3), threshold=1.0000001)
    assert found[0].accuracy.value == 2 / 3
    assert found[-1].n == 2  # what is nearest to a yes is referred first


def test_referrals_of_classes_and_of_nothing():
    p = np.array([[0.8, 0.1, 0.1], [0.4, 0.35, 0.25], [0.1, 0.3, 0.6]])
    found = referrals(np.array([0, 1, 2]), p, alone(3), wanted=(0, 0.34))
    assert [(row.n, row.accuracy.value) for row in found] == [(3, 2 / 3), (2, 1.0)]
    assert referrals(np.zeros(0, int), np.zeros(0), []) == []


def test_equal_certainty_is_referred_together_or_not_at_all():
    found = referrals(np.array([1, 0, 1, 1]), np.array([0.6, 0.6, 0.6, 0.9]), alone(4), wanted=(0.25, 0.5, 0.75))
    assert [row.referred for row in found] == [0, 0, 0.75]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([1, 3]))
def test_the_order_of_rows_means_nothing_and_no_more_is_referred_than_wanted(seed, n, classes):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, max(2, classes), n)
    p = np.round(draw.random(n), 1) if classes == 1 else np.round(draw.dirichlet(np.ones(3), n), 1)
    groups = np.array([f"p{i // 2}" for i in range(n)])
    wanted = (0, 0.1, 0.35, 0.9)
    found, order = referrals(labels, p, groups, wanted=wanted), draw.permutation(n)
    assert found == referrals(labels[order], p[order], groups[order], wanted=wanted)
    for row, part in zip(found, wanted, strict=True):
        assert row.referred <= part + 1e-9
        assert row.n == round((1 - row.referred) * n) > 0


@pytest.mark.parametrize(
    ("n", "alpha", "place"),
    [(9, 0.1, 9), (10, 0.1, 10), (19, 0.1, 18), (99, 0.1, 90), (20, 0.05, 20), (4, 0.3, 4), (8, 0.1, None)],
)
def test_the_quantile_of_a_finite_sample_by_hand(n, alpha, place):
    # The true answers' scores are 0.01, 0.02 ... n / 100 in some order, of positives and negatives.
    scores = np.random.default_rng(2).permutation(np.arange(1, n + 1)) / 100
    labels = np.arange(n) % 2
    p = np.where(labels == 1, 1 - scores, scores)
    expected = math.inf if place is None else pytest.approx(place / 100)
    assert conformal_quantile(labels, p, alpha) == expected
    assert conformal_quantile(labels, np.stack([1 - p, p], axis=1), alpha) == expected


def test_sets_by_hand():
    np.testing.assert_allclose(conformal_scores(np.array([0.8])), [[0.8, 0.2]])
    p = np.array([0.95, 0.5, 0.3, 0.35])
    assert conformal_sets(p, 0.5).tolist() == [[False, True], [True, True], [True, False], [True, False]]
    assert conformal_sets(p, 0.32).tolist() == [[False, True], [False, False], [True, False], [False, False]]
    assert conformal_sets(p, math.inf).all()
    found = conformal(np.array([1, 0, 1, 0]), p, alone(4), 0.32)
    assert (found.n, found.nominal, found.quantile) == (4, 0.9, 0.32)
    assert found.coverage == share(np.array([True, False, False, False]), np.arange(4))
    assert (found.size.value, found.single.value, found.empty.value) == (0.5, 0.5, 0.5)
    assert found.size.low < 0.5 < found.size.high
    none = conformal(np.zeros(0, int), np.zeros((0, 3)), [], 0.5)
    assert none.n == 0
    assert math.isnan(none.size.value)


def test_sizes_of_sets_of_classes():
    p = np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
    found = conformal(np.array([1, 0]), p, alone(2), 0.75)
    assert (found.size.value, found.single.value, found.coverage.value) == (1.5, 0.5, 1.0)
    assert (found.size.low, found.size.high) == (1, 2)


@pytest.mark.parametrize(("n", "alpha", "classes"), [(60, 0.1, 2), (37, 0.2, 2), (60, 0.1, 4)])
def test_new_photographs_are_covered_as_often_as_promised(n, alpha, classes):
    draw, covered = np.random.default_rng(11), []
    for _ in range(600):
        # Any scores will do, honest or not, as long as calibration and test are drawn alike.
        labels = draw.integers(0, classes, n + 100)
        p = draw.dirichlet(np.ones(classes), n + 100) + np.eye(classes)[labels] * draw.random((n + 100, 1))
        p = p / p.sum(axis=1, keepdims=True)
        if classes == 2:
            p = p[:, 1]
        quantile = conformal_quantile(labels[:n], p[:n], alpha)
        covered.append(conformal_sets(p[n:], quantile)[np.arange(100), labels[n:]].mean())
    error = np.std(covered) / np.sqrt(600)
    expected = math.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1)
    assert expected >= 1 - alpha
    assert np.mean(covered) == pytest.approx(expected, abs=3.5 * error)
