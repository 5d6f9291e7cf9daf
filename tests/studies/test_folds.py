"""All folds of one experiment: every photograph answered once by a network that never saw it, and one result."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import semiretina
from semiretina.cli import app
from semiretina.config import dump_toml, load_config
from semiretina.data.split import read_split
from semiretina.errors import BadConfig, MissingInput, Refused
from semiretina.experiment import train
from semiretina.judging.evaluate import evaluate
from semiretina.judging.grader import load
from semiretina.judging.ledger import ledger_of, looks, read_ledger
from semiretina.report import results_table, write_report
from semiretina.report.runs import check_complete, read_runs
from semiretina.studies.folds import caution, train_folds

FILES = [
    "config.toml",
    "environment.json",
    "log.jsonl",
    "predictions-test.csv",
    "result.json",
    "samples",
    "split.csv",
    "split.sha256",
]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture
def own_manifest(photographs, tmp_path) -> Path:
    """The photographs in a folder of this test's own, whose ledger nobody else writes."""
    folder = tmp_path / "photographs"
    shutil.copytree(photographs.parent, folder, ignore=shutil.ignore_patterns("*.jsonl", ".*"))
    return folder / "manifest.csv"


@pytest.fixture
def make_folds(make_config, make_stage, own_manifest):
    def make(folds=3, *, data=None, **top):
        given = {"manifest": str(own_manifest), "folds": folds, **(data or {})}
        return make_config(make_stage("supervised", epochs=1), data=given, **top)

    return make


def test_every_labelled_photograph_is_answered_once_by_a_network_that_never_saw_it(make_folds, own_manifest, tmp_path):
    out = tmp_path / "run"
    config = make_folds(engine={"device": "cpu", "eval_batch": 8})
    result = train_folds(config, out)

    split = read_split(out / "split.csv", "patient")
    labelled = [r.path for r in split.records if r.grade is not None]
    assert len(labelled) == 32
    answers = rows_of(out / "predictions-test.csv")
    assert Counter(row["path"] for row in answers) == dict.fromkeys(map(str, labelled), 1)
    assert split.counts["test"] == 32
    by_path = {row["path"]: row for row in answers}
    each = []
    for fold in range(3):
        own = read_split(out / f"fold-{fold}" / "split.csv", "patient")
        learned = {r.patient for r, role in zip(own.records, own.roles, strict=True) if role in ("train", "val")}
        answered = rows_of(out / f"fold-{fold}" / "predictions-test.csv")
        assert not learned & {row["patient"] for row in answered}
        for row in answered:
            assert by_path[row["path"]]["probability"] == row["probability"]
        labels = [int(row["label"]) for row in answered]
        each.append(roc_auc_score(labels, [float(row["probability"]) for row in answered]))

    scores, (fold_auroc,) = result["test"]["dr"], result["folds"]["auroc"].values()
    assert (scores["n"], scores["positives"]) == (32, 16)
    labels, values = ([float(row[name]) for row in answers] for name in ("label", "probability"))
    assert scores["auroc"]["value"] == pytest.approx(roc_auc_score(labels, values))
    assert scores["auroc"]["low"] < scores["auroc"]["value"] or scores["auroc"]["value"] == 0
    assert scores["accuracy"]["value"] == pytest.approx(np.mean((np.array(values) >= 0.5) == np.array(labels)))
    assert fold_auroc["each"] == pytest.approx(each)
    assert fold_auroc["mean"] == pytest.approx(np.mean(each))
    assert any(f"the mean of the folds' own is {np.mean(each):.3f}" in sentence for sentence in scores["caution"])
    assert result["counts"] == {"test": 32, "unlabeled": 8, "unused": 0}
    assert result["split_sha256"] == split.test_sha256

    # It reads as a run does, and has no grader.
    assert sorted(file.name for file in out.iterdir() if not file.name.startswith((".", "fold-"))) == FILES
    check_complete(read_runs([out]))
    assert results_table([out])[0].n == 32
    for ask in (load, lambda run: evaluate(run, "test")):
        with pytest.raises(
            MissingInput, match=r"folds of a cross-validation, each with a grader .* name one, .*fold-0"
        ):
            ask(out)

    # Each fold's list is looked at once, and all together.
    assert looks(own_manifest, split.test_sha256).count == 1
    assert looks(own_manifest, split.test_sha256).others == {}
    assert [look.fold for look in read_ledger(own_manifest)] == [0, 1, 2, None]

    # The same command again changes nothing; another configuration is refused.
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file() and file.name != ".lock"}
    assert train_folds(config, out) == result
    assert {file: file.stat().st_mtime_ns for file in before} == before
    with pytest.raises(Refused, match=r"data\.folds = 3 there, 4 here"):
        train_folds(make_folds(4), out)

    # A finished fold stays, a lost one is trained again, to the same bits; and nothing is looked at anew.
    (out / "result.json").unlink()
    shutil.rmtree(out / "fold-1")
    assert train_folds(config, out) == result
    kept = [file for file in before if "fold-1" not in str(file) and file.parent.name in ("fold-0", "fold-2")]
    assert {file: before[file] for file in kept} == {file: file.stat().st_mtime_ns for file in kept}
    assert rows_of(out / "predictions-test.csv") == answers
    assert len(ledger_of(own_manifest).read_text().splitlines()) == 4


