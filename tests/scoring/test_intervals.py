"""Intervals against numbers by hand, scipy, scikit-learn and slow scripts of the same formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t
from sklearn.metrics import roc_auc_score

from semiretina.scoring import binary_scores
from semiretina.scoring.intervals import effective_number, group_numbers, share, wilson


def alone(n):
    return [f"patient {i}" for i in range(n)]


def hits(count, n):
    return np.arange(n) < count


@pytest.mark.parametrize(("right", "low", "high"), [(207, 0.821, 0.907), (212, 0.845, 0.924)])
def test_the_papers_accuracies_have_the_intervals_worked_out_by_hand(right, low, high):
    accuracy = share(hits(right, 238), group_numbers(alone(238)))
    assert accuracy.value == right / 238
    assert round(accuracy.low, 3) == low
    assert round(accuracy.high, 3) == high


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_one_photograph_a_patient_is_plain_wilson(counts, level):
    k, n = counts
    interval = binomtest(k, n).proportion_ci(level, method="wilson")
    ours = share(hits(k, n), group_numbers(alone(n)), level)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_photographs_that_are_copies_of_each_other_count_as_one():
    patients, n = 60, 120
    right = np.repeat(hits(45, patients), 2)
    # By hand: the ratio variance is 2 (G / (G - 1)) ((n - 1) / n) times the binomial one; then the squared ratio of t.
    expected = n * (patients - 1) / (n - 1) * (t.isf(0.025, n - 1) / t.isf(0.025, patients - 1)) ** 2
    assert effective_number(right, group_numbers(np.repeat(alone(patients), 2))) == pytest.approx(expected)


def test_patients_with_opposite_eyes_do_not_narrow_the_interval_below_plain_wilson():
    right, groups = np.tile([True, False], 50), group_numbers(np.repeat(alone(50), 2))
    assert effective_number(right, groups) <= 100


@pytest.mark.parametrize("right", [0, 20])
def test_all_right_or_all_wrong_counts_patients(right):
    groups = group_numbers(["a"] * 2 + ["b"] * 2 + alone(16))
    assert effective_number(hits(right, 20), groups) == pytest.approx(400 / (4 + 4 + 16))


def test_one_patient_is_one_observation():
    assert effective_number(hits(3, 5), group_numbers(["same"] * 5)) == 1


def test_no_photograph_has_no_share():
    assert math.isnan(share(np.zeros(0, bool), np.zeros(0, np.int64)).value)


def test_an_empty_name_is_a_patient_of_its_own():
    numbers = group_numbers(["", "7", "", "007", "7"])
    assert len(set(numbers)) == 4
    assert numbers[1] == numbers[4]


def test_intervals_cover_the_truth_when_the_eyes_of_a_patient_agree():
    draw, covered, plainly, rounds, patients = np.random.default_rng(3), 0, 0, 500, 80
    groups = group_numbers(np.repeat(alone(patients), 2))
    for _ in range(rounds):
        own = draw.beta(4, 1, patients)  # mean 0.8; eyes of a patient correlate by 1 / 6
        twin = draw.random(patients) < 0.6
        first = draw.random(patients) < own
        right = np.stack([first, np.where(twin, first, draw.random(patients) < own)], 1).ravel()
        ours, plain = share(right, groups), wilson(float(right.mean()), len(right))
        covered += ours.low <= 0.8 <= ours.high
        plainly += plain.low <= 0.8 <= plain.high
    assert 0.925 <= covered / rounds <= 0.985
    assert plainly < covered - 20


def slow_variance(labels, scores, groups):
    """Obuchowski 1997, equations as printed, pair by pair."""
    x, y = scores[labels == 1], scores[labels == 0]
    gx, gy = groups[labels == 1], groups[labels == 0]
    wins = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
    area, m, n = wins.mean(), len(x), len(y)
    names = sorted(set(groups))
    v10 = {g: sum(wins[i].mean() - area for i in range(m) if gx[i] == g) for g in names}
    v01 = {g: sum(wins[:, j].mean() - area for j in range(n) if gy[j] == g) for g in names}
    i10, i01, clusters = len(set(gx)), len(set(gy)), len(names)
    s10 = i10 / ((i10 - 1) * m) * sum(v**2 for v in v10.values())
    s01 = i01 / ((i01 - 1) * n) * sum(v**2 for v in v01.values())
    s11 = clusters / (clusters - 1) * sum(v10[g] * v01[g] for g in names)
    return area, s10 / m + s01 / n + 2 * s11 / (m * n)


def logit_interval(area, variance):
    half = norm.ppf(0.975) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return [1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5]), st.booleans())
def test_auroc_and_its_interval_against_a_pair_by_pair_script(seed, patient_size, ties):
    draw = np.random.default_rng(seed)
    labels = np.tile([0, 1, 1], 14)
    scores = np.clip(draw.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    scores = np.round(scores, 1) if ties else scores
    groups = np.array([f"p{i // patient_size}" for i in range(len(labels))])
    area, variance = slow_variance(labels, scores, groups)
    ours = binary_scores(labels, scores, groups)["auroc"]
    assert ours.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ours.value == pytest.approx(area, abs=1e-12)
    if variance > 1e-9 and area < 1:
        assert [ours.low, ours.high] == pytest.approx(logit_interval(area, variance), abs=1e-9)


def test_one_photograph_a_patient_is_plain_delong():
    # DeLong by numpy's covariances, which divide by the count - 1.
    draw = np.random.default_rng(0)
    x, y = draw.normal(0.8, 1, 40), draw.normal(0, 1, 60)
    wins = (x[:, None] > y).astype(float)
    variance = np.var(wins.mean(1), ddof=1) / 40 + np.var(wins.mean(0), ddof=1) / 60
    ours = binary_scores([1] * 40 + [0] * 60, np.concatenate([x, y]), alone(100))["auroc"]
    assert [ours.low, ours.high] == pytest.approx(logit_interval(wins.mean(), variance), abs=1e-9)


def test_doubling_every_photograph_within_its_patient_leaves_the_auroc_as_it_was():
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 80)
    scores = draw.random(80) + 0.5 * labels
    once = binary_scores(labels, scores, alone(80))["auroc"]
    twice = binary_scores(np.repeat(labels, 2), np.repeat(scores, 2), np.repeat(alone(80), 2))["auroc"]
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high), abs=1e-9)
    naive = binary_scores(np.repeat(labels, 2), np.repeat(scores, 2), alone(160))["auroc"]
    assert naive.high - naive.low < 0.8 * (twice.high - twice.low)


@pytest.mark.parametrize(("scores", "value"), [([0.1, 0.2, 0.3, 0.7, 0.8], 1.0), ([0.9, 0.8, 0.7, 0.2, 0.1], 0.0)])
def test_a_perfect_ranking_keeps_an_honest_interval(scores, value):
    # Two positives: Wilson with two trials, z = 1.96: 2 / (2 + 1.96 ** 2) = 0.342.
    ours = binary_scores([0, 0, 0, 1, 1], scores, alone(5))["auroc"]
    assert ours.value == value
    assert max(abs(ours.low - value), abs(ours.high - value)) == pytest.approx(1 - 0.3424, abs=1e-4)
    assert min(abs(ours.low - value), abs(ours.high - value)) == 0


def test_a_perfect_ranking_of_one_patients_two_positives_counts_one():
    ours = binary_scores([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], ["a", "b", "c", "d", "d"])["auroc"]
    assert ours.low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-5)


def test_a_constant_answer_is_at_chance_with_a_wide_interval():
    ours = binary_scores([0] * 10 + [1] * 10, [0.3] * 20, alone(20))["auroc"]
    assert ours.value == 0.5
    assert ours.low < 0.3
    assert ours.high > 0.7


def test_a_single_positive_gives_no_certainty():
    ours = binary_scores([1, 0, 0, 0, 0], [0.6, 0.7, 0.1, 0.2, 0.3], alone(5))["auroc"]
    assert ours.value == 0.75
    assert 0 < ours.low < 0.3
    assert 0.9 < ours.high < 1
