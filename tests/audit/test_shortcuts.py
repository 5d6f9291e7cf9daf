"""Shortcuts and shift, on made-up numbers of photographs: what is planted is told, and chance is not."""

from pathlib import Path

import numpy as np
import pytest

from semiretina.audit.pictures import SMALL, STATISTICS, Pictures
from semiretina.audit.probe import cross_validated
from semiretina.audit.shift import find_shift, likely_fraction, shift_findings, spoken_mix
from semiretina.audit.shortcuts import find_shortcuts, shortcut_findings
from semiretina.data.pixel_store import Entry
from semiretina.records import Record


def pictures(numbers, sizes=None, weights=None) -> Pictures:
    n = len(numbers)
    return Pictures(
        entries=[Entry(str(row), row, (0, 0, 9, 9), None) for row in range(n)],
        sizes=sizes or [(300, 200)] * n,
        weights=weights or [1000] * n,
        numbers=np.asarray(numbers, float),
        surround=np.zeros(n),
        small=np.zeros((1, SMALL, SMALL, 3), np.uint8),
    )


def records(grades, name="{row:04d}.jpg", **columns):
    return [
        Record(
            path=Path("/p", name.format(row=row)),
            scale="" if grade is None else "icdr",
            grade=None if grade is None else int(grade),
            **{column: values[row] for column, values in columns.items()},
        )
        for row, grade in enumerate(grades)
    ]


def told(grades, numbers, groups=None, **more):
    size = {name: more.pop(name) for name in ("sizes", "weights") if name in more}
    probes = find_shortcuts(
        records(grades, **more), groups or [f"g{n}" for n in range(len(grades))], pictures(numbers, **size)
    )
    assert [place.detail.split(" alone")[0] for _, place in shortcut_findings(probes)] == [
        probe.features for probe in sorted(probes, key=lambda probe: -probe.auroc.low) if probe.above
    ]
    return {(probe.label, probe.features) for probe in probes if probe.above}, probes


@pytest.fixture
def random():
    return np.random.default_rng(5)


@pytest.mark.slow
def test_chance_is_no_shortcut(random):
    found = [told(random.integers(0, 5, 200), random.normal(0, 1, (200, len(STATISTICS))))[0] for _ in range(10)]
    assert found == [set()] * 10


def test_colour_that_follows_the_grade(random):
    grades = random.integers(0, 2, 200) * 2
    numbers = random.normal(0, 1, (200, len(STATISTICS)))
    numbers[:, STATISTICS.index("green")] += grades
    found, probes = told(grades, numbers)
    assert found == {("dr", "mean colour"), ("referable", "mean colour")}
    # Two normals two standard deviations apart: the area is Phi(2 / sqrt 2) = 0.921.
    assert probes[0].auroc.value == pytest.approx(0.921, abs=0.04)


