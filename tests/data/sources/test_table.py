"""Anybody's own photographs: tables as people have them, and folders per class."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from semiretina.data.sources import SOURCES, table
from semiretina.errors import BadConfig, BadData, MissingInput
from semiretina.lookup import arguments
from semiretina.overrides import parse_overrides
from semiretina.records import Record, read_manifest, write_manifest


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def grades(records: list[Record]) -> dict[str, int | None]:
    return {record.path.name: record.grade for record in records}


def test_a_kaggle_sheet_is_read_by_its_usual_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "10_left.jpeg", "10_right.JPEG", "13_left.png")
    found = table.records(write(tmp_path, "image,level\n10_left,0\n10_right,4\n13_left,\n"), scale="icdr")
    assert [(r.path.name, r.grade, r.scale) for r in found] == [
        ("10_left.jpeg", 0, "icdr"),
        ("10_right.JPEG", 4, "icdr"),
        ("13_left.png", None, ""),
    ]
    assert {r.dataset for r in found} == {"labels"}
    assert "3 photographs, 1 without a grade; grades 0: 1, 4: 1" in capsys.readouterr().err


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_marks_and_line_ends(tmp_path: Path, separator: str, mark: str) -> None:
    touch(tmp_path, "a,b.png", "c.png")
    rows = [["id_code", "diagnosis", "Patient_ID"], ['"a,b"', " 2 ", "007"], ["c.png", "0", "NA"], ["", "", ""]]
    text = mark + "\r\n".join(separator.join(row) for row in rows) + "\r\n"
    found = table.records(write(tmp_path, text), scale="icdr")
    assert [(r.path.name, r.grade, r.patient) for r in found] == [("a,b.png", 2, "007"), ("c.png", 0, "NA")]


def test_columns_named_by_options_and_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "x.tif")
    sheet = write(tmp_path, "where,how bad,DME,quality,OD/OS,who\nx.tif,3,2,fair,OS,5\n")
    (record,) = table.records(
        sheet,
        scale="icdr",
        images=str(tmp_path / "photos"),
        dataset="ours",
        columns={"path": "where", "grade": "how bad", "quality": "-", "eye": "OD/OS", "patient": "who"},
    )
    assert record == Record(
        path=tmp_path / "photos" / "x.tif", dataset="ours", scale="icdr", grade=3, dme=2, eye="left", patient="5"
    )


def test_every_known_column_arrives(tmp_path: Path) -> None:
    touch(tmp_path, "p/x.png")
    text = "image_path,hospital,device,subject,visit,laterality,split,grade,dme,quality,MA,HE,EX,SE\n"
    text += "p\\x.png,north,cam,7,first,R,test,1,0,gradable,1,0,,0\n"
    (record,) = table.records(write(tmp_path, text), scale="messidor")
    assert record == Record(
        path=tmp_path / "p" / "x.png",
        dataset="labels",
        site="north",
        camera="cam",
        patient="7",
        exam="first",
        eye="right",
        split="test",
        scale="messidor",
        grade=1,
        dme=0,
        quality="gradable",
        MA=1,
        HE=0,
        SE=0,
    )


def test_a_manifest_is_made_from_a_relative_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "in", "x.png")
    write(tmp_path / "in", "file,grade\nx,1\n")
    monkeypatch.chdir(tmp_path)
    found = table.records(Path("in/labels.csv"), scale="binary")
    write_manifest(found, tmp_path / "out" / "manifest.csv")
    assert read_manifest(tmp_path / "out" / "manifest.csv") == found
    assert found[0].path == tmp_path / "in" / "x.png"


def test_every_wrong_cell_is_named_in_the_tables_own_words(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.png" for n in range(7)))
    text = "image,level,eye\n0,NA,left\n1,unknown,\n2,7,\n3,1.0,\n4,2,middle\n,1,\n5,4,\n5.png,4,\n"
    with pytest.raises(BadData) as caught:
        table.records(write(tmp_path, text), scale="messidor")
    told = str(caught.value)
    for part in (
        "9 defects",
        "row 2, column level: 'NA' is not a whole number",
        "row 3, column level: 'unknown'",
        "row 4, column level: '7'",
        "row 5, column level: '1.0'",
        "row 6, column eye: 'middle' is none of left, right",
        "row 7, column image: empty",
        "row 8, column level: 4 is not on the scale 'messidor', which runs from 0 to 3",
        "row 9, column image: '5.png' stands in row 8 too",
        "an empty one means unknown",
    ):
        assert part in told


def test_missing_photographs_are_all_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    sheet = write(tmp_path, "image,grade\na,0\nb,0\nsub/c.jpg,1\n")
    with pytest.raises(
        MissingInput, match=r"2 defects: no photograph for row 3: b; no photograph for row 4: sub/c\.jpg"
    ):
        table.records(sheet, scale="icdr")


def test_a_name_that_may_be_two_files_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png")
    with pytest.raises(BadData, match=r"row 2, column image: 'a' may be a\.jpg or a\.png"):
        table.records(write(tmp_path, "image\na\n"))


def test_grades_need_a_scale(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(BadConfig, match=r"add -o scale=\.\.\. with one of icdr, messidor, binary"):
        table.records(write(tmp_path, "image,grade\na,0\n"))
    with pytest.raises(BadConfig, match=r"table\.scale: 'ICDRS' is none of icdr, messidor, binary"):
        table.records(write(tmp_path, "image,grade\na,0\n"), scale="ICDRS")
    assert table.records(write(tmp_path, "image,grade\na,\n"))[0].grade is None


def test_classes_map_names_to_grades(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    sheet = write(tmp_path, "image,label\na,healthy\nb,dr\n")
    assert grades(table.records(sheet, scale="binary", classes="healthy=0,dr=1")) == {"a.jpg": 0, "b.jpg": 1}
    with pytest.raises(BadConfig, match=r"table\.classes: 'dr' is not of the form name=grade"):
        table.records(sheet, scale="binary", classes="healthy=0, dr")


@pytest.mark.parametrize(
    ("text", "options", "error", "told"),
    [
        ("", {}, BadData, "the file is empty"),
        ("path,patient\na,7\x1b\n", {}, BadData, "row 2, column patient: .* holds a control character"),
        ("image,grade\n", {}, BadData, "no row under a header"),
        (
            "photo id,grade\na,0\n",
            {},
            BadData,
            r"which of the columns photo id, grade names the photographs\? Add -o columns.path=",
        ),
        (
            "image,file\na,a\n",
            {},
            BadData,
            "may be the path; choose: -o columns.path=COLUMN",
        ),
        (
            "image,level\na,0\n",
            {"columns": {"grades": "a"}},
            BadConfig,
            "unknown 'grades'; the columns are path",
        ),
        ("image,image\na,a\n", {}, BadData, "columns image and image may be the path"),
        (
            "image,who,who\na,1,1\n",
            {"columns": {"patient": "who"}},
            BadData,
            "the column who stands there more than once",
        ),
        ("image,grade\na,0\na\n", {}, BadData, "row 3: 1 cell under 2 columns"),
        (
            "image,level\na,0\n",
            {"columns": {"grade": "levle"}},
            BadConfig,
            r"table\.columns\.grade: no column 'levle' in .*; did you mean 'level'",
        ),
        ("image\na\n", {"images": "nowhere"}, MissingInput, r"nowhere: no such folder"),
        ('image,note\na,"' + "x" * 140_000 + "\n", {}, BadData, "row 2: .*look for a quote without its partner"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(
    tmp_path: Path, text: str, options: dict[str, str], error: type[Exception], told: str
) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(error, match=told):
        table.records(write(tmp_path, text), **{"scale": "icdr", **options})


def test_the_column_of_the_manifests_own_name_counts_first(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    assert table.records(write(tmp_path, "image,path\n1,a.jpg\n"))[0].path.name == "a.jpg"


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no such file or folder"):
        table.records(tmp_path / "none.csv")


def test_folders_named_by_grades(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "0/b.JPG",
        "0/a.png",
        "4/deep/c.tiff",
        "Unlabelled/d.bmp",
        "e.jpeg.txt",
        "0/.hidden.png",
        "empty/x.txt",
    )
    shown = tmp_path / "Unlabelled"
    found = table.records(tmp_path, scale="icdr", dataset="mine")
    assert found == [
        Record(path=tmp_path / "0" / "a.png", dataset="mine", scale="icdr", grade=0),
        Record(path=tmp_path / "0" / "b.JPG", dataset="mine", scale="icdr", grade=0),
        Record(path=tmp_path / "4" / "deep" / "c.tiff", dataset="mine", scale="icdr", grade=4),
        Record(path=shown / "d.bmp", dataset="mine"),
    ]


def test_folders_named_by_classes(tmp_path: Path) -> None:
    touch(tmp_path, "healthy/a.png", "dr/b.png", "unlabeled/c.png", "d.png")
    (tmp_path / "d.png").unlink()
    found = table.records(tmp_path, scale="binary", classes="healthy=0,dr=1")
    assert grades(found) == {"b.png": 1, "a.png": 0, "c.png": None}


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.jpg", "unlabeled/c.tif")
    assert [(r.path.name, r.grade) for r in table.records(tmp_path)] == [
        ("a.jpg", None),
        ("b.png", None),
        ("c.tif", None),
    ]


@pytest.mark.parametrize(
    ("names", "options", "error", "told"),
    [
        (
            ["0/a.png", "5/b.png", "bad/c.png"],
            {},
            BadData,
            "2 defects: folder '5'; folder 'bad'. What to do: name folders by",
        ),
        (["0/a.png"], {"scale": ""}, BadConfig, "there are grades, but not on which scale"),
        (["0/a.png", "b.png"], {}, BadData, "1 photographs lie beside the folder '0'"),
        (["notes.txt"], {}, MissingInput, "no photograph in it; their names end in"),
        (["0/a.png"], {"columns": {"grade": "level"}}, BadConfig, "columns: no use for a folder"),
    ],
)
def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, names: list[str], options: dict[str, str], error: type[Exception], told: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(error, match=told):
        table.records(tmp_path, **{"scale": "icdr", **options})


def test_options_as_the_command_line_gives_them(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    sheet = write(tmp_path, "name,level\na,2\n")
    given = parse_overrides(["scale=icdr", "columns.grade=level", "columns.path=name"])
    checked = arguments(SOURCES["table"].read, given, "table", skip=("root",))
    assert SOURCES["table"].read(sheet, **checked)[0].grade == 2
    with pytest.raises(BadConfig, match="did you mean 'scale'"):
        arguments(SOURCES["table"].read, {"scales": "icdr"}, "table", skip=("root",))


# Control characters are refused here as in a manifest.
cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


@given(patient=cells, site=cells, grade=st.integers(0, 4))
def test_any_text_arrives_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, patient: str, site: str, grade: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    touch(folder, "a.jpg")

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    sheet = write(folder, f"path,patient,site,grade\na.jpg,{quoted(patient)},{quoted(site)},{grade}\n")
    (record,) = table.records(sheet, scale="icdr")
    assert (record.patient, record.site, record.grade) == (patient.strip(), site.strip(), grade)
