"""Curves and bands against scikit-learn, and against resamples drawn one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_curve

from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.curves import RESAMPLES, precision_band, precisions, roc_band, sensitivities
from semiretina.scoring.weighted import aurocs, average_precisions

PLACES = np.linspace(0, 1, 41)


def answers(seed, n=60, values=12):
    """Labels of both kinds, and probabilities with ties."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, n)
    labels[:2] = 0, 1
    return labels, np.round(draw.random(n) * values) / values, draw.integers(0, n // 2, n)


@given(st.integers(0, 10_000))
def test_the_highest_sensitivity_at_a_specificity_is_sklearns(seed):
    labels, values, _ = answers(seed)
    wrong, right, _ = roc_curve(labels, values, drop_intermediate=False)
    expected = [right[wrong <= place + 1e-9].max() for place in PLACES]
    found = sensitivities(labels, values, np.ones((1, len(labels))), PLACES)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.integers(0, 10_000))
def test_the_precision_at_a_recall_is_sklearns(seed):
    labels, values, _ = answers(seed)
    precision, recall, _ = precision_recall_curve(labels, values)
    precision, recall = precision[:-1], recall[:-1]  # without the point (0, 1), which no threshold reaches
    # Thresholds rise, so the last one that finds enough is the highest.
    expected = [precision[np.flatnonzero(recall >= place - 1e-9)[-1]] for place in PLACES[1:]]
    found = precisions(labels, values, np.ones((1, len(labels))), PLACES[1:])[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_weights_are_copies():
    labels, values, _ = answers(3)
    weights = np.random.default_rng(0).integers(0, 4, (5, len(labels))).astype(np.float64)
    for curve, places in ((sensitivities, PLACES), (precisions, PLACES[1:])):
        found = curve(labels, values, weights, places)
        for row, own in zip(found, weights.astype(int), strict=True):
            copied = np.repeat(np.arange(len(labels)), own)
            plain = curve(labels[copied], values[copied], np.ones((1, len(copied))), places)
            np.testing.assert_allclose(row, plain[0], atol=1e-12)


def test_the_steps_hold_the_areas_that_the_scores_state():
    """Between the places of a fine grid a step can only rise, so its sums bound the area from both sides."""
    labels, values, _ = answers(5, n=200, values=150)
    ones = np.ones((1, 200))
    fine = np.linspace(0, 1, 20_001)
    roc = sensitivities(labels, values, ones, fine)[0]
    assert roc.mean() == pytest.approx(float(aurocs(labels, values, ones)[0]), abs=2e-2)
    precision = precisions(labels, values, ones, fine[1:])[0]
    assert precision.mean() == pytest.approx(float(average_precisions(labels, values, ones)[0]), abs=1e-3)


def test_the_band_holds_the_middle_of_the_resampled_curves():
    labels, values, groups = answers(7, n=80)
    band = roc_band(labels, values[None], groups)
    drawn = np.concatenate(list(resamples(groups, "curve", count=RESAMPLES)))
    curves = np.concatenate([sensitivities(labels, values, row[None], band.x) for row in drawn])
    inside = ((curves >= band.low - 1e-12) & (curves <= band.high + 1e-12)).mean(axis=0)
    assert inside.min() >= 0.94
    assert (band.low <= band.high).all()
    np.testing.assert_allclose(band.value, sensitivities(labels, values, np.ones((1, 80)), band.x)[0])


def test_of_several_seeds_the_curve_is_their_mean_and_the_order_means_nothing():
    labels, values, groups = answers(1)
    other = answers(2)[1]
    both = precision_band(labels, np.stack([values, other]), groups)
    alone = [precision_band(labels, one[None], groups).value for one in (values, other)]
    np.testing.assert_allclose(both.value, np.mean(alone, axis=0))
    swapped = precision_band(labels, np.stack([other, values]), groups)
    np.testing.assert_allclose(both.low, swapped.low)


def test_one_class_gives_no_curve():
    band = roc_band(np.zeros(5, np.int64), np.full((1, 5), 0.3), np.arange(5))
    assert np.isnan(band.value).all()
    assert np.isnan(band.low).all()
