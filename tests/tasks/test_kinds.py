"""The contract of every kind of task, and its numbers against torch's and against those worked out by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from semiretina.losses import classification
from semiretina.records import Record
from semiretina.scoring import binary_scores, class_scores
from semiretina.scoring.levels import binary_level, class_level, class_part
from semiretina.tasks import TASKS, Binary, make_task
from semiretina.tasks.binary import LEAST

NAN = np.nan
RECORDS = [
    Record(path=Path("a.jpg"), scale="icdr", grade=grade, dme=dme, HE=he)
    for grade, dme, he in ((0, 0, None), (1, 1, 1), (3, 2, 0), (4, None, None), (None, None, None))
]
EACH = [pytest.param(make_task(name, "icdr"), id=name) for name in TASKS]
DR, LESIONS, SEVERITY, ORDINAL = (make_task(n, "icdr") for n in ("dr", "lesions", "severity", "severity-ordinal"))


def logits(task, n=50, scale=3.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, (n, task.num_logits)).astype(np.float32)


def test_the_room_needs_no_torch():
    alone = "import sys, semiretina.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", alone], check=False).returncode == 0


@pytest.mark.parametrize("task", EACH)
def test_what_goes_into_a_table_comes_back(task):
    targets = task.targets(RECORDS)
    cells = task.cells(targets)
    assert cells.dtype == np.float32
    assert cells.shape == (5, len(task.outputs))
    np.testing.assert_array_equal(task.targets_of_cells(cells), targets)
    assert task.targets_of_cells(cells).dtype == targets.dtype
    p = task.probabilities(logits(task))
    assert p.shape == (50, len(task.outputs))
    np.testing.assert_allclose(task.probabilities(task.logits_of(p)), p, rtol=3e-7)


@pytest.mark.parametrize("task", EACH)
def test_each_question_has_labels_probabilities_and_answers(task):
    targets, p = task.targets(RECORDS), task.probabilities(logits(task, 5))
    labels, by_key = task.labels(targets), task.by_key(p)
    assert list(labels) == list(by_key) == list(task.keys) == list(task.fit_temperatures(logits(task, 5), targets))
    np.testing.assert_array_equal(np.any([each >= 0 for each in labels.values()], axis=0), task.known(targets))
    for key in task.keys:
        assert labels[key].dtype == np.int64
        assert set(labels[key]) <= {-1, *task.label_names.values()}
        answers = task.decide(by_key[key], 0.5)
        assert answers.dtype == np.int64
        assert {task.word(int(answer)) for answer in answers} <= {"yes", "no", *task.outputs}
    assert set(task.threshold_keys) in (set(), set(task.keys))


@pytest.mark.parametrize("task", EACH)
def test_the_default_loss_is_there_and_takes_the_targets(task):
    loss = getattr(classification, task.loss)(
        torch.from_numpy(logits(task, 5)), torch.from_numpy(task.targets(RECORDS))
    )
    assert 0 < float(loss) < np.inf


@pytest.mark.parametrize("scale", [0.5, 5.0, 200.0])
def test_probabilities_are_those_of_torch_in_double_bit_for_bit(scale):
    draw = np.random.default_rng(3)
    for task in (LESIONS, SEVERITY, ORDINAL):
        z = draw.normal(0, scale, (40_000, task.num_logits)).astype(np.float32)
        temperature = draw.uniform(0.05, 20, task.num_logits if task is LESIONS else 1).tolist()
        scaled = torch.from_numpy(z).double() / torch.tensor(temperature, dtype=torch.float64)
        above = scaled.sigmoid().cummin(dim=1).values
        one = torch.ones(len(z), 1, dtype=torch.float64)
        expected = {
            LESIONS: scaled.sigmoid(),
            SEVERITY: scaled.softmax(dim=1),
            ORDINAL: torch.cat([one, above], dim=1) - torch.cat([above, 0 * one], dim=1),
        }[task]
        np.testing.assert_array_equal(task.probabilities(z, temperature), expected.float().numpy())


def test_grades_from_questions_by_hand():
    # sigmoids 0.8, 0.9 (contradicts: counts as 0.8), 0.3, 0.3: grades 0.2, 0, 0.5, 0, 0.3
    z = np.log([[0.8 / 0.2, 0.9 / 0.1, 0.3 / 0.7, 0.3 / 0.7]])
    np.testing.assert_allclose(ORDINAL.probabilities(z), [[0.2, 0, 0.5, 0, 0.3]], atol=1e-7)
    assert ORDINAL.decide(ORDINAL.probabilities(z)).tolist() == [2]
    assert ORDINAL.labels(np.array([[1, 1, 0, 0], [NAN] * 4, [0] * 4], np.float32))["severity-ordinal"].tolist() == [
        *(2, -1, 0)
    ]


def test_probabilities_that_a_table_rounded_away_have_finite_logits():
    ends = np.array([[0.0, 1.0, 0.0, 0.0]], np.float32)
    for task, p in ((LESIONS, ends), (SEVERITY, np.eye(5, dtype=np.float32)), (ORDINAL, np.eye(5, dtype=np.float32))):
        assert np.isfinite(task.logits_of(p)).all()
        np.testing.assert_array_equal(task.probabilities(task.logits_of(p)) > 0.5, p > 0.5)
    assert LESIONS.logits_of(ends)[0, 0] == pytest.approx(np.log(LEAST))


def test_a_threshold_decides_yes_or_no_and_no_grade():
    assert DR.decide(np.array([0.29, 0.3, 0.31]), 0.3).tolist() == [0, 1, 1]
    assert DR.decide(np.array([0.3], np.float32), np.float32(0.3).item()).tolist() == [1]
    p = np.array([[0.2, 0.5, 0.1, 0.1, 0.1]])
    assert SEVERITY.decide(p, 0.9).tolist() == SEVERITY.decide(p, 0.1).tolist() == [1]
    assert (DR.threshold_keys, SEVERITY.threshold_keys) == (("dr",), ())
    assert LESIONS.threshold_keys == ("lesions.MA", "lesions.HE", "lesions.EX", "lesions.SE")
    assert (DR.word(1), DR.word(0), SEVERITY.word(3)) == ("yes", "no", "grade 3")


def test_a_claim_may_be_about_a_kappa_of_grades_alone():
    assert {name: "quadratic_kappa" in make_task(name, "icdr").compared for name in TASKS} == {
        name: not isinstance(make_task(name, "icdr"), Binary) for name in TASKS
    }


def test_scores_are_those_of_the_scoring_room():
    draw = np.random.default_rng(1)
    y, p, patients = draw.integers(0, 2, 40), draw.random(40), np.arange(40) // 2
    assert DR.scores(y, p, patients, 0.3, 0.1) == binary_scores(y, p, patients, 0.3, prevalence=0.1)
    grades, q = draw.integers(0, 5, 40), draw.dirichlet(np.ones(5), 40)
    assert SEVERITY.scores(grades, q, patients, 0.3, 0.1) == class_scores(grades, q, patients)
    unseen = np.append(p, NAN)
    more, whose = np.append(y, 1), np.append(patients, 0)
    assert DR.level_scores(more, unseen, whose, whose, 0.3) == binary_level(more, unseen, whose, whose, 0.3)
    graded = np.append(q.argmax(axis=1).astype(float), NAN)
    found = SEVERITY.level_scores(np.append(grades, 1), np.vstack([q, np.full(5, NAN)]), whose, whose, 0.5)
    assert found == class_level(np.append(grades, 1), graded, 5, whose, whose)
    assert SEVERITY.part_scores(grades, q, patients, 0.5) == class_part(grades, q.argmax(axis=1), patients)


def test_what_labels_lack_for_an_operating_point():
    assert DR.lacking(np.repeat([0, 1], [50, 49])) == "49 positives and 50 negatives"
    assert DR.lacking(np.repeat([0, 1], 50)) == ""
    assert (SEVERITY.lacking(np.zeros(99, int)), SEVERITY.lacking(np.zeros(100, int))) == ("99 labels", "")


def test_each_output_has_a_temperature_of_its_own():
    z = np.random.default_rng(2).normal(0, 2, (4000, 4))
    y = (np.random.default_rng(3).random(z.shape) < 1 / (1 + np.exp(-z))).astype(np.float32)
    found = LESIONS.fit_temperatures(z * [1, 2, 3, 0.5], y)
    np.testing.assert_allclose(list(found.values()), [1, 2, 3, 0.5], rtol=0.1)
    y[:, 2] = NAN
    y[0, 2] = 1
    others = LESIONS.fit_temperatures(z * [1, 2, 3, 0.5], y)
    assert {key: others[key] == found[key] for key in found} == {
        **dict.fromkeys(found, True),
        "lesions.HE": True,
        "lesions.EX": False,
    }


def test_quick_scores_by_hand():
    p = np.array([[0.9, 0.1, 0, 0], [0.2, 0.6, 0, 0], [0.6, 0.7, 0, 0]], np.float32)
    targets = np.array([[1, 0, NAN, NAN], [0, 1, NAN, NAN], [0, NAN, NAN, NAN]], np.float32)
    # MA: 2 of 3 right, area 1; HE: 2 of 2, area 1; nothing is known of the others.
    assert LESIONS.quick_scores(p, targets, 0.5) == {"accuracy": pytest.approx(5 / 6), "auroc": 1.0}
    q = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.3, 0.5], [0.9, 0.1, 0]], np.float32)
    three = make_task("severity", "messidor")
    found = three.quick_scores(q, np.array([0, 1, 2, -1]), 0.5)
    # grade 0: area 1; grade 1: 0.3 against 0.2 and 0.3: 0.75; grade 2: 0.5 against 0.1 and 0.6: 0.5.
    assert found == {"accuracy": pytest.approx(2 / 3), "auroc": pytest.approx(2.25 / 3)}
