"""The whole reproduction: what it refuses, what it gathers, and, in small, every training up to the report."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semiretina.cli import app
from semiretina.config import load_config
from semiretina.data.roles import make_split
from semiretina.data.sources import SOURCES
from semiretina.errors import BadConfig, MissingInput, NonFiniteLoss, Refused
from semiretina.methods import METHODS
from semiretina.progress import duration
from semiretina.records import Record, read_manifest
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.table1 import Point, best_point, read_points
from semiretina.studies import presets, reproduce, search
from semiretina.studies.gather import add_nearer, gather
from semiretina.studies.presets import Preset
from semiretina.studies.reproduce import Request
from semiretina.tasks import make_tasks
from semiretina.training.loop import sides

NO_ROUTE = "IMAGENET1K_V1 could not be downloaded (no route)"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test may download weights."""
    monkeypatch.setattr(presets, "download_problem", lambda weights: NO_ROUTE)


@pytest.fixture
def preset(tmp_path):
    return Preset("corrected", True, tmp_path / "out" / "manifest.csv", tmp_path / "cache", None)


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


def test_the_labels_of_an_unlabelled_source_stay_hidden(monkeypatch, tmp_path):
    graded = source_of(tmp_path / "a", ["1.jpg", "2.jpg"], scale="messidor", grade=2)
    more = source_of(tmp_path / "b", ["3.jpg"], scale="icdr", grade=4, dme=2, MA=1, split="test", patient="7")
    monkeypatch.setitem(SOURCES, "a", graded)
    monkeypatch.setitem(SOURCES, "b", more)
    gather("a", tmp_path / "a", [f"b={tmp_path / 'b'}"], tmp_path / "manifest.csv")
    records = read_manifest(tmp_path / "manifest.csv")
    assert [(r.dataset, r.grade, r.dme, r.MA, r.split, r.patient) for r in records] == [
        ("a", 2, None, None, "", ""),
        ("a", 2, None, None, "", ""),
        ("b", None, None, None, "", "7"),
    ]
    assert "labels hidden" in records[2].provenance


def test_a_photograph_of_both_sources_counts_as_labelled_and_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(SOURCES, "a", source_of(tmp_path / "a", ["1.jpg"], scale="icdr", grade=0))
    monkeypatch.setitem(SOURCES, "b", source_of(tmp_path / "a", ["1.jpg", "2.jpg"]))
    gather("a", tmp_path / "a", [f"b={tmp_path / 'a'}"], tmp_path / "manifest.csv")
    assert [record.grade for record in read_manifest(tmp_path / "manifest.csv")] == [0, None]
    assert "1 photographs stand in both sources and count as labelled: 1.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["messidor_extension", "messidor_extension=", "=folder"])
def test_an_unlabelled_source_without_a_folder(monkeypatch, tmp_path, entry):
    monkeypatch.setitem(SOURCES, "a", source_of(tmp_path / "a", ["1.jpg"], scale="icdr", grade=0))
    with pytest.raises(BadConfig, match="--unlabeled"):
        gather("a", tmp_path / "a", [entry], tmp_path / "manifest.csv")


