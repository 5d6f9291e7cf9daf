from pathlib import Path

import numpy as np
import pytest

from semiretina.errors import BadConfig, BadData
from semiretina.records import LESIONS, Record
from semiretina.tasks import TASKS, derived_lesions, known, make_tasks

U = None  # unknown


def record(**values) -> Record:
    return Record(path=Path("/photographs/a.jpg"), **values)


def target(task: str, *, scale: str = "icdr", **values):
    """The target of one record as plain numbers: None where unknown, a list where there are several outputs."""
    made = TASKS[task](scale)
    row = made.targets([record(scale=scale, **values)])[0]
    numbers = [None if np.isnan(v) or (made.kind == "classes" and v < 0) else float(v) for v in np.atleast_1d(row)]
    return numbers if len(made.outputs) > 1 and made.kind == "binary" else numbers[0]


# scale, grade -> dr, referable, severity, (MA, HE, EX, SE), worked out by hand from the definitions of the scales.
TABLE = [
    ("icdr", 0, 0, 0, 0, [0, 0, 0, 0]),
    ("icdr", 1, 1, 0, 1, [1, 0, 0, 0]),
    ("icdr", 2, 1, 1, 2, [U, U, U, U]),
    ("icdr", 3, 1, 1, 3, [U, U, U, U]),
    ("icdr", 4, 1, 1, 4, [U, U, U, U]),
    ("icdr", U, U, U, U, [U, U, U, U]),
    ("messidor", 0, 0, 0, 0, [0, 0, U, U]),
    ("messidor", 1, 1, 0, 1, [1, 0, U, U]),
    ("messidor", 2, 1, 1, 2, [U, U, U, U]),
    ("messidor", 3, 1, 1, 3, [U, U, U, U]),
    ("messidor", U, U, U, U, [U, U, U, U]),
    ("binary", 0, 0, U, 0, [U, U, U, U]),
    ("binary", 1, 1, U, 1, [U, U, U, U]),
    ("binary", U, U, U, U, [U, U, U, U]),
]


@pytest.mark.parametrize(("scale", "grade", "dr", "referable", "severity", "lesions"), TABLE)
def test_targets_from_scale_and_grade(scale, grade, dr, referable, severity, lesions):
    assert target("dr", scale=scale, grade=grade) == dr
    assert target("referable", scale=scale, grade=grade) == referable
    assert target("severity", scale=scale, grade=grade) == severity
    assert target("lesions", scale=scale, grade=grade) == lesions
    assert target("dme", scale=scale, grade=grade) is None


@pytest.mark.parametrize(("scale", "grade", "dr", "referable", "severity", "lesions"), TABLE)
@pytest.mark.parametrize("dme", [0, 1, 2])
def test_macular_edema_decides_dme_and_may_refer(scale, grade, dr, referable, severity, lesions, dme):
    assert target("dme", scale=scale, grade=grade, dme=dme) == (1 if dme == 2 else 0)
    assert target("referable", scale=scale, grade=grade, dme=dme) == (1 if dme == 2 else referable)
    # ... and nothing else: "some hard exudates" is no statement of the record on EX.
    assert target("dr", scale=scale, grade=grade, dme=dme) == dr
    assert target("severity", scale=scale, grade=grade, dme=dme) == severity
    assert target("lesions", scale=scale, grade=grade, dme=dme) == lesions


@pytest.mark.parametrize("scale", ["icdr", "messidor", "binary"])
@pytest.mark.parametrize("task", TASKS)
def test_an_ungradable_photograph_has_no_target(task, scale):
    stated = {"grade": 1, "dme": 2, "MA": 1, "HE": 1, "EX": 1, "SE": 1}
    result = target(task, scale=scale, quality="ungradable", **stated)
    assert result == ([None] * 4 if task == "lesions" else None)
    with_quality, without = (target(task, scale=scale, quality=q, **stated) for q in ("gradable", ""))
    assert with_quality == without != result


@pytest.mark.parametrize("stated", [0, 1])
@pytest.mark.parametrize("lesion", LESIONS)
def test_a_stated_lesion_goes_before_an_implied_one(lesion, stated):
    for grade, implied in ((0, [0, 0, 0, 0]), (1, [1, 0, 0, 0]), (2, [U, U, U, U]), (U, [U, U, U, U])):
        expected = [stated if name == lesion else value for name, value in zip(LESIONS, implied, strict=True)]
        assert target("lesions", grade=grade, **{lesion: stated}) == expected


