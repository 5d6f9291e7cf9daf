"""Messidor-2: its photographs, pairing file and adjudicated grades in miniature, under both headers."""

from pathlib import Path

import pytest

from semiretina.data.sources.messidor import messidor2
from semiretina.errors import BadData, MissingInput
from semiretina.records import Record
from semiretina.tasks import make_tasks
from splits import make_split

PNG = ("20051020_43808_0100_PP", "20051020_43832_0100_PP", "20060411_57951_0200_PP", "20051202_37578_0400_PP")
JPG = ("IM000516", "IM000517")
ADJUDICATED = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"
COPIED = "id_code,diagnosis,adjudicated_dme,adjudicated_gradable"
ROWS = (
    *("20051020_43808_0100_PP.png,0,0,1", "20051020_43832_0100_PP.png,2,1,1", "20060411_57951_0200_PP.png,4,1,1"),
    *("20051202_37578_0400_PP.png,,,0", "IM000516.jpg,1,0,1", "IM000517.jpg,3,0,1"),
)
PAIRS = ("20051020_43808_0100_PP.png;20051020_43832_0100_PP.png", "IM000516.JPG;IM000517.JPG")


def write_labels(file: Path, *rows: str, header: str = ADJUDICATED) -> None:
    file.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    root = tmp_path / "messidor-2"
    (root / "IMAGES").mkdir(parents=True)
    for name in [f"{name}.png" for name in PNG] + [f"{name}.JPG" for name in JPG]:
        (root / "IMAGES" / name).write_bytes(name.encode())
    write_labels(root / "messidor_data.csv", *ROWS)
    (root / "messidor-2.csv").write_bytes("\r\n".join(["left;right", *PAIRS, ""]).encode())
    return root


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.path.stem: record for record in records}


