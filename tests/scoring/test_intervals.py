"""Intervals against numbers by hand, scipy, scikit-learn and slow scripts of the same formulas."""

import math

import numpy as np
import pauc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t
from sklearn.metrics import roc_auc_score

from semiretina.scoring import binary_scores
from semiretina.scoring.intervals import (
    Estimate,
    area_and_variance,
    effective_number,
    group_numbers,
    mean_of,
    predictive_value,
    share,
    wilson,
)


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


def slow_area(labels, scores, groups):
    """Obuchowski 1997, equations as printed, pair by pair; then Satterthwaite's degrees of freedom of S10 and S01."""
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
    a, b = s10 / m, s01 / n
    df = (a + b) ** 2 / (a**2 / (i10 - 1) + b**2 / (i01 - 1)) if a + b else math.nan
    return area, a + b + 2 * s11 / (m * n), df


def logit_interval(area, variance, df):
    half = t.ppf(0.975, df) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return [1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1)]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 80), st.sampled_from([0, 1, 8]))
def test_area_and_variance_equal_an_independent_package(seed, n, decimals):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, n)
    labels[:4] = [0, 0, 1, 1]
    values = np.round(draw.normal(labels, 1), decimals)
    theirs = pauc.ROC(labels, values, direction="<")
    ours = area_and_variance(labels, values, np.arange(n))
    assert ours[:2] == pytest.approx((theirs.auc, pauc.var(theirs)), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3, 5]), st.booleans())
def test_clustered_variance_equals_obuchowskis_definition(seed, patient_size, ties):
    draw = np.random.default_rng(seed)
    labels, scores = np.tile([0, 1, 1], 14), draw.normal(size=42)
    scores = np.round(scores, 1) if ties else scores
    groups = np.array([f"p{i // patient_size}" for i in range(len(labels))])
    expected = slow_area(labels, scores, groups)
    found = area_and_variance(labels, scores, group_numbers(groups))
    assert found[:2] == pytest.approx(expected[:2], abs=1e-12)
    assert found.df == pytest.approx(expected[2], rel=1e-9, nan_ok=True)
    holding = [len(set(groups[labels == k])) for k in (0, 1)]
    assert math.isnan(found.df) or min(holding) - 1 - 1e-9 <= found.df <= sum(holding) - 2 + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5]), st.booleans())
def test_auroc_and_its_interval_against_a_pair_by_pair_script(seed, patient_size, ties):
    draw = np.random.default_rng(seed)
    labels = np.tile([0, 1, 1], 14)
    scores = np.clip(draw.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    scores = np.round(scores, 1) if ties else scores
    groups = np.array([f"p{i // patient_size}" for i in range(len(labels))])
    area, variance, df = slow_area(labels, scores, groups)
    ours = binary_scores(labels, scores, groups)["auroc"]
    assert ours.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ours.value == pytest.approx(area, abs=1e-12)
    if variance > 1e-9 and area < 1:
        assert [ours.low, ours.high] == pytest.approx(logit_interval(area, variance, df), abs=1e-9)


def test_one_photograph_a_patient_is_delong_with_students_quantile():
    # DeLong by numpy's covariances, which divide by the count - 1.
    draw = np.random.default_rng(0)
    x, y = draw.normal(0.8, 1, 40), draw.normal(0, 1, 60)
    wins = (x[:, None] > y).astype(float)
    a, b = np.var(wins.mean(1), ddof=1) / 40, np.var(wins.mean(0), ddof=1) / 60
    df = (a + b) ** 2 / (a**2 / 39 + b**2 / 59)
    ours = binary_scores([1] * 40 + [0] * 60, np.concatenate([x, y]), alone(100))["auroc"]
    assert [ours.low, ours.high] == pytest.approx(logit_interval(wins.mean(), a + b, df), abs=1e-9)


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


def test_the_variance_needs_two_patients_of_each_class():
    labels, values = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.1])
    area, variance, df = area_and_variance(labels, values, np.array([0, 0, 1, 2]))
    assert area == 0.75
    assert math.isnan(variance)
    assert math.isnan(df)
    assert all(math.isnan(number) for number in area_and_variance(np.ones(4, int), values, np.arange(4)))


