"""Scoring a finished run again: the ungradable and unreadable, prevalence, and what is printed."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import semiretina
from semiretina import checkpoint
from semiretina.config import load_config
from semiretina.errors import BadConfig, BadData, NonFiniteLoss
from semiretina.judging.evaluate import evaluate
from semiretina.judging.ledger import read_ledger
from semiretina.report.runs import read_runs
from semiretina.report.scores_text import to_text

STAGE = {"method": {"name": "supervised"}, "epochs": 1, "batch": 8, "optimizer": {"name": "adam", "lr": 1e-3}}


def write(file, rows):
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
def rows(photographs):
    """The drawn photographs' manifest: 16 patients by two in training, validation, test, and the right eyes of two
    tested patients, and all of another's, ungradable."""
    with photographs.open(newline="") as file:
        found = list(csv.DictReader(file))[:32]
    for number, row in enumerate(found):
        patient = number // 2
        row["path"] = str(photographs.parent / row["path"])
        row["split"] = "train" if patient < 6 else "val" if patient < 8 else "test"
        row["camera"] = "NW6" if patient % 3 else "TRC"
        row["quality"] = "ungradable" if patient == 8 or (patient in (9, 12) and row["eye"] == "right") else ""
    return found


@pytest.fixture(scope="module")
def run(rows, pixel_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    data = {
        "manifest": str(write(folder / "manifest.csv", rows)),
        "size": 32,
        "crop": "none",
        "cache": str(pixel_cache),
    }
    model = {"name": "aecl1", "widths": [4, 6, 8]}
    settings = {"data": data, "model": model, "stages": [STAGE], "engine": {"device": "cpu", "eval_batch": 8}}
    semiretina.train({**settings, "prevalence": {"dr": 0.08}}, folder / "run")
    return folder / "run"


def counts(level):
    return level["units"], level["ungradable"], level["n"]


def test_a_run_knows_its_ungradable_patients(run):
    result = json.loads((run / "result.json").read_text())
    scores = result["test"]["dr"]
    assert (scores["n"], scores["prevalence"]) == (12, 0.08)
    # Eight patients are given to the test set: one all ungradable, two with one eye. Their grades are stated.
    levels = scores["levels"]
    assert [counts(levels[name]) for name in ("photograph", "eye", "patient")] == [(16, 4, 16), (16, 4, 16), (8, 1, 8)]
    assert levels["patient"]["positives"] == 4
    assert {kind: list(parts) for kind, parts in scores["strata"].items()} == {
        "site": ["north", "south"],
        "camera": ["NW6", "TRC"],
        "grade": ["0", "2"],
    }
    assert sum(part["n"] for part in scores["strata"]["site"].values()) == 12
    assert [told.partition(":")[0] for told in scores["caution"]][:2] == [
        "Of 12 photographs, 7 positive and 5 negative",
        "Of 7 patients",
    ]
    assert "calibration error of " in scores["caution"][2]
    again = evaluate(run, "test")
    assert again["scores"] == result["test"]
    assert (again["photographs"], again["ungradable"], again["unreadable"]) == (16, 4, 0)
    assert evaluate(run, "val")["scores"] == result["val"]


def test_a_tracked_training_looks_again_where_it_begins_again(rows, pixel_cache, tmp_path):
    manifest = write(tmp_path / "manifest.csv", rows)
    data = {"manifest": str(manifest), "size": 32, "crop": "none", "cache": str(pixel_cache)}
    model = {"name": "aecl1", "widths": [4, 6, 8]}
    config = {"data": data, "model": model, "stages": [STAGE], "engine": {"device": "cpu"}, "track_test": True}

    def tracked():
        semiretina.train(config, tmp_path / "run")
        return [look.kind for look in read_ledger(manifest)]

    assert tracked() == ["tracked"]
    (tmp_path / "run" / "result.json").unlink()
    assert tracked() == ["tracked"]  # it went on at its end
    shutil.rmtree(tmp_path / "run")
    assert tracked() == ["tracked", "tracked"]


def test_in_another_manifest_what_cannot_be_read_is_referred(run, rows, tmp_path):
    other = [{**row, "split": "", "path": str(shutil.copy(row["path"], tmp_path))} for row in rows[16:]]
    Path(other[4]["path"]).write_bytes(b"")  # both eyes of patient 10, who is healthy
    Path(other[5]["path"]).unlink()
    found = evaluate(run, write(tmp_path / "other.csv", other))
    assert (found["photographs"], found["ungradable"], found["unreadable"]) == (16, 4, 2)
    scores = found["scores"]["dr"]
    assert (scores["n"], scores["prevalence"]) == (10, 0.08)
    assert counts(scores["levels"]["eye"]) == (16, 6, 16)
    assert counts(scores["levels"]["patient"]) == (8, 2, 8)
    assert scores["levels"]["patient"]["referral_rate"]["value"] >= 2 / 8
    assert scores["levels"]["patient"]["specificity"]["value"] <= 2 / 4
    # Sites that this manifest does not have are none of its business.
    assert not any("trained on" in told for told in scores["caution"])


def test_where_nothing_can_be_read_the_first_photograph_is_named(run, rows, tmp_path):
    other = [
        {**row, "split": "", "quality": "", "path": str(tmp_path / f"{n}.jpg")} for n, row in enumerate(rows[16:19])
    ]
    for row in other:
        Path(row["path"]).write_bytes(b"")
    other[1]["path"] += ".gone"
    with pytest.raises(BadData, match=r"none of its 3 photographs can be read; look at the first: .*0\.jpg: "):
        evaluate(run, write(tmp_path / "other.csv", other))


def test_a_manifest_may_be_named_by_a_text(run, rows, tmp_path):
    other = write(tmp_path / "other.csv", [{**row, "split": ""} for row in rows[16:24]])
    assert evaluate(str(run), str(other)) == evaluate(run, other)
    with pytest.raises(BadConfig, match="split tset: known are val and test; or name a manifest"):
        evaluate(run, "tset")


def test_a_broken_grader_names_the_photographs(run, tmp_path):
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    tensors, facts = checkpoint.load(broken / "grader")
    checkpoint.save(broken / "grader", {name: value * float("inf") for name, value in tensors.items()}, facts)
    with pytest.raises(NonFiniteLoss, match=r"answers to 12 of 12 photographs are infinite or NaN: .*\.jpg"):
        evaluate(broken, "test")


def test_tables_of_predictions_read_with_the_columns_of_before_and_of_now(run, tmp_path):
    [now] = read_runs([run])
    old = tmp_path / "run"
    shutil.copytree(run, old)
    table = list(csv.DictReader((run / "predictions-test.csv").open(newline="")))
    assert {row["grade"] for row in table} == {"0", "2"}
    assert {row["eye"] for row in table} == {"left", "right"}
    columns = ("path", "patient", "site", "task", "output", "label", "probability")
    write(old / "predictions-test.csv", [{name: row[name] for name in columns} for row in table])
    [before] = read_runs([old])
    of_now, of_before = now.predictions(), before.predictions()
    assert of_now.paths == of_before.paths
    assert len(of_now.paths) == 12
    assert of_now.patients == of_before.patients
    assert of_now.outputs == of_before.outputs == {"dr": ("dr",)}
    for ours, theirs in ((of_now.labels, of_before.labels), (of_now.probabilities, of_before.probabilities)):
        np.testing.assert_array_equal(ours["dr"], theirs["dr"])
    assert (set(of_now.eyes), set(of_now.grades)) == ({"left", "right"}, {0, 2})
    assert (set(of_before.eyes), set(of_before.grades), set(of_before.groups)) == ({""}, {None}, {""})


def test_the_text_tells_all_levels_and_parts(run):
    result = evaluate(run, "test")
    text = to_text(result)
    lines = text.splitlines()
    assert lines[:5] == ["data: test", "photographs: 16", "ungradable: 4", "unreadable: 0", "seen: 0"]
    scores = result["scores"]["dr"]
    assert "  prevalence: 0.080" in lines
    silent = {**result, "scores": {"dr": {**scores, "ppv": {"value": None, "low": None, "high": None}}}}
    assert "  ppv: undefined (nobody was answered so)" in to_text(silent).splitlines()
    found = scores["levels"]["patient"]["sensitivity"]
    [level] = [line.split() for line in lines if line.split()[:1] == ["level"]]
    assert level == ["level", "photograph", "eye", "patient"]
    [shown] = [line for line in lines if line.startswith("  sensitivity  ")]
    assert shown.endswith(f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]")
    [head] = [number for number, line in enumerate(lines) if line.startswith("  site ")]
    assert lines[head].split() == ["site", "n", "positives", "accuracy", "auroc", "sensitivity", "specificity"]
    assert [line.split()[0] for line in lines[head + 1 : head + 3]] == ["north", "south"]
    assert lines[head + 1].split()[1] == str(scores["strata"]["site"]["north"]["n"])
    cautions = lines.index("caution")
    assert lines[cautions + 1 :] == [f"  {told}" for told in scores["caution"]]
    assert max(map(len, lines[:cautions])) <= 120
    assert not any(line != line.rstrip() for line in lines)


def test_what_is_undefined_is_said(run, rows, tmp_path):
    text = to_text(evaluate(run, write(tmp_path / "healthy.csv", rows[20:22])))
    assert "  auroc: undefined (one class only)" in text
    assert "  auroc\n" in text  # of the levels, an empty cell
    assert "No photograph is positive: scores that need one are undefined or leave it out." in text


@pytest.mark.parametrize(
    ("tasks", "key", "told"),
    [
        (
            ["dr", "severity"],
            "severity",
            "prevalence: 'severity' is no yes-or-no output of this experiment; known are dr",
        ),
        (["lesions"], "MA", "known are lesions.MA, lesions.HE, lesions.EX, lesions.SE"),
        (["severity"], "severity", "no task here is a yes or no"),
    ],
)
def test_the_prevalence_of_what_is_not_asked_is_refused(tasks, key, told, make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised"), tasks=tasks, prevalence={key: 0.1})
    with pytest.raises(BadConfig, match=told):
        semiretina.train(config, tmp_path / "run")


def test_a_prevalence_is_a_share_and_comes_back_from_the_run(run, make_config, make_stage):
    assert load_config(run / "config.toml").prevalence == {"dr": 0.08}
    config = make_config(make_stage("supervised"), tasks=["lesions"], prevalence={"lesions.MA": 0.3})
    text = semiretina.config.dump_toml(load_config(config))
    assert '[prevalence]\n"lesions.MA" = 0.3\n' in text
    for wrong in (0.0, 1.0, 8):
        with pytest.raises(BadConfig, match=r"prevalence\.dr: Input should be"):
            load_config(make_config(make_stage("supervised"), prevalence={"dr": wrong}))