@pytest.mark.parametrize(
    ("values", "derived"),
    [
        ({"scale": "icdr", "grade": 0}, ("MA", "HE", "EX", "SE")),
        ({"scale": "icdr", "grade": 1}, ("MA", "HE", "EX", "SE")),
        ({"scale": "icdr", "grade": 0, "HE": 0, "SE": 1}, ("MA", "EX")),
        ({"scale": "icdr", "grade": 2}, ()),
        ({"scale": "messidor", "grade": 0}, ("MA", "HE")),
        ({"scale": "messidor", "grade": 1, "MA": 1}, ("HE",)),
        ({"scale": "binary", "grade": 0}, ()),
        ({"scale": "icdr"}, ()),
        ({}, ()),
    ],
)
def test_derived_lesions(values, derived):
    assert derived_lesions(record(**values)) == derived


@pytest.mark.parametrize(
    ("scale", "outputs"),
    [
        ("icdr", ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4")),
        ("messidor", ("grade 0", "grade 1", "grade 2", "grade 3")),
        ("binary", ("grade 0", "grade 1")),
    ],
)
def test_severity_has_an_output_per_grade_of_the_scale(scale, outputs):
    tasks = make_tasks(["severity"], [record(), record(scale=scale, grade=1)])
    assert tasks["severity"].outputs == outputs


def test_shapes_dtypes_and_marks_of_the_unknown():
    records = [record(scale="icdr", grade=3, dme=2), record(), record(scale="icdr", grade=0, quality="ungradable")]
    for name, columns in (("dr", 1), ("referable", 1), ("dme", 1), ("lesions", 4)):
        task = TASKS[name]("icdr")
        targets = task.targets(records)
        assert task.kind == "binary"
        assert targets.dtype == np.float32
        assert targets.shape == (3, columns)
        assert len(task.outputs) == columns
        assert np.isnan(targets[1:]).all()
        assert task.targets([]).shape == (0, columns)
        assert task.targets([]).dtype == np.float32
    severity = TASKS["severity"]("icdr")
    assert severity.kind == "classes"
    assert severity.targets(records).dtype == np.int64
    assert severity.targets(records).tolist() == [3, -1, -1]
    assert severity.targets([]).shape == (0,)
    assert severity.targets([]).dtype == np.int64


def test_known_needs_one_of_the_targets():
    records = [record(HE=0), record(), record(scale="messidor", grade=0), record(scale="messidor", grade=2)]
    lesions, severity = TASKS["lesions"]("messidor"), TASKS["severity"]("messidor")
    assert known(lesions, lesions.targets(records)).tolist() == [True, False, True, False]
    assert known(severity, severity.targets(records)).tolist() == [False, False, True, True]


MIXED = [record(scale="icdr", grade=2, dme=0), record(scale="messidor", grade=1, MA=1)]


@pytest.mark.parametrize("name", ["severity", "referable"])
def test_tasks_bound_to_a_scale_refuse_mixed_scales(name):
    with pytest.raises(BadConfig, match=rf"^tasks: '{name}' .*icdr, messidor.*\[data\.regrade\].*'dr'") as error:
        make_tasks(["dr", name], MIXED)
    assert "\n" not in str(error.value)


def test_the_others_allow_mixed_scales():
    tasks = make_tasks(["dr", "lesions", "dme"], MIXED)
    assert list(tasks) == ["dr", "lesions", "dme"]
    assert tasks["dr"].targets(MIXED).tolist() == [[1], [1]]


def test_a_scale_without_grades_is_not_mixed():
    records = [record(scale="icdr", grade=2), record(scale="messidor")]
    assert len(make_tasks(["severity", "referable"], records)["severity"].outputs) == 5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dr", {"dme": 1, "MA": 1}),
        ("severity", {"dme": 1, "MA": 1}),
        ("referable", {"scale": "binary", "grade": 1}),
        ("lesions", {"scale": "icdr", "grade": 3, "dme": 2}),
        ("dme", {"scale": "icdr", "grade": 3}),
        ("dr", {"scale": "icdr", "grade": 3, "quality": "ungradable"}),
    ],
)
def test_a_task_that_no_record_carries(name, values):
    with pytest.raises(BadData, match=f"^tasks: no record carries a label for '{name}'"):
        make_tasks([name], [record(**values), record()])


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(BadConfig, match="unknown task 'grade'; known are dr, referable, severity, lesions, dme"):
        make_tasks(["grade"], MIXED)
