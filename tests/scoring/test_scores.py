"""Scores against counts by hand and scikit-learn."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import t
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    roc_auc_score,
)

from semiretina.scoring import Estimate, binary_scores, class_scores

BOOTSTRAPPED = ("average_precision", "brier", "ece")
BOOTSTRAPPED_CLASSES = ("quadratic_kappa", "auroc", "brier", "ece")


def alone(n):
    return [str(i) for i in range(n)]


def graded(n, seed=0, strength=0.5, classes=5):
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, n, p=np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum())
    probabilities = draw.random((n, classes)) + strength * np.eye(classes)[labels]
    return labels, probabilities / probabilities.sum(1, keepdims=True)


def screened(n, seed=0, positives=0.4):
    draw = np.random.default_rng(seed)
    labels = (draw.random(n) < positives).astype(int)
    labels[:2] = [0, 1]
    return labels, np.clip(draw.normal(0.35 + 0.3 * labels, 0.2), 0, 1)


def test_binary_scores_by_hand():
    labels = [1, 1, 1, 0, 0, 0, 0]
    scores = binary_scores(labels, [0.9, 0.5, 0.2, 0.4, 0.6, 0.1, 0.49], alone(7))
    assert scores["n"] == 7
    assert scores["positives"] == 3
    assert scores["majority"] == 4 / 7
    assert scores["accuracy"].value == 5 / 7  # 0.2 and 0.6 are wrong; 0.5 is a yes
    assert scores["sensitivity"].value == 2 / 3
    assert scores["specificity"].value == 3 / 4
    assert scores["auroc"].value == (4 + 3 + 1) / 12


def test_the_threshold_moves_sensitivity_against_specificity():
    labels, p = [1, 1, 0, 0], [0.9, 0.3, 0.4, 0.1]
    strict, lenient = (binary_scores(labels, p, alone(4), threshold=at) for at in (0.8, 0.2))
    assert (strict["sensitivity"].value, strict["specificity"].value) == (0.5, 1.0)
    assert (lenient["sensitivity"].value, lenient["specificity"].value) == (1.0, 0.5)


def test_unknown_labels_are_dropped():
    known = binary_scores([1, 0, 1], [0.9, 0.2, 0.4], ["a", "b", "c"])
    assert binary_scores([1, math.nan, 0, -1, 1], [0.9, 0.9, 0.2, 0.1, 0.4], ["a", "a", "b", "d", "c"]) == known
    labels, p = graded(60)
    masked = np.where(np.arange(60) % 3 == 0, -1, labels)
    assert class_scores(masked, p, alone(60))["n"] == 40


def test_sensitivity_counts_the_patients_of_the_diseased_only():
    labels, p = [1] * 20 + [0] * 20, [0.9] * 15 + [0.1] * 25
    apart = binary_scores(labels, p, alone(40))
    paired_healthy = binary_scores(labels, p, alone(20) + [f"h{i // 2}" for i in range(20)])
    assert paired_healthy["sensitivity"] == apart["sensitivity"]
    assert paired_healthy["specificity"].low < apart["specificity"].low


def test_one_class_leaves_undefined_what_needs_both():
    scores = binary_scores([1, 1, 1], [0.9, 0.8, 0.1], alone(3))
    assert scores["majority"] == 1
    assert scores["sensitivity"].value == 2 / 3
    for name in ("auroc", "specificity"):
        assert all(math.isnan(v) for v in (scores[name].value, scores[name].low, scores[name].high))


def test_no_label_at_all_gives_nan_and_zero():
    scores = binary_scores([math.nan], [0.5], ["a"])
    assert scores["n"] == 0
    assert math.isnan(scores["majority"])
    assert math.isnan(scores["accuracy"].value)
    grades = class_scores([-1], np.ones((1, 3)) / 3, ["a"])
    assert grades["n"] == 0
    assert math.isnan(grades["quadratic_kappa"].value)
    assert math.isnan(grades["auroc"].low)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1.5))
def test_class_scores_against_scikit_learn(seed, strength):
    labels, p = graded(90, seed, strength)
    labels[:5] = np.arange(5)
    p = np.round(p, 2)
    p /= p.sum(1, keepdims=True)
    scores = class_scores(labels, p, alone(90))
    assert scores["majority"] == np.bincount(labels).max() / 90
    assert scores["accuracy"].value == accuracy_score(labels, p.argmax(1))
    assert scores["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, p.argmax(1)))
    assert scores["brier"].value == pytest.approx(np.square(p - np.eye(5)[labels]).sum(1).mean())
    assert scores["quadratic_kappa"].value == pytest.approx(cohen_kappa_score(labels, p.argmax(1), weights="quadratic"))
    assert scores["auroc"].value == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"))


def test_an_absent_class_is_left_out_of_the_mean_auroc():
    labels, p = graded(80, 2, classes=3)
    with_empty = np.concatenate([p, np.full((80, 1), 0.01)], 1)
    assert class_scores(labels, with_empty, alone(80))["auroc"] == class_scores(labels, p, alone(80))["auroc"]


def logit_bounds(value, error, df):
    half = t.ppf(0.975, df) * error / (value * (1 - value))
    return [1 / (1 + math.exp(-math.log(value / (1 - value)) - side * half)) for side in (-1, 1)]


def test_the_bootstrap_agrees_with_one_that_copies_patients_one_by_one():
    labels, p = graded(120, 4)
    groups = np.array([f"p{i // 2}" for i in range(120)])
    scores = class_scores(labels, p, groups)
    draw, kappas, aurocs = np.random.default_rng(8), [], []
    rows_of = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    for _ in range(400):
        rows = np.concatenate([rows_of[i] for i in draw.integers(0, len(rows_of), len(rows_of))])
        kappas.append(cohen_kappa_score(labels[rows], p[rows].argmax(1), weights="quadratic"))
        own = [(p[rows[labels[rows] == k], k], p[rows[labels[rows] != k], k]) for k in np.unique(labels[rows])]
        aurocs.append(np.mean([(here[:, None] > there).mean() for here, there in own]))
    df = len(set(groups[labels != 0])) - 1  # 0 is the commonest class
    low, high = logit_bounds((scores["quadratic_kappa"].value + 1) / 2, np.std(kappas) / 2 * math.sqrt(60 / 59), df)
    width = scores["quadratic_kappa"].high - scores["quadratic_kappa"].low
    assert scores["quadratic_kappa"].low == pytest.approx(2 * low - 1, abs=0.1 * width)
    assert scores["quadratic_kappa"].high == pytest.approx(2 * high - 1, abs=0.1 * width)
    low, high = logit_bounds(scores["auroc"].value, np.std(aurocs) * math.sqrt(60 / 59), df)
    width = scores["auroc"].high - scores["auroc"].low
    assert scores["auroc"].low == pytest.approx(low, abs=0.1 * width)
    assert scores["auroc"].high == pytest.approx(high, abs=0.1 * width)


def test_average_precision_and_brier_have_scipys_standard_errors():
    labels, p = screened(150, 2)
    scores = binary_scores(labels, p, alone(150))
    df = min(labels.sum(), 150 - labels.sum()) - 1
    for name, score in (("average_precision", average_precision_score), ("brier", brier_score_loss)):
        theirs = stats.bootstrap(
            (labels, p), score, paired=True, vectorized=False, n_resamples=600, rng=np.random.default_rng(0)
        )
        bounds = logit_bounds(scores[name].value, theirs.standard_error, df)
        width = scores[name].high - scores[name].low
        assert [scores[name].low, scores[name].high] == pytest.approx(bounds, abs=0.06 * width)


def test_the_bootstrap_resamples_patients_and_repeats_itself():
    labels, p = graded(100, 5)
    once = class_scores(labels, p, alone(100))
    assert class_scores(labels, p, alone(100)) == once
    twice = class_scores(np.repeat(labels, 2), np.repeat(p, 2, axis=0), np.repeat(alone(100), 2))
    assert twice["quadratic_kappa"].low == pytest.approx(once["quadratic_kappa"].low)
    assert twice["auroc"].high == pytest.approx(once["auroc"].high)


def test_resamples_in_blocks_are_the_same_resamples(monkeypatch):
    labels, p = graded(50, 6)
    whole = class_scores(labels, p, alone(50))
    monkeypatch.setattr("semiretina.scoring.bootstrap.CELLS", 50 * 5 * 77)
    again = class_scores(labels, p, alone(50))
    for name in BOOTSTRAPPED_CLASSES:
        assert astuple(again[name]) == pytest.approx(astuple(whole[name]), abs=1e-12)


def test_resamples_that_do_not_vary_give_no_interval():
    perfect = class_scores([0, 1, 2, 1], np.eye(3)[[0, 1, 2, 1]], alone(4))
    assert perfect["quadratic_kappa"].value == 1
    assert math.isnan(perfect["quadratic_kappa"].low)
    assert perfect["auroc"].value == 1
    assert math.isnan(perfect["auroc"].high)
    assert perfect["accuracy"].low == pytest.approx(4 / (4 + 1.959964**2), abs=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 2))
def test_binary_scores_against_scikit_learn(seed, decimals):
    labels, p = screened(70, seed)
    p = np.round(p, decimals)
    scores = binary_scores(labels, p, alone(70))
    assert scores["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, p >= 0.5))
    assert scores["average_precision"].value == pytest.approx(average_precision_score(labels, p))
    assert scores["brier"].value == pytest.approx(brier_score_loss(labels, p))
    assert scores["prevalence"] == labels.mean()
    if (p >= 0.5).any():
        assert scores["ppv"].value == pytest.approx(labels[p >= 0.5].mean())  # at the sample's own prevalence
    if (p < 0.5).any():
        assert scores["npv"].value == pytest.approx(1 - labels[p < 0.5].mean())
    for score in scores.values():
        assert not isinstance(score, Estimate) or score.low <= score.value <= score.high


def test_predictive_values_at_a_stated_prevalence_by_hand():
    # Sensitivity 0.8, specificity 0.9; of 1000 people with 20 ill: 16 found, 98 false alarms.
    labels, p = [1] * 10 + [0] * 10, [0.9] * 8 + [0.1] * 2 + [0.1] * 9 + [0.9]
    scores = binary_scores(labels, p, alone(20), prevalence=0.02)
    assert scores["prevalence"] == 0.02
    assert scores["ppv"].value == pytest.approx(16 / (16 + 98))
    assert scores["npv"].value == pytest.approx(882 / (882 + 4))
    assert scores["ppv"].low < 16 / 114 < scores["ppv"].high
    assert scores["sensitivity"] == binary_scores(labels, p, alone(20))["sensitivity"]


def test_all_scores_of_a_few_photographs_are_defined_or_nan():
    for labels in ([], [1], [0], [1, 1], [1, 0], [1, 0, 0], [1] + [0] * 20):
        p = np.linspace(0.9, 0.2, len(labels))
        for groups in (alone(len(labels)), ["same"] * len(labels)):
            scores = binary_scores(labels, p, groups)
            classes = class_scores(labels, np.stack([1 - p, p], 1), groups)
            for score in [*scores.values(), *classes.values()]:
                if isinstance(score, Estimate) and not math.isnan(score.low):
                    assert score.low <= score.value <= score.high


def test_a_perfect_ranking_counts_its_positive_patients():
    labels, p = [1] * 6 + [0] * 30, [0.9] * 6 + list(np.linspace(0.1, 0.4, 30))
    groups = ["a", "a", "b", "b", "c", "c", *alone(30)]
    precision = binary_scores(labels, p, groups)["average_precision"]
    assert (precision.value, precision.high) == (1, 1)
    assert precision.low == pytest.approx(3 / (3 + 1.959964**2), abs=1e-6)  # Wilson, three of three


def test_few_positives_widen_what_the_bootstrap_alone_would_say():
    labels, p = [1, 1, 1, 0, 0, 0, 0], [0.9, 0.8, 0.55, 0.6, 0.4, 0.3, 0.2]
    two = binary_scores(labels, p, ["a", "a", "b", "c", "d", "e", "f"])["average_precision"]
    three = binary_scores(labels, p, ["a", "g", "b", "c", "d", "e", "f"])["average_precision"]
    assert two.high - two.low > three.high - three.low
    alone_positive = binary_scores(labels, p, ["a", "a", "a", "c", "d", "e", "f"])["average_precision"]
    assert alone_positive.value == three.value
    assert math.isnan(alone_positive.low)


def test_one_class_only_keeps_what_it_defines():
    scores = binary_scores([0, 0, 0], [0.9, 0.2, 0.1], alone(3))
    for name in ("balanced_accuracy", "average_precision", "ppv", "auroc", "sensitivity"):
        assert all(math.isnan(number) for number in astuple(scores[name])), name
    assert scores["brier"].value == pytest.approx((0.81 + 0.04 + 0.01) / 3)
    assert scores["specificity"].value == pytest.approx(2 / 3)
    # Elsewhere, with positives, these negatives still say nothing of the sensitivity.
    assert math.isnan(binary_scores([0, 0, 0], [0.9, 0.2, 0.1], alone(3), prevalence=0.1)["npv"].value)


def test_patients_whose_photographs_are_copies_keep_their_intervals():
    labels, p = screened(80, 3)
    once, twice = (
        binary_scores(np.repeat(labels, k), np.repeat(p, k), np.repeat(alone(80), k), prevalence=0.1) for k in (1, 2)
    )
    for name in (*BOOTSTRAPPED, "auroc"):
        assert astuple(twice[name]) == pytest.approx(astuple(once[name]), abs=1e-9), name


def test_the_order_of_photographs_changes_nothing():
    labels, p = screened(120, 4)
    groups = np.array([f"p{i // 2}" for i in range(120)])
    order = np.random.default_rng(0).permutation(120)
    ours, shuffled = binary_scores(labels, p, groups), binary_scores(labels[order], p[order], groups[order])
    # Patients are numbered by name, so that the draws stay too.
    for name in BOOTSTRAPPED:
        assert astuple(shuffled[name]) == pytest.approx(astuple(ours[name]), abs=1e-12), name


def test_numbers_may_stand_for_names_of_patients():
    labels, p = screened(60, 5)
    named = binary_scores(labels, p, [f"p{i // 2:02}" for i in range(60)])
    assert binary_scores(labels, p, np.arange(60) // 2) == named


@pytest.mark.parametrize("p", [[0.5, math.nan], [0.5, math.inf]])
def test_probabilities_must_be_finite(p):
    with pytest.raises(AssertionError, match="finite"):
        binary_scores([0, 1], p, alone(2))


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1])
def test_a_stated_prevalence_lies_between_0_and_1(prevalence):
    # At 1 a grader that never says yes would have a PPV of 0 / 0.
    with pytest.raises(AssertionError, match="prevalence"):
        binary_scores([0, 1, 1, 0], [0.1, 0.2, 0.3, 0.4], alone(4), prevalence=prevalence)
