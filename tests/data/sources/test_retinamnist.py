"""RetinaMNIST's file in miniature: the true names of its arrays, their shapes and types."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from semiretina.data.image import read_photograph
from semiretina.data.sources import SOURCES, import_source, retinamnist
from semiretina.errors import BadData, CannotWrite, MissingInput
from semiretina.records import read_manifest

GRADES = {"train": [0, 4, 2, 0, 1], "val": [3, 0], "test": [0, 2, 4]}


def arrays(size: int = 28) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    found: dict[str, np.ndarray] = {}
    for part, grades in GRADES.items():
        found[f"{part}_images"] = random.integers(0, 256, (len(grades), size, size, 3), dtype=np.uint8)
        found[f"{part}_labels"] = np.array(grades, np.uint8)[:, None]
    return found


def write(folder: Path, name: str = "retinamnist.npz", **changed: np.ndarray | None) -> Path:
    content = {key: value for key, value in (arrays() | changed).items() if value is not None}
    np.savez(folder / name, **content)
    return folder / name


def test_the_published_facts() -> None:
    source = SOURCES["retinamnist"]
    assert source.facts()["photographs"] == "1080 train, 120 val, 400 test"
    # Its photographs are those of DeepDRiD's training and validation parts.
    assert source.grades == SOURCES["deepdrid"].grades
    assert sum(source.grades.values()) == 1080 + 120 + 400
    assert source.scale == "icdr"
    assert source.licence == "CC BY 4.0"
    assert {size: len(md5) for size, md5 in retinamnist.MD5.items()} == {28: 32, 64: 32, 128: 32, 224: 32}


def test_every_photograph_becomes_a_record_with_its_own_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path)
    found = retinamnist.records(file, verify=False)
    assert [r.grade for r in found] == [0, 4, 2, 0, 1, 3, 0, 0, 2, 4]
    assert {(r.scale, r.dataset, r.split, r.patient, r.exam) for r in found} == {("icdr", "retinamnist", "", "", "")}
    assert found[6].provenance == "RetinaMNIST, 28 pixels, val 1"
    for record, picture in zip(found, np.concatenate([arrays()[f"{p}_images"] for p in GRADES]), strict=True):
        pixels, _ = read_photograph(record.path, 28, crop="none")
        np.testing.assert_array_equal(pixels, picture)
    told = capsys.readouterr().err
    assert "5 photographs in 'train', 1080 are published" in told
    assert "grades 0: 4, 1: 1, 2: 2, 3: 1, 4: 2" in told
    assert "Whose the photographs are is not published" in told


def test_the_published_split_is_an_option_and_a_folder_will_do_as_root(tmp_path: Path) -> None:
    write(tmp_path, "RetinaMNIST_224.npz")
    options = ["verify=false", "official_split=true", f"images={tmp_path / 'png'}"]
    assert import_source("retinamnist", tmp_path, tmp_path / "m.csv", options) == 10
    found = read_manifest(tmp_path / "m.csv")
    assert [r.split for r in found] == ["train"] * 5 + ["val"] * 2 + ["test"] * 3
    assert {r.path.parent for r in found} == {tmp_path / "png"}


def test_labels_may_be_flat(tmp_path: Path) -> None:
    found = retinamnist.records(write(tmp_path, val_labels=np.array([1, 4])), verify=False)
    assert [r.grade for r in found][5:7] == [1, 4]


def test_the_sum_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    wanted = "bd4c0672f1bba3e3a89f0e4e876791e4"
    with pytest.raises(BadData, match=f"its md5 is {md5}, that of the published 28-pixel file is {wanted}") as raised:
        retinamnist.records(tmp_path)
    assert "verify=false" in str(raised.value)
    assert list(tmp_path.iterdir()) == [file]
    larger = write(tmp_path, "retinamnist_224.npz")
    with pytest.raises(BadData, match="published 224-pixel file is eae7e3b6f3fcbda4ae613ebdcbe35348"):
        retinamnist.records(larger)
    with pytest.raises(BadData, match=r"e48e916a24454daf90583d4e6efb1a18 \(128 pixels\)"):
        retinamnist.records(write(tmp_path, "renamed.npz"))
    monkeypatch.setitem(retinamnist.MD5, 28, md5)
    assert len(retinamnist.records(file)) == 10


def test_nothing_is_written_twice_and_a_killed_import_goes_on(tmp_path: Path) -> None:
    file = write(tmp_path)
    first = retinamnist.records(file, verify=False)
    stamps = [record.path.stat().st_mtime_ns for record in first]
    first[3].path.unlink()
    again = retinamnist.records(file, verify=False)
    assert again == first
    assert [n for n, r in enumerate(again) if r.path.stat().st_mtime_ns != stamps[n]] == [3]
    # Another file under the same name does not find the pictures of the first.
    other = retinamnist.records(write(tmp_path, test_labels=np.array([1, 1, 1])), verify=False)
    assert not {r.path for r in other} & {r.path for r in first}


def test_all_that_is_wrong_in_the_arrays_is_told_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        train_labels=np.array([0, 9, 1, 5, 0]),
        val_images=np.zeros((2, 28, 28), np.uint8),
        test_labels=np.array([0, 1]),
    )
    with pytest.raises(BadData) as raised:
        retinamnist.records(file, verify=False)
    message = str(raised.value)
    assert "3 defects" in message
    assert "train_labels: no grade from 0 to 4 at 1 (9), 3 (5)" in message
    assert "val_images: uint8 [2, 28, 28] instead of uint8 [n, size, size, 3]" in message
    assert "test: 3 photographs and 2 labels" in message
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"val_labels": None, "test_images": None}, "no array val_labels, test_images in it; it holds test_labels"),
        ({"train_labels": np.array([0.0, 1, 2, 3, 4])}, "train_labels: float64"),
        ({"test_images": np.zeros((3, 64, 64, 3), np.uint8)}, "photographs of several sizes"),
        ({"val_images": np.zeros((0, 28, 28, 3), np.uint8), "val_labels": np.zeros((0, 1), int)}, r"uint8 \[0, 28"),
        ({"train_images": np.array([None, "x"], object)}, "not a whole .npz file .*allow_pickle=False"),
    ],
)
def test_files_of_another_form(tmp_path: Path, changed: dict[str, np.ndarray | None], why: str) -> None:
    with pytest.raises(BadData, match=why):
        retinamnist.records(write(tmp_path, **changed), verify=False)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    whole = write(tmp_path).read_bytes()
    for content, why in ((whole[:5000], "not a whole"), (b"<html>", "not a whole"), (b"", "not a whole")):
        (tmp_path / "retinamnist.npz").write_bytes(content)
        with pytest.raises(BadData, match=why):
            retinamnist.records(tmp_path, verify=False)
    with (tmp_path / "retinamnist.npz").open("wb") as out:
        np.save(out, np.zeros(3))
    with pytest.raises(BadData, match="one array and not"):
        retinamnist.records(tmp_path, verify=False)


def test_folders_without_the_file_or_with_several(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no retinamnist"):
        retinamnist.records(tmp_path)
    (tmp_path / "train_images.npy").touch()
    with pytest.raises(MissingInput, match="an unpacked"):
        retinamnist.records(tmp_path)
    write(tmp_path)
    write(tmp_path, "retinamnist_64.npz")
    with pytest.raises(BadData, match=r"holds retinamnist.npz, retinamnist_64.npz.*give one of the files"):
        retinamnist.records(tmp_path)
    with pytest.raises(MissingInput, match="no such folder"):
        retinamnist.records(tmp_path / "absent.npz")


def test_a_place_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(CannotWrite, match="taken"):
        retinamnist.records(write(tmp_path), verify=False, images=str(tmp_path / "taken"))
