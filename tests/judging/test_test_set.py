"""From answers to scores by photograph, eye and patient, parts, cautions, and the table of predictions."""

import csv
from pathlib import Path

import numpy as np
import pytest

from semiretina.data.split import Split
from semiretina.errors import NonFiniteLoss
from semiretina.judging.test_set import TestSet
from semiretina.records import Record
from semiretina.tasks import TASKS, make_task

NAN = float("nan")
DR, SEVERITY, LESIONS = TASKS["dr"]("icdr"), TASKS["severity"]("messidor"), TASKS["lesions"]("icdr")
ORDINAL = make_task("severity-ordinal:icdr", "messidor")


def make_set(tasks, records, groups=None, targets=None, **more) -> TestSet:
    """A test set of these records, with the targets that they state or with those given."""
    stated = {name: task.targets(records) for name, task in tasks.items()}
    given = {name: np.asarray(values, stated[name].dtype) for name, values in (targets or {}).items()}
    return TestSet(tasks, records, groups or [""] * len(records), stated | given, **more)


def test_scores_leave_unknown_labels_out_and_name_each_output():
    values = {"lesions": np.array([[0.9, 0.2, 0.5, 0.5], [0.1, 0.8, 0.5, 0.5], [0.8, 0.6, 0.5, 0.5]], np.float32)}
    targets = {"lesions": np.array([[1.0, 0.0, NAN, 1.0], [0.0, 1.0, NAN, 1.0], [1.0, NAN, NAN, 1.0]])}
    records = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=grade, SE=1) for n, grade in enumerate((1, 0, None))]
    found = make_set({"lesions": LESIONS}, records, list("abc"), targets).score(values, {})
    assert set(found) == {f"lesions.{name}" for name in ("MA", "HE", "EX", "SE")}
    assert [found[f"lesions.{name}"]["n"] for name in ("MA", "HE", "EX", "SE")] == [3, 2, 0, 3]
    assert found["lesions.MA"]["auroc"]["value"] == 1.0
    assert set(found["lesions.MA"]["accuracy"]) == {"value", "low", "high"}
    # Two are graded 0 and 1, which decides all lesions; that SE is there was stated nevertheless.
    assert [found[f"lesions.{name}"]["derived"] for name in ("MA", "HE", "EX", "SE")] == [2, 2, 2, 0]
    asked = make_set({"dr": DR}, records, list("abc"), {"dr": targets["lesions"][:, :1]})
    one = asked.score({"dr": values["lesions"][:, :1]}, {})
    assert set(one) == {"dr"}
    assert one["dr"]["positives"] == 2
    assert "derived" not in one["dr"]


def test_of_one_class_alone_there_is_no_area_under_the_curve():
    values = {"lesions": np.full((3, 4), 0.7, np.float32)}
    targets = {"lesions": np.array([[1.0, 0.0, 1.0, NAN]] * 3)}
    records = [Record(path=Path(f"{n}.jpg")) for n in range(3)]
    found = make_set({"lesions": LESIONS}, records, list("abc"), targets).score(values, {})
    assert all(np.isnan(scores["auroc"]["value"]) for scores in found.values())
    assert [scores["accuracy"]["value"] for scores in found.values()][:3] == [1.0, 0.0, 1.0]
    for task in (SEVERITY, ORDINAL):
        graded = {task.name: np.full((3, len(task.outputs)), 1 / len(task.outputs), np.float32)}
        same = [Record(path=Path("a"), scale=task.scale, grade=2)] * 3
        [scores] = make_set({task.name: task}, same, list("abc")).score(graded, {}).values()
        assert (scores["n"], scores["majority"]) == (3, 1.0)
        assert np.isnan(scores["auroc"]["value"])


