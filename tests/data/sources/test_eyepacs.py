"""EyePACS: Kaggle's layout in miniature."""

from pathlib import Path

import pytest
from PIL import Image

from semiretina.data.sources import SOURCES, eyepacs, import_source
from semiretina.data.sources.download import photograph_name
from semiretina.errors import BadData, MissingInput
from semiretina.records import Record, read_manifest
from semiretina.tasks import make_tasks
from splits import make_split

TRAIN = {"10_left": 0, "10_right": 0, "13_left": 2, "13_right": 4}
TEST = {"1_left": 1, "1_right": 3}


def photographs(folder: Path, *names: str, suffix: str = ".jpeg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (200, 10 * number, 30)).save(folder / f"{name}{suffix}")


def write_train(root: Path, text: str) -> None:
    (root / "trainLabels.csv").write_text(text)


@pytest.fixture
def download(tmp_path: Path) -> Path:
    photographs(tmp_path / "train", *TRAIN)
    photographs(tmp_path / "test", *TEST)
    write_train(tmp_path, "image,level\n" + "".join(f"{name},{grade}\n" for name, grade in TRAIN.items()))
    rows = "1_left,1,Private\n1_right,3,Public\n"
    (tmp_path / "retinopathy_solution.csv").write_text("image,level,Usage\n" + rows)
    (tmp_path / "sampleSubmission.csv").write_text("image,level\n1_left,0\n1_right,0\n")
    return tmp_path


def known(records: list[Record]) -> list[tuple[str, str, str, int | None, str, str]]:
    return [(r.path.name, r.patient, r.eye, r.grade, r.scale, r.split) for r in records]


def test_both_parts_with_patient_and_eye(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = eyepacs.records(download)
    assert known(found) == [
        ("10_left.jpeg", "10", "left", 0, "icdr", ""),
        ("10_right.jpeg", "10", "right", 0, "icdr", ""),
        ("13_left.jpeg", "13", "left", 2, "icdr", ""),
        ("13_right.jpeg", "13", "right", 4, "icdr", ""),
        ("1_left.jpeg", "1", "left", 1, "icdr", ""),
        ("1_right.jpeg", "1", "right", 3, "icdr", ""),
    ]
    assert found[0].path == download / "train" / "10_left.jpeg"
    assert [r.provenance for r in found[3:5]] == ["EyePACS, train part", "EyePACS, test part"]
    assert {r.dataset for r in found} == {"eyepacs"}
    told = capsys.readouterr().err
    assert "6 photographs, 0 without a grade; grades 0: 2, 1: 1, 2: 1, 3: 1, 4: 1" in told
    assert "'trainLabels.csv' has 4 rows, 35126 are published" in told
    assert "'retinopathy_solution.csv' has 2 rows, 53576 are published" in told


def test_the_official_test_part_is_tested_and_never_trained_on(download: Path) -> None:
    found = eyepacs.records(download, official_split=True)
    assert [record.split for record in found] == ["", "", "", "", "test", "test"]
    split = make_split(found, [str(i) for i in range(6)], make_tasks(["dr"], found), seed=0, val=0.5)
    assert sorted(split.roles) == ["test", "test", "train", "train", "val", "val"]
    assert split.roles[4:] == ["test", "test"]
    assert split.roles[0] == split.roles[1]  # one patient
    assert import_source("eyepacs", download, download / "m.csv", ["official_split=true"]) == 6
    assert [r.split for r in read_manifest(download / "m.csv")][3:] == ["", "test", "test"]


def test_a_part_without_labels_is_unlabelled(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (download / "retinopathy_solution.csv").unlink()
    found = eyepacs.records(download, official_split=True)
    assert known(found)[4:] == [
        ("1_left.jpeg", "1", "left", None, "", ""),
        ("1_right.jpeg", "1", "right", None, "", ""),
    ]
    told = capsys.readouterr().err
    assert "test: no 'retinopathy_solution.csv', so its photographs have no labels; 2 are here, 53576 are publ" in told
    assert "official_split gives no role" in told


def test_one_part_alone_is_read_and_the_other_told(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (*(download / "test").iterdir(), download / "retinopathy_solution.csv"):
        file.unlink()
    (download / "test").rmdir()
    assert len(eyepacs.records(download)) == 4
    assert "the test part (53576 photographs) is not here" in capsys.readouterr().err


def test_names_may_have_folders_and_extensions_and_files_another_format(tmp_path: Path) -> None:
    photographs(tmp_path / "train", "10_left", suffix=".PNG")
    photographs(tmp_path / "train" / "more", "10_right", "11_left")
    (tmp_path / "train" / "._10_left.jpeg").write_bytes(b"a Mac's")
    (tmp_path / "train" / "readme.txt").write_text("hello")
    write_train(tmp_path, "image;level\r\ntrain\\10_left.jpeg;0\r\ntrain/10_right;1\r\n11_left.jpeg;2\r\n")
    assert [(r.path.name, r.grade) for r in eyepacs.records(tmp_path)] == [
        ("10_left.PNG", 0),
        ("10_right.jpeg", 1),
        ("11_left.jpeg", 2),
    ]


def test_a_photographs_name() -> None:
    assert photograph_name(r"a\b/10_left.jpeg") == "10_left"
    assert photograph_name("10_left") == "10_left"
    assert photograph_name("a.b.TIFF") == "a.b"
    assert photograph_name("a.b") == "a.b"


def test_what_is_missing_is_named_over_both_parts(download: Path) -> None:
    (download / "train" / "13_left.jpeg").unlink()
    (download / "train" / "10_right.jpeg").unlink()
    (download / "test" / "1_left.jpeg").unlink()
    with pytest.raises(MissingInput) as caught:
        eyepacs.records(download)
    assert "train: 2 of 4 images; missing 10_right, 13_left; test: 1 of 2 images; missing 1_left." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_named_at_once(download: Path) -> None:
    write_train(download, "image,level\n10_left,5\n10_left,0\n13_left,\n,1\n10_right,-1\n13_right,two\n")
    photographs(download / "test", "7_left", "seven")
    with pytest.raises(BadData) as caught:
        eyepacs.records(download)
    told = str(caught.value)
    assert "8 defects" in told
    for defect in (
        "trainLabels.csv, row 2, column level: '5' is not a whole number from 0 to 4",
        "trainLabels.csv, row 3, column image: 10_left stands in row 2 too",
        "trainLabels.csv, row 4, column level: '' is not a whole",
        "trainLabels.csv, row 5, column image: empty",
        "trainLabels.csv, row 6, column level: '-1' is",
        "trainLabels.csv, row 7, column level: 'two' is",
        "test: 7_left.jpeg has no row in 'retinopathy_solution.csv'",
        "test: seven.jpeg has no row",
    ):
        assert defect in told, defect
    assert "train: " not in told  # its photographs are not blamed for rows that could not be read


def test_missing_photographs_are_told_beside_what_is_wrong(download: Path) -> None:
    (download / "train" / "13_left.jpeg").unlink()
    photographs(download / "test", "7_left")
    with pytest.raises(BadData, match=r"7_left\.jpeg has no row.*more is missing: train: 3 of 4 images; missing 13_l"):
        eyepacs.records(download)


def test_a_photograph_with_a_strange_name_or_twice_is_told(tmp_path: Path) -> None:
    photographs(tmp_path / "train", "10_left", "left_10")
    photographs(tmp_path / "train", "10_left", suffix=".png")
    with pytest.raises(BadData) as caught:
        eyepacs.records(tmp_path)
    assert "train: left_10.jpeg is not named like 10_left.jpeg" in str(caught.value)
    assert "are one photograph twice" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("image,grade\n10_left,0\n", "no column level among image, grade"),
        ("image,level\n", "no row under a header"),
        ("", "the file is empty"),
        ("image,level\n10_left\n", "row 2: 1 cell under 2 columns"),
        ("\n<!DOCTYPE html>\n<title>Sign in</title>\n", "a web page and not a table; sign in"),
        ("<html><body>Sign in</body></html>", "a web page and not a table; sign in"),
    ],
)
def test_a_wrong_table_is_told(download: Path, text: str, why: str) -> None:
    write_train(download, text)
    with pytest.raises(BadData, match=rf"trainLabels\.csv: .*{why}"):
        eyepacs.records(download)


def test_archives_that_are_not_unpacked_are_told(tmp_path: Path) -> None:
    for name in ("train.zip.001", "train.zip.002", "trainLabels.csv.zip"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"holds archives \(train\.zip\.001.*unpack them here"):
        eyepacs.records(tmp_path)
    write_train(tmp_path, "image,level\n10_left,0\n")
    with pytest.raises(MissingInput, match=r"train: 'train\.zip\.001' is not unpacked"):
        eyepacs.records(tmp_path)
    (tmp_path / "trainLabels.csv").unlink()
    photographs(tmp_path / "train", "10_left")
    with pytest.raises(MissingInput, match=r"trainLabels\.csv: 'trainLabels\.csv\.zip' is not unpacked"):
        eyepacs.records(tmp_path)


def test_empty_and_wrong_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such folder; give the one that holds the folders train and test"):
        eyepacs.records(tmp_path / "nowhere")
    with pytest.raises(MissingInput, match="none of the folders 'train', 'test' is here"):
        eyepacs.records(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(MissingInput, match="train: is empty"):
        eyepacs.records(tmp_path)
    (tmp_path / "train" / "train.7z").write_bytes(b"7z")
    with pytest.raises(MissingInput, match=r"train: holds archives \(train\.7z\) and no photographs"):
        eyepacs.records(tmp_path)


def test_labels_without_their_photographs_are_told(tmp_path: Path) -> None:
    write_train(tmp_path, "image,level\n10_left,0\n")
    with pytest.raises(MissingInput, match=r"train: no such folder, though its labels 'trainLabels\.csv' are here"):
        eyepacs.records(tmp_path)


def test_the_facts_add_up() -> None:
    source = SOURCES["eyepacs"]
    assert dict(source.counts) == {"graded (train part)": 35126, "graded (test part)": 53576}
    assert sum(source.grades.values()) == 88702
    # The published counts of the train part are below those of both.
    assert [source.grades[g] - n for g, n in enumerate((25810, 2443, 5292, 873, 708))] == [
        39533,
        3762,
        7861,
        1214,
        1206,
    ]