def test_photographs_that_change_between_the_folds_are_refused(make_folds, own_manifest, tmp_path, monkeypatch):
    done = []

    def train_and_edit(config, out, **more):
        done.append(config.data.fold)
        train(config, out, **more)
        text = own_manifest.read_text()
        own_manifest.write_text(text.replace("icdr,2", "icdr,0", 1))

    monkeypatch.setattr("semiretina.studies.folds.train", train_and_edit)
    with pytest.raises(Refused, match=r"manifest\.csv: is not what .*fold-0.*split\.csv was drawn from"):
        train_folds(make_folds(), tmp_path / "run")
    assert done == [0]


def test_a_start_that_comes_to_nothing_leaves_nothing(make_folds, own_manifest, tmp_path):
    own_manifest.write_text(own_manifest.read_text().replace("00-left.jpg", "lost.jpg"))
    with pytest.raises(semiretina.errors.BadData, match=r"lost\.jpg"):
        train_folds(make_folds(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "top", "problem"),
    [
        ({"folds": 3, "fold": 1}, {}, r"^data\.fold: names one fold"),
        ({"folds": 3}, {"open_test": False}, r"^data\.folds: with open_test = false"),
        ({"folds": 3}, {"operating": {"sensitivity": 0.9}}, r"^data\.folds: each fold would fix .*operating\.folds"),
        ({}, {}, r"^data\.folds: there are none"),
    ],
)
def test_what_has_no_folds_to_join(make_config, make_stage, tmp_path, data, top, problem):
    with pytest.raises(BadConfig, match=problem):
        train_folds(make_config(make_stage("supervised"), data=data, **top), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"fold": 0}, r"data\.fold: there are no folds"),
        ({"folds": 3, "fold": 3}, r"data\.fold: 3 of 3 folds; they are counted from 0"),
        ({"folds": 2, "val": 0.5}, r"data\.val: nothing is left"),
        ({"folds": 1}, r"data\.folds: "),
    ],
)
def test_folds_that_cannot_be(make_config, make_stage, data, problem):
    with pytest.raises(BadConfig, match=problem):
        load_config(make_config(make_stage("supervised"), data=data))