def test_scores_of_grades_are_the_same_whichever_way_they_were_asked():
    grades = [0, 2, 4, 2, None]
    records = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=grade) for n, grade in enumerate(grades)]
    answers = np.random.default_rng(3).dirichlet(np.ones(5), 5).astype(np.float32)
    found = []
    for task in (make_task("severity:icdr", ""), ORDINAL):
        asked = make_set({task.name: task}, records, list("abcde"))
        found.append(asked.score({task.name: answers}, {})[task.name])
    assert found[0] == found[1]
    assert found[0]["n"] == 4


def test_predictions_hold_a_row_for_each_photograph_and_output(tmp_path):
    about = {"site": "s, t", "eye": "left", "camera": "NW6", "scale": "icdr", "grade": 2}
    records = [Record(path=tmp_path / f"{n}.jpg", patient=f"00{n}", **about) for n in range(2)]
    records.append(Record(path=tmp_path / "2.jpg"))
    about = {"records": [records[0], records[2]], "groups": ["g0", "g2"]}
    values = {"dr": np.array([[0.25], [0.75]], np.float32), "severity": np.eye(4, dtype=np.float32)[:2]}
    targets = {"dr": np.array([[1.0], [NAN]]), "severity": np.array([-1, 1])}
    values["ordinal"], targets["ordinal"] = np.eye(5, dtype=np.float32)[:2], np.array([[1.0, 1, 0, 0], [NAN] * 4])
    tasks = {"dr": DR, "severity": SEVERITY, "ordinal": ORDINAL}
    make_set(tasks, **about, targets=targets).predictions(values).write(tmp_path / "p.csv")
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert len(rows) == 2 + 8 + 10
    assert rows[0] == {
        "path": str(tmp_path / "0.jpg"),
        "patient": "000",
        "site": "s, t",
        "eye": "left",
        "camera": "NW6",
        "grade": "2",
        "group": "g0",
        "task": "dr",
        "output": "dr",
        "label": "1",
        "probability": "0.25",
    }
    assert [rows[1][name] for name in ("patient", "site", "eye", "camera", "grade", "group")] == [*[""] * 5, "g2"]
    assert [row["label"] for row in rows[:10]] == ["1", "", "", "", "", "", "0", "1", "0", "0"]
    assert [row["label"] for row in rows[10:]] == ["0", "0", "1", "0", "0", "", "", "", "", ""]
    assert [row["output"] for row in rows[10:15]] == ["grade 0", "grade 1", "grade 2", "grade 3", "grade 4"]


# Levels, parts, and what to beware of


def eye(patient, side="left", grade: int | None = 0, **more):
    return Record(path=Path(f"{patient}-{side}.jpg"), patient=patient, eye=side, scale="icdr", grade=grade, **more)


def scored(records, p, *, tasks=None, groups=None, threshold=0.5, prevalence=None, **more):
    """The scores of the answers `p` to `dr`, or to the given tasks (name -> task, values)."""
    asked = tasks or {"dr": (DR, np.array(p, np.float32)[:, None])}
    keys = [key for task, _ in asked.values() for key in task.threshold_keys]
    limits = threshold if isinstance(threshold, dict) else dict.fromkeys(keys, threshold)
    test = make_set({name: task for name, (task, _) in asked.items()}, records, groups, **more)
    return test.score({name: values for name, (_, values) in asked.items()}, limits, prevalence)


def value_of(scores, *names):
    for name in names:
        scores = scores[name]
    return scores["value"]


def test_the_ungradable_are_referred_at_every_level():
    records = [eye("a", "left", 2), eye("a", "right", 0), eye("b", "left", 0)]
    blind = [eye("b", "right", 3, quality="ungradable"), eye("c", "left", None, quality="ungradable")]
    found = scored(records, [0.2, 0.1, 0.3], ungradable=[(record, "") for record in blind])["dr"]
    # Of the photographs alone nothing is called diseased.
    assert (found["n"], value_of(found, "sensitivity"), value_of(found, "specificity")) == (3, 0.0, 1.0)
    image, own, patient = (found["levels"][level] for level in ("photograph", "eye", "patient"))
    assert image == own
    assert [own[name] for name in ("units", "ungradable", "n", "positives")] == [5, 2, 4, 2]
    assert value_of(own, "sensitivity") == 1 / 2  # b's right eye, which was graded 3 all the same, is referred
    assert value_of(own, "referral_rate") == value_of(own, "ungradable_rate") == 2 / 5
    # b is diseased by the right eye, but has a gradable one, which decides; c is referred.
    assert [patient[name] for name in ("units", "ungradable", "n", "positives")] == [3, 1, 2, 2]
    assert (value_of(patient, "sensitivity"), value_of(patient, "referral_rate")) == (0.0, 1 / 3)


