"""The ledger of looks at a test set: what is counted, what is not, and that no line is lost."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from semiretina.judging.ledger import LEDGER, PATIENCE, Looks, TestList, ledger_of, looks, note_look, read_ledger

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def manifest(tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "manifest.csv"


@pytest.fixture
def make_run(tmp_path):
    """`make_run("name")`: a run folder with a configuration, beside the manifest's folder."""

    def make(name: str, config: str = "seed = 0\n", inside: bool = False) -> Path:
        run = tmp_path / ("data/runs" if inside else "runs") / name
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.toml").write_text(config)
        return run

    return make


def note(manifest: Path, run: Path, kind="train", sha256=ONE, threshold=0.5, **more) -> None:
    note_look(run, kind, TestList(manifest, sha256, 7, **more), {"dr": threshold})


def test_a_line_holds_the_look(manifest, make_run):
    run = make_run("a", inside=True)
    note(manifest, run)
    [line] = ledger_of(manifest).read_text().splitlines()
    row = json.loads(line)
    # printf 'seed = 0\n' | sha256sum
    assert row.pop("config") == "7a3ecb57ce6a2114fe5028d7eec5217c2a457dd43e348338cc15a31c77d1f9f5"
    assert row.pop("when").endswith("+00:00")
    assert row == {
        "kind": "train",
        "run": "runs/a",
        "sha256": ONE,
        "photographs": 7,
        "thresholds": {"dr": 0.5},
        "manifest": "manifest.csv",
    }


def test_a_run_elsewhere_is_named_by_its_whole_path(manifest, make_run):
    run = make_run("a")
    note(manifest, run)
    assert looks(manifest, ONE).runs == (str(run.resolve()),)


def test_no_ledger_means_no_look(manifest, tmp_path):
    assert looks(manifest, ONE) == Looks()
    assert looks(tmp_path / "nowhere" / "manifest.csv", ONE) == Looks()


def test_what_counts(manifest, make_run):
    a, b = make_run("a", inside=True), make_run("b", inside=True)
    for run in (a, a, b, a):  # a training that goes on at its end sees the same result again
        note(manifest, run)
    assert looks(manifest, ONE).count == 2
    note(manifest, a, "evaluate")
    note(manifest, a, "evaluate")  # whoever evaluates looks each time
    assert looks(manifest, ONE).count == 4
    note(manifest, b, "tracked")
    found = looks(manifest, ONE)
    assert (found.count, found.tracked, found.runs) == (5, 1, ("runs/a", "runs/b"))
    assert not found.changed
    assert not found.others
    assert found.first <= found.last
    assert looks(manifest, OTHER).count == 0


def test_a_training_with_another_configuration_in_the_same_folder_looks_anew(manifest, make_run):
    note(manifest, make_run("a"))
    note(manifest, make_run("a", "seed = 1\n"))
    assert looks(manifest, ONE).count == 2


def test_two_networks_in_a_run_folder_of_the_same_name_look_twice(manifest, make_run):
    run = make_run("a")
    (run / "grader.safetensors").write_bytes(b"one")
    note(manifest, run)
    note(manifest, run)  # a training that goes on at its end
    assert looks(manifest, ONE).count == 1
    (run / "grader.safetensors").write_bytes(b"other")
    note(manifest, run)
    found = looks(manifest, ONE)
    assert (found.count, found.runs) == (2, (str(run.resolve()),))
    # printf one | sha256sum; printf other | sha256sum
    assert [look.grader for look in read_ledger(manifest)] == [
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
    ]
    # Two networks may have two thresholds; one that has two was changed.
    note(manifest, run, "evaluate", threshold=0.4)
    assert looks(manifest, ONE).changed == {str(run.resolve()): ({"dr": 0.5}, {"dr": 0.4})}
    (run / "grader.safetensors").write_bytes(b"third")
    note(manifest, run, threshold=0.2)
    assert looks(manifest, ONE).changed == {str(run.resolve()): ({"dr": 0.5}, {"dr": 0.4})}


def test_the_networks_of_the_folds_are_the_grader_of_their_look(manifest, make_run):
    run = make_run("cv")
    for fold, content in enumerate(("one", "two")):
        (run / f"fold-{fold}").mkdir()
        (run / f"fold-{fold}" / "grader.safetensors").write_text(content)
    for content, count in (("two", 1), ("two", 1), ("changed", 2)):
        (run / "fold-1" / "grader.safetensors").write_text(content)
        note(manifest, run)
        assert looks(manifest, ONE).count == count


def test_a_line_of_before_names_no_network_and_is_read(manifest, make_run):
    run = make_run("a")
    note(manifest, run)
    assert "grader" not in json.loads(ledger_of(manifest).read_text())
    (run / "grader.safetensors").write_bytes(b"one")
    note(manifest, run, "evaluate", threshold=0.3)
    found = looks(manifest, ONE)
    assert found.count == 2
    assert found.changed == {str(run.resolve()): ({"dr": 0.5}, {"dr": 0.3})}


