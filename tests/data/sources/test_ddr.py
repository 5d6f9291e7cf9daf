"""DDR: the published layout of its graded part in miniature."""

from pathlib import Path

import pytest
from PIL import Image

from semiretina.data.sources import SOURCES, ddr
from semiretina.errors import BadData, MissingInput
from semiretina.tasks import make_tasks
from splits import make_split

PARTS = {
    "train": {"007-0004-000": 0, "007-0007-001": 5, "20170323093305605": 4},
    "valid": {"007-0005-000": 2, "007-0005-001": 1},
    "test": {"007-0006-000": 3, "20170413101146203": 0},
}


def photographs(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (200, 10 * number, 30)).save(folder / f"{name}.jpg")


@pytest.fixture
def download(tmp_path: Path) -> Path:
    folder = tmp_path / "DR_grading"
    for part, grades in PARTS.items():
        photographs(folder / part, *grades)
        (folder / f"{part}.txt").write_text("".join(f"{name}.jpg {grade}\n" for name, grade in grades.items()))
    (tmp_path / "lesion_segmentation" / "train").mkdir(parents=True)
    return tmp_path


def test_grades_and_ungradable_photographs(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ddr.records(download)
    assert [(r.path.name, r.grade, r.scale, r.quality) for r in found] == [
        ("007-0004-000.jpg", 0, "icdr", "gradable"),
        ("007-0007-001.jpg", None, "", "ungradable"),
        ("20170323093305605.jpg", 4, "icdr", "gradable"),
        ("007-0005-000.jpg", 2, "icdr", "gradable"),
        ("007-0005-001.jpg", 1, "icdr", "gradable"),
        ("007-0006-000.jpg", 3, "icdr", "gradable"),
        ("20170413101146203.jpg", 0, "icdr", "gradable"),
    ]
    assert {(r.dataset, r.patient, r.split) for r in found} == {("ddr", "", "")}
    assert [r.provenance for r in found[::3]] == [f"DDR grading, {part} part" for part in PARTS]
    told = capsys.readouterr().err
    assert "7 photographs, 1 without a grade (1 ungradable); grades 0: 2, 1: 1, 2: 1, 3: 1, 4: 1" in told
    assert "patients are unknown (the whole set has 13673 photographs of 9598)" in told


def test_the_graded_parts_own_folder_may_be_given(download: Path) -> None:
    assert ddr.records(download / "DR_grading") == ddr.records(download)


def test_official_parts_are_roles_and_ungradable_ones_unused(download: Path) -> None:
    found = ddr.records(download, official_split=True)
    assert [record.split for record in found] == ["", "", "", "val", "val", "test", "test"]
    split = make_split(found, [str(i) for i in range(7)], make_tasks(["dr"], found), seed=0)
    assert split.roles == ["train", "unused", "train", "val", "val", "test", "test"]


def test_windows_line_ends_tabs_and_folders_in_names(download: Path) -> None:
    lines = "train\\007-0004-000.jpg\t0\r\n\r\ntrain/007-0007-001.jpg  5\r\n20170323093305605 4\r\n"
    (download / "DR_grading" / "train.txt").write_bytes(lines.encode())
    assert [r.grade for r in ddr.records(download)][:3] == [0, None, 4]


def test_parts_may_be_absent_or_unlabelled(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = download / "DR_grading"
    for file in (*(folder / "valid").iterdir(), folder / "valid.txt", folder / "test.txt"):
        file.unlink()
    (folder / "valid").rmdir()
    found = ddr.records(download, official_split=True)
    assert [(r.grade, r.quality, r.split) for r in found] == [
        (0, "gradable", ""),
        (None, "ungradable", ""),
        (4, "gradable", ""),
        (None, "", ""),
        (None, "", ""),
    ]
    told = capsys.readouterr().err
    assert "the valid part (2733 photographs) is not here" in told
    assert "test: no 'test.txt', so its photographs have no labels; 2 are here, 4105 are published" in told


def test_what_is_missing_is_named(download: Path) -> None:
    (download / "DR_grading" / "train" / "007-0004-000.jpg").unlink()
    with pytest.raises(MissingInput, match="train: 2 of 3 images; missing 007-0004-000"):
        ddr.records(download)


def test_all_that_is_wrong_is_named_at_once(download: Path) -> None:
    (download / "DR_grading" / "train.txt").write_text(
        "007-0004-000.jpg 6\n007-0007-001.jpg\n20170323093305605.jpg 4\n20170323093305605.jpg 1\na b.jpg 1\n"
    )
    photographs(download / "DR_grading" / "valid", "extra")
    with pytest.raises(BadData) as caught:
        ddr.records(download)
    told = str(caught.value)
    assert "5 defects" in told
    for defect in (
        "train.txt, row 1, column 2 (grade): '6' is not a whole number from 0 to 5",
        "train.txt, row 2: '007-0007-001.jpg' is not a name and a grade",
        "train.txt, row 4, column 1 (name): 20170323093305605 stands in row 3 too",
        "train.txt, row 5: 'a b.jpg 1' is not a name and a grade",
        "valid: extra.jpg has no row in 'valid.txt'",
    ):
        assert defect in told, defect


def test_an_empty_list_and_wrong_folders_are_told(download: Path, tmp_path: Path) -> None:
    (download / "DR_grading" / "train.txt").write_text("\n \n")
    with pytest.raises(BadData, match=r"train\.txt: no line in it"):
        ddr.records(download)
    with pytest.raises(MissingInput, match="none of the folders 'train', 'valid', 'test' is here"):
        ddr.records(tmp_path / "lesion_segmentation" / "train")
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips" / "DDR-dataset.zip.001").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"holds archives \(DDR-dataset\.zip\.001\) and not the folder DR_grading"):
        ddr.records(tmp_path / "zips")


def test_the_facts_add_up() -> None:
    source = SOURCES["ddr"]
    assert [part.photographs for part in ddr.PARTS] == [6835, 2733, 4105]
    assert sum(part.photographs for part in ddr.PARTS) == 13673
    assert sum(source.grades.values()) + source.counts["of these ungradable"] == 13673
