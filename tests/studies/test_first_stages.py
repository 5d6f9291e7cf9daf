"""First stages that points of a grid have in common are trained once, and no bit shows that they were."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from semiretina import experiment
from semiretina.config import dump_toml, load_config
from semiretina.records import read_manifest, write_manifest
from semiretina.run_folder import RunFolder
from semiretina.studies import points as points_module
from semiretina.studies.first_stages import FOLDER, all_of, beginnings, find_first_stages
from semiretina.studies.grid import grid_points
from semiretina.studies.sweep import train_points

FILES = ("grader.safetensors", "grader.json", "predictions-val.csv", "survival.json", "split.csv")


@pytest.fixture
def manifest(photographs, tmp_path):
    """The photographs, each labelled one with a mask of a lesion, so that there is something to survive."""
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 24:34] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    records = read_manifest(photographs)
    marked = [replace(r, mask_EX=tmp_path / "mask.png") if r.grade is not None else r for r in records]
    write_manifest(marked, tmp_path / "manifest.csv")
    return str(tmp_path / "manifest.csv")


@pytest.fixture
def config(manifest, make_config, make_stage):
    """ "AE then CL", and both together at the end."""
    stages = [
        make_stage("reconstruction", epochs=2, optimizer={"name": "adam", "lr": 3e-3}),
        make_stage("supervised", epochs=2),
        make_stage("balanced", epochs=1),
    ]
    return make_config(*stages, data={"manifest": manifest, "val": 0.25}, augment={"rotation": 10.0})


@pytest.fixture
def make_points(config, tmp_path):
    """`make_points({"stages.-1.optimizer.lr": [...]}, "seed=1")`: the points of a grid around it."""

    def make(axes, *overrides):
        file, grid = tmp_path / "mine.toml", tmp_path / "grid.toml"
        if not file.exists():
            file.write_text(dump_toml(load_config(config)))
        grid.write_text("".join(f"{json.dumps(key)} = {json.dumps(values)}\n" for key, values in axes.items()))
        return grid_points(file, grid, overrides)

    return make


AXES = {"stages.1.batch": [4, 8], "stages.2.optimizer.lr": [0.01, 0.05]}


def rows(run):
    """The log without what a clock says."""
    read = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read]


def result(run):
    return {**json.loads((run / "result.json").read_text()), "name": ""}


def samples(run):
    return {file.name: file.read_bytes() for file in sorted((run / "samples").iterdir())}


def check_equals_whole(points, out, whole):
    """Each point of `out` is, to the bit, what training it alone and whole gives."""
    for point in points:
        alone = whole / point.key
        if not alone.exists():
            experiment.train(point.config, alone)
        for name in FILES:
            assert (out / point.key / name).read_bytes() == (alone / name).read_bytes(), name
        assert rows(out / point.key) == rows(alone)
        assert result(out / point.key) == result(alone)
        assert samples(out / point.key) == samples(alone)


def epochs_trained(monkeypatch):
    """A list that grows by (stage, rate) with every epoch that is really trained."""
    trained = []
    original = RunFolder.append

    def append(self, row):
        if row["kind"] == "epoch":
            trained.append((row["stage"], row["epoch"]))
        original(self, row)

    monkeypatch.setattr(RunFolder, "append", append)
    return trained


def test_each_first_stage_is_trained_once_and_each_point_equals_one_trained_whole(
    make_points, tmp_path, monkeypatch, capsys
):
    points = make_points(AXES)
    assert len(points) == 4
    trained = epochs_trained(monkeypatch)
    train_points(points, tmp_path / "out")
    # An autoencoder of two epochs; two classifiers of two; four last stages of one. Whole they would be 4 x 5.
    assert sorted(trained) == sorted([(0, 0), (0, 1)] + [(1, 0), (1, 1)] * 2 + [(2, 0)] * 4)
    assert "4 points begin alike: 3 trainings of first stages" in capsys.readouterr().err
    check_equals_whole(points[::3], tmp_path / "out", tmp_path / "whole")
    # A grown grid starts from the same ones.
    grown = make_points(AXES | {"stages.2.optimizer.lr": [0.01, 0.05, 0.1]})
    trained.clear()
    train_points(grown, tmp_path / "out")
    assert trained == [(2, 0)] * 2
    assert not list((tmp_path / "out").glob("*/checkpoints"))


def test_a_sweep_that_is_stopped_goes_on_to_the_same_bits(make_points, tmp_path, monkeypatch):
    """Stopped in and at the end of first stages and of later ones; once with all checkpoints of a point damaged."""
    points = make_points({"stages.1.optimizer.lr": [0.01, 0.05]})
    out, original = tmp_path / "out", RunFolder.append
    stops = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (2, 0)]

    def append(self, row):
        original(self, row)
        if row["kind"] == "epoch" and stops and (row["stage"], row["epoch"]) == stops[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "append", append)
    while stops:
        with pytest.raises(KeyboardInterrupt):
            train_points(points, out)
        if stops.pop(0) == (1, 1):
            for file in (out / points[0].key / "checkpoints").glob("*.safetensors"):
                file.write_bytes(file.read_bytes()[:-1])
    train_points(points, out)
    check_equals_whole(points[:1], out, tmp_path / "whole")


def test_shards_train_their_points_from_the_same_first_stages(make_points, tmp_path, monkeypatch):
    points = make_points({"stages.1.optimizer.lr": [0.01, 0.05]})
    trained = epochs_trained(monkeypatch)
    for shard in ("2/2", "1/2"):
        train_points(points, tmp_path / "out", shard=shard)
    assert trained.count((0, 0)) == 1
    check_equals_whole(points[1:], tmp_path / "out", tmp_path / "whole")


def test_first_stages_that_diverge_are_each_points_result(make_points, tmp_path, monkeypatch):
    points = make_points({"stages.1.optimizer.lr": [0.01, 0.05]}, "stages.0.optimizer.lr=1e30")
    trained = []
    original = points_module.train_run
    monkeypatch.setattr(
        points_module, "train_run", lambda *given, **named: trained.append(given) or original(*given, **named)
    )
    found = train_points(points, tmp_path / "out")
    assert [point.status for point in found] == ["diverged", "diverged"]
    assert len(trained) == 1
    for point in points:
        reason = json.loads((tmp_path / "out" / point.key / "diverged.json").read_text())["reason"]
        assert "infinite or NaN" in reason or "the loss became" in reason
        assert load_config(tmp_path / "out" / point.key / "config.toml") == point.config


def test_while_another_process_trains_first_stages_others_go_on(make_points, tmp_path, monkeypatch):
    points = make_points({"stages.0.optimizer.lr": [0.003, 0.01], "stages.1.optimizer.lr": [0.01, 0.05]})
    out = tmp_path / "out"
    held = RunFolder(out / FOLDER / points[0].first.key)
    assert points[0].first == points[1].first
    claim = held.claimed(points[0].first.config)
    claim.__enter__()
    states, checked = [], []
    original = points_module.train_run

    def train_run(config, path, **named):
        checked.append(path)
        return original(config, path, **named)

    def look(_):
        states.append([point.status for point in points_module.update_index(points, out)])
        claim.__exit__(None, None, None)

    monkeypatch.setattr(points_module, "train_run", train_run)
    monkeypatch.setattr(points_module.time, "sleep", look)
    found = train_points(points, out)
    assert states == [["open", "open", "done", "done"]]
    assert checked.count(held.path) == 3  # once a round, not once for each point that waits for them
    assert [point.status for point in found] == ["done"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("way", [{"workers": 2}, {"cluster": "local"}])
def test_processes_and_a_cluster_train_first_stages_once(way, make_points, tmp_path):
    if "cluster" in way:
        pytest.importorskip("ray")
    points = make_points({"stages.0.optimizer.lr": [0.003, 0.01], "stages.1.optimizer.lr": [0.01, 0.05]})
    out = tmp_path / "out"
    found = train_points(points, out, **way)
    assert [point.status for point in found] == ["done"] * 4
    assert len(list((out / FOLDER).iterdir())) == 2
    check_equals_whole(points[::3], out, tmp_path / "whole")
    # Their rows come from the two autoencoders: a clock never shows the same twice.
    seconds = {}
    for point in points:
        log = [json.loads(line) for line in (out / point.key / "log.jsonl").read_text().splitlines()]
        first = tuple(row["seconds"] for row in log if row["kind"] == "epoch" and row["stage"] == 0)
        seconds.setdefault(point.first.key, set()).add(first)
    assert [len(times) for times in seconds.values()] == [1, 1]


def test_what_comes_after_the_last_stage_does_not_part_first_stages(config):
    one = load_config(config)
    other = load_config({**config, "prevalence": {"dr": 0.1}, "operating": {"calibrate": True}})
    assert list(beginnings(one)) == list(beginnings(other))
    shuffled = load_config({**config, "data": {**config["data"], "shuffle_labels": True}})
    for before, after in zip(beginnings(one), beginnings(shuffled), strict=True):
        assert before != after


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=4), max_size=8))
def test_first_stages_end_where_points_part(stage_lists):
    """Against a walk over all pairs: what a point starts from is the longest beginning that another one has."""
    stage_lists = [list(stages) for stages in dict.fromkeys(map(tuple, stage_lists))]
    base = {"data": {"manifest": "m.csv", "size": 32}, "model": {"name": "aecl1"}}
    stage = {"method": {"name": "supervised"}, "optimizer": {"lr": 0.1}}
    configs = [load_config({**base, "stages": [{**stage, "epochs": 1 + n} for n in stages]}) for stages in stage_lists]
    keys = [[str(stages[:count]) for count in range(1, len(stages))] for stages in stage_lists]
    for stages, first in zip(stage_lists, find_first_stages(keys, configs), strict=True):
        common = [
            count
            for count in range(1, len(stages))
            if any(other != stages and len(other) > count and other[:count] == stages[:count] for other in stage_lists)
        ]
        chain = [len(each.config.stages) for each in all_of(first)]
        assert chain == sorted(set(chain))
        assert (chain[-1] if chain else 0) == max(common, default=0)
        for count in chain:  # each of them is where some point parts from the others
            having = [other for other in stage_lists if len(other) > count and other[:count] == stages[:count]]
            longer = [other for other in having if len(other) > count + 1 and other[count] == stages[count]]
            assert len(having) > (len(longer) if count + 1 < len(stages) else 1)


def test_a_lost_first_stage_costs_time_alone(make_points, tmp_path):
    points = make_points({"stages.1.optimizer.lr": [0.01, 0.05]})
    train_points(points[:1], tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / FOLDER / points[0].first.key / "checkpoints")
    train_points(points, tmp_path / "out")
    check_equals_whole(points[1:], tmp_path / "out", tmp_path / "whole")
