"""The bootstrap over patients against copies of rows, moments worked out by hand, and scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from semiretina.scoring import bootstrap, weighted
from semiretina.scoring.bootstrap import RESAMPLES, interval, logit_interval, reflected_interval, resamples


def drawn(groups, *key, **options):
    return np.concatenate(list(resamples(np.asarray(groups), *key, **options)))


def test_as_many_patients_are_drawn_as_there_are_and_their_photographs_stay_together():
    groups = np.array([4, 4, 9, 2, 2, 2])  # numbers need not be dense
    weights = drawn(groups, "test")
    assert weights.shape == (RESAMPLES, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) == 10  # the multisets of 3 of 3


def test_the_weights_have_the_moments_of_a_multinomial():
    weights = drawn(np.arange(20), "test", count=20_000)
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.03)
    covariance = np.cov(weights.T)
    assert np.diag(covariance) == pytest.approx(np.full(20, 0.95), abs=0.05)
    assert covariance[~np.eye(20, dtype=bool)].mean() == pytest.approx(-0.05, abs=0.003)


def test_a_key_gives_the_same_draws_and_another_key_others():
    groups = np.arange(30)
    assert np.array_equal(drawn(groups, "one", 2), drawn(groups, "one", 2))
    assert not np.array_equal(drawn(groups, "one", 2), drawn(groups, "one", 3))
    # The draws are of patients: photographs doubled within their patient change nothing.
    assert np.array_equal(drawn(np.repeat(groups, 2), "one"), np.repeat(drawn(groups, "one"), 2, axis=1))


def test_blocks_are_bounded_and_change_no_draw(monkeypatch):
    whole = drawn(np.arange(50), "test", count=300)
    monkeypatch.setattr(bootstrap, "CELLS", 50 * 77)
    blocks = list(resamples(np.arange(50), "test", count=300))
    assert [len(block) for block in blocks] == [77, 77, 77, 69]
    assert np.array_equal(np.concatenate(blocks), whole)
    assert {len(block) for block in resamples(np.arange(50), "test", count=300, width=100)} == {1}
    assert np.array_equal(drawn(np.arange(50), "test", count=300, width=7), whole)


def test_no_photograph_no_resample():
    assert list(resamples(np.zeros(0, np.int64), "test")) == []


def test_one_photograph_a_patient_agrees_with_scipy():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 150)
    values = draw.normal(labels, 1)
    ours = weighted.aurocs(labels, values, drawn(np.arange(150), "test", count=6000))
    theirs = stats.bootstrap(
        (labels, values),
        roc_auc_score,
        paired=True,
        vectorized=False,
        n_resamples=700,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    spread = theirs.standard_error
    assert ours.std() == pytest.approx(spread, rel=0.1)
    assert interval(ours, 0.95) == pytest.approx(tuple(theirs.confidence_interval), abs=0.3 * spread)


def test_patients_with_two_like_eyes_spread_as_half_as_many_photographs():
    hits = np.repeat(np.arange(100) < 70, 2)
    together = weighted.shares(hits, drawn(np.repeat(np.arange(100), 2), "test", count=6000))
    assert together.std() == pytest.approx(math.sqrt(0.7 * 0.3 / 100), rel=0.04)
    apart = weighted.shares(hits, drawn(np.arange(200), "test", count=6000))
    assert apart.std() == pytest.approx(math.sqrt(0.7 * 0.3 / 200), rel=0.04)


def test_percentiles_leave_out_what_is_undefined():
    values = np.concatenate([np.arange(1001) / 1000, [math.nan] * 500])
    assert interval(values, 0.95) == pytest.approx((0.025, 0.975))
    assert interval(values, 0.8) == pytest.approx((0.1, 0.9))


@pytest.mark.parametrize("values", [[], [math.nan] * 4, [0.3] * 5, [0.3, math.nan, 0.3]])
def test_values_that_do_not_vary_give_no_interval(values):
    assert all(math.isnan(bound) for bound in interval(np.array(values, float), 0.95))
    assert all(math.isnan(bound) for bound in logit_interval(0.3, np.array(values, float), 9, 8))
    assert all(math.isnan(bound) for bound in reflected_interval(0.3, np.array(values, float), 0.95))


def test_the_logit_interval_by_hand():
    values = 0.75 + np.array([-0.1, 0.1] * 50)  # a standard deviation of 0.1
    # logit 0.75 = 1.098612; 0.1 sqrt(10 / 9) t(5) / (0.75 0.25), with t(5) = 2.570582: 1.445122
    bounds = logit_interval(0.75, values, 10, 5)
    assert bounds == pytest.approx((1 / (1 + math.exp(0.346510)), 1 / (1 + math.exp(-2.543734))), abs=1e-5)
    # Between -1 and 1 the same places are twice as far apart.
    wide = logit_interval(0.5, 2 * values - 1, 10, 5, (-1.0, 1.0))
    assert wide == pytest.approx(tuple(2 * bound - 1 for bound in bounds))


@pytest.mark.parametrize(("value", "df"), [(0.0, 5), (1.0, 5), (0.5, 0)])
def test_the_ends_have_no_logit_interval(value, df):
    assert math.isnan(logit_interval(value, np.array([0.4, 0.6]), 10, df)[0])


def test_the_reflected_interval_by_hand():
    values = np.arange(1001) / 1000
    assert reflected_interval(0.6, values, 0.95) == pytest.approx((0.225, 1.175))
    assert reflected_interval(0.3, values, 0.8) == pytest.approx((0, 0.5))
    assert reflected_interval(0.05, values, 0.8) == pytest.approx((0, 0.05))  # holds its value
