"""From a network to probabilities and scores, and the grader that a run hands over."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semiretina
from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.errors import BadData, MissingInput, NonFiniteLoss
from semiretina.judging.grader import Grader, load_grader, task_of
from semiretina.judging.inference import (
    full_scores,
    infer_rows,
    probabilities,
    quick_scores,
    reconstruct_rows,
    write_predictions,
)
from semiretina.models import build_network
from semiretina.records import Record
from semiretina.tasks import TASKS, Binary, Classes, Ordinal, make_task

NAN = float("nan")
DR, SEVERITY, LESIONS = TASKS["dr"]("icdr"), TASKS["severity"]("messidor"), TASKS["lesions"]("icdr")
ORDINAL = make_task("severity-ordinal:icdr", "messidor")
OUTPUTS = {"dr": 1, "severity": 4, "lesions": 4, "severity-ordinal:icdr": 4}


@pytest.fixture(scope="module")
def grader():
    torch.manual_seed(4)
    network = build_network("aecl1", OUTPUTS, 32, {"widths": [4, 6, 8]})
    # Batch statistics and heads as after a training, so that probabilities differ from photograph to photograph.
    for _ in range(3):
        network(torch.rand(16, 3, 32, 32))
    for parameter in network.classifier.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tasks = {"dr": DR, "severity": SEVERITY, "lesions": LESIONS, "severity-ordinal:icdr": ORDINAL}
    return Grader(network.eval(), tasks, 32, "none", 0.5, torch.device("cpu"), batch=8)


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(9).integers(0, 256, (21, 32, 32, 3))
    return (noise * np.linspace(0.3, 1, 21)[:, None, None, None]).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_a_photograph_gets_the_same_bits_in_any_company(grader, pictures, chosen):
    alone = {place: grader.grade(pictures[place : place + 1]) for place in set(chosen)}
    together = grader.grade(pictures[chosen])
    for number, place in enumerate(chosen):
        for task in OUTPUTS:
            assert np.array_equal(together[task][number], alone[place][task][0])


def test_probabilities_are_those_of_the_network(grader, pictures):
    found = grader.grade(pictures)
    with torch.no_grad():
        logits = grader.network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255.0)
    assert found["dr"].shape == (21, 1)
    np.testing.assert_allclose(found["dr"], 1 / (1 + np.exp(-logits["dr"].numpy())), atol=1e-5)
    np.testing.assert_allclose(found["severity"].sum(axis=1), 1, atol=1e-6)
    odds = np.exp(logits["severity"].numpy())
    np.testing.assert_allclose(found["severity"], odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    ordinal = found["severity-ordinal:icdr"]
    assert ordinal.shape == (21, 5)
    np.testing.assert_allclose(ordinal.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        ordinal[:, 0], 1 / (1 + np.exp(logits["severity-ordinal:icdr"][:, 0].numpy())), atol=1e-5
    )
    assert np.ptp(found["dr"]) > 0.01


def test_features_are_the_pooled_map(grader, pictures):
    found = grader.features(pictures)
    with torch.no_grad():
        encoded = grader.network.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255.0)
    assert found.shape == (21, 8)
    np.testing.assert_allclose(found, encoded.numpy().mean(axis=(2, 3)), atol=1e-5)


def test_a_saved_grader_comes_back(grader, pictures, tmp_path):
    grader.save(tmp_path / "grader")
    again = load_grader(tmp_path, torch.device("cpu"), batch=8)
    assert (again.size, again.crop, again.threshold) == (32, "none", 0.5)
    assert (again.temperatures, again.own_thresholds) == ({}, {})
    assert {name: task.outputs for name, task in again.tasks.items()} == {
        "dr": ("dr",),
        "severity": ("grade 0", "grade 1", "grade 2", "grade 3"),
        "lesions": ("MA", "HE", "EX", "SE"),
        "severity-ordinal:icdr": ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"),
    }
    assert {name: (type(task), task.scale) for name, task in again.tasks.items()} == {
        "dr": (Binary, ""),
        "severity": (Classes, "messidor"),
        "lesions": (Binary, ""),
        "severity-ordinal:icdr": (Ordinal, "icdr"),
    }
    ours, theirs = grader.grade(pictures), again.grade(pictures)
    assert all(np.array_equal(ours[task], theirs[task]) for task in OUTPUTS)
    assert not again.network.training


def test_a_grader_that_is_not_there_or_damaged(grader, tmp_path):
    with pytest.raises(MissingInput, match="no grader here"):
        load_grader(tmp_path)
    grader.save(tmp_path / "grader")
    facts = json.loads((tmp_path / "grader.json").read_text())
    (tmp_path / "grader.json").write_text(json.dumps({**facts, "schema": 99}))
    with pytest.raises(BadData, match="schema 99, this program reads 1"):
        load_grader(tmp_path)
    (tmp_path / "grader.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadData, match="checksum fails"):
        load_grader(tmp_path)
    with pytest.raises(BadData, match="task 'dr' with the outputs a, b is unknown"):
        task_of("dr", ["a", "b"])
    with pytest.raises(BadData, match="task 'stage' with the outputs a is unknown"):
        task_of("stage", ["a"])
    with pytest.raises(BadData, match="task 'severity:icdr' with the outputs grade 0, grade 1 is unknown"):
        task_of("severity:icdr", ["grade 0", "grade 1"])


def test_a_grader_of_before_names_no_scale_and_still_loads():
    five = [f"grade {grade}" for grade in range(5)]
    assert (task_of("severity", five).scale, task_of("severity", five[:4]).scale) == ("icdr", "messidor")
    assert task_of("referable", ["referable"]).scale == ""


def test_the_temperature_divides_logits():
    logits = torch.tensor([[2.0]])
    assert float(probabilities(DR, logits, 2.0)[0, 0]) == pytest.approx(1 / (1 + np.exp(-1.0)))
    cool = torch.logit(torch.tensor([[0.9, 0.6, 0.3, 0.2]]))
    np.testing.assert_allclose(probabilities(ORDINAL, 3 * cool, 3.0), probabilities(ORDINAL, cool), atol=1e-6)
    halved = probabilities(ORDINAL, cool, 2.0)[0]
    assert halved[0] == pytest.approx(1 - 3 / (1 + 3))  # odds of 9 become 3


def test_probabilities_of_grades_by_hand():
    above = torch.tensor([[0.9, 0.6, 0.3, 0.2], [0.5, 0.7, 0.1, 0.4]])
    found = probabilities(ORDINAL, torch.logit(above))
    # In the second row "above grade 1" may not exceed "above grade 0", nor "above grade 3" "above grade 2".
    np.testing.assert_allclose(found, [[0.1, 0.3, 0.3, 0.1, 0.2], [0.5, 0.0, 0.4, 0.0, 0.1]], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), min_size=1, max_size=5),
    temperature=st.floats(0.05, 20),
)
def test_probabilities_of_grades_are_probabilities(logits, temperature):
    found = probabilities(ORDINAL, torch.tensor(logits), temperature)
    assert found.shape == (len(logits), 5)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_quick_scores_of_a_binary_task_by_hand():
    # Probabilities 0.9, 0.4, 0.6, 0.2 for labels 1, 1, 0, 0: three of four pairs in order; two right at 0.5.
    p = torch.tensor([0.9, 0.4, 0.6, 0.2, 0.7])
    targets = torch.tensor([1.0, 1.0, 0.0, 0.0, NAN])[:, None]
    found = quick_scores(DR, torch.logit(p)[:, None], targets, threshold=0.5)
    assert found["auroc"] == pytest.approx(0.75)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.8]).mean(), rel=1e-5)
    # Above 0.3 three are called diseased, and three are right; the AUROC does not move.
    moved = quick_scores(DR, torch.logit(p)[:, None], targets, threshold=0.3)
    assert (moved["accuracy"], moved["auroc"]) == (pytest.approx(0.75), pytest.approx(0.75))


def test_quick_scores_average_outputs_and_skip_what_is_undefined():
    logits = torch.tensor([[1.0, -1.0, 3.0, 0.0], [-1.0, 1.0, 3.0, 0.0]])
    targets = torch.tensor([[1.0, 1.0, 1.0, NAN], [0.0, 0.0, 1.0, NAN]])
    found = quick_scores(LESIONS, logits, targets, threshold=0.5)
    assert found["auroc"] == pytest.approx((1 + 0) / 2)
    assert found["accuracy"] == pytest.approx((1 + 0 + 1) / 3)
    nothing = quick_scores(LESIONS, logits, torch.full((2, 4), NAN), threshold=0.5)
    assert np.isnan(nothing["auroc"])
    assert np.isnan(nothing["accuracy"])


def test_quick_scores_of_classes():
    logits = torch.log(torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.2, 0.5, 0.2, 0.1]]))
    found = quick_scores(SEVERITY, torch.cat([logits, logits[:1]]), torch.tensor([0, 1, 1, -1]), threshold=0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(1.0)
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.5]).mean(), rel=1e-5)


def test_quick_scores_of_grades_in_their_order():
    # Answers 0, 4, 2 and 2 (the most probable grade) to the grades 0, 4, 1 and an unknown one.
    above = torch.tensor([[0.3, 0.1, 0.1, 0.1], [0.9, 0.9, 0.8, 0.8], [0.9, 0.8, 0.1, 0.1], [0.9, 0.8, 0.1, 0.1]])
    targets = torch.tensor([[0.0] * 4, [1.0] * 4, [1.0, 0, 0, 0], [NAN] * 4])
    found = quick_scores(ORDINAL, torch.logit(above), targets, threshold=0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    right = [0.7, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.9, 0.2, 0.9, 0.9]
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)
    # P(grade 0) is 0.7, 0.1, 0.1; P(grade 1) 0.2, 0, 0.1; P(grade 4) 0.1, 0.8, 0.1: areas 1, 1/2 and 1.
    assert found["auroc"] == pytest.approx((1 + 0.5 + 1) / 3)
    nothing = quick_scores(ORDINAL, torch.logit(above), torch.full((4, 4), NAN), threshold=0.5)
    assert np.isnan(nothing["accuracy"])
    assert np.isnan(nothing["auroc"])


def test_full_scores_leave_unknown_labels_out_and_name_each_output():
    values = {"lesions": np.array([[0.9, 0.2, 0.5, 0.5], [0.1, 0.8, 0.5, 0.5], [0.8, 0.6, 0.5, 0.5]], np.float32)}
    targets = {"lesions": torch.tensor([[1.0, 0.0, NAN, 1.0], [0.0, 1.0, NAN, 1.0], [1.0, NAN, NAN, 1.0]])}
    records = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=grade, SE=1) for n, grade in enumerate((1, 0, None))]
    found = full_scores({"lesions": LESIONS}, values, targets, records, ["a", "b", "c"], 0.5)
    assert set(found) == {f"lesions.{name}" for name in ("MA", "HE", "EX", "SE")}
    assert [found[f"lesions.{name}"]["n"] for name in ("MA", "HE", "EX", "SE")] == [3, 2, 0, 3]
    assert found["lesions.MA"]["auroc"]["value"] == 1.0
    assert set(found["lesions.MA"]["accuracy"]) == {"value", "low", "high"}
    # Two are graded 0 and 1, which decides all lesions; that SE is there was stated nevertheless.
    assert [found[f"lesions.{name}"]["derived"] for name in ("MA", "HE", "EX", "SE")] == [2, 2, 2, 0]
    column = {"dr": values["lesions"][:, :1]}, {"dr": targets["lesions"][:, :1]}
    one = full_scores({"dr": DR}, *column, records, list("abc"), 0.5)
    assert set(one) == {"dr"}
    assert one["dr"]["positives"] == 2
    assert "derived" not in one["dr"]


def test_of_one_class_alone_there_is_no_area_under_the_curve():
    values = {"lesions": np.full((3, 4), 0.7, np.float32)}
    targets = {"lesions": torch.tensor([[1.0, 0.0, 1.0, NAN]] * 3)}
    records = [Record(path=Path(f"{n}.jpg")) for n in range(3)]
    found = full_scores({"lesions": LESIONS}, values, targets, records, list("abc"), 0.5)
    assert all(np.isnan(scores["auroc"]["value"]) for scores in found.values())
    assert [scores["accuracy"]["value"] for scores in found.values()][:3] == [1.0, 0.0, 1.0]
    assert np.isnan(quick_scores(LESIONS, torch.ones(3, 4), targets["lesions"], 0.5)["auroc"])
    for task in (SEVERITY, ORDINAL):
        graded = {task.name: np.full((3, len(task.outputs)), 1 / len(task.outputs), np.float32)}
        truth = {task.name: torch.from_numpy(task.targets([Record(path=Path("a"), scale=task.scale, grade=2)] * 3))}
        [scores] = full_scores({task.name: task}, graded, truth, records, list("abc"), 0.5).values()
        assert (scores["n"], scores["majority"]) == (3, 1.0)
        assert np.isnan(scores["auroc"]["value"])


def test_full_scores_of_grades_are_the_same_whichever_way_they_were_asked():
    grades = [0, 2, 4, 2, None]
    records = [Record(path=Path(f"{n}.jpg"), scale="icdr", grade=grade) for n, grade in enumerate(grades)]
    answers = np.random.default_rng(3).dirichlet(np.ones(5), 5).astype(np.float32)
    found = []
    for task in (make_task("severity:icdr", ""), ORDINAL):
        truth = {task.name: torch.from_numpy(task.targets(records))}
        found.append(
            full_scores({task.name: task}, {task.name: answers}, truth, records, list("abcde"), 0.5)[task.name]
        )
    assert found[0] == found[1]
    assert found[0]["n"] == 4


def test_predictions_hold_a_row_for_each_photograph_and_output(tmp_path):
    about = {"site": "s, t", "eye": "left", "camera": "NW6", "scale": "icdr", "grade": 2}
    records = [Record(path=tmp_path / f"{n}.jpg", patient=f"00{n}", **about) for n in range(2)]
    records.append(Record(path=tmp_path / "2.jpg"))
    split = Split(records, ["", "", ""], ["g0", "g1", "g2"], ["test", "val", "test"])
    values = {"dr": np.array([[0.25], [0.75]], np.float32), "severity": np.eye(4, dtype=np.float32)[:2]}
    truth = {"dr": torch.tensor([[1.0], [NAN]]), "severity": torch.tensor([-1, 1])}
    values["ordinal"], truth["ordinal"] = np.eye(5, dtype=np.float32)[:2], torch.tensor([[1.0, 1, 0, 0], [NAN] * 4])
    tasks = {"dr": DR, "severity": SEVERITY, "ordinal": ORDINAL}
    write_predictions(tmp_path / "p.csv", split, split.rows("test"), tasks, values, truth)
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


def scored(records, p, *, tasks=None, groups=None, threshold=0.5, **more):
    """`full_scores` of the answers `p` to `dr`, or to the given tasks (name -> task, values)."""
    asked = tasks or {"dr": (DR, np.array(p, np.float32)[:, None])}
    return full_scores(
        {name: task for name, (task, _) in asked.items()},
        {name: values for name, (_, values) in asked.items()},
        {name: torch.from_numpy(task.targets(records)) for name, (task, _) in asked.items()},
        records,
        groups or [""] * len(records),
        threshold,
        **more,
    )


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
    split = Split(records, [""] * 12, [""] * 12, ["test"] * 12)
    values, truth = {"dr": np.array(p, np.float32)[:, None]}, {"dr": torch.zeros(12, 1)}
    with pytest.raises(NonFiniteLoss, match="3-left"):
        write_predictions(tmp_path / "p.csv", split, split.rows("test"), {"dr": DR}, values, truth)
    assert not (tmp_path / "p.csv").exists()


def test_inference_puts_the_network_back_and_learns_nothing(grader, pictures):
    network = grader.network
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = Pixels(pictures, np.arange(21), torch.device("cpu"))
    rows = np.array([3, 20, 0])
    logits = infer_rows(network, pixels, rows, 2)
    error, decoded = reconstruct_rows(network, pixels, rows, 2)
    assert network.training
    network.eval()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    np.testing.assert_allclose(logits["dr"].sigmoid().numpy(), grader.grade(pictures[rows])["dr"], atol=1e-6)
    images = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        expected = network.decode(network.encode(images))
    assert error == pytest.approx(float((expected - images).square().mean()), rel=1e-5)
    torch.testing.assert_close(decoded, expected[:2], atol=1e-5, rtol=0)
    assert infer_rows(network, pixels, rows[:0], 2) == {}


def test_a_run_hands_over_what_it_was_scored_with(make_config, make_stage, tmp_path):
    semiretina.train(make_config(make_stage("supervised")), tmp_path)
    grader = semiretina.load_grader(tmp_path)
    for row in csv.DictReader((tmp_path / "predictions-test.csv").open()):
        found = grader.grade(grader.read(Path(row["path"]))[None])["dr"][0, 0]
        assert float(row["probability"]) == pytest.approx(found, abs=1e-6)