def test_changed_thresholds_of_one_run_are_told(manifest, make_run):
    a, b = make_run("a", inside=True), make_run("b", inside=True)
    note(manifest, a)
    note(manifest, b, threshold=0.4)
    assert not looks(manifest, ONE).changed  # two runs may differ
    note(manifest, a, threshold=0.3)
    note(manifest, a, "evaluate", threshold=0.3)
    assert looks(manifest, ONE).changed == {"runs/a": ({"dr": 0.5}, {"dr": 0.3})}
    assert looks(manifest, ONE).count == 4


def test_a_threshold_that_was_fixed_after_tracking_has_not_changed(manifest, make_run):
    run = make_run("a")
    note(manifest, run, "tracked")
    note(manifest, run, threshold=0.3)
    assert not looks(manifest, ONE).changed


def test_other_lists_of_the_same_manifest_are_told_but_not_folds(manifest, make_run):
    run = make_run("a")
    note(manifest, run)
    note(manifest, run, sha256=OTHER)
    note(manifest, run, "evaluate", sha256=OTHER)
    for fold in range(3):
        note(manifest, run, sha256=f"{fold}", fold=fold)
    note(manifest.with_name("another.csv"), run, sha256="3" * 64)
    assert looks(manifest, ONE).others == {OTHER: 2}
    assert looks(manifest, OTHER).others == {ONE: 1}
    assert looks(manifest, "1").count == 1


def test_a_given_test_set_is_not_another_list_of_the_folds_that_left_it_alone(manifest, make_run):
    folds, own, edited = make_run("cv"), make_run("grader"), "4" * 64
    note(manifest, folds, sha256=OTHER, apart=ONE)
    assert looks(manifest, ONE) == Looks()
    note(manifest, own)
    note(manifest, own, sha256=edited)
    assert looks(manifest, ONE).others == {edited: 1}
    assert looks(manifest, OTHER).others == {edited: 1}
    assert looks(manifest, edited).others == {ONE: 1, OTHER: 1}
    assert (looks(manifest, ONE).count, looks(manifest, OTHER).count) == (1, 1)


@pytest.mark.parametrize("half", [b'{"when": "2026-01-01T00:0', b"\x00\x00\x00", b"[1, 2]", b'{"kind": "train"}'])
def test_a_half_written_line_spoils_no_other(manifest, make_run, half):
    a, b = make_run("a"), make_run("b")
    note(manifest, a)
    with ledger_of(manifest).open("ab") as out:
        out.write(half)
    assert looks(manifest, ONE).count == 1
    note(manifest, b)
    note(manifest, b)
    assert looks(manifest, ONE).count == 2
    assert half in ledger_of(manifest).read_bytes()


def test_a_line_of_a_later_version_is_read(manifest, make_run):
    note(manifest, make_run("a"))
    row = json.loads(ledger_of(manifest).read_text())
    ledger_of(manifest).write_text(json.dumps(row | {"mood": "good"}) + "\n")
    assert looks(manifest, ONE).count == 1


def write_many(manifest: Path, run: Path, number: int, start) -> None:
    start.wait()
    for turn in range(20):
        note(manifest, run, "evaluate", threshold=number + turn / 100)
        note(manifest, run)  # the same for all: one of them writes it


def test_processes_that_write_at_once_lose_no_line(manifest, make_run):
    run = make_run("a")
    processes = multiprocessing.get_context("spawn")
    start = processes.Event()
    writers = [processes.Process(target=write_many, args=(manifest, run, number, start)) for number in range(4)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = read_ledger(manifest)
    assert len(ledger_of(manifest).read_text().splitlines()) == len(found) == 81
    evaluated = sorted(look.thresholds["dr"] for look in found if look.kind == "evaluate")
    assert evaluated == sorted(number + turn / 100 for number in range(4) for turn in range(20))


def test_a_folder_that_is_gone_is_said_and_not_made(tmp_path, make_run, capsys):
    note(tmp_path / "gone" / "manifest.csv", make_run("a"))
    assert not (tmp_path / "gone").exists()
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("its folder is gone; this look at the test set is not written down")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_said(manifest, make_run, capsys):
    manifest.parent.chmod(0o500)
    try:
        note(manifest, make_run("a"))
    finally:
        manifest.parent.chmod(0o700)
    [line] = capsys.readouterr().err.splitlines()
    assert "cannot be written (Permission denied); this look" in line


def test_a_ledger_that_cannot_be_written_is_said(manifest, make_run, capsys):
    ledger_of(manifest).mkdir()
    note(manifest, make_run("a"), "evaluate")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{manifest.parent / LEDGER}: cannot be written (Is a directory)")
    assert looks(manifest, ONE) == Looks()


def test_a_held_lock_is_said(manifest, make_run, capsys, monkeypatch):
    assert PATIENCE > 1
    monkeypatch.setattr("semiretina.judging.ledger.PATIENCE", 0.0)
    with FileLock(manifest.parent / f".{LEDGER}.lock"):
        note(manifest, make_run("a"))
    assert "another process holds it" in capsys.readouterr().err
    assert looks(manifest, ONE).count == 0