def test_one_run_trains_one_fold(make_folds, tmp_path):
    with pytest.raises(BadConfig, match=r"data\.folds: one run tests one of the 3 folds; set data\.fold = 0 to 2"):
        train(make_folds(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_few_positives_and_one_test_set_recommend_folds(make_folds, make_config, make_stage, tmp_path, capsys):
    advice = "16 photographs are positive for 'dr', and one test set of 6 leaves wide intervals; data.folds = 5"
    train(make_config(make_stage("supervised", epochs=1)), tmp_path / "one")
    assert capsys.readouterr().err.count(advice) == 1
    train(make_folds(data={"fold": 0}), tmp_path / "fold")
    train(make_config(make_stage("supervised", epochs=1), open_test=False), tmp_path / "closed")
    assert "leaves wide intervals" not in capsys.readouterr().err


def test_a_tracked_run_is_one_look_and_an_evaluation_another(make_config, make_stage, own_manifest, tmp_path):
    config = make_config(
        make_stage("supervised", epochs=3), data={"manifest": str(own_manifest)}, track_test=True, seed=1
    )
    result = train(config, tmp_path / "run")
    found = looks(own_manifest, result["split_sha256"])
    assert (found.count, found.tracked) == (1, 1)
    evaluate(tmp_path / "run", "val")
    assert looks(own_manifest, result["split_sha256"]).count == 1
    evaluate(tmp_path / "run", "test")
    assert looks(own_manifest, result["split_sha256"]).count == 2
    evaluate(tmp_path / "run", own_manifest)  # another list of the same manifest: all of it
    [other] = looks(own_manifest, result["split_sha256"]).others
    assert read_ledger(own_manifest)[-1].sha256 == other
    assert read_ledger(own_manifest)[-1].photographs == 40


def test_the_mean_of_folds_in_words():
    assert caution({"mean": None, "each": [None, None]}, 2) == []
    [said] = caution({"mean": 0.75, "each": [0.75, None]}, 2)
    assert said.endswith("is 0.750 (1 of 2 folds has labels of both kinds).")


def shape_of(value):
    """What a result holds, without its numbers."""
    if isinstance(value, dict):
        return {name: shape_of(inner) for name, inner in value.items()}
    return [shape_of(inner) for inner in value] if isinstance(value, list) else type(value)


@pytest.mark.slow
def test_two_processes_under_torchrun_train_the_same_folds(make_folds, own_manifest, tmp_path):
    given = make_folds(2)
    config, two = tmp_path / "mine.toml", tmp_path / "two"
    config.write_text(dump_toml(load_config(given)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "semiretina", "train", str(config), "--out", str(two)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"run folder: {two}") == 1
    one = train_folds(given, tmp_path / "one")
    both = json.loads((two / "result.json").read_text())
    assert both["test"]["dr"]["n"] == 32
    assert shape_of(both) == shape_of(one)
    for fold in (two / "fold-0", two / "fold-1"):
        assert json.loads((fold / "environment.json").read_text())["processes"] == 2
    assert sorted(file.name for file in two.iterdir() if not file.name.startswith((".", "fold-"))) == FILES
    assert read_split(two / "split.csv") == read_split(tmp_path / "one" / "split.csv")
    # Two processes train on shards of each batch; the answers are of the same photographs.
    ours, theirs = rows_of(two / "predictions-test.csv"), rows_of(tmp_path / "one" / "predictions-test.csv")
    assert [row | {"probability": ""} for row in ours] == [row | {"probability": ""} for row in theirs]
    assert [look.fold for look in read_ledger(own_manifest)] == 2 * [0, 1, None]


def test_the_command_line_trains_all_folds_or_one(make_folds, tmp_path, capsys):
    config = tmp_path / "mine.toml"
    config.write_text(dump_toml(load_config(make_folds(2))))
    for arguments, folder in ((["-o", "data.fold=1"], "one"), ([], "all")):
        app(["train", str(config), "--out", str(tmp_path / folder), *arguments], standalone_mode=False)
        assert f"run folder: {tmp_path / folder}" in capsys.readouterr().out
    assert (tmp_path / "one" / "grader.json").exists()
    assert sorted(file.name for file in (tmp_path / "all").glob("fold-*")) == ["fold-0", "fold-1"]
    page = write_report([tmp_path / "all"], tmp_path / "report").read_text()
    assert "The AUROC pools the answers of 2 networks" in page
