from pathlib import Path

import numpy as np
import pytest

from semiretina.errors import BadConfig, BadData
from semiretina.records import LESIONS, SCALES, Record
from semiretina.tasks import SCALED, TASKS, Binary, Classes, count_derived, derived_lesions, make_task, make_tasks

U = None  # unknown
NAN = np.nan  # the same in an array


def record(**values) -> Record:
    return Record(path=Path("/photographs/a.jpg"), **values)


def target(task: str, *, scale: str = "icdr", **values):
    """The target of one record as plain numbers: None where unknown, a list where there are several of them."""
    made = TASKS[task](scale)
    row = made.targets([record(scale=scale, **values)])[0]
    numbers = [None if np.isnan(v) or (row.dtype == np.int64 and v < 0) else float(v) for v in np.atleast_1d(row)]
    return numbers if len(numbers) > 1 else numbers[0]


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
    assert all(value is None for value in (result if isinstance(result, list) else [result]))
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
        assert type(task) is Binary
        assert targets.dtype == np.float32
        assert targets.shape == (3, columns)
        assert len(task.outputs) == columns
        assert np.isnan(targets[1:]).all()
        assert task.targets([]).shape == (0, columns)
        assert task.targets([]).dtype == np.float32
    severity = TASKS["severity"]("icdr")
    assert type(severity) is Classes
    assert severity.targets(records).dtype == np.int64
    assert severity.targets(records).tolist() == [3, -1, -1]
    assert severity.targets([]).shape == (0,)
    assert severity.targets([]).dtype == np.int64


def test_known_needs_one_of_the_targets():
    records = [record(HE=0), record(), record(scale="messidor", grade=0), record(scale="messidor", grade=2)]
    lesions, severity = TASKS["lesions"]("messidor"), TASKS["severity"]("messidor")
    assert lesions.known(lesions.targets(records)).tolist() == [True, False, True, False]
    assert severity.known(severity.targets(records)).tolist() == [False, False, True, True]


MIXED = [record(scale="icdr", grade=2, dme=0), record(scale="messidor", grade=1, MA=1)]


@pytest.mark.parametrize("name", SCALED)
def test_tasks_bound_to_a_scale_refuse_mixed_scales(name):
    named = rf"'{name}:icdr' or '{name}:messidor'"
    with pytest.raises(
        BadConfig, match=rf"^tasks: '{name}' .*icdr, messidor.*{named}.*\[data\.regrade\].*'dr'"
    ) as error:
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
    with pytest.raises(
        BadConfig, match="unknown task 'grade'; known are dr, referable, severity, severity-ordinal, lesions, dme"
    ):
        make_tasks(["grade"], MIXED)


# grade -> "above grade k" for k = 0 to the last but one, by hand.
@pytest.mark.parametrize(
    ("scale", "grade", "above"),
    [
        ("icdr", 0, [0, 0, 0, 0]),
        ("icdr", 1, [1, 0, 0, 0]),
        ("icdr", 3, [1, 1, 1, 0]),
        ("icdr", 4, [1, 1, 1, 1]),
        ("icdr", U, [U, U, U, U]),
        ("messidor", 2, [1, 1, 0]),
        ("binary", 0, 0),
        ("binary", 1, 1),
    ],
)
def test_an_ordinal_target_answers_a_question_for_each_grade_but_the_last(scale, grade, above):
    assert target("severity-ordinal", scale=scale, grade=grade) == above


@pytest.mark.parametrize("scale", ["icdr", "messidor", "binary"])
def test_grades_come_back_from_the_targets_of_both_kinds_of_severity(scale):
    records = [record(scale=scale, grade=grade) for grade in range(SCALES[scale] + 1)] + [record(scale=scale)]
    for name in ("severity", "severity-ordinal"):
        task = make_task(name, scale)
        found = task.labels(task.targets(records))[name]
        assert found.dtype == np.int64
        assert found.tolist() == [*range(SCALES[scale] + 1), -1]
        assert task.known(task.targets(records)).tolist() == [True] * (SCALES[scale] + 1) + [False]
        assert len(task.outputs) == SCALES[scale] + 1
        assert task.targets([]).shape[0] == 0
    ordinal = make_task("severity-ordinal", scale)
    assert ordinal.num_logits == SCALES[scale]
    assert ordinal.targets(records).dtype == np.float32
    assert make_task("severity", scale).num_logits == SCALES[scale] + 1


