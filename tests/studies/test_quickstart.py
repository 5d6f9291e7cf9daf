import csv
import json

import pytest

from semiretina.config import load_config
from semiretina.errors import Refused
from semiretina.experiment import train
from semiretina.studies import quickstart as study


def make_tiny(monkeypatch):
    """The quickstart in small: the same three trainings over a handful of photographs."""
    stages = {
        name: [{**stage, **({"updates": 4} if "updates" in stage else {"epochs": 1})} for stage in stages]
        for name, stages in study.STAGES.items()
    }
    for name, value in {"PHOTOGRAPHS": 40, "UNLABELED": 12, "LABELS": 16, "STAGES": stages}.items():
        monkeypatch.setattr(study, name, value)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A small quickstart's folder, and what it printed."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_tiny(monkeypatch)
        return out, study.quickstart(out)


def test_three_trainings_one_test_set_one_report(done, monkeypatch):
    make_tiny(monkeypatch)
    out, printed = done
    results = {name: json.loads((out / "runs" / name / "result.json").read_text()) for name in study.STAGES}
    assert len({result["split_sha256"] for result in results.values()}) == 1
    assert {result["counts"]["train"] for result in results.values()} == {16}
    assert {result["labeled_updates"] for result in results.values()} == {4}
    assert all(name in printed for name in study.STAGES)
    page = (out / "report.html").read_text()
    assert "Minibatch schedule" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for name in study.STAGES:
        written = load_config(out / "configs" / f"{name}.toml")
        assert written == study.configuration(name, out, 0)


def test_unlabelled_photographs_of_one_hospital_reach_the_split(tmp_path, monkeypatch):
    make_tiny(monkeypatch)
    study.draw(tmp_path, 0)
    rows = list(csv.DictReader((tmp_path / "manifest.csv").open()))
    unlabeled = [row for row in rows if not row["grade"]]
    assert len(rows) == 52
    assert len(unlabeled) == 12
    assert len({row["site"] for row in unlabeled}) == 1
    assert len({row["site"] for row in rows}) == 3


def test_called_again_it_trains_nothing(done, monkeypatch):
    make_tiny(monkeypatch)
    out, printed = done

    def never(*_, **__):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr("semiretina.experiment.train_phase", never)
    assert study.quickstart(out) == printed


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Refused, match="choose another --out"):
        study.quickstart(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_baseline_really_learns(seed, tmp_path):
    study.draw(tmp_path, seed)
    result = train(study.configuration("baseline", tmp_path, seed), tmp_path / "run")
    assert result["test"]["dr"]["auroc"]["value"] >= 0.85
    assert 0.4 < result["test"]["dr"]["majority"] < 0.65
