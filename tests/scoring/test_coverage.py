"""The simulation of benchmarks/coverage.py: its true values, and a few of its cells."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from semiretina.scoring import weighted


@pytest.fixture(scope="module")
def coverage():
    file = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_true_values_of_yes_and_no_are_those_of_a_large_sample(coverage):
    grader, draw, n = coverage.Binary(0.85, 0.3), np.random.default_rng(0), 200_000
    truth = grader.truth()
    labels = coverage.pairs(draw, n // 2, coverage.SEVERITIES) > norm.isf(0.3)
    p = grader.probability(coverage.pairs(draw, n // 2, coverage.ERRORS) + grader.distance * labels)
    yes = p >= grader.threshold
    assert truth["auroc"] == pytest.approx(0.85)
    assert truth["auroc"] == pytest.approx(roc_auc_score(labels, p), abs=0.004)
    assert truth["average_precision"] == pytest.approx(average_precision_score(labels, p), abs=0.006)
    assert truth["brier"] == pytest.approx(brier_score_loss(labels, p), abs=0.002)
    assert truth["accuracy"] == pytest.approx((yes == labels).mean(), abs=0.004)
    assert truth["sensitivity"] == pytest.approx(yes[labels].mean(), abs=0.006)
    assert truth["ece"] == pytest.approx(weighted.calibration_errors(labels, p, np.ones((1, n)))[0], abs=0.003)


def test_the_true_values_of_grades_are_those_of_a_large_sample(coverage):
    grader, draw, n = coverage.Grades(0.9), np.random.default_rng(1), 200_000
    truth = grader.truth()
    severity, error = (coverage.pairs(draw, n // 2, r) for r in (coverage.SEVERITIES, coverage.ERRORS))
    p = grader.probabilities(0.9 * severity + np.sqrt(1 - 0.81) * error)
    labels, answers = np.searchsorted(coverage.CUTS, severity), p.argmax(axis=1)
    assert truth["quadratic_kappa"] == pytest.approx(cohen_kappa_score(labels, answers, weights="quadratic"), abs=0.006)
    assert truth["auroc"] == pytest.approx(roc_auc_score(labels, p, multi_class="ovr"), abs=0.004)
    assert truth["accuracy"] == pytest.approx((labels == answers).mean(), abs=0.004)
    assert truth["brier"] == pytest.approx(np.square(p - np.eye(5)[labels]).sum(axis=1).mean(), abs=0.004)


def test_some_intervals_hold_the_truth_as_often_as_they_say(coverage):
    found = coverage.coverage(coverage.Binary(0.8, 0.5), 100, 60)
    for name in (*coverage.SHARES, "auroc", "average_precision", "brier"):
        assert found[name][0] >= 83, name  # three and a half standard errors of 60


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(100, 91), (200, 93)])
def test_the_intervals_hold_the_truth_as_often_as_they_say(coverage, n, least):
    error = 100 * np.sqrt(0.05 * 0.95 / 300)
    for grader, names in (
        (coverage.Binary(0.92, 0.5), [*coverage.SHARES, "auroc", "average_precision", "brier"]),
        (coverage.Grades(0.9), ["accuracy", "balanced_accuracy", "quadratic_kappa", "auroc"]),
    ):
        found = coverage.coverage(grader, n, 300)
        for name in names:
            assert found[name][0] >= least - 2.5 * error, name
