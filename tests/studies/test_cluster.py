"""A sweep on Ray: on two nodes of one machine, with a worker that is killed while it trains."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from open_files import holders

from semiretina.config import dump_toml, load_config
from semiretina.errors import MissingInput, Refused
from semiretina.studies.cluster import _sees, work_on_cluster
from semiretina.studies.grid import grid_points
from semiretina.studies.sweep import train_points

EPOCHS = 30


@pytest.fixture
def grid(make_config, make_stage, tmp_path):
    """Four points of thirty epochs."""
    config, axes = tmp_path / "mine.toml", tmp_path / "grid.toml"
    config.write_text(dump_toml(load_config(make_config(make_stage("supervised", epochs=EPOCHS), data={"val": 0.25}))))
    axes.write_text("stages.0.optimizer.lr = [0.01, 0.02, 0.03, 0.04]\n")
    return grid_points(config, axes)


@pytest.fixture
def nodes():
    """Two nodes with one core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def test_without_ray_it_says_what_to_install(grid, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingInput, match=r"pip install 'semiretina\[cluster\]'"):
        next(work_on_cluster(grid, tmp_path / "out", "auto"))


def test_a_node_tells_what_it_does_not_see(tmp_path):
    token, manifest = tmp_path / ".seen", tmp_path / "manifest.csv"
    manifest.touch()
    assert _sees(token, "abc", [str(manifest)]) == [str(tmp_path)]
    token.write_text("another disk's")
    assert _sees(token, "abc", [str(manifest)]) == [str(tmp_path)]
    token.write_text("abc")
    assert _sees(token, "abc", [str(manifest), "/nowhere/manifest.csv"]) == ["/nowhere/manifest.csv"]


def test_no_cluster_there(grid, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(MissingInput, match=r"--cluster 127\.0\.0\.1:1: no Ray cluster answers there"):
        next(work_on_cluster(grid, tmp_path / "out", "127.0.0.1:1"))


def kill_one(out, killed):
    """Kills the first process that has an epoch of a point behind it."""
    for _ in range(3000):
        for log in out.glob("*/log.jsonl"):
            trainers = holders(log.parent / ".lock")
            if trainers and "epoch" in log.read_text() and not (log.parent / "result.json").exists():
                os.kill(trainers[0], signal.SIGKILL)
                killed.append((log.parent.name, trainers[0]))
                return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_one_worker_is_killed_and_every_point_counts_once(grid, nodes, tmp_path):
    out, killed = tmp_path / "out", []
    before = signal.getsignal(signal.SIGTERM)
    killer = threading.Thread(target=kill_one, args=(out, killed))
    killer.start()
    found = train_points(grid, out, cluster=nodes.address)
    killer.join()
    assert len(killed) == 1
    assert killed[0][1] != os.getpid()
    assert [point.status for point in found] == ["done"] * 4
    rows = [json.loads(line) for line in (out / "points.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == [point.key for point in grid]
    assert {file.name for file in out.iterdir() if file.is_dir()} == {point.key for point in grid}
    for row in rows:
        log = [json.loads(line) for line in (out / row["key"] / "log.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in log if line["kind"] == "epoch"] == list(range(EPOCHS))
    assert not list(out.glob(".seen-*"))
    assert signal.getsignal(signal.SIGTERM) == before
    # The killed point ends with the bits of one that was never stopped.
    alone = tmp_path / "alone"
    point = next(point for point in grid if point.key == killed[0][0])
    train_points([point], alone)
    one, other = (folder / point.key / "predictions-val.csv" for folder in (out, alone))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_node_that_does_not_see_the_manifest_is_named(grid, nodes, tmp_path):
    hidden = Path(grid[0].config.data.manifest)
    moved = hidden.with_name("moved.csv")
    hidden.rename(moved)
    try:
        with pytest.raises(Refused, match=r"2 defects: node .* does not see .*manifest\.csv"):
            train_points(grid, tmp_path / "out", cluster=nodes.address)
    finally:
        moved.rename(hidden)
    assert {file.name for file in (tmp_path / "out").iterdir()} <= {"points.jsonl", ".points.lock"}