def test_the_degrees_of_freedom_by_hand():
    # Of the positives 0.9 and 0.5 all and 1 / 2 of the negatives are below: each is 1 / 4 away from their mean 3 / 4,
    # so that their part is (1 / 16 + 1 / 16) / 1 / 2 = 1 / 16. The negatives 0.6 (below 1 of 2) and 0.1 tell as much.
    labels, values = np.array([1, 1, 0, 0]), np.array([0.9, 0.5, 0.6, 0.1])
    found = area_and_variance(labels, values, np.arange(4))
    assert found == pytest.approx((3 / 4, 1 / 8, 2))
    # A third positive at 0.7 is above both negatives; by numpy's variances.
    labels, values = np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.7, 0.6, 0.1])
    area, variance, df = area_and_variance(labels, values, np.arange(5))
    a, b = np.var([1, 1 / 2, 1], ddof=1) / 3, np.var([2 / 3, 1], ddof=1) / 2
    assert (area, variance) == pytest.approx((5 / 6, a + b))
    assert df == pytest.approx((a + b) ** 2 / (a**2 / 2 + b**2 / 1))
    assert math.isnan(area_and_variance(labels, labels.astype(float), np.arange(5)).df)  # perfect: both parts are 0


def test_numbers_stand_for_patients_as_names_do():
    assert group_numbers(np.array([7, 7, 3])).tolist() == [1, 1, 0]
    assert group_numbers([]).tolist() == []


def test_the_mean_of_two_shares_by_hand():
    # Below 0.85: root of 0.1^2 + 0.04^2 = 0.1077, halved; above: root of 0.08^2 + 0.03^2 = 0.0854, halved.
    mean = mean_of([Estimate(0.8, 0.7, 0.88), Estimate(0.9, 0.86, 0.93)])
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.85, 0.796148, 0.892720), abs=1e-6)
    for undefined in ([], [Estimate(0.8, 0.7, 0.9), Estimate(math.nan)]):
        assert all(math.isnan(v) for v in (mean_of(undefined).value, mean_of(undefined).low, mean_of(undefined).high))


def test_the_mean_of_two_like_shares_is_as_precise_as_twice_as_many():
    each, both = wilson(0.8, 400), wilson(0.8, 800)
    mean = mean_of([each, each])
    assert (mean.low, mean.high) == pytest.approx((both.low, both.high), abs=1e-3)


def test_predictive_values_by_hand():
    # Of 1000: 100 ill, 80 found; 900 well, 810 passed.
    found, passed = wilson(0.8, 100), wilson(0.9, 900)
    ppv, npv = predictive_value(found, passed, 0.1), predictive_value(passed, found, 0.9)
    assert ppv.value == pytest.approx(80 / 170)
    assert npv.value == pytest.approx(810 / 830)
    assert ppv.low < ppv.value < ppv.high
    assert npv.low < npv.value < npv.high


def test_the_interval_of_a_predictive_value_is_near_that_of_the_log_likelihood_ratio():
    # Simel, Samsa, Matchar, Journal of Clinical Epidemiology 1991; 44:763, for large samples.
    ill, well = 4000, 9000
    found, passed = wilson(0.8, ill), wilson(0.9, well)
    error = math.sqrt(0.2 / (0.8 * ill) + 0.9 / (0.1 * well))
    bounds = [ratio * 0.05 / (ratio * 0.05 + 0.95) for ratio in (8 * math.exp(s * 1.959964 * error) for s in (-1, 1))]
    ppv = predictive_value(found, passed, 0.05)
    assert [ppv.low, ppv.high] == pytest.approx(bounds, abs=1e-3)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30), st.floats(0.001, 0.999))
def test_a_predictive_value_lies_in_its_interval(found, passed, ill, well, frequency):
    found, passed = min(found, ill), min(passed, well)
    value = predictive_value(wilson(found / ill, ill), wilson(passed / well, well), frequency)
    if found == 0 and passed == well:
        assert math.isnan(value.value)
    else:
        assert 0 <= value.low <= value.value + 1e-12
        assert value.value - 1e-12 <= value.high <= 1
        assert value.low < value.high
    if 0 < found < ill and passed == well:
        assert value.high == 1
        assert value.low < 1
