"""The whole reproduction: what it refuses, what it gathers, and, in small, every training up to the report."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semiretina.cli import app
from semiretina.data.sources import SOURCES
from semiretina.errors import BadConfig, MissingInput, NonFiniteLoss, Refused
from semiretina.progress import duration
from semiretina.records import Record, read_manifest
from semiretina.report.paper.cells import CELLS
from semiretina.studies import presets, reproduce
from semiretina.studies.presets import Plan


@pytest.fixture
def plan(tmp_path):
    return Plan("corrected", True, tmp_path / "out" / "manifest.csv", tmp_path / "cache", None, unlabeled=True)


def source_of(folder, names, **known):
    """A source that gives these names as records, whatever its folder holds."""
    rows = [Record(path=folder / name, dataset=folder.name, **known) for name in names]
    return SOURCES["table"].__class__(read=lambda root: rows, title="", scale="", licence="", get="")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (7300, "2 h 2 min"), (200_000, "2 days")],
)
def test_a_length_of_time_in_words(seconds, said):
    assert duration(seconds) == said


def test_the_labels_of_an_unlabelled_source_stay_hidden(monkeypatch, tmp_path, plan):
    graded = source_of(tmp_path / "a", ["1.jpg", "2.jpg"], scale="messidor", grade=2)
    more = source_of(tmp_path / "b", ["3.jpg"], scale="icdr", grade=4, dme=2, MA=1, split="test", patient="7")
    monkeypatch.setitem(SOURCES, "a", graded)
    monkeypatch.setitem(SOURCES, "b", more)
    reproduce.gather("a", tmp_path / "a", [f"b={tmp_path / 'b'}"], plan)
    records = read_manifest(plan.manifest)
    assert [(r.dataset, r.grade, r.dme, r.MA, r.split, r.patient) for r in records] == [
        ("a", 2, None, None, "", ""),
        ("a", 2, None, None, "", ""),
        ("b", None, None, None, "", "7"),
    ]
    assert "labels hidden" in records[2].provenance


def test_a_photograph_of_both_sources_counts_as_labelled_and_is_told(monkeypatch, tmp_path, plan, capsys):
    monkeypatch.setitem(SOURCES, "a", source_of(tmp_path / "a", ["1.jpg"], scale="icdr", grade=0))
    monkeypatch.setitem(SOURCES, "b", source_of(tmp_path / "a", ["1.jpg", "2.jpg"]))
    reproduce.gather("a", tmp_path / "a", [f"b={tmp_path / 'a'}"], plan)
    assert [record.grade for record in read_manifest(plan.manifest)] == [0, None]
    assert "1 photographs stand in both sources and count as labelled: 1.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["messidor_extension", "messidor_extension=", "=folder"])
def test_an_unlabelled_source_without_a_folder(monkeypatch, tmp_path, plan, entry):
    monkeypatch.setitem(SOURCES, "a", source_of(tmp_path / "a", ["1.jpg"], scale="icdr", grade=0))
    with pytest.raises(BadConfig, match="--unlabeled"):
        reproduce.gather("a", tmp_path / "a", [entry], plan)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "mesidor"}, "reproduce: unknown name 'mesidor'"),
        ({"preset": "papre"}, "--preset papre: known are paper, corrected"),
        ({"seeds": 0}, "--seeds 0: at least one"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_written(tmp_path, settings, said):
    with pytest.raises(BadConfig, match=said):
        reproduce.reproduce(**{"source": "synthetic", "root": tmp_path / "drawn", "out": tmp_path / "out"} | settings)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_weights_that_is_not_there_is_no_hole(tmp_path):
    with pytest.raises(MissingInput, match="wieghts: no such folder"):
        reproduce.reproduce("synthetic", tmp_path / "drawn", tmp_path / "out", weights=tmp_path / "wieghts")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["thesis.txt", "manifest.csv"])
def test_a_folder_with_other_files_is_refused(tmp_path, name):
    # A manifest of the user's own would else stand in for the source that was named.
    (tmp_path / name).touch()
    with pytest.raises(Refused, match="holds other files"):
        reproduce.reproduce("synthetic", tmp_path / "drawn", tmp_path)


def test_another_reproduction_is_refused_and_what_differs_is_named(tmp_path):
    study = {"schema": 1, "source": "messidor", "root": str(tmp_path / "m"), "unlabeled": [], "preset": "paper"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text(json.dumps(study | {"quick": False}))
    with pytest.raises(Refused, match=r"preset = 'paper' there, 'corrected' here.*quick = False there, True here"):
        reproduce.reproduce("messidor", tmp_path / "m", tmp_path / "out", quick=True)


class Stop(BaseException):
    """Ctrl-C."""


def test_a_stop_takes_nothing_out_of_the_study_and_the_grid_begins_with_a_report(monkeypatch, tmp_path):
    out, seen = tmp_path / "out", []
    names = ("aecl1-baseline", "aecl1-combined", "res18-scratch")
    monkeypatch.setattr(reproduce, "CELLS", {name: CELLS[name] for name in names})
    monkeypatch.setattr(reproduce, "gather", lambda *given: [])
    monkeypatch.setattr(reproduce, "_tell", lambda *given: None)

    def study():
        told = json.loads((out / "study.json").read_text())
        runs = [run for cell in told["cells"].values() for run in cell["runs"]]
        return runs, [name for name, cell in told["cells"].items() if cell["failed"]], list(told["grids"])

    def train(config, run):
        run.mkdir(parents=True, exist_ok=True)
        if run.name.startswith("aecl1-combined"):
            raise NonFiniteLoss("the loss is nan")
        (run / "result.json").touch()

    def stop(*given):
        raise Stop

    def write(out, share):
        assert share is False
        seen.append(study())
        return out / "report.html"

    given = ("synthetic", tmp_path / "drawn", out)
    monkeypatch.setattr(reproduce, "write_paper_report", write)
    monkeypatch.setattr(reproduce, "train", train)
    monkeypatch.setattr(reproduce, "grid_points", lambda *given: [])
    monkeypatch.setattr(reproduce, "sweep", stop)
    with pytest.raises(Stop):
        reproduce.reproduce(*given, quick=True, share=False)
    runs = ["runs/aecl1-baseline-seed0", "runs/res18-scratch-seed0"]
    grids = ["aecl1-ae-then-cl", "aecl1-combined"]
    assert seen == [(runs, ["aecl1-combined"], grids)]
    # Stopped again in the first training that is left: what ended and the grids still stand.
    monkeypatch.setattr(reproduce, "train", stop)
    with pytest.raises(Stop):
        reproduce.reproduce(*given, quick=True, seeds=2)
    assert study() == (runs, ["aecl1-combined"], grids)
    assert len(seen) == 1


@pytest.mark.parametrize(("words", "share"), [([], None), (["--share"], True), (["--no-share"], False)])
def test_the_verb_hands_on_whether_its_page_is_to_be_shared(monkeypatch, words, share):
    seen = []
    monkeypatch.setattr(reproduce, "reproduce", lambda *given, **options: seen.append(options["share"]))
    result = CliRunner().invoke(app, ["reproduce", "synthetic", "--root", "drawn", "--out", "study", *words])
    assert result.exit_code == 0
    assert seen == [share]


def test_what_ended_is_not_trained_again(tmp_path, plan):
    out = tmp_path / "out"
    for name in ("resnet18-pretrained-seed1", "aecl1-combined-seed0", "aecl1-baseline-seed0"):
        (out / "runs" / name).mkdir(parents=True)
    (out / "runs" / "resnet18-pretrained-seed1" / "result.json").touch()
    failed = {"aecl1-combined": {"failed": {"0": "nan"}}, "res18-scratch": {"failed": {"0": "nan"}}}
    (out / "study.json").write_text(json.dumps({"cells": failed}))
    cells, todo = reproduce._stand(plan, out, 2)
    # Its weights are no longer there: it stays, but no further seed of it can be trained.
    assert cells["resnet18-pretrained"] == {"hole": "", "runs": ["runs/resnet18-pretrained-seed1"], "failed": {}}
    assert cells["aeres18-baseline"]["hole"].startswith("weights absent")
    # It diverged; the folder of the other one is gone, so that one is tried again.
    assert cells["aecl1-combined"]["failed"] == {"0": "nan"}
    assert not cells["res18-scratch"]["failed"]
    left = {(name, seed) for name, seed, _ in todo}
    assert left == {(name, seed) for name, cell in CELLS.items() if not cell.weights for seed in (0, 1)} - {
        ("aecl1-combined", 0)
    }


@pytest.mark.slow
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_training_up_to_the_report(monkeypatch, tmp_path, preset, capsys):
    own = tmp_path / "configs"
    shutil.copytree(presets.folder(), own)
    small = (own / "quick.toml").read_text()
    for before, after in (
        ("photographs = 240", "photographs = 90"),
        ("unlabeled = 120", "unlabeled = 20"),
        ("epochs = 0.03", "epochs = 0.001"),
        ("epochs = 0.02", "epochs = 0.001"),
    ):
        assert before in small
        small = small.replace(before, after)
    (own / "quick.toml").write_text(small)
    (own / "grid-quick.toml").write_text('"stages.-1.optimizer.lr" = [0.002, 0.005]\n')
    monkeypatch.setattr(presets, "folder", lambda: own)
    given = (("synthetic", tmp_path / "drawn", tmp_path / "out"), {"preset": preset, "quick": True})
    said = reproduce.reproduce(*given[0], **given[1])
    out = tmp_path / "out"
    assert said == f"report: {out / 'report.html'}"
    told = capsys.readouterr().err
    assert "6 trainings to do (0 done, 5 cells are holes), 4 points of the grid search to do: about" in told
    assert "the full grid around aecl1-combined has 96 points: about" in told

    study = json.loads((out / "study.json").read_text())
    for name, cell in study["cells"].items():
        assert bool(cell["hole"]) == bool(CELLS[name].weights)
        assert not cell["failed"]
        for run in cell["runs"]:
            result = json.loads((out / run / "result.json").read_text())
            assert ("paper_protocol" in result) == (preset == "paper")
            assert result["trained_on"] == ("train" if preset == "paper" else "train+val")
    lists = {json.loads(file.read_text())["split_sha256"] for file in out.glob("runs/*/result.json")}
    assert len(lists) == 1
    assert len(read_manifest(out / "manifest.csv")) == 90 - 13 + 20  # the errata's duplicates are gone
    points = list(out.glob("grids/*/*/result.json"))
    assert len(points) == 4
    assert all(json.loads(file.read_text())["test"] == {} for file in points)
    page = (out / "report.html").read_text()
    assert "weights absent" in page

    # Again: nothing is trained twice, and nothing is written over.
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("**/result.json")}
    assert reproduce.reproduce(*given[0], **given[1]) == said
    assert {file: file.stat().st_mtime_ns for file in out.glob("**/result.json")} == stamps


def test_the_folder_of_configurations_is_shipped():
    files = {file.name for file in Path(presets.folder()).glob("*.toml")}
    assert {"quick.toml", "grid.toml", "grid-quick.toml"} <= files