def test_levels_of_a_choice_among_grades():
    records = [eye("a", "left", 2), eye("a", "right", 0), eye("b", "left", 0)]
    tasks = {"severity:icdr": (make_task("severity:icdr", ""), np.eye(5, dtype=np.float32)[[0, 2, 1]])}
    found = scored(records, [], tasks=tasks, ungradable=[(eye("b", "right", 4, quality="ungradable"), "")])
    levels = found["severity:icdr"]["levels"]
    assert (value_of(levels["eye"], "accuracy"), levels["eye"]["n"], levels["eye"]["ungradable"]) == (0.0, 3, 1)
    # The patient a has grade 2 and the worst answer is 2, whichever eye it is; b has grade 4 and is answered 1.
    assert (value_of(levels["patient"], "accuracy"), levels["patient"]["ungradable"]) == (1 / 2, 0)


def test_levels_that_no_record_tells_are_left_out_and_it_is_said():
    unnamed = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=n % 2) for n in range(4)]
    found = scored(unnamed, [0.5] * 4)["dr"]
    assert list(found["levels"]) == ["photograph"]
    assert "No photograph names its patient: there are no scores by eye or patient" in found["caution"][-1]
    eyeless = [eye(name, "") for name in "aabb"]
    found = scored(eyeless, [0.5] * 4)["dr"]
    assert list(found["levels"]) == ["photograph", "patient"]
    assert found["caution"][-1] == "No photograph says which eye it shows: there are no scores by eye."
    found = scored([*unnamed, *eyeless, eye("a"), eye("c")], [0.5] * 10)["dr"]
    assert [found["levels"][level]["units"] for level in ("eye", "patient")] == [4 + 4 + 2, 4 + 3]
    assert found["caution"][-2:] == [
        "Of 4 photographs the patient is not named: each counts as one.",
        "Of 4 photographs the eye is not stated: each counts as one.",
    ]
    named = scored([eye("a"), eye("b", grade=2)], [0.5] * 2)["dr"]
    assert not any("named" in told or "which eye" in told or "eye is not" in told for told in named["caution"])


def test_one_patient_of_two_data_sets_is_two():
    records = [eye("1", grade=1, dataset="here"), eye("1", dataset="there")]
    assert scored(records, [0.5] * 2)["dr"]["levels"]["patient"]["units"] == 2


def test_scores_by_site_camera_and_grade():
    sites, cameras = ["north", "north", "south", "south", ""], ["A"] * 5
    records = [
        eye(str(n), grade=grade, site=site, camera=camera)
        for n, (grade, site, camera) in enumerate(zip([2, 0, 2, 0, 4], sites, cameras, strict=True))
    ]
    found = scored(records, [0.9, 0.1, 0.2, 0.7, 0.8])["dr"]["strata"]
    assert list(found) == ["site", "grade"]  # there is one camera
    assert [(name, own["n"], own["positives"]) for name, own in found["site"].items()] == [
        ("north", 2, 1),
        ("south", 2, 1),
    ]
    assert [value_of(own, "accuracy") for own in found["site"].values()] == [1.0, 0.0]
    assert [value_of(own, "auroc") for own in found["site"].values()] == [1.0, 0.0]
    assert list(found["grade"]) == ["0", "2", "4"]
    assert [value_of(found["grade"], name, "sensitivity") for name in ("2", "4")] == [1 / 2, 1.0]
    assert np.isnan(value_of(found["grade"], "0", "sensitivity"))
    assert np.isnan(value_of(found["grade"], "2", "auroc"))
    assert set(found["grade"]["2"]) == {"n", "positives", "accuracy", "auroc", "sensitivity", "specificity"}


