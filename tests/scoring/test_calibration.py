"""Temperatures against what can be worked out by hand, and the reliability diagram against the error it sums to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from scipy.stats import rankdata

from semiretina.scoring.calibration import COLDEST, HOTTEST, error_by_chance, fit_temperature, reliability
from semiretina.scoring.intervals import auroc, share
from semiretina.scoring.weighted import calibration_errors


def ece(labels, probabilities):
    return float(calibration_errors(labels, probabilities, np.ones((1, len(labels))))[0])


def overconfident(n, seed=0, factor=3.0):
    draw = np.random.default_rng(seed)
    honest = draw.normal(0, 2, n)
    return factor * honest, (draw.random(n) < expit(honest)).astype(float)


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_overconfident_and_timid_logits_are_put_right_and_keep_their_order(factor):
    logits, labels = overconfident(20_000, factor=factor)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(factor, rel=0.04)
    after = expit(logits / temperature)
    assert ece(labels, expit(logits)) > 0.05
    assert ece(labels, after) <= 0.02
    np.testing.assert_array_equal(rankdata(after), rankdata(logits))
    alone = np.arange(20_000)
    assert auroc(labels, after, alone) == auroc(labels, logits, alone)


def test_classes_and_grades_are_put_right():
    draw = np.random.default_rng(1)
    honest = draw.normal(0, 1.5, (20_000, 4))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < draw.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(4 * honest, labels) == pytest.approx(4, rel=0.04)
    calibrated = softmax(honest, axis=1)
    assert ece(calibrated.argmax(axis=1) == labels, calibrated.max(axis=1)) <= 0.02
    # P(grade > k) = sigmoid(x - k), asked of one draw: an ordered answer.
    asked = draw.normal(1, 2, (20_000, 1)) - np.arange(3)
    above = (draw.random((20_000, 1)) < expit(asked)).astype(float)
    assert fit_temperature(2.5 * asked, above) == pytest.approx(2.5, rel=0.04)


@pytest.mark.parametrize("right", [80, 95, 100])
def test_of_answers_that_are_equally_sure_by_hand(right):
    # All logits are 2 or -2: the likeliest temperature makes them as sure as they are right, where one of the hundred
    # answers counts as half right.
    labels = np.arange(100) % 2
    logits = np.where(labels == 1, 2.0, -2.0)
    logits[right:] *= -1
    wanted = 0.99 * right / 100 + 0.01 / 2
    assert fit_temperature(logits, labels) == pytest.approx(2 / logit(wanted))
    assert fit_temperature(logits[:, None], labels[:, None]) == pytest.approx(2 / logit(wanted))


@pytest.mark.parametrize("right", [60, 90])
def test_of_three_classes_by_hand(right):
    labels = np.arange(90) % 3
    answers = np.where(np.arange(90) < right, labels, (labels + 1) % 3)
    wanted = (1 - 1 / 90) * right / 90 + 1 / 270
    # exp(a / T) / (exp(a / T) + 2) = wanted
    assert fit_temperature(3.0 * np.eye(3)[answers], labels) == pytest.approx(3 / np.log(2 * wanted / (1 - wanted)))


def test_the_likelihood_of_many_answers_is_that_of_the_plain_maximum():
    logits, labels = overconfident(4000, seed=5)
    grid = np.geomspace(0.5, 10, 4001)
    signed = np.where(labels == 1, logits, -logits)
    losses = [np.logaddexp(0, -signed / t).mean() for t in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.01)


def test_logits_that_say_nothing_or_the_contrary():
    labels = np.arange(60) % 2
    assert fit_temperature(np.zeros(60), labels) == 1.0
    assert fit_temperature(np.full((60, 3), 7.0), labels) == 1.0
    assert fit_temperature(np.where(labels == 1, -4.0, 4.0), labels) == HOTTEST
    assert fit_temperature(np.where(labels == 1, 1e-3, -1e-3), labels) == COLDEST


def test_unknown_labels_are_left_out():
    logits, labels = overconfident(200, seed=2)
    labels[150:] = np.nan
    known = fit_temperature(logits[:150], labels[:150])
    assert fit_temperature(logits, labels) == known
    classes = np.where(np.isnan(labels), -1, labels)
    two = np.stack([np.zeros(200), logits], axis=1)
    assert fit_temperature(two, classes) == pytest.approx(known)
    assert fit_temperature(logits.reshape(100, 2), labels.reshape(100, 2)) == known


numbers = st.floats(-1e4, 1e4, allow_subnormal=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(numbers, st.sampled_from([0.0, 1.0])), min_size=1, max_size=40))
def test_any_logits_give_a_temperature_within_its_bounds(pairs):
    logits, labels = np.array(pairs).T
    assert COLDEST <= fit_temperature(logits, labels) <= HOTTEST


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 3))
def test_logits_times_a_number_have_the_temperature_times_it(seed, factor):
    logits, labels = overconfident(300, seed, 1.0)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * fit_temperature(logits, labels))


def test_a_reliability_diagram_by_hand():
    # Fifteenths: 1/15 = 0.0667 is the first bin's upper edge; 0.9334 and 1 lie in the last.
    p = np.array([0.0, 0.03, 1 / 15, 0.07, 0.95, 0.9334, 1.0])
    labels = np.array([0, 1, 0, 0, 1, 1, 0])
    bins = reliability(labels, p, list("abcdeeg"))
    assert len(bins) == 15
    assert [found.n for found in bins] == [3, 1, *[0] * 12, 3]
    assert (bins[0].low, bins[0].high) == (0.0, 1 / 15)
    assert bins[0].probability == pytest.approx((0.03 + 1 / 15) / 3)
    assert bins[0].observed == share(np.array([False, True, False]), np.arange(3))
    assert bins[14].observed == share(np.array([True, True, False]), np.array([0, 0, 1]))
    assert np.isnan([bins[5].probability, bins[5].observed.value, bins[5].observed.low]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_the_bins_are_those_of_the_calibration_error(seed, n):
    draw = np.random.default_rng(seed)
    p, labels = np.round(draw.random(n), 2), draw.integers(0, 2, n)
    groups = [f"p{i // 2}" for i in range(n)]
    bins = [found for found in reliability(labels, p, groups) if found.n]
    assert sum(found.n for found in bins) == n
    gaps = [found.n / n * abs(found.observed.value - found.probability) for found in bins]
    assert sum(gaps) == pytest.approx(ece(labels, p))


def test_the_error_by_chance_of_one_bin_by_hand():
    # All at 0.5: |heads of 400 / 400 - 0.5| is on average sqrt(2 / pi) 0.025 = 0.01995 and below 1.96 0.025 in 95 %.
    found = error_by_chance(np.full(400, 0.5))
    assert found.value == pytest.approx(np.sqrt(2 / np.pi) * 0.025, rel=0.15)
    assert found.high == pytest.approx(2.24 * 0.025, rel=0.15)  # the 97.5 % quantile of |z| is 2.24
    assert found.low == pytest.approx(0.031 * 0.025, abs=0.0013)
    assert error_by_chance(np.full(400, 0.5)) == found


def test_the_error_by_chance_is_that_of_labels_drawn_from_the_probabilities():
    draw = np.random.default_rng(4)
    for n in (50, 500, 3000):
        p = expit(draw.normal(0, 2, n))
        errors = [ece((draw.random(n) < p).astype(int), p) for _ in range(400)]
        found = error_by_chance(p)
        assert found.value == pytest.approx(np.mean(errors), rel=0.08)
        assert found.high == pytest.approx(np.quantile(errors, 0.975), rel=0.12)
        assert found.low == pytest.approx(np.quantile(errors, 0.025), rel=0.15)
    certain = error_by_chance(np.arange(10) % 2.0)
    assert (certain.value, certain.low, certain.high) == (0, 0, 0)
    assert np.isnan(error_by_chance(np.zeros(0)).value)