def test_order_size_weight_site_and_camera_that_follow_the_grade(random):
    n = 200
    numbers = random.normal(0, 1, (n, len(STATISTICS)))
    grades = np.repeat([0, 2, 0, 2], n // 4)
    assert told(grades, numbers)[0] == {
        (label, features)
        for label in ("dr", "referable")
        for features in ("place in the manifest", "place among the file names")
    }
    grades = random.integers(0, 2, n) * 2
    sick = [bool(grade) for grade in grades]
    names = {("dr", "size in pixels"), ("referable", "size in pixels")}
    assert told(grades, numbers, sizes=[(400, 300) if s else (300, 200) for s in sick])[0] == names
    names = {("dr", "size of the file"), ("referable", "size of the file")}
    assert told(grades, numbers, weights=[2000 + i if s else 1000 + i for i, s in enumerate(sick)])[0] == names
    names = {("dr", "site"), ("referable", "site")}
    assert told(grades, numbers, site=["a" if s else "b" for s in sick])[0] == names
    names = {("dr", "camera"), ("referable", "camera")}
    assert told(grades, numbers, camera=["a" if s else "b" for s in sick])[0] == names


def test_eyes_of_one_patient_are_no_shortcut(random):
    # Colour is the patient's own and so is the grade: only photographs of the same patient tell.
    patients = np.repeat(np.arange(60), 4)
    numbers = random.normal(0, 1, (60, len(STATISTICS)))[patients] + random.normal(0, 0.01, (240, len(STATISTICS)))
    grades = (random.permutation(np.repeat([0, 2], 30)))[patients]
    assert told(grades, numbers, [f"g{p}" for p in patients])[0] == set()


def test_too_few_are_not_tried(random):
    assert told([0, 2] * 15, random.normal(0, 1, (30, len(STATISTICS)))) == (set(), [])
    assert told([None] * 60, random.normal(0, 1, (60, len(STATISTICS)))) == (set(), [])


def test_a_group_is_never_on_both_sides(random):
    groups = np.repeat(np.arange(40), 2)
    labels = np.tile([0, 1], 40)
    # Each group's own number tells the label of its other half and nothing of any other group.
    answers = cross_validated(random.normal(0, 1, (40, 3))[groups], labels.astype(np.int64), groups)
    assert answers is not None
    assert np.array_equal(answers[::2], answers[1::2])


# Shift


def test_a_shift_is_told_and_the_statistic_named(random):
    numbers = random.normal(100, 10, (300, len(STATISTICS)))
    grades = [*random.integers(0, 3, 150), *[None] * 150]
    groups = [f"g{n}" for n in range(300)]
    shift = find_shift(records(grades), groups, pictures(numbers))
    assert shift is not None
    assert list(shift_findings(shift)) == []
    assert (shift.labeled, shift.unlabeled) == (150, 150)
    numbers[150:, STATISTICS.index("blue")] += 20
    shift = find_shift(records(grades), groups, pictures(numbers))
    assert shift is not None
    ((kind, place),) = shift_findings(shift)
    assert kind == "shift"
    assert "most of all blue" in place.detail
    # Two standard deviations apart: Phi(2 / sqrt 2).
    assert shift.auroc.value == pytest.approx(0.921, abs=0.04)


def test_the_mix_is_told_only_by_a_probe_that_tells_something(random):
    grades = [*np.tile([0, 2], 150), *[None] * 300]
    numbers = random.normal(0, 1, (600, len(STATISTICS)))
    groups = [f"g{n}" for n in range(600)]
    shift = find_shift(records(grades), groups, pictures(numbers))
    assert shift is not None
    assert np.isnan(shift.fraction_unlabeled.value)
    assert "cannot be told" in spoken_mix(shift)
    # Half of the labelled are sick; of the unlabelled eight in ten.
    sick = np.concatenate([np.tile([0, 1], 150), np.arange(300) % 10 < 8]).astype(float)
    numbers[:, 0] += 2 * sick
    shift = find_shift(records(grades), groups, pictures(numbers))
    assert shift is not None
    share = shift.fraction_unlabeled
    assert share.low < 0.8 < share.high
    assert share.value == pytest.approx(0.8, abs=0.1)
    assert "of the unlabelled about" in spoken_mix(shift)


def test_no_shift_without_unlabelled_photographs(random):
    numbers = random.normal(0, 1, (60, len(STATISTICS)))
    assert find_shift(records([0, 1] * 30), [f"g{n}" for n in range(60)], pictures(numbers)) is None
    assert list(shift_findings(None)) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_likely_fraction_of_a_perfectly_calibrated_probe(share):
    # x ~ N(0, 1) or N(2, 1); at a prior of 0.3 the posterior is logistic in 2 x - 2 + log(0.3 / 0.7).
    random = np.random.default_rng(0)
    x = random.normal(0, 1, 20_000) + 2 * (random.random(20_000) < share)
    posterior = 1 / (1 + np.exp(-(2 * x - 2 + np.log(0.3 / 0.7))))
    assert likely_fraction(posterior, 0.3) == pytest.approx(share, abs=0.02)
