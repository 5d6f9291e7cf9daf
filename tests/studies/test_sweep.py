"""A sweep: checked before it starts, every point trained once, whoever trains it and however often it is begun."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from open_files import holders
from typer.testing import CliRunner

from semiretina import cli
from semiretina.config import dump_toml, load_config
from semiretina.errors import BadConfig, BadData, Refused, UserError
from semiretina.progress import duration
from semiretina.report.paper.table1 import read_points
from semiretina.studies import points as points_module
from semiretina.studies import sweep as study
from semiretina.studies.grid import grid_points, read_grid

GRID = {"stages.-1.optimizer.lr": [0.01, 0.05], "stages.-1.optimizer.nesterov": [False, True]}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(make_config, make_stage, tmp_path):
    """ "AE then CL" of one epoch each, as a file."""
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=1)]
    file = tmp_path / "mine.toml"
    file.write_text(dump_toml(load_config(make_config(*stages, data={"val": 0.25}))))
    return file


@pytest.fixture
def make_grid(tmp_path):
    def make(axes=GRID):
        file = tmp_path / "grid.toml"
        file.write_text("".join(f"{json.dumps(key)} = {json.dumps(values)}\n" for key, values in axes.items()))
        return file

    return make


@pytest.fixture
def no_training(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a point was trained")

    monkeypatch.setattr(points_module, "train_run", never)


def sweep(config, grid, out, overrides=(), **how):
    return study.sweep(grid_points(config, grid, overrides), out, **how)


def index(out):
    return [json.loads(line) for line in (out / "points.jsonl").read_text().splitlines()]


def test_every_point_is_trained_once_and_none_looks_at_the_test_set(config, make_grid, tmp_path, monkeypatch):
    out = tmp_path / "out"
    text = sweep(config, make_grid(), out)
    rows = index(out)
    assert [row["status"] for row in rows] == ["done"] * 4
    assert [row["parameters"] for row in rows] == [
        {"stages.-1.optimizer.lr": lr, "stages.-1.optimizer.nesterov": n} for lr in (0.01, 0.05) for n in (False, True)
    ]
    for row in rows:
        folder = out / row["key"]
        result = json.loads((folder / "result.json").read_text())
        assert row["accuracy"] == result["val"]["dr"]["accuracy"]["value"]
        assert row["auroc"] == result["val"]["dr"]["auroc"]["value"]
        assert row["seconds"] > 0
        assert result["test"] == {}
        assert not (folder / "predictions-test.csv").exists()
        assert not (folder / "checkpoints").exists()
        assert (folder / "grader.safetensors").exists()
        lr, nesterov = row["parameters"].values()
        last = load_config(folder / "config.toml").stages[-1].optimizer
        assert (last.lr, last.nesterov) == (lr, nesterov)
    assert "4 points: 4 done" in text
    assert "Table 1, AE then CL: 4 runs" in text
    assert "best on validation: lr = " in text
    assert "AE then CL: 4 runs" in (out / "table1.html").read_text()

    trained = []
    original = points_module.train_run
    monkeypatch.setattr(
        points_module, "train_run", lambda config, run, **named: trained.append(run) or original(config, run, **named)
    )
    assert sweep(config, make_grid(), out) == text
    assert trained == []
    # A grown grid trains what it adds; a spelling of the same stage is the same experiment.
    grown = {"stages.1.optimizer.lr": [0.05, 0.02], "stages.1.optimizer.nesterov": [True]}
    sweep(config, make_grid(grown), out)
    assert len(trained) == 1
    rows = index(out)
    assert len(rows) == 5
    assert len({row["key"] for row in rows}) == 5
    assert [row["parameters"] for row in rows[:2]] == [
        dict(zip(grown, values, strict=True)) for values in ((0.05, True), (0.02, True))
    ]
    # What stands in the index is finished, also without its folder: results outlive a tidied disk.
    shutil.rmtree(trained[0])
    sweep(config, make_grid(grown), out)
    assert len(trained) == 1


def test_all_defects_are_told_before_anything_starts(config, make_grid, tmp_path, no_training):
    out = tmp_path / "out"

    def fails(axes, *words):
        with pytest.raises(BadConfig) as raised:
            sweep(config, make_grid(axes), out)
        assert "\n" not in str(raised.value)
        for word in words:
            assert word in str(raised.value)
        assert not out.exists()

    fails(
        {"stages.-1.optimizer.momentun": [0.1, 0.9], "stages.-1.optimizer.nestrov": [True], "sed": [1, 2]},
        "3 defects",
        "did you mean 'momentum'?",
        "did you mean 'nesterov'?",
        "did you mean 'seed'?",
    )
    fails(
        {"stages.7.optimizer.lr": [0.1, 0.2]}, "1 defect", "stages.7.optimizer.lr: the configuration has no such place"
    )
    fails({"stages.-1.method.alfa": [1.0, 2.0]}, "1 defect", "did you mean 'alpha'?")
    fails({"stages.-1.optimizer.lr": ["fast", 0.1, -1.0]}, "2 defects", "not 'fast'", "not -1.0")
    fails({"stages.-1.optimizer.lr": []}, "stages.-1.optimizer.lr: the list is empty")
    fails({"stages.-1.optimizer.lr": 0.1}, "is not a list of values; write [0.1]")
    fails({"seed": [1, 2, 1]}, "seed: 1 stands there twice")
    fails({"open_test": [True]}, "open_test: is set by the search itself")
    fails({}, "names no hyper-parameter")
    fails({**GRID, "stages.-1.optimizer.momentum": [0.0, 0.9]}, "1 defect", "nesterov: needs momentum above 0")
    fails({"stages.-1.optimizer.lr": [1, 1.0]}, "are the same experiment")
    fails({"data.val": [0.2, 0.0]}, "data.val: a grid is searched on validation photographs")


def test_files_that_are_not_there_or_not_toml(config, make_grid, tmp_path):
    with pytest.raises(UserError, match=r"absent\.toml: no such file"):
        sweep(config, tmp_path / "absent.toml", tmp_path / "out")
    broken = tmp_path / "broken.toml"
    broken.write_text("lr = [")
    with pytest.raises(BadConfig, match="not valid TOML"):
        sweep(config, broken, tmp_path / "out")
    with pytest.raises(BadData, match="absent"):
        sweep(config, make_grid({"data.manifest": [str(manifest_with_a_gap(tmp_path))]}), tmp_path / "out")


def manifest_with_a_gap(folder):
    file = folder / "gap.csv"
    file.write_text("path,scale,grade\nabsent.jpg,icdr,0\n")
    return file


def test_a_grid_is_written_in_any_of_tomls_ways(tmp_path):
    quoted, bare, table = (tmp_path / f"{name}.toml" for name in ("quoted", "bare", "table"))
    quoted.write_text('"stages.-1.optimizer.lr" = [0.1]\n')
    bare.write_text("stages.-1.optimizer.lr = [0.1]\n")
    table.write_text("[stages.-1.optimizer]\nlr = [0.1]\n")
    assert read_grid(quoted) == read_grid(bare) == read_grid(table) == {"stages.-1.optimizer.lr": [0.1]}


def test_the_papers_grid_has_96_points(config):
    # Section 5.1: four learning rates, three momenta, Nesterov or not, four weight decays.
    grid = grid_points(config, ROOT / "configs" / "paper" / "grid.toml")
    assert len({point.key for point in grid}) == 96
    assert {point.config.stages[-1].optimizer.lr for point in grid} == {0.002, 0.003, 0.004, 0.005}
    assert {point.config.stages[-1].optimizer.weight_decay for point in grid} == {1e-7, 1e-5, 0.01, 0.1}
    assert {point.config.stages[0].optimizer.lr for point in grid} == {0.05}
    assert not any(point.config.open_test for point in grid)


def test_the_papers_protocol_is_searched_without_the_test_set(config, make_grid):
    grid = grid_points(config, make_grid(), ["track_test=true", "refit=train+val"])
    assert {(p.config.track_test, p.config.open_test, p.config.refit) for p in grid} == {(False, False, "none")}


def test_a_key_follows_the_content_and_not_the_place(config, make_grid, photographs, tmp_path):
    grid = make_grid({"stages.-1.optimizer.lr": [0.01]})

    def key(*overrides):
        (point,) = grid_points(config, grid, overrides)
        return point.key

    first = key()
    assert key("engine.eval_batch=4", f"data.cache={tmp_path / 'cache'}") == first
    elsewhere = shutil.copytree(photographs.parent, tmp_path / "elsewhere") / "manifest.csv"
    assert key(f"data.manifest={elsewhere}") == first
    others = [key("seed=1"), key("stages.0.optimizer.lr=0.04"), key("data.split_seed=1"), key("model.hidden=0")]
    lines = elsewhere.read_text().splitlines(keepends=True)
    elsewhere.write_text("".join(lines[:1] + lines[2:]))
    others.append(key(f"data.manifest={elsewhere}"))
    assert len({first, *others}) == 6


def test_a_point_that_diverges_is_a_result(config, make_grid, tmp_path, monkeypatch):
    out = tmp_path / "out"
    grid = make_grid({"stages.0.optimizer.lr": [0.01, 1e30]})
    text = sweep(config, grid, out)
    assert [(row["status"], row["accuracy"] is None) for row in index(out)] == [("done", False), ("diverged", True)]
    assert "2 points: 1 done, 1 diverged" in text
    assert "1 run, 1 diverged and have no rank" in text
    assert "loss" in json.loads((out / index(out)[1]["key"] / "diverged.json").read_text())["reason"]
    monkeypatch.setattr(points_module, "train_run", None)  # called, it would raise
    (out / "points.jsonl").unlink()
    assert sweep(config, grid, out) == text


def test_what_another_process_trains_is_left_to_it(config, make_grid, tmp_path, monkeypatch):
    out = tmp_path / "out"
    grid = grid_points(config, make_grid({"stages.-1.optimizer.lr": [0.01, 0.05]}))
    other = FileLock(out / grid[0].key / ".lock")
    (out / grid[0].key).mkdir(parents=True)
    other.acquire()
    states = []

    def look(_):
        states.append([point.status for point in points_module.update_index(grid, out)])
        other.release()  # as the kernel does for a process that was killed

    monkeypatch.setattr(points_module.time, "sleep", look)
    found = study.train_points(grid, out)
    assert states == [["open", "done"]]
    assert [point.status for point in found] == ["done", "done"]


def test_a_mistake_at_one_point_is_told_with_its_name(config, make_grid, tmp_path):
    out = tmp_path / "out"
    grid = grid_points(config, make_grid({"stages.-1.optimizer.lr": [0.01, 0.05]}))
    (out / grid[1].key).mkdir(parents=True)
    (out / grid[1].key / "config.toml").write_text(dump_toml(grid[0].config))
    with pytest.raises(Refused, match=r"point lr = 0\.05: .*another configuration"):
        study.train_points(grid, out)
    assert [point.status for point in read_points(out / "points.jsonl")] == ["done", "open"]


@given(st.integers(0, 50), st.integers(1, 12))
def test_shards_share_out_all_points(total, shards):
    taken = []
    for number in range(1, shards + 1):
        taken += range(total)[study.shard_slice(f"{number}/{shards}")]
    assert sorted(taken) == list(range(total))


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_cannot_be(shard, config, make_grid, tmp_path):
    with pytest.raises(UserError, match="--shard"):
        sweep(config, make_grid(), tmp_path / "out", shard=shard)


def test_one_way_at_a_time(config, make_grid, tmp_path):
    words = ["sweep", config, make_grid(), "--out", tmp_path / "out", "--workers", "2", "--shard", "1/2"]
    ended = CliRunner().invoke(cli.app, list(map(str, words)))
    assert ended.exit_code == 2
    assert "give one of --workers, --shard and --cluster" in ended.output


def test_two_shards_make_the_whole(config, make_grid, tmp_path):
    out = tmp_path / "out"
    grid = make_grid({"stages.-1.optimizer.lr": [0.01, 0.05]})
    text = sweep(config, grid, out, shard="2/2")
    assert [row["status"] for row in index(out)] == ["open", "done"]
    assert "2 points: 1 done, 1 open" in text
    assert not (out / "table1.html").exists()
    assert "Table 1" in sweep(config, grid, out, shard="1/2")
    assert [row["status"] for row in index(out)] == ["done", "done"]


def test_points_of_several_outputs_and_classes(config, make_grid, tmp_path):
    out = tmp_path / "out"
    sweep(config, make_grid({"stages.-1.optimizer.lr": [0.01]}), out, overrides=['tasks=["severity"]'])
    (row,) = index(out)
    result = json.loads((out / row["key"] / "result.json").read_text())
    assert row["accuracy"] == result["val"]["severity"]["accuracy"]["value"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 s"), (99.4, "99 s"), (120, "2 min"), (5940, "99 min"), (6000, "1 h 40 min")]
)
def test_a_time_left_is_read_at_a_glance(seconds, text):
    assert duration(seconds) == text


def start(config, grid, out, *words):
    command = [sys.executable, "-m", "semiretina", "sweep", str(config), str(grid), "--out", str(out), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def begun(out):
    """The run folder of a point that has an epoch behind it and is not finished."""
    for _ in range(600):
        for log in out.glob("*/log.jsonl"):
            if "epoch" in log.read_text() and not (log.parent / "result.json").exists():
                return log.parent
        time.sleep(0.1)
    raise AssertionError("no point was begun")


def epochs(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(row["stage"], row["epoch"]) for row in rows if row["kind"] == "epoch"]


LONG = ["-o", "stages.1.epochs=40"]
ONCE = [(0, 0), *((1, epoch) for epoch in range(40))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_of_two_workers_one_is_killed(config, make_grid, tmp_path):
    out = tmp_path / "out"
    running = start(config, make_grid(), out, "--workers", "2", *LONG)
    run = begun(out)
    (holder,) = holders(run / ".lock")
    os.kill(holder, signal.SIGKILL)
    stdout, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr
    assert "a worker was killed by signal 9; the others take over its point" in stderr
    assert "4 points: 4 done" in stdout
    rows = index(out)
    assert len({row["key"] for row in rows}) == len(rows) == 4
    assert all(epochs(out / row["key"]) == ONCE for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_stopped_sweep_leaves_no_worker_and_goes_on(config, make_grid, tmp_path):
    out = tmp_path / "out"
    running = start(config, make_grid(), out, "--workers", "2", *LONG)
    run = begun(out)
    # As Ctrl-C; that itself is ignored where a shell runs the tests in the background.
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 75
    assert "the same command goes on where this one ended" in stderr
    assert holders(run / ".lock") == []
    assert "4 points: 4 done" in sweep(config, make_grid(), out, overrides=LONG[1:])
    assert all(epochs(out / row["key"]) == ONCE for row in index(out))
