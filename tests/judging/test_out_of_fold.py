"""Out-of-fold answers as a table gives them back: logits, targets, patients, and what is known of a test set."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from semiretina.config import load_config
from semiretina.data.split import Split
from semiretina.errors import BadData, MissingInput
from semiretina.judging.operating_point import HeldOut, Known, fix_points
from semiretina.judging.out_of_fold import by_fold, known_to_folds
from semiretina.judging.predictions import read_predictions
from semiretina.judging.strata import patients_in
from semiretina.judging.test_set import TestSet
from semiretina.records import Record
from semiretina.tasks import make_task

TASKS = {name: make_task(name, "icdr") for name in ("dr", "severity", "severity-ordinal", "lesions")}


def drawn(count: int = 400) -> tuple[Split, dict[str, np.ndarray]]:
    """Photographs of two eyes a patient, and over-confident logits that are often right; every tenth has no grade."""
    random = np.random.default_rng(5)
    grades = [None if n % 10 == 3 else int(random.integers(0, 5)) for n in range(count)]
    records = [
        Record(
            path=Path(f"/photographs/{n}, left.jpg"),
            patient=f"p{n // 2}",
            scale="" if grade is None else "icdr",
            grade=grade,
            **{lesion: int(random.integers(0, 2)) for lesion in ("HE", "EX", "SE")},
        )
        for n, grade in enumerate(grades)
    ]
    shown = np.array([0 if grade is None else grade for grade in grades])
    right = {
        "dr": (shown > 0)[:, None] - 0.5,
        "severity": 2.0 * (shown[:, None] == np.arange(5)),
        "severity-ordinal": (shown[:, None] > np.arange(4)) - 0.5,
        "lesions": np.array([[0, r.HE - 0.5, r.EX - 0.5, r.SE - 0.5] for r in records]),
    }
    # As float32, which is what networks give.
    logits = {name: (5 * value + random.normal(0, 3, value.shape)).astype(np.float32) for name, value in right.items()}
    # A network whose grades are in order, as training makes them: where they are not, the answers are others.
    logits["severity-ordinal"] = np.minimum.accumulate(logits["severity-ordinal"], axis=1)
    return Split(
        records, [f"{n:064x}" for n in range(count)], [f"g{n // 2}" for n in range(count)], ["test"] * count
    ), logits


def same_parts(found, wanted) -> bool:
    """Whether two numberings part the photographs in the same way."""
    return len(set(zip(found, wanted, strict=True))) == len(set(found)) == len(set(wanted))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The photographs, their logits and targets, and the table of their probabilities."""
    split, logits = drawn()
    file, test = tmp_path_factory.mktemp("table") / "predictions-test.csv", TestSet.of_role(split, "test", TASKS)
    test.predictions({name: task.probabilities(logits[name]) for name, task in TASKS.items()}).write(file)
    return split, logits, test.targets, file


def test_a_table_gives_back_labels_probabilities_and_whose_they_are(table):
    split, logits, targets, file = table
    answers = read_predictions(file, TASKS)
    assert answers.paths == [str(record.path) for record in split.records]
    assert answers.patients == [record.patient for record in split.records]
    assert answers.groups == split.groups
    for name, task in TASKS.items():
        back = answers.probabilities[name].astype(np.float32)
        assert np.array_equal(back, task.probabilities(logits[name]))  # to the last bit
        back = task.targets_of_cells(answers.labels[name])
        assert back.dtype == targets[name].dtype
        np.testing.assert_array_equal(back, targets[name])


def test_logits_come_back_as_far_as_a_table_keeps_them(table):
    _, logits, _, file = table
    answers = read_predictions(file, TASKS)
    for name in ("dr", "lesions", "severity-ordinal"):
        true = logits[name].astype(np.float64)
        # A probability of float32 has 24 bits: near 1 its distance from it has few, near 0 all.
        tolerance = 1e-6 + 2.0**-24 * np.exp(np.abs(true)) * (true > 0)
        if name == "severity-ordinal":
            tolerance = 1e-4
        back = TASKS[name].logits_of(answers.probabilities[name].astype(np.float32))
        assert (np.abs(back - true) <= tolerance).all(), name
    back = TASKS["severity"].logits_of(answers.probabilities["severity"].astype(np.float32))
    np.testing.assert_allclose(back, log_softmax(logits["severity"].astype(np.float64), axis=1), atol=1e-5)