def test_photographs_to_pretrain_on_stand_in_a_manifest_of_their_own(monkeypatch, tmp_path):
    here = [Record(path=tmp_path / "a" / "1.jpg", dataset="a", scale="messidor", grade=2)]
    more = source_of(tmp_path / "b", ["3.jpg", "4.jpg"], scale="icdr", grade=4, split="test")
    rows = [*more.read(None), Record(path=tmp_path / "b" / "5.jpg", dataset="b")]
    monkeypatch.setitem(SOURCES, "b", replace(more, read=lambda root: rows))
    given = f"b={tmp_path / 'b'}"
    together = add_nearer(here, given, tmp_path / "nearer.csv")
    # Labelled ones alone, with labels, and never a role of another study's.
    assert [(r.dataset, r.grade, r.split) for r in together] == [("a", 2, ""), ("b", 4, ""), ("b", 4, "")]
    assert read_manifest(tmp_path / "nearer.csv") == together
    with pytest.raises(BadConfig, match=r"--nearer b=.*: b is what is reproduced on; name another source"):
        add_nearer([*here, *rows], given, tmp_path / "other.csv")
    monkeypatch.setitem(SOURCES, "b", replace(more, read=lambda root: rows[2:]))
    with pytest.raises(BadConfig, match="it has no photograph with a grade"):
        add_nearer(here, given, tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": "mesidor"}, "reproduce: unknown name 'mesidor'"),
        ({"preset": "papre"}, "--preset papre: known are paper, corrected"),
        ({"seeds": 0}, "--seeds 0: at least one"),
        ({"nearer": "eyepacs"}, "--nearer eyepacs: not of the form SOURCE=FOLDER"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_written(tmp_path, settings, said):
    with pytest.raises(BadConfig, match=said):
        reproduce.reproduce(Request(**{"source": "synthetic", "root": tmp_path / "drawn"} | settings), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_weights_that_is_not_there_is_no_hole(tmp_path):
    request = Request("synthetic", tmp_path / "drawn", weights=tmp_path / "wieghts")
    with pytest.raises(MissingInput, match="wieghts: no such folder"):
        reproduce.reproduce(request, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["thesis.txt", "manifest.csv"])
def test_a_folder_with_other_files_is_refused(tmp_path, name):
    # A manifest of the user's own would else stand in for the source that was named.
    (tmp_path / name).touch()
    with pytest.raises(Refused, match="holds other files"):
        reproduce.reproduce(Request("synthetic", tmp_path / "drawn"), tmp_path)


def test_another_reproduction_is_refused_and_what_differs_is_named(tmp_path):
    study = {"schema": 1, "source": "messidor", "root": str(tmp_path / "m"), "unlabeled": [], "preset": "paper"}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text(json.dumps(study | {"quick": False}))
    with pytest.raises(Refused, match=r"preset = 'paper' there, 'corrected' here.*quick = False there, True here"):
        reproduce.reproduce(Request("messidor", tmp_path / "m", quick=True), tmp_path / "out")


def test_a_nearer_source_may_be_named_later_but_not_changed(tmp_path):
    before = Request("messidor", tmp_path / "m").stated()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text(json.dumps(before | {"nearer": ""}))
    with_nearer = Request("messidor", tmp_path / "m", nearer="eyepacs=e")
    assert reproduce._check_free(tmp_path / "out", with_nearer.stated())["nearer"] == ""
    (tmp_path / "out" / "study.json").write_text(json.dumps(before | {"nearer": "aptos=a"}))
    assert reproduce._check_free(tmp_path / "out", before)["nearer"] == "aptos=a"
    with pytest.raises(Refused, match="nearer = 'aptos=a' there, 'eyepacs=e' here"):
        reproduce._check_free(tmp_path / "out", with_nearer.stated())


def test_three_seeds_unless_small_or_asked_for(tmp_path):
    assert Request("messidor", tmp_path).repeats == 3
    assert Request("messidor", tmp_path, quick=True).repeats == 1
    assert Request("messidor", tmp_path, quick=True, seeds=5).repeats == 5


class Stop(BaseException):
    """Ctrl-C."""


def test_a_stop_takes_nothing_out_of_the_study_and_the_grid_begins_with_a_report(monkeypatch, tmp_path):
    out, seen = tmp_path / "out", []
    names = ("aecl1-baseline", "aecl1-combined", "res18-scratch")
    monkeypatch.setattr(reproduce, "CELLS", {name: CELLS[name] for name in names})
    monkeypatch.setattr(reproduce, "gather", lambda *given: [])
    monkeypatch.setattr(reproduce, "_announce", lambda *given: None)
    monkeypatch.setattr(reproduce, "search", lambda *given: {})

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

    monkeypatch.setattr(reproduce, "write_paper_report", write)
    monkeypatch.setattr(reproduce, "train", train)
    monkeypatch.setattr(reproduce, "grid_points", lambda *given: [])
    monkeypatch.setattr(reproduce, "sweep", stop)
    monkeypatch.setattr(reproduce, "grid_points", lambda *given: [])
    with pytest.raises(Stop):
        reproduce.reproduce(Request("synthetic", tmp_path / "drawn", quick=True), out, False)
    runs = ["runs/aecl1-baseline-seed0", "runs/res18-scratch-seed0"]
    grids = ["aecl1-ae-then-cl", "aecl1-combined"]
    assert seen == [(runs, ["aecl1-combined"], grids)]
    # Stopped again in the first training that is left: what ended and the grids still stand.
    monkeypatch.setattr(reproduce, "train", stop)
    with pytest.raises(Stop):
        reproduce.reproduce(Request("synthetic", tmp_path / "drawn", quick=True, seeds=2), out)
    assert study() == (runs, ["aecl1-combined"], grids)
    assert len(seen) == 1


@pytest.mark.parametrize(("words", "share"), [([], None), (["--share"], True), (["--no-share"], False)])
def test_the_verb_hands_on_whether_its_page_is_to_be_shared(monkeypatch, words, share):
    seen = []
    monkeypatch.setattr(reproduce, "reproduce", lambda *given: seen.append(given))
    result = CliRunner().invoke(app, ["reproduce", "synthetic", "--root", "drawn", "--out", "study", *words])
    assert result.exit_code == 0
    assert seen == [(Request("synthetic", Path("drawn")), Path("study"), share)]


def point(key, accuracy, auroc, **parameters):
    return Point(key, parameters, "diverged" if accuracy is None else "done", accuracy, auroc)


def test_the_best_trial_is_what_is_trained_and_none_is_a_result_too(monkeypatch, tmp_path, preset):
    trials = [
        point("a", 0.7, 0.9, lr=1),
        point("b", 0.8, 0.6, lr=2),
        point("c", 0.8, 0.7, lr=3),
        point("d", None, None),
    ]
    monkeypatch.setattr(search, "trials", lambda *given: [])
    monkeypatch.setattr(search, "train_points", lambda points, folder: trials)
    assert search.search(preset, "aecl1-baseline", tmp_path) == {"lr": 3}
    trials = trials[3:]
    assert search.search(preset, "aecl1-baseline", tmp_path) is None
    paper = replace(preset, name="paper")
    assert search.search(paper, "aecl1-baseline", tmp_path) == {}
    # A cell none of whose trials came to an end diverged, with every seed, and no run is begun.
    cell = {"hole": "", "runs": [], "failed": {}}
    monkeypatch.setattr(reproduce, "search", lambda *given: None)
    for _ in reproduce._train_cell(preset, "aecl1-baseline", [0, 1], tmp_path, cell):
        pass
    assert cell == {"hole": "", "runs": [], "failed": dict.fromkeys("01", "every trial of its search diverged")}
    assert not list(tmp_path.iterdir())


def test_what_ended_is_not_trained_again(tmp_path, preset):
    out = tmp_path / "out"
    for name in ("resnet18-pretrained-seed1", "aecl1-combined-seed0", "aecl1-baseline-seed0"):
        (out / "runs" / name).mkdir(parents=True)
    (out / "runs" / "resnet18-pretrained-seed1" / "result.json").touch()
    failed = {"aecl1-combined": {"failed": {"0": "nan"}}, "res18-scratch": {"failed": {"0": "nan"}}}
    (out / "study.json").write_text(json.dumps({"cells": failed}))
    cells, waiting = reproduce._standing(preset, out, 2)
    # Its weights are no longer there: it stays, but no further seed of it can be trained.
    assert cells["resnet18-pretrained"] == {"hole": "", "runs": ["runs/resnet18-pretrained-seed1"], "failed": {}}
    assert cells["aeres18-baseline"]["hole"].startswith("weights absent")
    # It diverged; the folder of the other one is gone, so that one is tried again.
    assert cells["aecl1-combined"]["failed"] == {"0": "nan"}
    assert not cells["res18-scratch"]["failed"]
    trainable = [name for name, cell in CELLS.items() if not cell.weights and not cell.nearer]
    assert waiting == {name: [0, 1] for name in trainable} | {"aecl1-combined": [1]}


SMALL_SEARCH = """
[search]
supervised = { "stages.-1.optimizer.lr" = { times = [0.5, 1] } }
two-stages = { "stages.0.optimizer.lr" = { times = [0.5, 1] } }
balanced = { "stages.-1.method.balance" = [{ name = "norm_ratio", rho = 0.1 }, { name = "norm_ratio", rho = 1 }] }
"""


@pytest.mark.slow
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_training_up_to_the_report(monkeypatch, tmp_path, preset, capsys):
    own = tmp_path / "configs"
    shutil.copytree(presets.folder(), own)
    small = (own / "quick.toml").read_text()
    for before, after in (
        ("photographs = 270", "photographs = 90"),
        ("unlabeled = 120", "unlabeled = 20"),
        ("epochs = 0.03", "epochs = 0.001"),
        ("epochs = 0.02", "epochs = 0.001"),
    ):
        assert before in small
        small = small.replace(before, after)
    (own / "quick.toml").write_text(small[: small.index("[search.supervised]")] + SMALL_SEARCH)
    (own / "grid-quick.toml").write_text('"stages.-1.optimizer.lr" = [0.002, 0.005]\n')
    monkeypatch.setattr(presets, "folder", lambda: own)
    request = Request("synthetic", tmp_path / "drawn", preset=preset, quick=True)
    said = reproduce.reproduce(request, tmp_path / "out")
    out = tmp_path / "out"
    assert said == f"report: {out / 'report.html'}"
    told = capsys.readouterr().err
    trials = 0 if preset == "paper" else 7 * 2
    assert (
        f"7 trainings to do (0 done, 6 cells are holes), {trials} trials to choose their settings, 4 points of the "
        "grid search to do: about"
    ) in told
    assert "the full grid around aecl1-combined has 96 points: about" in told

    study = json.loads((out / "study.json").read_text())
    for name, cell in study["cells"].items():
        assert bool(cell["hole"]) == bool(CELLS[name].weights or CELLS[name].nearer)
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
    assert NO_ROUTE in page
    searches = {file.parent.name: read_points(file) for file in out.glob("searches/*/points.jsonl")}
    assert len(searches) == trials / 2
    for name, tried in searches.items():
        # The winner's settings are those of the training, and no trial has looked at the test set.
        config = load_config(out / "runs" / f"{name}-seed0" / "config.toml").model_dump()
        for key, value in best_point(tried).parameters.items():
            stage, *keys = key.removeprefix("stages.").split(".")
            found = config["stages"][int(stage)]
            for part in keys:
                found = found[part]
            assert found == value
        results = [json.loads(file.read_text()) for file in out.glob(f"searches/{name}/*/result.json")]
        assert [result["test"] for result in results] == [{}, {}]

    # Again: nothing is trained twice, and nothing is written over.
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("**/result.json")}
    assert reproduce.reproduce(request, tmp_path / "out") == said
    assert {file: file.stat().st_mtime_ns for file in out.glob("**/result.json")} == stamps


def test_the_folder_of_configurations_is_shipped():
    files = {file.name for file in Path(presets.folder()).glob("*.toml")}
    assert {"quick.toml", "grid.toml", "grid-quick.toml", "search-corrected.toml"} <= files


def test_photographs_to_pretrain_on_change_nothing_of_the_test_list(preset, tmp_path):
    here = [
        Record(path=tmp_path / f"{n}.jpg", dataset="messidor", site=f"{n % 3}", scale="messidor", grade=n % 4 // 2)
        for n in range(60)
    ]
    unlabeled = [Record(path=tmp_path / f"u{n}.jpg", dataset="extension", site="2") for n in range(20)]
    more = [
        Record(path=tmp_path / f"n{n}.jpg", dataset="eyepacs", patient=f"{n // 2}", scale="icdr", grade=n % 5)
        for n in range(40)
    ]
    preset = replace(preset, datasets=("messidor", "extension"), nearer=("eyepacs",))
    lists, trained = [], []
    for name, records in {"resnet18-scratch": here + unlabeled, "resnet18-nearer": here + unlabeled + more}.items():
        config = preset.config(name, 0)
        tasks = make_tasks(config.tasks, records)
        split = make_split(records, [""] * len(records), tasks, config.data, config.seed)
        lists.append([split.records[row].path.name for row in split.rows("test")])
        sides_of = [sides(split, "train", stage, METHODS["supervised"])[0] for stage in config.stages]
        trained.append([{split.records[row].dataset for row in rows} for rows in sides_of])
    assert lists[0] == lists[1]
    assert len(lists[0]) == 12
    assert trained == [[{"messidor"}], [{"eyepacs"}, {"messidor"}]]
