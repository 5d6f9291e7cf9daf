import csv
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semiretina.data.image import read_photograph
from semiretina.errors import BadData, CannotWrite, MissingInput, Refused
from semiretina.judging import predict as module
from semiretina.judging.grader import Grader, load
from semiretina.judging.inference import to_float
from semiretina.judging.inputs import find_files
from semiretina.judging.predict import COLUMNS, predict
from semiretina.models import build_network
from semiretina.tasks import TASKS

TASK_NAMES = ("dr", "lesions", "severity")
OUTPUTS = [("dr", "dr"), *(("lesions", name) for name in ("MA", "HE", "EX", "SE"))]
OUTPUTS += [("severity", f"grade {grade}") for grade in range(5)]


def make_grader(seed=0, names=TASK_NAMES, batch=4):
    tasks = {name: TASKS[name]("icdr") for name in names}
    torch.manual_seed(seed)
    outputs = {name: len(task.outputs) for name, task in tasks.items()}
    network = build_network("aecl1", outputs, 32, {"widths": [4, 6, 8]}).eval()
    for parameter in network.classifier.parameters():
        parameter.data.mul_(8)  # so that photographs differ in their probabilities
    return Grader(network, tasks, 32, "none", 0.5, torch.device("cpu"), batch=batch)


@pytest.fixture(scope="module")
def grader():
    return make_grader()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten photographs, in two folders below, and what lies about beside them."""
    root = tmp_path_factory.mktemp("clinic")
    random = np.random.default_rng(3)
    for number in range(10):
        place = root / ("a" if number < 6 else "b/deep")
        place.mkdir(parents=True, exist_ok=True)
        low = int(random.integers(0, 200))
        picture = random.integers(low, low + 50, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(picture).save(place / f"{number}.{'PNG' if number % 2 else 'jpg'}")
    (root / "notes.txt").write_text("not a photograph")
    (root / "a" / "._0.jpg").write_bytes(b"what a Mac leaves behind")
    return root


def rows_of(table):
    with table.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_row_for_every_photograph_and_output_failures_with_their_reason(grader, folder, tmp_path):
    clinic = shutil.copytree(folder, tmp_path / "clinic")
    (clinic / "empty.jpg").write_bytes(b"")
    (clinic / "cut.jpg").write_bytes((clinic / "a/0.jpg").read_bytes()[:-400])
    (clinic / "text.png").write_text("hello")
    out = tmp_path / "new" / "predictions.csv"
    assert predict(grader, [clinic, clinic / "gone.jpg"], out) == (10, 4)
    rows = rows_of(out)
    assert tuple(rows[0]) == COLUMNS == ("path", "task", "output", "probability", "status", "reason")
    assert len(rows) == 14 * len(OUTPUTS)
    for start in range(0, len(rows), len(OUTPUTS)):
        block = rows[start : start + len(OUTPUTS)]
        assert [(row["task"], row["output"]) for row in block] == OUTPUTS
        assert len({(row["path"], row["status"], row["reason"]) for row in block}) == 1
    reasons = {Path(row["path"]).name: row["reason"] for row in rows if row["status"] == "failed"}
    assert reasons["empty.jpg"] == "the file is empty"
    assert reasons["gone.jpg"] == "no such file"
    assert reasons["text.png"] == "not a JPEG, PNG or TIFF file"
    assert "truncated" in reasons["cut.jpg"]
    assert all((row["probability"] == "") == (row["status"] == "failed") for row in rows)
    assert {row["status"] for row in rows} == {"ok", "failed"}


def test_probabilities_are_those_of_the_network_on_that_photograph_alone(grader, folder, tmp_path):
    predict(grader, [folder], tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    for start in range(0, len(rows), len(OUTPUTS)):
        block = rows[start : start + len(OUTPUTS)]
        pixels = read_photograph(Path(block[0]["path"]), 32, "none")[0]
        with torch.no_grad():
            logits = grader.network(to_float(torch.from_numpy(pixels[None])))
        binary = 1 / (1 + np.exp(-torch.cat([logits["dr"], logits["lesions"]], 1).double().numpy()[0]))
        powers = np.exp(logits["severity"].double().numpy()[0])
        expected = [*binary, *(powers / powers.sum())]
        assert [float(row["probability"]) for row in block] == pytest.approx(expected, abs=1e-5)
    assert len({row["probability"] for row in rows}) > len(OUTPUTS)  # the photographs differ


def test_the_same_photograph_has_the_same_bits_whatever_its_company(folder):
    grader = make_grader(batch=4)
    photographs = np.stack([grader.read(file) for file in find_files([folder])])
    together = grader.grade(photographs)
    for number in (0, 3, 4, 9):
        alone = grader.grade(photographs[number : number + 1])
        turned = grader.grade(photographs[::-1].copy())
        for task in TASK_NAMES:
            assert np.array_equal(alone[task][0], together[task][number])
            assert np.array_equal(turned[task][9 - number], together[task][number])


def test_files_folders_and_manifests_mix_and_each_photograph_counts_once(folder, tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path\n{folder}/a/0.jpg\n{folder}/b/deep/8.jpg\nnowhere.png\n")
    grader = make_grader(names=("dr",))
    assert predict(grader, [folder / "a/1.PNG", folder / "a", manifest], tmp_path / "p.csv") == (7, 1)
    names = [Path(row["path"]).name for row in rows_of(tmp_path / "p.csv")]
    assert names == ["1.PNG", "0.jpg", "2.jpg", "3.PNG", "4.jpg", "5.PNG", "8.jpg", "nowhere.png"]


def test_a_folder_named_like_a_photograph_and_a_name_that_is_not_utf8(folder, tmp_path):
    grader = make_grader(names=("dr",))
    clinic = tmp_path / "clinic"
    (clinic / "scans.jpg").mkdir(parents=True)
    try:
        shutil.copy(folder / "a/0.jpg", bytes(clinic) + b"/\xff, eye.jpg")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    shutil.copy(folder / "a/0.jpg", clinic / "scans.jpg" / "1.jpg")
    out = tmp_path / "p.csv"
    assert predict(grader, [clinic], out) == (2, 0)
    assert predict(grader, [clinic], out) == (0, 0)
    assert b'/\xff, eye.jpg",dr,dr,' in out.read_bytes()


@pytest.mark.parametrize("cut", [1, 30, 61, 200, 900, 10_000])
def test_it_goes_on_where_it_was_killed(grader, folder, tmp_path, monkeypatch, cut, capsys):
    whole, out = tmp_path / "whole.csv", tmp_path / "p.csv"
    predict(grader, [folder], whole)
    content = whole.read_bytes()
    out.write_bytes(content[:cut])
    each = len(OUTPUTS)
    complete = max(0, content[:cut].count(b"\n") - 1) // each
    read = []
    monkeypatch.setattr(
        module, "_read", lambda grader, file, read_file=module._read: (read.append(file), read_file(grader, file))[1]
    )
    assert predict(grader, [folder], out) == (10 - min(10, complete), 0)
    assert out.read_bytes() == content
    assert len(set(read)) == 10 - min(10, complete) + (complete > 0)  # one more, to see that the grader is the same
    if complete:
        assert f"{min(10, complete)} of 10 photographs stand there already" in capsys.readouterr().err


def test_a_stop_in_the_middle_loses_no_finished_batch(folder, tmp_path, monkeypatch):
    grader, out = make_grader(names=("dr",), batch=4), tmp_path / "p.csv"
    grade, calls = Grader.grade, []

    def stopped(self, photographs):
        calls.append(len(photographs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return grade(self, photographs)

    monkeypatch.setattr(Grader, "grade", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(grader, [folder], out)
    assert len(rows_of(out)) == 4
    monkeypatch.undo()
    assert predict(grader, [folder], out) == (6, 0)
    predict(grader, [folder], tmp_path / "straight.csv")
    assert out.read_bytes() == (tmp_path / "straight.csv").read_bytes()


@pytest.mark.parametrize(
    "content",
    ["path,grade\na.jpg,1\n", "path,task,output,probability,status\n", "\n", "\xff\x00 no text", "path,tasks"],
)
def test_a_table_of_something_else_is_refused_and_left_alone(grader, folder, tmp_path, content):
    out = tmp_path / "mine.csv"
    out.write_bytes(content.encode("latin-1"))
    with pytest.raises(Refused, match=r"mine\.csv: exists and is not a table of predictions; choose another --out"):
        predict(grader, [folder], out)
    assert out.read_bytes() == content.encode("latin-1")


def test_another_graders_table_is_refused_and_left_alone(grader, folder, tmp_path):
    out = tmp_path / "p.csv"
    predict(make_grader(names=("dr",)), [folder], out)
    before = out.read_bytes()
    with pytest.raises(Refused, match="not those of this grader's outputs, dr, MA, HE"):
        predict(grader, [folder], out)
    with pytest.raises(Refused, match="holds another grader's predictions"):
        predict(make_grader(seed=1, names=("dr",)), [folder], out)
    assert out.read_bytes() == before
    lines = before.splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:3], b"a line of another kind\n", *lines[3:]]))
    with pytest.raises(Refused, match="are not those"):
        predict(make_grader(names=("dr",)), [folder], out)


def test_memory_holds_two_batches_and_no_more(folder, monkeypatch):
    grader, lock = make_grader(names=("dr",), batch=4), threading.Lock()
    alive = most = 0

    class Pixels(np.ndarray):
        def __del__(self):
            nonlocal alive
            if self.base is None:
                with lock:
                    alive -= 1

    def read(self, file):
        nonlocal alive, most
        pixels = np.ndarray.__new__(Pixels, (32, 32, 3), np.uint8)
        with lock:
            alive += 1
            most = max(most, alive)
        return pixels

    monkeypatch.setattr(Grader, "read", read)
    names = [Path(f"{number}.jpg") for number in range(100)]
    assert sum(1 for _ in module.grade_files(grader, names)) == 100
    assert 4 <= most <= 3 * grader.batch  # one graded, one waiting, one being read


def test_inputs_that_are_not_there_are_all_named(grader, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match=r"here, .*there: no such photograph, folder or manifest"):
        predict(grader, [tmp_path / "here", tmp_path / "there", tmp_path / "a.jpg"], tmp_path / "p.csv")
    with pytest.raises(MissingInput, match=r"no photograph in this folder \(looked for \.jpg"):
        predict(grader, [tmp_path / "empty"], tmp_path / "p.csv")
    with pytest.raises(MissingInput, match=r"m\.csv: no such file"):
        predict(grader, [tmp_path / "m.csv"], tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_an_output_that_cannot_be_written(grader, folder, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "p.csv"):
        with pytest.raises(CannotWrite, match="cannot be written"):
            predict(grader, [folder], out)


def test_a_grader_comes_back_from_its_folder_the_same(grader, folder, tmp_path):
    grader.save(tmp_path / "grader")
    loaded = load(tmp_path, torch.device("cpu"), batch=4)
    assert {n: t.outputs for n, t in loaded.tasks.items()} == {n: t.outputs for n, t in grader.tasks.items()}
    assert (loaded.size, loaded.crop, loaded.threshold) == (32, "none", 0.5)
    assert not loaded.network.training
    photographs = np.stack([grader.read(file) for file in find_files([folder])])
    ours, theirs = grader.grade(photographs), loaded.grade(photographs)
    assert all(np.array_equal(ours[task], theirs[task]) for task in TASK_NAMES)
    features = loaded.features(photographs)
    assert features.shape == (10, 8)
    assert np.allclose(features, grader.features(photographs))


def test_a_damaged_or_missing_grader_says_so(grader, tmp_path):
    with pytest.raises(MissingInput, match="no grader here"):
        load(tmp_path)
    grader.save(tmp_path / "grader")
    tensors, facts = tmp_path / "grader.safetensors", tmp_path / "grader.json"
    good, description = tensors.read_bytes(), facts.read_text()
    tensors.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(BadData, match=r"its checksum fails.*copy the run folder again"):
        load(tmp_path)
    tensors.unlink()
    with pytest.raises(MissingInput, match=r"grader\.safetensors: no such file.*copy the run folder again"):
        load(tmp_path)
    tensors.write_bytes(good)
    facts.write_text(description[:40])
    with pytest.raises(BadData, match="not valid JSON"):
        load(tmp_path)
    facts.write_text(description.replace('"schema": 1', '"schema": 9'))
    with pytest.raises(BadData, match="schema 9, this program reads 1"):
        load(tmp_path)