def test_sites_and_grades_of_several_data_sets_are_told_apart():
    records = [eye("1", site="A", dataset="x", grade=1), eye("2", dataset="y")]
    records.append(Record(path=Path("3.jpg"), dataset="z", site="A", scale="messidor", grade=1))
    found = scored(records, [0.5] * 3)["dr"]["strata"]
    assert list(found["site"]) == ["x A", "y", "z A"]
    assert list(found["grade"]) == ["icdr 0", "icdr 1", "messidor 1"]


def test_each_output_has_its_own_threshold_and_prevalence():
    records = [Record(path=Path(f"{n}.jpg"), MA=n % 2, HE=n % 2) for n in range(40)]
    values = np.tile(np.array([[0.3], [0.6], [0.8], [0.7]], np.float32), (10, 4))
    limits = {
        f"lesions.{name}": limit for name, limit in zip(("MA", "HE", "EX", "SE"), (0.5, 0.75, 0.5, 0.5), strict=True)
    }
    more = {"tasks": {"lesions": (LESIONS, values)}, "threshold": limits, "prevalence": {"lesions.HE": 0.1}}
    found = scored(records, [], **more)
    # MA is called at 0.6, 0.8 and 0.7, HE at 0.8 alone; the second and fourth are diseased.
    assert [value_of(found[f"lesions.{name}"], "sensitivity") for name in ("MA", "HE")] == [1.0, 0.0]
    assert [value_of(found[f"lesions.{name}"], "specificity") for name in ("MA", "HE")] == [0.5, 0.5]
    assert value_of(found["lesions.HE"]["levels"]["photograph"], "referral_rate") == 1 / 4
    assert [found[f"lesions.{name}"]["prevalence"] for name in ("MA", "HE")] == [0.5, 0.1]
    assert value_of(found["lesions.MA"], "ppv") == pytest.approx(2 / 3)
    assert value_of(found["lesions.HE"], "npv") == pytest.approx(0.9 * 0.5 / (0.9 * 0.5 + 0.1))


def test_fellow_eyes_count_as_one_patient_also_where_the_split_ignores_patients():
    draw = np.random.default_rng(2)
    grades, p = draw.integers(0, 2, 60), draw.random(60)
    records = [eye(str(n), side, int(grades[n])) for n in range(60) for side in ("left", "right")]
    by_patient = [f"g{n // 2}" for n in range(120)]
    found = [scored(records, p.repeat(2), groups=groups) for groups in (by_patient, [f"g{n}" for n in range(120)])]
    assert found[0]["dr"] == found[1]["dr"]


def test_the_ungradable_of_a_role_are_those_of_its_patients_and_those_given_to_it():
    def blind(patient, split=""):
        return eye(patient, "right", None, quality="ungradable", split=split)

    records = [
        eye("a"),
        blind("a"),
        eye("b"),
        blind("b"),
        blind("c"),
        blind("d", "test"),
        blind("a", "unused"),
        eye("a"),
    ]
    roles = ["test", "unused", "train", "unused", "unused", "unused", "unused", "unused"]
    split = Split(records, [""] * 8, ["a", "a", "b", "b", "c", "d", "a", "a"], roles)
    # c has no gradable photograph and no role, one of a was set aside by hand, and a's last one is gradable.
    assert split.ungradable("test").tolist() == [1, 5]
    assert split.ungradable("val").tolist() == []