@pytest.mark.parametrize("aim", [{"sensitivity": 0.87}, {"specificity": 0.9}])
def test_the_points_are_those_of_the_true_logits(table, aim, make_config, make_stage):
    split, logits, targets, file = table
    answers, patients = read_predictions(file, TASKS), np.arange(len(split.records)) // 2
    back = {name: task.logits_of(answers.probabilities[name].astype(np.float32)) for name, task in TASKS.items()}
    read = {name: task.targets_of_cells(answers.labels[name]) for name, task in TASKS.items()}
    assert same_parts(patients_in(answers, "patient"), patients)
    config = load_config(make_config(make_stage("supervised"), operating=aim))
    wanted = fix_points(config, HeldOut(TASKS, logits, targets, patients, "")).points
    found = fix_points(config, HeldOut(TASKS, back, read, patients, "")).points
    assert list(found) == [
        "dr",
        "severity",
        "severity-ordinal",
        *(f"lesions.{name}" for name in ("MA", "HE", "EX", "SE")),
    ]
    for key, point in found.items():
        assert point["temperature"] == pytest.approx(wanted[key]["temperature"], rel=1e-6), key
        assert point["n"] == wanted[key]["n"]
        assert point.get("threshold") == pytest.approx(wanted[key].get("threshold"), abs=1e-6)
        assert point.get("sensitivity") == wanted[key].get("sensitivity")
        assert point.get("specificity") == wanted[key].get("specificity")
    assert wanted["dr"]["temperature"] > 1.5
    assert found["severity"]["n"] == 360


def test_saturated_probabilities_stay_finite():
    ends = TASKS["dr"].logits_of(np.array([[0.0], [1e-30], [0.5], [1.0]], np.float32))[:, 0]
    # The ends of what float32 rounds to 0 and to 1: ln 2^-149, and ln((1 - 2^-25) / 2^-25).
    assert ends == pytest.approx([-149 * math.log(2), math.log(1e-30), 0, math.log(2**25 - 1)], abs=1e-6)
    sure = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]], np.float32)
    classes = TASKS["severity"].logits_of(sure)
    assert np.isfinite(classes).all()
    np.testing.assert_allclose(softmax(classes, axis=1), sure, atol=1e-40)
    grades = TASKS["severity-ordinal"].logits_of(sure)
    assert np.isfinite(grades).all()
    np.testing.assert_array_equal(expit(grades) > 0.5, [[False] * 4, [True] * 4, [True, True, False, False]])
    np.testing.assert_allclose(TASKS["severity-ordinal"].probabilities(grades), sure, atol=1e-40)


def test_questions_that_cross_come_back_as_they_were_answered():
    task = TASKS["severity-ordinal"]
    back = task.logits_of(task.probabilities([[1.0, 2.0, -1.0, 0.5]]))
    np.testing.assert_allclose(back, [[1.0, 1.0, -1.0, -1.0]], atol=1e-6)