def test_grades_edema_quality_patients_and_hospitals_are_read(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = by_name(messidor2.records(small))
    assert {name: (r.grade, r.dme, r.quality) for name, r in found.items()} == {
        "20051020_43808_0100_PP": (0, 0, "gradable"),
        "20051020_43832_0100_PP": (2, 2, "gradable"),  # referable: exudates within a disc diameter of the centre
        "20060411_57951_0200_PP": (4, 2, "gradable"),
        "20051202_37578_0400_PP": (None, None, "ungradable"),
        "IM000516": (1, 0, "gradable"),
        "IM000517": (3, 0, "gradable"),
    }
    assert [found[name].site for name in (*PNG, *JPG)] == ["lariboisiere"] * 2 + ["st-etienne"] + ["brest"] * 3
    assert {record.scale for record in found.values() if record.grade is not None} == {"icdr"}
    assert found["20051202_37578_0400_PP"].scale == ""
    assert [(found[n].patient, found[n].eye) for n in JPG] == [("IM000516", "left"), ("IM000516", "right")]
    assert found["20060411_57951_0200_PP"].patient == ""
    told = capsys.readouterr().err
    assert "messidor2: 6 photographs here, 1748 are published" in told
    assert "messidor-2.csv knows 4 of 6 photographs: 2 examinations of both eyes" in told
    assert "grades 0: 1, 1: 1, 2: 1, 3: 1, 4: 1; 1 ungradable" in told


def test_two_names_of_one_picture_share_an_exam(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = ("20051202_54744_0400_PP", "20051202_55582_0400_PP")
    for name in (*pair, "20051202_40508_0400_PP"):
        (small / "IMAGES" / f"{name}.png").write_bytes(b"")
    exams = {name: record.exam for name, record in by_name(messidor2.records(small)).items() if record.exam}
    assert set(exams) == set(pair)
    assert len(set(exams.values())) == 1
    assert "one picture by Messidor's errata, never separated by a split: 20051202_54744" in capsys.readouterr().err


def test_an_ungradable_photograph_is_never_used(small: Path) -> None:
    records = messidor2.records(small)
    tasks = make_tasks(["dr", "severity", "dme"], records)
    split = make_split(records, [""] * len(records), tasks, seed=0)
    assert [role for role, r in zip(split.roles, records, strict=True) if r.quality == "ungradable"] == ["unused"]
    assert len(tasks["severity"].outputs) == 5


def test_copies_with_the_columns_of_aptos_are_read(small: Path) -> None:
    expected = messidor2.records(small)
    write_labels(small / "messidor_data.csv", *(row.replace("JPG", "jpg") for row in ROWS), header=COPIED)
    assert messidor2.records(small) == expected
    # As pandas writes columns that have empty cells.
    rows = ["20051202_37578_0400_PP,,,0.0" if ",,," in row else f"{row[:-6]},{row[-5]}.0,{row[-3]}.0,1" for row in ROWS]
    write_labels(small / "messidor_data.csv", *rows)
    assert messidor2.records(small) == expected


def test_a_flat_folder_and_files_named_by_options_are_read(small: Path) -> None:
    expected = messidor2.records(small)
    (small / "messidor_data.csv").rename(small.parent / "grades.csv")
    (small / "messidor-2.csv").rename(small.parent / "pairs.csv")
    options = {"labels": str(small.parent / "grades.csv"), "pairs": str(small.parent / "pairs.csv")}
    assert messidor2.records(small / "IMAGES", **options) == expected


def test_photographs_without_a_row_have_no_grade_and_are_named(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_labels(small / "messidor_data.csv", *(row for row in ROWS if ",,," not in row))
    found = by_name(messidor2.records(small))
    bare = found["20051202_37578_0400_PP"]
    assert (bare.grade, bare.scale, bare.quality) == (None, "", "")
    told = capsys.readouterr().err
    assert "1 photographs have no row in messidor_data.csv and no grade: 20051202_37578_0400_PP.png" in told


def test_without_files_of_grades_and_pairs_it_says_what_is_lost(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "messidor_data.csv").unlink()
    (small / "messidor-2.csv").unlink()
    assert all(r.grade is None and not r.quality and not r.patient for r in messidor2.records(small))
    told = capsys.readouterr().err
    assert "no grades: 'messidor_data.csv' is not in" in told
    assert "fellow eyes (874 pairs in the whole set) may be separated by a split" in told


def test_graded_photographs_that_are_absent_are_named(small: Path) -> None:
    (small / "IMAGES" / "IM000517.JPG").unlink()
    with pytest.raises(MissingInput, match=r"5 of 6 graded photographs; missing IM000517\.jpg\. Complete"):
        messidor2.records(small)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("IM000516.JPG,5,0,1", "row 8, column adjudicated_dr_grade: '5' is not a whole number from 0 to 4"),
        ("IM000518.JPG,,0,1", "row 8, column adjudicated_dr_grade: '' is not"),
        ("IM000518.JPG,1,2,1", "row 8, column adjudicated_dme: '2' is not a whole number from 0 to 1"),
        ("IM000518.JPG,1,0,", "row 8, column adjudicated_gradable: '' is not"),
        ("im000516.png,1,0,1", "row 8, column image_id: im000516.png stands in row 6 too"),
        (",1,0,1", "row 8, column image_id: empty"),
    ],
)
def test_wrong_cells_are_named(small: Path, row: str, message: str) -> None:
    write_labels(small / "messidor_data.csv", *ROWS, row)
    with pytest.raises(BadData, match=message):
        messidor2.records(small)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image_id,grade,adjudicated_dme,adjudicated_gradable", "no column adjudicated_dr_grade or diagnosis among"),
        ("image_id,adjudicated_dr_grade,diagnosis,adjudicated_gradable", "more than one column adjudicated_dr_grade"),
    ],
)
def test_wrong_headers_are_told(small: Path, header: str, message: str) -> None:
    write_labels(small / "messidor_data.csv", *ROWS, header=header)
    with pytest.raises(BadData, match=message):
        messidor2.records(small)


def test_folders_without_photographs_or_with_two_of_one_are_told(small: Path, tmp_path: Path) -> None:
    (small / "IMAGES" / "IM000516.png").write_bytes(b"")
    with pytest.raises(BadData, match=r"IM000516\.JPG and IM000516\.png are one photograph twice"):
        messidor2.records(small)
    packed = tmp_path / "packed"
    packed.mkdir()
    for part in ("IMAGES.zip.001", "IMAGES.zip.002"):
        (packed / part).write_bytes(b"PK")
    write_labels(packed / "messidor_data.csv", *ROWS)
    with pytest.raises(MissingInput, match=r"no photograph in it or its subfolders; unpack IMAGES\.zip\.001"):
        messidor2.records(packed)


def test_the_facts_add_up() -> None:
    assert sum(messidor2.SOURCE.counts.values()) == 1748
    assert sum(messidor2.SOURCE.grades.values()) == messidor2.SOURCE.counts["graded"] == 1744
