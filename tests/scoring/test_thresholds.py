"""Thresholds against a search over all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from semiretina.errors import Refused
from semiretina.scoring.intervals import share
from semiretina.scoring.thresholds import alike, lacking, point_at, threshold_for


def graded(seed, n=160, decimals=2):
    draw = np.random.default_rng(seed)
    labels = np.concatenate([np.ones(55, int), np.zeros(55, int), draw.integers(0, 2, n - 110)])
    return labels, np.clip(np.round(draw.normal(0.4 + 0.2 * labels, 0.2), decimals), 0, 1)


def reached(labels, p, threshold):
    yes = p >= threshold
    return yes[labels == 1].mean(), (~yes)[labels == 0].mean()


def test_thresholds_by_hand():
    # 100 positives at 0.01, 0.02 ... 1.00 and 50 negatives at 0.015, 0.035 ... 0.995.
    labels = np.concatenate([np.ones(100, int), np.zeros(50, int)])
    p = np.concatenate([np.arange(1, 101) / 100, np.arange(50) / 50 + 0.015])
    assert threshold_for(labels, p, sensitivity=0.87) == pytest.approx(0.1375)  # 0.14 to 1.00 are 87
    assert threshold_for(labels, p, sensitivity=0.871) == pytest.approx(0.1175)  # 0.12 to 1.00 are 89
    # 0.07 * 100 is a little more than 7 in floating point.
    assert threshold_for(labels, p, sensitivity=0.07) == pytest.approx(0.9375)
    assert threshold_for(labels, p, specificity=0.9) == pytest.approx(0.8975)  # 45 negatives up to 0.895 are a no
    point = point_at(labels, p, [f"p{i}" for i in range(150)], 0.14)
    assert (point.threshold, point.n, point.positives) == (0.14, 150, 100)
    assert point.sensitivity == share(np.arange(100) < 87, np.arange(100))
    assert point.specificity.value == 7 / 50


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98), st.sampled_from([1, 2, 6]))
def test_a_threshold_reaches_what_is_wanted_at_the_least_cost_and_none_is_better(seed, wanted, decimals):
    labels, p = graded(seed, decimals=decimals)
    every = [reached(labels, p, t) for t in [*np.unique(p), 2.0]]
    for aim, other in ((0, 1), (1, 0)):
        chosen = reached(labels, p, threshold_for(labels, p, **{("sensitivity", "specificity")[aim]: wanted}))
        reaching = [pair for pair in every if pair[aim] >= wanted]
        assert chosen in reaching
        assert chosen[other] == max(pair[other] for pair in reaching)
        assert not any(pair != chosen and pair[0] >= chosen[0] and pair[1] >= chosen[1] for pair in every)


def test_classes_that_are_apart_are_parted_in_the_middle_of_their_gap():
    labels = np.repeat([0, 1], 100)
    p = np.concatenate([np.linspace(0.05, 0.3, 100), np.linspace(0.8, 0.95, 100)])
    for wanted in (0.01, 0.5, 0.87, 1.0):
        assert threshold_for(labels, p, sensitivity=wanted) == pytest.approx(0.55)
        assert threshold_for(labels, p, specificity=wanted) == pytest.approx(0.55)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["sensitivity", "specificity"]))
def test_rounding_changes_no_answer(seed, aim):
    labels, p = graded(seed, decimals=4)
    at = threshold_for(labels, p, **{aim: 0.87})
    jitter = np.random.default_rng(seed).uniform(-4e-5, 4e-5, len(p))
    assert 0 <= at <= 1
    np.testing.assert_array_equal(np.clip(p + jitter, 0, 1) >= at, p >= at)


def test_thresholds_at_the_ends():
    labels, ones = np.arange(120) % 2, np.ones(120, np.float32)
    never = threshold_for(labels, ones, specificity=0.5)
    assert not (ones.astype(float) >= never).any()
    assert threshold_for(labels, ones, sensitivity=0.5) == 0.5
    assert threshold_for(labels, 0 * ones, sensitivity=0.5) == 0.0
    assert threshold_for(labels, 0.5 * ones, specificity=0.5) == pytest.approx(0.75)


def test_intervals_know_of_patients():
    labels, p = graded(3)
    apart, paired = (point_at(labels, p, [f"p{i // k}" for i in range(160)], 0.5) for k in (1, 2))
    assert apart.sensitivity.value == paired.sensitivity.value
    assert apart.sensitivity != paired.sensitivity


@pytest.mark.parametrize(("positives", "negatives"), [(49, 300), (300, 49), (0, 0), (12, 30)])
def test_too_few_of_either_are_refused_and_counted(positives, negatives):
    labels = np.repeat([1, 0], [positives, negatives])
    assert lacking(labels) == f"{positives} positives and {negatives} negatives"
    with pytest.raises(Refused, match=f"{positives} positives and {negatives} negatives are too few .* at least 50 of"):
        threshold_for(labels, np.linspace(0, 1, len(labels)), sensitivity=0.9)


def test_fifty_of_each_suffice():
    labels = np.repeat([1, 0], 50)
    assert lacking(labels) == ""
    assert threshold_for(labels, labels.astype(float), specificity=0.9) == 0.5


def test_parts_that_answer_alike_or_not():
    # Of 60 ill ones 18, 12 and 6 of 20 are found; of the healthy nobody, who then tell nothing. With one kind of label
    # the statistic is Pearson's, times (n - 1) / n.
    found = [18, 12, 6]
    labels, parts = np.repeat([1, 0], [60, 40]), np.concatenate([np.repeat([4, 7, 9], 20), np.repeat([4, 7], 20)])
    yes = np.concatenate([np.arange(20) < count for count in found] + [np.zeros(40, bool)])
    pearson = chi2_contingency([found, [20 - count for count in found]], correction=False)
    p = alike(labels, yes, np.arange(100), parts)
    assert p == pytest.approx(chi2.sf(pearson.statistic * 59 / 60, 2))
    # As many photographs, of half as many patients.
    assert alike(labels, yes, np.arange(100) // 2, parts) == pytest.approx(chi2.sf(pearson.statistic * 59 / 120, 2))
    assert alike(labels, yes, np.arange(100), np.zeros(100, int)) == 1
    assert alike(labels, np.ones(100, bool), np.arange(100), parts) == 1


def test_two_parts_that_answer_differ_as_mantel_and_haenszel_have_it():
    # Ill: 9 of 10 and 11 of 20 are found. Healthy: 6 of 15 and 4 of 25 are called ill.
    tables = [(9, 10, 11, 20), (6, 15, 4, 25)]
    labels = np.repeat([1, 0], [30, 40])
    yes = np.concatenate([np.arange(n) < a for a, n in ((9, 10), (11, 20), (6, 15), (4, 25))])
    parts = np.repeat([0, 1, 0, 1], [10, 20, 15, 25])
    surplus = sum(a - n * (a + b) / (n + m) for a, n, b, m in tables)
    variance = sum(n * m * (a + b) * (n + m - a - b) / ((n + m) ** 2 * (n + m - 1)) for a, n, b, m in tables)
    assert alike(labels, yes, np.arange(70), parts) == pytest.approx(chi2.sf(surplus**2 / variance, 1))


def test_chance_alone_seldom_sets_parts_apart():
    random = np.random.default_rng(3)
    labels, parts = np.repeat([0, 1], 60), np.arange(120) % 5
    p = [alike(labels, random.random(120) < 0.2 + 0.6 * labels, np.arange(120), parts) for _ in range(400)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09
