"""All tasks together over two collections that were labelled otherwise: from one configuration to the report."""

import csv
import json

import pytest

import semiretina
from semiretina.config import load_config
from semiretina.errors import BadConfig, BadData
from semiretina.judging.evaluate import evaluate
from semiretina.judging.grader import load
from semiretina.judging.predict import predict
from semiretina.methods import METHODS
from semiretina.records import LESIONS
from semiretina.report import results_table, to_text, write_report

ORDINAL = "severity-ordinal:icdr"
TASKS = ["dr", ORDINAL, "lesions", "dme"]
GRADES = [f"grade {grade}" for grade in range(5)]


@pytest.fixture(scope="module")
def manifest(photographs, tmp_path_factory):
    """The drawn photographs as two collections: "first" has ICDR grades and lesions, "second" Messidor's grades and
    the risk of macular edema. One patient of each is ungradable, and stands in the test set all the same."""
    rows = []
    with photographs.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            patient, diseased = number // 2, number // 2 % 2
            first = patient < 10
            grade = diseased * (1 + patient % 3)
            given = {
                "path": str(photographs.parent / row["path"]),
                "dataset": "first" if first else "second",
                "patient": row["patient"],
                "split": ("train", "train", "train", "val", "test")[patient // 2 % 5],
                "scale": "icdr" if first else "messidor",
                "grade": grade,
                "dme": "" if first else 2 * (grade == 3),
                "quality": "ungradable" if patient in (8, 18) else "",
                **dict.fromkeys(LESIONS, ""),
            }
            if first and grade >= 2:
                given |= {"MA": 1, "HE": 1, "EX": int(grade == 3)}
            rows.append(given)
    file = tmp_path_factory.mktemp("two") / "manifest.csv"
    write(file, rows)
    return file


def write(file, rows):
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def read(file):
    with file.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def config(make_config, make_stage, manifest):
    stage = make_stage("combined", epochs=2, batch=4, lambda_cl={"dr": 1.0, ORDINAL: 0.5, "lesions": 2.0})
    return make_config(stage, tasks=TASKS, data={"manifest": str(manifest)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of the run that several tests look at; the first of them trains it."""
    return tmp_path_factory.mktemp("run") / "together"


@pytest.fixture
def run(config, trained):
    semiretina.train(config, trained)
    return trained


def test_the_result_counts_what_each_head_could_be_scored_on(run, manifest):
    result = json.loads((run / "result.json").read_text())
    assert set(result["test"]) == {"dr", ORDINAL, "dme", *(f"lesions.{lesion}" for lesion in LESIONS)}
    # Two patients of each collection are given to the test set; one of the two is ungradable.
    assert result["counts"]["test"] == 4
    assert result["ungradable"] == 4
    assert result["counts"]["unused"] == 4
    assert {task: scores["n"] for task, scores in result["test"].items()} == {
        "dr": 4,
        ORDINAL: 2,
        "dme": 2,
        "lesions.MA": 2,
        "lesions.HE": 2,
        "lesions.EX": 2,
        "lesions.SE": 2,
    }
    # Patient 9 has ICDR grade 1, which decides all four; patient 19 has grade 2 of Messidor's, which decides none.
    assert all(result["test"][f"lesions.{lesion}"]["derived"] == 2 for lesion in LESIONS)
    rows = {row["path"]: row for row in read(manifest)}
    tested = {row["path"] for row in read(run / "predictions-test.csv")}
    assert {rows[path]["quality"] for path in tested} == {""}


def test_the_configuration_of_a_run_reads_back(run, config):
    assert load_config(run / "config.toml").stages == load_config(config).stages


def test_predictions_have_a_row_for_each_grade_and_labels_of_the_own_scale(run):
    rows = [row for row in read(run / "predictions-test.csv") if row["task"] == ORDINAL]
    assert [row["output"] for row in rows[:5]] == GRADES
    assert len(rows) == 4 * 5
    by_path = {}
    for row in rows:
        by_path.setdefault(row["path"], []).append(row)
    stated = 0
    for own in by_path.values():
        assert sum(float(row["probability"]) for row in own) == pytest.approx(1, abs=1e-5)
        labels = [row["label"] for row in own]
        assert sorted(labels) in (["0", "0", "0", "0", "1"], [""] * 5)
        stated += "1" in labels
    assert stated == 2


def test_evaluate_predict_and_report_stand_on_the_same_grader(run, manifest, tmp_path):
    again = evaluate(run, "test")
    result = json.loads((run / "result.json").read_text())
    assert again["scores"] == result["test"]
    # The two ungradable patients of the test set are referred.
    assert (again["photographs"], again["ungradable"], again["unreadable"]) == (8, 4, 0)
    patients = again["scores"]["dr"]["levels"]["patient"]
    assert (patients["units"], patients["ungradable"]) == (4, 2)
    whole = evaluate(run, manifest)
    assert (whole["photographs"], whole["ungradable"]) == (40, 4)
    assert whole["scores"][ORDINAL]["n"] == 18
    # ICDR 0: patients 0, 2, 4, 6, ICDR 1: 3 and 9, so 12 photographs for all lesions; Messidor 0: patients 10, 12, 14,
    # 16, Messidor 1: 15, so 10 more for MA and HE.
    assert {lesion: whole["scores"][f"lesions.{lesion}"]["derived"] for lesion in LESIONS} == {
        "MA": 22,
        "HE": 22,
        "EX": 12,
        "SE": 12,
    }

    out = tmp_path / "predictions.csv"
    grader = load(run)
    assert predict(grader, [manifest], out) == (40, 0)
    rows = read(out)
    assert len(rows) == 40 * (1 + 5 + 4 + 1)
    same = {(row["path"], row["output"]): row["probability"] for row in rows if row["task"] == ORDINAL}
    for row in read(run / "predictions-test.csv"):
        if row["task"] == ORDINAL:
            assert float(same[row["path"], row["output"]]) == pytest.approx(float(row["probability"]), abs=1e-6)

    text = to_text(results_table([run]))
    assert "one class only" in text
    assert "derived labels" in text
    page = write_report([run], tmp_path / "report").read_text()
    assert "one class only" in page
    assert "Ungradable, left out" in page
    assert f"{ORDINAL}: quadratic kappa on test" in page


def test_records_of_another_scale_alone_are_scored_on_what_they_carry(run, manifest, tmp_path, capsys):
    other = tmp_path / "second.csv"
    write(other, [row for row in read(manifest) if row["dataset"] == "second"])
    found = evaluate(run, other)
    assert set(found["scores"]) >= {"dr", "dme"}
    assert ORDINAL not in found["scores"]
    assert f"task {ORDINAL}: these records have no label for it" in capsys.readouterr().err
    ungradable = tmp_path / "ungradable.csv"
    write(ungradable, [row for row in read(manifest) if row["quality"]])
    with pytest.raises(BadData, match="all of its 4 photographs are marked ungradable"):
        evaluate(run, ungradable)


class Stopped(Exception):
    pass


def test_a_stop_changes_nothing(run, config, tmp_path):
    count = iter(range(100))

    class Stopping(METHODS["combined"]):
        def forward(self, batch, progress):
            if next(count) == 8:
                raise Stopped
            return super().forward(batch, progress)

    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path, methods={"combined": Stopping})
    assert len(list((tmp_path / "checkpoints").glob("epoch-*.json"))) == 1
    semiretina.train(config, tmp_path)
    for name in ("grader.safetensors", "predictions-val.csv", "predictions-test.csv"):
        assert (run / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_step_logs_only_the_losses_that_it_had(make_config, make_stage, manifest, tmp_path):
    config = make_config(
        make_stage("supervised", epochs=1, batch=2), tasks=TASKS, data={"manifest": str(manifest)}, seed=1
    )
    seen = []

    class Watched(METHODS["supervised"]):
        def forward(self, batch, progress):
            logs = super().forward(batch, progress)
            seen.append({key: float(value.detach()) for key, value in logs.items()})
            return logs

    semiretina.train(config, tmp_path, methods={"supervised": Watched})
    [epoch] = [row for row in map(json.loads, (tmp_path / "log.jsonl").open()) if row["kind"] == "epoch"]
    had = [logs[f"loss_{ORDINAL}"] for logs in seen if f"loss_{ORDINAL}" in logs]
    assert 0 < len(had) < len(seen)
    assert epoch["train"][f"loss_{ORDINAL}"] == pytest.approx(sum(had) / len(had), rel=1e-5)


@pytest.mark.parametrize("task", ["severity", "severity-ordinal", "referable"])
def test_what_reads_one_scale_must_name_it(task, make_config, make_stage, manifest, tmp_path):
    config = make_config(make_stage("supervised"), tasks=["dr", task], data={"manifest": str(manifest)})
    with pytest.raises(BadConfig, match=f"'{task}' would mix .*'{task}:icdr' or '{task}:messidor'"):
        semiretina.train(config, tmp_path / "run")


def test_a_scale_need_not_be_named_where_there_is_one(make_config, make_stage, manifest, tmp_path):
    first = tmp_path / "first.csv"
    write(first, [row | {"dme": 2 * (row["grade"] == "3")} for row in read(manifest) if row["dataset"] == "first"])
    tasks = ["dr", "severity-ordinal", "lesions", "dme"]
    for method, model in (("supervised", {}), ("linear_probe", {"hidden": 0})):
        config = make_config(make_stage(method, epochs=1), tasks=tasks, data={"manifest": str(first)}, model=model)
        result = semiretina.train(config, tmp_path / method)
        assert result["test"]["severity-ordinal"]["n"] == 2
        assert load(tmp_path / method).tasks["severity-ordinal"].outputs == tuple(GRADES)
        assert evaluate(tmp_path / method, "test")["scores"] == result["test"]