def rewrite(file: Path, out: Path, change) -> Path:
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    rows = [kept for row in rows if (kept := change(dict(row)))]
    with out.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row | {"probability": "1.5"}, r"a probability of 1\.5"),
        (lambda row: row | {"probability": "nan"}, "a probability of nan"),
        (lambda row: row | {"label": "2"}, "'2'"),
        (lambda row: {name: cell for name, cell in row.items() if name != "group"}, "'group'"),
        (lambda row: None if row["output"] == "SE" else row, "no lesions SE"),
        (lambda row: None if row["path"].endswith("/7, left.jpg") and row["task"] == "dr" else row, "7, left.jpg"),
        (
            lambda row: row | {"output": row["output"].replace("grade 4", "grade 5")},
            "no severity grade 4, .* also severity grade 5",
        ),
    ],
)
def test_another_table_is_told_in_one_line(table, tmp_path, change, said):
    file = rewrite(table[-1], tmp_path / "changed.csv", change)
    with pytest.raises(
        BadData, match=rf"changed\.csv: not the predictions of dr, severity, severity-ordinal, lesions \(.*{said}.*\)"
    ) as refusal:
        read_predictions(file, TASKS)
    assert "\n" not in str(refusal.value)


def test_a_table_that_is_not_there_or_of_another_task(table, tmp_path):
    with pytest.raises(MissingInput, match="no such file"):
        read_predictions(tmp_path / "predictions-test.csv", TASKS)
    with pytest.raises(BadData, match="also lesions EX, also lesions HE"):
        read_predictions(table[-1], {"dr": TASKS["dr"]})


def test_patients_join_what_the_paper_split_separates(table):
    answers = read_predictions(table[-1], TASKS)
    apart = replace(answers, groups=[f"g{n}" for n in range(400)])
    assert len(set(patients_in(apart, "patient").tolist())) == 400
    assert same_parts(patients_in(apart, "photograph"), np.arange(400) // 2)


def split_of(*rows: tuple[str, str, str, str]) -> Split:
    """A split from path, patient, picture and role."""
    records = [Record(path=Path(path), dataset="one", patient=patient) for path, patient, _, _ in rows]
    return Split(records, [row[2] for row in rows], [f"g{n}" for n in range(len(rows))], [row[3] for row in rows])


def test_a_tested_photograph_is_known_by_path_picture_or_patient():
    folds = split_of(
        ("/a/1", "ann", "s1", "test"),
        ("/a/2", "bob", "s2", "train"),
        ("/a/3", "cid", "s3", "unused"),
        ("/a/4", "", "s4", "unlabeled"),
    )
    own = split_of(
        ("/a/1", "", "changed", "test"),  # the same path
        ("/b/2", "", "s2", "test"),  # the same picture, of which the folds learned
        ("/b/3", "ann", "s8", "test"),  # the same patient
        ("/a/3", "cid", "s3", "test"),  # the folds left this one alone
        ("/a/4", "", "s4", "test"),  # and knew no label of this one
        ("/b/5", "bob", "s9", "train"),
        ("/b/6", "dan", "s10", "test"),
    )
    assert known_to_folds(own, folds, "patient") == ["1", "2", "3"]
    assert known_to_folds(own, folds, "photograph") == ["1", "2"]


def test_a_patient_is_known_through_a_photograph_that_neither_tests():
    folds = split_of(("/a/1", "ann", "s1", "test"))
    own = split_of(("/b/1", "dan", "s7", "test"), ("/b/2", "dan", "s1", "unused"))  # ann's picture under his name
    assert known_to_folds(own, folds, "patient") == ["1"]


def test_each_fold_is_told_in_its_order_and_one_without_positives_has_none():
    labels, folds = np.repeat([1, 0], [60, 60]), np.concatenate([np.arange(60) % 2 * 11, np.arange(60) % 12])
    p = np.where(labels == 1, 0.8, 0.2)
    p[0], p[60 + 11] = 0.1, 0.9  # a positive of fold 0 is missed, a negative of fold 11 taken for ill
    found = by_fold(Known(labels, p, np.arange(120)), folds, 0.5)
    assert "caution" not in found
    assert found["by_fold"] == {
        "sensitivity": [29 / 30, *[None] * 10, 1.0],
        "specificity": [*[1.0] * 11, 4 / 5],
    }
    readily = np.where(folds == 11, 0.9, p)
    [said] = by_fold(Known(labels, readily, np.arange(120)), folds, 0.5)["caution"]
    assert "they reach sensitivity from 97% to 100% and specificity from 0% to 100%, and this grader" in said
