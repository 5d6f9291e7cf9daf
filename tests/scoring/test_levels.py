"""Eyes, patients and parts of a test set, against counts by hand and scikit-learn."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from semiretina.scoring import Estimate, binary_scores, class_scores
from semiretina.scoring.intervals import group_numbers
from semiretina.scoring.levels import binary_level, binary_part, by_part, class_level, class_part

NAN = math.nan
SHARES = ("ungradable_rate", "referral_rate", "accuracy", "sensitivity", "specificity")

# Five patients. Anna: the left eye twice, the right one once; Ben: two eyes, one ungradable; Cleo: nothing gradable,
# one eye graded all the same; Dora: not labelled; Emil: nothing gradable, nothing known.
PATIENTS = ["Anna", "Anna", "Anna", "Ben", "Ben", "Cleo", "Cleo", "Dora", "Emil"]
EYES = ["Anna l", "Anna l", "Anna r", "Ben l", "Ben r", "Cleo l", "Cleo r", "Dora l", "Emil r"]
LABELS = [0, 1, 0, 0, NAN, 1, NAN, NAN, NAN]
P = [0.6, 0.2, 0.1, 0.4, NAN, NAN, NAN, 0.9, NAN]


def level_of(units, labels=LABELS, p=P, patients=PATIENTS, **settings):
    return binary_level(labels, p, group_numbers(units), group_numbers(patients), **settings)


def values(scores):
    return {name: score.value if isinstance(score, Estimate) else score for name, score in scores.items()}


def test_eyes_by_hand():
    # Anna l: 0.6, diseased; Anna r: 0.1, healthy; Ben l: 0.4, healthy; Ben r: referred, unknown; Cleo l: referred,
    # diseased; Cleo r: referred, unknown; Dora l: 0.9, unknown; Emil r: referred, unknown.
    found = values(level_of(EYES))
    assert found == {
        "units": 8,
        "ungradable": 4,
        "n": 4,
        "positives": 2,
        "ungradable_rate": 4 / 8,
        "referral_rate": 6 / 8,
        "accuracy": 1.0,
        "auroc": 1.0,  # of Anna's eyes and Ben's left one
        "sensitivity": 1.0,
        "specificity": 1.0,
    }


def test_patients_by_hand():
    # Anna: 0.6, diseased; Ben: 0.4, healthy; Cleo: referred, diseased; Dora: 0.9, unknown; Emil: referred, unknown.
    found = values(level_of(PATIENTS, threshold=0.7))
    assert found == {
        "units": 5,
        "ungradable": 2,
        "n": 3,
        "positives": 2,
        "ungradable_rate": 2 / 5,
        "referral_rate": 3 / 5,
        "accuracy": 2 / 3,  # Anna is missed at 0.7
        "auroc": 1.0,
        "sensitivity": 1 / 2,
        "specificity": 1.0,
    }


def test_a_healthy_patient_whom_nobody_could_photograph_is_a_false_alarm():
    found = values(level_of(["a", "b", "b"], [0, 1, 1], [NAN, 0.9, NAN], ["a", "b", "b"]))
    assert (found["sensitivity"], found["specificity"], found["accuracy"]) == (1.0, 0.0, 0.5)
    assert math.isnan(found["auroc"])  # no healthy patient has a probability
    assert (found["ungradable"], found["referral_rate"]) == (1, 1.0)


def test_intervals_of_eyes_respect_patients():
    draw = np.random.default_rng(5)
    patients = np.repeat(np.arange(60), 2)
    labels = np.repeat(draw.integers(0, 2, 60), 2)
    p = np.repeat(draw.random(60), 2)
    eyes = binary_level(labels, p, np.arange(120), patients)
    # Two eyes that are copies of each other tell as much as one: the intervals are those of sixty patients.
    once = binary_level(labels[::2], p[::2], np.arange(60), np.arange(60))
    apart = binary_level(labels, p, np.arange(120), np.arange(120))
    for name in ("accuracy", "auroc", "sensitivity", "referral_rate"):
        assert eyes[name].value == pytest.approx(once[name].value)
        width, alone = ((score[name].high - score[name].low) for score in (eyes, apart))
        assert width == pytest.approx(once[name].high - once[name].low, rel=0.05)
        assert width > 1.3 * alone


photographs = st.lists(
    st.tuples(
        st.integers(0, 5),  # patient
        st.integers(0, 1),  # eye
        st.sampled_from([0.0, 1.0, NAN]),
        st.sampled_from([0.1, 0.3, 0.5, 0.7, NAN]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(photographs, st.booleans())
def test_levels_equal_a_plain_loop(rows, by_eye):
    patients = np.array([row[0] for row in rows])
    units = np.array([row[0] * 2 + row[1] for row in rows]) if by_eye else patients
    labels, p = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    truth, answer, ranked = [], [], []
    for unit in sorted(set(units)):
        own = units == unit
        known, seen = labels[own & (labels >= 0)], p[own & (p >= 0)]
        truth.append(max(known) if len(known) else None)
        answer.append(max(seen) >= 0.5 if len(seen) else True)
        ranked += [(truth[-1], max(seen))] if len(seen) and len(known) else []
    found = binary_level(labels, p, units, patients)
    both = [(t, a) for t, a in zip(truth, answer, strict=True) if t is not None]
    assert (found["units"], found["n"]) == (len(truth), len(both))
    assert found["positives"] == sum(t == 1 for t, _ in both)
    assert found["referral_rate"].value == pytest.approx(np.mean(answer))
    for name, right, of in (("sensitivity", True, 1), ("specificity", False, 0)):
        hits = [a == right for t, a in both if t == of]
        assert found[name].value == (pytest.approx(np.mean(hits)) if hits else pytest.approx(NAN, nan_ok=True))
    if len({t for t, _ in ranked}) == 2:
        assert found["auroc"].value == pytest.approx(roc_auc_score(*zip(*ranked, strict=True)))
    for name in SHARES:
        value, low, high = astuple(found[name])
        assert math.isnan(value) or 0 <= low <= value <= high <= 1


def test_one_photograph_a_unit_gives_the_scores_of_photographs():
    draw = np.random.default_rng(8)
    labels, patients = draw.integers(0, 2, 80), np.repeat(np.arange(40), 2)
    p = draw.random(80)
    level, whole = binary_level(labels, p, np.arange(80), patients, 0.6), binary_scores(labels, p, patients, 0.6)
    assert all(level[name] == whole[name] for name in ("n", "positives", "accuracy", "auroc", "sensitivity"))
    part = binary_part(labels, p, patients, 0.6)
    assert set(part) == {"n", "positives", "accuracy", "auroc", "sensitivity", "specificity"}
    assert all(part[name] == whole[name] for name in part)
    grades, answers = draw.integers(0, 4, 80), draw.dirichlet(np.ones(4), 80)
    level, whole = (
        class_level(grades, answers.argmax(1), 4, np.arange(80), patients),
        class_scores(grades, answers, patients),
    )
    assert (level["n"], level["accuracy"]) == (80, whole["accuracy"])
    assert level["quadratic_kappa"] == whole["quadratic_kappa"]
    assert class_part(grades, answers.argmax(1), patients) == {"n": 80, "accuracy": whole["accuracy"]}


def test_the_worst_grade_answers_for_a_patient():
    # Anna: answered 3, graded 2; Ben: answered 1, graded 1; Cleo: ungradable, graded 4; Dora: answered 0, not graded.
    patients = group_numbers(["Anna", "Anna", "Ben", "Ben", "Cleo", "Dora"])
    found = values(class_level([2, -1, 1, 0, 4, -1], [0, 3, 1, NAN, NAN, 0], 5, patients, patients))
    assert found == {
        "units": 4,
        "ungradable": 1,
        "n": 2,
        "ungradable_rate": 1 / 4,
        "accuracy": 1 / 2,
        "quadratic_kappa": pytest.approx(cohen_kappa_score([2, 1], [3, 1], labels=range(5), weights="quadratic")),
    }


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [NAN, -1, NAN]])
def test_what_needs_a_missing_class_is_undefined(labels):
    alone = np.arange(3)
    for found in (binary_level(labels, [0.9, 0.2, 0.4], alone, alone), binary_part(labels, [0.9, 0.2, 0.4], alone)):
        assert math.isnan(found["auroc"].value)
        assert math.isnan(found["sensitivity"].value) == (1 not in labels)
        assert math.isnan(found["specificity"].value) == (0 not in labels)
        assert math.isnan(found["accuracy"].value) == (found["n"] == 0)


def test_nothing_gradable_and_nothing_known():
    nothing = class_level([-1, -1], [NAN, NAN], 5, np.arange(2), np.arange(2))
    assert (nothing["units"], nothing["ungradable"], nothing["n"]) == (2, 2, 0)
    assert nothing["ungradable_rate"].value == 1.0
    assert math.isnan(nothing["quadratic_kappa"].value)
    assert math.isnan(nothing["quadratic_kappa"].low)


def test_parts_are_scored_apart_and_one_alone_is_none():
    labels, p = np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.1, 0.2, 0.8, 0.7])
    alone = np.arange(5)

    def score(rows):
        return binary_part(labels[rows], p[rows], alone[rows])

    found = by_part(["south", "south", "north", "north", ""], score)
    assert list(found) == ["north", "south"]
    assert [(own["n"], own["accuracy"].value) for own in found.values()] == [(2, 0.0), (2, 1.0)]
    assert by_part(["north", "north", "", "", ""], score) == {}
    labels = np.array([1, 0, NAN, NAN, 1])
    assert by_part(["south", "south", "north", "north", ""], score) == {}  # nothing is known of the north