def test_labels_of_one_kind_are_told():
    told = scored([eye(name) for name in "abc"], [0.5] * 3)["dr"]["caution"]
    begins = [
        "No photograph is positive: ",
        "Of 3 photographs, 3 negative: ",
        "Of 3 patients: ",
        "A calibration error of 0.500 is no larger than chance makes ",
    ]
    assert all(line.startswith(begin) for line, begin in zip(told, begins, strict=True))
    none = [Record(path=Path("a.jpg"), patient="a", eye="left")]
    told = scored(none, [0.5])["dr"]["caution"]
    assert told == ["No photograph has a known label: there is no score."]


@pytest.mark.parametrize(("positives", "told"), [(9, ["Of 200 photographs, 9 positive: "]), (10, [])])
def test_fewer_than_ten_positives_are_told(positives, told):
    records = [eye(str(n), grade=int(n < positives)) for n in range(200)]
    found = scored(records, np.linspace(0.9, 0.1, 200))["dr"]
    assert found["positives"] == positives
    assert value_of(found, "auroc") == 1.0
    assert len(found["caution"]) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found["caution"], told, strict=True))


def test_grades_that_are_rare_or_missing_are_told():
    records = [eye(str(n), grade=(0, 1)[n < 3]) for n in range(200)]
    tasks = {"severity:icdr": (make_task("severity:icdr", ""), np.full((200, 5), 0.2, np.float32))}
    told = scored(records, [], tasks=tasks)["severity:icdr"]["caution"]
    assert [line.partition(":")[0] for line in told] == [
        "No photograph is grade 2, grade 3 or grade 4",
        "Of 200 photographs, 3 grade 1",
        "Chance lifts the calibration error",
    ]


def test_few_patients_are_told_by_the_patients_of_the_scored_photographs():
    # Of 100 patients 24 are scored: 48 by both eyes, whose labels are known, and 152 without one.
    pairs = [eye(str(n), side, n % 2) for n in range(24) for side in ("left", "right")]
    unknown = [eye(str(n), side, None) for n in range(24, 100) for side in ("left", "right")]
    told = scored([*pairs, *unknown], [0.5] * 200)["dr"]["caution"]
    assert [line.partition(":")[0] for line in told] == [
        "Of 24 patients",
        "A calibration error of 0.000 is no larger than chance makes that of a grader whose probabilities are exactly "
        "right",
    ]
    ungradable = [(eye("x", quality="ungradable"), "")]
    assert scored([*pairs, *unknown], [0.5] * 200, ungradable=ungradable)["dr"]["caution"] == told


def test_a_site_that_was_trained_on_and_is_not_tested_is_told():
    records = [eye(str(n), grade=n % 2, site="north") for n in range(200)]
    trained = [eye("x", site=site) for site in ("south", "north", "east", "south", "")]
    found = scored(records, [0.99] * 200, trained=trained)["dr"]
    assert found["caution"] == [
        "No labelled test photograph is of east (1 photograph trained on), south (2 photographs trained on): "
        "the scores say nothing of it."
    ]
    # A test photograph of the south without a label for this output does not help.
    more = [*records, eye("y", grade=None, site="south")]
    assert "of east (1 " in scored(more, [0.99] * 201, trained=trained)["dr"]["caution"][0]
    assert scored(records, [0.99] * 200, trained=trained[1:2])["dr"]["caution"] == []


def test_answers_that_are_no_numbers_name_their_photographs(tmp_path):
    records = [eye(str(n), grade=n % 2) for n in range(12)]
    p = np.full(12, 0.5)
    p[[3, 7]] = NAN, np.inf
    named = r"answers to 2 of 12 photographs are infinite or NaN: 3-left\.jpg, 7-left\.jpg; .*train it again"
    with pytest.raises(NonFiniteLoss, match=named):
        scored(records, p)
    with pytest.raises(NonFiniteLoss, match=r"to 12 of 12 photographs .*, 7-left\.jpg and 4 more; "):
        scored(records, np.full(12, NAN))
    with pytest.raises(NonFiniteLoss, match="3-left"):
        make_set({"dr": DR}, records).predictions({"dr": np.array(p, np.float32)[:, None]}).write(tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
