"""DeepDRiD: the published layout in miniature, with its columns, its paths and the photographs that were named anew."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from semiretina.data.sources import SOURCES, deepdrid
from semiretina.errors import BadData, MissingInput
from semiretina.records import Record
from workbooks import write_xlsx

HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact\n"
)
# As published: patient 4 whole, and patient 56, two of whose photographs were named anew.
TRAINING = {
    "4_l1": "0,3,,4,6,6,8",
    "4_l2": "0,3,,4,8,8,6",
    "4_r1": "1,,4,4,8,6,6",
    "4_r2": "1,,4,4,4,8,8",
    "56_l1": "0,1,,1,8,8,0",
    "56_r3": "0,1,,1,10,8,1",
    "56_l3": "1,,0,1,10,10,0",
    "56_r2": "1,,0,1,10,8,0",
}
VALIDATION = {"265_l1": "0,3,,4,4,8,10", "265_r2": "1,,4,4,10,4,0"}
EVALUATION = {"347_l1": 4, "347_r2": 0}
EVALUATION_FOLDER = "Online-Challenge1&2-Evaluation"


def photographs(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        place = folder / "Images" / name.partition("_")[0]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (200, 10 * number, 30)).save(place / f"{name}.jpg")


def write_table(folder: Path, rows: dict[str, str], header: str = HEADER) -> None:
    lines = (
        f"{name.partition('_')[0]},{name},\\{folder.name}\\{name.partition('_')[0]}\\{name}.jpg,{cells}\n"
        for name, cells in rows.items()
    )
    (folder / f"{folder.name}.csv").write_text(header + "".join(lines))


@pytest.fixture
def download(tmp_path: Path) -> Path:
    root = tmp_path / "regular_fundus_images"
    for name, rows in (("training", TRAINING), ("validation", VALIDATION)):
        folder = root / f"regular-fundus-{name}"
        photographs(folder, *rows)
        write_table(folder, rows)
        sources = "".join(f"{n.partition('_')[0]},{n},\\x\\{n}.jpg,Nicheng\n" for n in rows if n != "4_l1")
        text = f"patient_id,image_id,image_path,Source\n{sources}"
        (folder / f"regular-fundus-source-{name}.csv").write_text(text)
    folder = root / EVALUATION_FOLDER
    photographs(folder, *EVALUATION)
    write_xlsx(folder / "Challenge1_labels.xlsx", [("image_id", "DR_Levels"), *EVALUATION.items()])
    quality = [("Overall quality", "Artifact", "Clarity", "Field definition", "image_id")]
    write_xlsx(folder / "Challenge2_labels.xlsx", [*quality, (1, 0, 8, 8, "347_l1"), (0, 4, 6, 8, "347_r2")])
    (folder / "Challenge1_upload.csv").write_text("image_id,DR_Level\n347_l1,\n347_r2,\n")
    (tmp_path / "ultra-widefield_images" / "ultra-widefield-training").mkdir(parents=True)
    return tmp_path


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.path.stem: record for record in records}


def test_the_grade_is_that_of_the_column_that_is_filled(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = deepdrid.records(download)
    assert [(r.path.stem, r.patient, r.eye, r.grade) for r in found] == [
        ("4_l1", "4", "left", 3),
        ("4_l2", "4", "left", 3),
        ("4_r1", "4", "right", 4),
        ("4_r2", "4", "right", 4),
        ("56_l1", "56", "left", 1),
        ("56_r3", "56", "", 1),
        ("56_l3", "56", "", 0),
        ("56_r2", "56", "right", 0),
        ("265_l1", "265", "left", 3),
        ("265_r2", "265", "right", 4),
        ("347_l1", "347", "left", 4),
        ("347_r2", "347", "right", 0),
    ]
    assert {(r.dataset, r.scale) for r in found} == {("deepdrid", "icdr")}
    assert found[0].path == (
        download / "regular_fundus_images" / "regular-fundus-training" / "Images" / "4" / "4_l1.jpg"
    )
    assert [r.site for r in found] == ["", *["nicheng"] * 9, "", ""]
    told = capsys.readouterr().err
    assert "12 photographs, 0 without a grade; grades 0: 3, 1: 2, 3: 3, 4: 4" in told
    assert "2 photographs were named anew: their eye is unknown" in told
    assert "6 photographs of poor quality keep their grade" in told
    assert "'regular-fundus-training.csv' has 8 rows, 1200 are published" in told


def test_a_photograph_named_anew_says_so(download: Path) -> None:
    found = by_name(deepdrid.records(download))
    assert "the name tells the right eye, the grade stands for the left one" in found["56_r3"].provenance
    assert "named anew" not in found["56_r2"].provenance


def test_poor_quality_is_noted_and_good_quality_gradable(download: Path) -> None:
    found = by_name(deepdrid.records(download))
    assert [found[name].quality for name in ("4_l1", "4_r1", "347_l1", "347_r2")] == ["", "gradable", "gradable", ""]
    assert found["4_l1"].provenance == "DeepDRiD, training part; graded though its overall quality is poor"
    assert found["4_r1"].provenance == "DeepDRiD, training part"


def test_official_parts_are_roles(download: Path) -> None:
    found = deepdrid.records(download / "regular_fundus_images", official_split=True)
    assert [record.split for record in found] == [*[""] * 8, "val", "val", "test", "test"]


def test_an_evaluation_part_without_grades_is_unlabelled(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = download / "regular_fundus_images" / EVALUATION_FOLDER
    (folder / "Challenge1_labels.xlsx").unlink()
    found = deepdrid.records(download, official_split=True)[-2:]
    assert [(r.grade, r.scale, r.patient, r.eye, r.quality, r.split, r.provenance) for r in found] == [
        (None, "", "347", "left", "gradable", "", "DeepDRiD, evaluation part"),
        (None, "", "347", "right", "ungradable", "", "DeepDRiD, evaluation part"),
    ]
    told = capsys.readouterr().err
    assert "no 'Challenge1_labels.xlsx', so the photographs of the evaluation part have no grade" in told
    assert "official_split gives no role 'test'" in told
    (folder / "Images" / "347" / "347_l1.jpg").unlink()
    with pytest.raises(MissingInput, match="Evaluation/Images: 1 of 2 images; missing 347_l1"):
        deepdrid.records(download)


def test_labels_as_csv_are_read_too(download: Path) -> None:
    folder = download / "regular_fundus_images" / EVALUATION_FOLDER
    for file in folder.glob("*.xlsx"):
        file.unlink()
    (folder / "Challenge1_labels.csv").write_text("image_id,DR_Levels\n347_r2,2\n347_l1,1\n")
    (folder / "Challenge2_labels.csv").write_text("image_id,Overall quality\n347_r2,1\n")
    found = deepdrid.records(download)[-2:]
    assert [(r.path.stem, r.grade, r.quality) for r in found] == [("347_r2", 2, "gradable"), ("347_l1", 1, "")]


def test_parts_that_are_not_here_are_told(download: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = download / "regular_fundus_images"
    (root / "regular-fundus-validation").rename(download / "elsewhere")
    (root / EVALUATION_FOLDER).rename(download / "elsewhere too")
    assert len(deepdrid.records(download)) == 8
    told = capsys.readouterr().err
    assert "the validation part (400 photographs) is not here" in told
    assert "the evaluation part (400 photographs) is not here" in told


def test_what_is_missing_is_named(download: Path) -> None:
    (download / "regular_fundus_images/regular-fundus-training/Images/4/4_r1.jpg").unlink()
    (download / "regular_fundus_images/regular-fundus-validation/Images/265/265_l1.jpg").unlink()
    with pytest.raises(MissingInput) as caught:
        deepdrid.records(download)
    assert "regular-fundus-training/Images: 7 of 8 images; missing 4_r1" in str(caught.value)
    assert "regular-fundus-validation/Images: 1 of 2 images; missing 265_l1" in str(caught.value)


def test_all_that_is_wrong_is_named_at_once(download: Path) -> None:
    root = download / "regular_fundus_images"
    folder = root / "regular-fundus-training"
    wrong = {
        "4_l1": "0,5,,4,6,6,8",
        "4_l2": "2,3,,4,8,8,6",
        "4_r1": "1,4,4,4,8,6,6",
        "4_r2": "1,,,4,4,8,8",
    }
    write_table(folder, TRAINING | wrong)
    with (folder / "regular-fundus-training.csv").open("a") as table:
        table.write("56,56_r2,,1,,0,1,10,8,0\n7,56_x1,,1,,0,1,10,8,0\n")
    photographs(root / "regular-fundus-validation", "265_l9")
    write_xlsx(root / EVALUATION_FOLDER / "Challenge1_labels.xlsx", [("image_id", "DR_Levels"), ("347_l1", 7)])
    with pytest.raises(BadData) as caught:
        deepdrid.records(download)
    told = str(caught.value)
    for defect in (
        "regular-fundus-training.csv, row 2, column left_eye_DR_Level: '5' is not a whole number from 0 to 4",
        "row 3, column Overall quality: '2' is not a whole number from 0 to 1",
        "row 4, columns left_eye_DR_Level and right_eye_DR_Level: both filled, one has the grade",
        "row 5, columns left_eye_DR_Level and right_eye_DR_Level: neither filled",
        "row 10, column image_id: 56_r2 stands in row 9 too",
        "row 11, column patient_id: '7' is not the patient of 56_x1",
        "regular-fundus-validation/Images: 265_l9.jpg has no row in 'regular-fundus-validation.csv'",
        "Challenge1_labels.xlsx, row 2, column DR_Levels: '7' is not",
    ):
        assert defect in told, defect
    assert "8 defects" in told
    assert "missing 56_x1" in told


def test_a_strange_name_is_told(download: Path) -> None:
    folder = download / "regular_fundus_images/regular-fundus-training"
    photographs(folder, "4_x1")
    write_table(folder, TRAINING | {"4_x1": "1,,4,4,8,6,6"})
    with pytest.raises(BadData, match=r"training/Images: 4_x1\.jpg is not named like 1_l1\.jpg"):
        deepdrid.records(download)


def test_a_wrong_header_is_told(download: Path) -> None:
    folder = download / "regular_fundus_images/regular-fundus-training"
    write_table(folder, TRAINING, HEADER.replace("Overall quality", "quality"))
    with pytest.raises(BadData, match=r"training\.csv: no column Overall quality among patient_id, image_id"):
        deepdrid.records(download)


def test_a_file_that_is_no_workbook_is_told(download: Path) -> None:
    file = download / "regular_fundus_images" / EVALUATION_FOLDER / "Challenge1_labels.xlsx"
    file.write_text("<html><body>404</body></html>")
    with pytest.raises(BadData, match=r"Challenge1_labels\.xlsx: a web page and not a table"):
        deepdrid.records(download)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<document/>")
    with pytest.raises(BadData, match="not a workbook that can be read"):
        deepdrid.records(download)
    write_xlsx(file, [("image_id", "DR_Levels")])
    with pytest.raises(BadData, match="no row under a header"):
        deepdrid.records(download)


def test_wrong_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="none of the folders 'regular-fundus-training/Images', "):
        deepdrid.records(tmp_path)
    (tmp_path / "DeepDRiD-master.zip").write_bytes(b"PK")
    with pytest.raises(MissingInput, match=r"holds archives .* and not the folder regular_fundus_images; unpack"):
        deepdrid.records(tmp_path)


def test_the_facts_add_up() -> None:
    source = SOURCES["deepdrid"]
    assert sum(source.counts.values()) == 2000
    assert sum(source.grades.values()) == 1200 + 400
