"""APTOS 2019: Kaggle's layout in miniature."""

from pathlib import Path

import pytest
from PIL import Image

from semiretina.data.sources import SOURCES, aptos
from semiretina.errors import BadData, MissingInput

TRAIN = {"000c1434d8d7": 2, "001639a390f0": 4, "0024cdab0c1e": 1}
TEST = ("0005cfc8afb6", "003f0afdcd15")


def photographs(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (200, 10 * number, 30)).save(folder / f"{name}.png")


@pytest.fixture
def download(tmp_path: Path) -> Path:
    photographs(tmp_path / "train_images", *TRAIN)
    photographs(tmp_path / "test_images", *TEST)
    rows = "".join(f"{name},{grade}\n" for name, grade in TRAIN.items())
    (tmp_path / "train.csv").write_text("id_code,diagnosis\n" + rows)
    (tmp_path / "test.csv").write_text("id_code\n" + "".join(f"{name}\n" for name in TEST))
    (tmp_path / "sample_submission.csv").write_text("id_code,diagnosis\n" + "".join(f"{name},0\n" for name in TEST))
    return tmp_path


def test_graded_and_unlabelled_photographs(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = aptos.records(download)
    assert [(r.path.name, r.grade, r.scale) for r in found] == [
        ("000c1434d8d7.png", 2, "icdr"),
        ("001639a390f0.png", 4, "icdr"),
        ("0024cdab0c1e.png", 1, "icdr"),
        ("0005cfc8afb6.png", None, ""),
        ("003f0afdcd15.png", None, ""),
    ]
    assert {(r.dataset, r.patient, r.eye, r.split) for r in found} == {("aptos", "", "", "")}
    told = capsys.readouterr().err
    assert "5 photographs, 2 without a grade; grades 1: 1, 2: 1, 4: 1" in told
    assert "patients are unknown; a split may separate the two eyes of one" in told


def test_the_train_part_alone(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (*(download / "test_images").iterdir(), download / "test.csv"):
        file.unlink()
    (download / "test_images").rmdir()
    assert len(aptos.records(download)) == 3
    assert "the test part (1928 photographs) is not here" in capsys.readouterr().err


def test_photographs_without_a_table_are_unlabelled(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (download / "test.csv").unlink()
    assert [r.path.stem for r in aptos.records(download)][3:] == list(TEST)
    assert "test: no 'test.csv'" in capsys.readouterr().err


def test_what_is_missing_is_named_in_both_parts(download: Path) -> None:
    (download / "train_images" / "0024cdab0c1e.png").unlink()
    (download / "test_images" / "003f0afdcd15.png").unlink()
    with pytest.raises(MissingInput) as caught:
        aptos.records(download)
    assert (
        "train_images: 2 of 3 images; missing 0024cdab0c1e; test_images: 1 of 2 images; missing 003f0afdcd15."
        in str(caught.value)
    )


def test_all_that_is_wrong_is_named_at_once(download: Path) -> None:
    (download / "train.csv").write_text("id_code,diagnosis\n000c1434d8d7,9\n001639a390f0,1\n001639a390f0,2\n")
    (download / "test.csv").write_text("id_code\n0005cfc8afb6\n0005cfc8afb6\n")
    with pytest.raises(BadData) as caught:
        aptos.records(download)
    told = str(caught.value)
    assert "3 defects" in told
    assert "train.csv, row 2, column diagnosis: '9' is not a whole number from 0 to 4" in told
    assert "train.csv, row 4, column id_code: 001639a390f0 stands in row 3 too" in told
    assert "test.csv, row 3, column id_code: 0005cfc8afb6 stands in row 2 too" in told


def test_a_photograph_without_a_row_is_told(download: Path) -> None:
    photographs(download / "test_images", "ffff")
    with pytest.raises(BadData, match=r"test_images: ffff\.png has no row in 'test\.csv'"):
        aptos.records(download)


def test_a_wrong_header_is_told(download: Path) -> None:
    (download / "train.csv").write_text("id_code,level\n000c1434d8d7,1\n")
    with pytest.raises(BadData, match=r"train\.csv: no column diagnosis among id_code, level"):
        aptos.records(download)


def test_archives_are_told(download: Path) -> None:
    for file in (download / "train_images").iterdir():
        file.unlink()
    (download / "train_images").rmdir()
    (download / "train_images.zip").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"train_images: 'train_images\.zip' is not unpacked"):
        aptos.records(download)


def test_the_facts_add_up() -> None:
    source = SOURCES["aptos"]
    assert sum(source.grades.values()) == source.counts["graded (train part)"] == 3662
    assert source.counts["unlabelled (test part)"] == 1928