ON_SEVERAL_SCALES = [
    record(scale="icdr", grade=3),
    record(scale="messidor", grade=3),
    record(scale="messidor", grade=0, dme=2),
    record(scale="icdr", grade=0, quality="ungradable"),
    record(scale="icdr", grade=1),
    record(dme=2),
]


def test_a_named_scale_reads_its_own_records_alone():
    names = ["dr", "severity:icdr", "severity-ordinal:messidor", "referable:icdr", "dme"]
    tasks = make_tasks(names, ON_SEVERAL_SCALES)
    assert list(tasks) == [task.name for task in tasks.values()] == names
    found = {name: task.targets(ON_SEVERAL_SCALES) for name, task in tasks.items()}
    assert found["severity:icdr"].tolist() == [3, -1, -1, -1, 1, -1]
    np.testing.assert_array_equal(
        found["severity-ordinal:messidor"], [[NAN] * 3, [1, 1, 1], [0, 0, 0], [NAN] * 3, [NAN] * 3, [NAN] * 3]
    )
    np.testing.assert_array_equal(found["referable:icdr"][:, 0], [1, NAN, NAN, NAN, 0, NAN])
    # What means the same on all scales is read from all.
    np.testing.assert_array_equal(found["dr"][:, 0], [1, 1, 0, NAN, 1, NAN])
    np.testing.assert_array_equal(found["dme"][:, 0], [NAN, NAN, 1, NAN, NAN, 1])


def test_two_scales_may_have_a_head_each():
    tasks = make_tasks(["severity:icdr", "severity:messidor"], ON_SEVERAL_SCALES)
    assert [len(task.outputs) for task in tasks.values()] == [5, 4]


def test_a_scale_may_be_named_where_there_is_but_one():
    [task] = make_tasks(["severity:icdr"], [record(scale="icdr", grade=2)]).values()
    assert (task.name, task.scale, task.num_logits) == ("severity:icdr", "icdr", 5)


def test_grades_of_ungradable_photographs_mix_no_scales():
    records = [record(scale="icdr", grade=2), record(scale="messidor", grade=1, quality="ungradable")]
    assert make_tasks(["severity"], records)["severity"].targets(records).tolist() == [2, -1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dr:icdr", "'dr:icdr': 'dr' means the same on all grading scales; write 'dr'"),
        ("lesions:icdr", "'lesions' means the same on all"),
        ("severity:mesidor", "'severity:mesidor': unknown grading scale 'mesidor'; known are icdr, messidor, binary"),
        ("severity:", "unknown grading scale ''"),
        ("stage:icdr", "unknown task 'stage'"),
    ],
)
def test_a_scale_that_cannot_be_named(name, told):
    with pytest.raises(BadConfig, match=told) as error:
        make_tasks([name], MIXED)
    assert "\n" not in str(error.value)


def test_a_named_scale_without_a_graded_record():
    with pytest.raises(BadData, match="no record carries a label for 'severity:binary'"):
        make_tasks(["severity:binary"], MIXED)


def test_derived_labels_are_counted_by_output():
    records = [
        record(scale="icdr", grade=0),
        record(scale="icdr", grade=1, HE=0),
        record(scale="messidor", grade=0),
        record(scale="icdr", grade=3, MA=1),
        record(scale="icdr", grade=0, quality="ungradable"),
    ]
    assert count_derived(TASKS["lesions"]("icdr"), records) == {"MA": 3, "HE": 2, "EX": 2, "SE": 2}
    assert all(count_derived(TASKS[name]("icdr"), records) == {} for name in TASKS if name != "lesions")
