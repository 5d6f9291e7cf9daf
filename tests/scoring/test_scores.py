"""Scores against counts by hand and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from semiretina.scoring import binary_scores, class_scores


def alone(n):
    return [str(i) for i in range(n)]


def graded(n, seed=0, strength=0.5, classes=5):
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, n, p=np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum())
    probabilities = draw.random((n, classes)) + strength * np.eye(classes)[labels]
    return labels, probabilities / probabilities.sum(1, keepdims=True)


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
    assert scores["quadratic_kappa"].value == pytest.approx(cohen_kappa_score(labels, p.argmax(1), weights="quadratic"))
    assert scores["auroc"].value == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"))


def test_an_absent_class_is_left_out_of_the_mean_auroc():
    labels, p = graded(80, 2, classes=3)
    with_empty = np.concatenate([p, np.full((80, 1), 0.01)], 1)
    assert class_scores(labels, with_empty, alone(80))["auroc"] == class_scores(labels, p, alone(80))["auroc"]


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
    for name, values in (("quadratic_kappa", kappas), ("auroc", aurocs)):
        spread = np.std(values)
        assert scores[name].low == pytest.approx(np.quantile(values, 0.025), abs=0.4 * spread)
        assert scores[name].high == pytest.approx(np.quantile(values, 0.975), abs=0.4 * spread)


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
    monkeypatch.setattr("semiretina.scoring.scores.CELLS", 50 * 77)
    assert class_scores(labels, p, alone(50)) == whole


def test_resamples_that_do_not_vary_give_no_interval():
    perfect = class_scores([0, 1, 2, 1], np.eye(3)[[0, 1, 2, 1]], alone(4))
    assert perfect["quadratic_kappa"].value == 1
    assert math.isnan(perfect["quadratic_kappa"].low)
    assert perfect["auroc"].value == 1
    assert math.isnan(perfect["auroc"].high)
    assert perfect["accuracy"].low == pytest.approx(4 / (4 + 1.959964**2), abs=1e-5)
