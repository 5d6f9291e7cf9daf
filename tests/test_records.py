import csv
import os
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semiretina import records as module
from semiretina.errors import BadData, CannotWrite, MissingInput
from semiretina.files import read_text, write_text
from semiretina.records import (
    COLUMNS,
    LESIONS,
    QUALITIES,
    ROLES,
    SCALES,
    Record,
    parse_row,
    read_manifest,
    summary,
    write_manifest,
)


def manifest(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refusal(folder: Path, text: str | bytes, kind: type[Exception] = BadData) -> str:
    file = manifest(folder, text)
    with pytest.raises(kind) as error:
        read_manifest(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


# Reading


def test_every_column_is_read(tmp_path):
    header = (
        "path,dataset,site,camera,patient,exam,eye,split,scale,grade,dme,quality,MA,HE,EX,SE,provenance,"
        "mask_MA,mask_HE,mask_EX,mask_SE"
    )
    file = manifest(tmp_path, header + "\na.jpg,d,s,c,p,e,left,test,icdr,4,2,gradable,1,0,1,0,why,1.tif,2.tif,3.tif,\n")
    assert read_manifest(file) == [
        Record(
            path=tmp_path / "a.jpg",
            dataset="d",
            site="s",
            camera="c",
            patient="p",
            exam="e",
            eye="left",
            split="test",
            scale="icdr",
            grade=4,
            dme=2,
            quality="gradable",
            MA=1,
            HE=0,
            EX=1,
            SE=0,
            provenance="why",
            mask_MA=tmp_path / "1.tif",
            mask_HE=tmp_path / "2.tif",
            mask_EX=tmp_path / "3.tif",
            mask_SE=None,
        )
    ]


def test_cells_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    file = manifest(tmp_path, "path,patient,exam,site,camera\nNA,007,NA,nan,1e3\nnull,None,0,-,true\n")
    first, second = read_manifest(file)
    assert (first.path.name, first.patient, first.exam, first.site, first.camera) == ("NA", "007", "NA", "nan", "1e3")
    assert (second.path.name, second.patient, second.exam) == ("null", "None", "0")


def test_empty_cells_and_absent_columns_are_unknown(tmp_path):
    file = manifest(tmp_path, "path,grade,scale,MA,patient,mask_MA\na.jpg,,,, ,\n")
    assert read_manifest(file) == [Record(path=tmp_path / "a.jpg")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_and_line_ends(tmp_path, end, mark):
    text = end.join(["path,patient", "a.jpg,1", "", ",", "b.jpg,2"])
    records = read_manifest(manifest(tmp_path, mark + text.encode()))
    assert [(r.path.name, r.patient) for r in records] == [("a.jpg", "1"), ("b.jpg", "2")]


def test_quotes_commas_unicode_and_spaces(tmp_path):
    text = 'path , provenance\n"links, é 眼 .jpg"," said ""no"", twice"\n my photos/a b.jpg ,x\n'
    first, second = read_manifest(manifest(tmp_path, text))
    assert first.path == tmp_path / "links, é 眼 .jpg"
    assert first.provenance == 'said "no", twice'
    assert second.path == tmp_path / "my photos" / "a b.jpg"


def test_relative_paths_start_at_the_manifest_and_not_where_the_program_does(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    manifest(tmp_path / "data", "path,mask_EX\n../photographs/./a.jpg,masks/a.tif\n/elsewhere/b.jpg,\n")
    monkeypatch.chdir(tmp_path)
    first, second = read_manifest(Path("data/m.csv"))
    assert first.path == tmp_path / "photographs" / "a.jpg"
    assert first.mask_EX == tmp_path / "data" / "masks" / "a.tif"
    assert second.path == Path("/elsewhere/b.jpg")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "..", ".", "", "b..c", "...", " d"]), min_size=1, max_size=5).map("/".join))
def test_a_path_is_the_normal_one(text):
    record, wrong = parse_row({"path": text}, Path("/data/x/../set"))
    if text:
        assert (str(record.path), wrong) == (os.path.normpath(os.path.join("/data/set", text)), [])
    else:
        assert (record, wrong) == (None, ["column path: empty"])


def test_unknown_columns_are_ignored(tmp_path):
    text = "path,doctor,sex,age,grade,scale,grades\na.jpg,x,y,z,1,icdr,4\n"
    assert read_manifest(manifest(tmp_path, text)) == [Record(path=tmp_path / "a.jpg", scale="icdr", grade=1)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("grades", "grade"),
        ("Grade", "grade"),
        ("GRADE", "grade"),
        ("DME", "dme"),
        ("ma", "MA"),
        ("patients", "patient"),
        ("patient_id", "patient"),
        ("spilt", "split"),
        ("qualty", "quality"),
        ("mask_ex", "mask_EX"),
        ("data_set", "dataset"),
        ("sites", "site"),
    ],
)
def test_a_misspelt_column_names_the_right_one(tmp_path, wrong, right):
    assert f"unknown column '{wrong}'; did you mean '{right}'?" in refusal(tmp_path, f"path,{wrong}\na.jpg,\n")


def test_a_column_that_may_stand_there_is_no_misspelling(tmp_path):
    file = manifest(tmp_path, "path,grades\na.jpg,9\n")
    assert read_manifest(file, also=("grades",)) == [Record(path=tmp_path / "a.jpg")]


@pytest.mark.parametrize(
    ("header", "row", "problem"),
    [
        ("scale,grade", "ICDR,1", "column scale: 'ICDR' is none of icdr, messidor, binary"),
        ("scale,grade", "icdr,five", "column grade: 'five' is not a whole number from 0 to 4"),
        ("scale,grade", "icdr,1.0", "column grade: '1.0' is not a whole number from 0 to 4"),
        ("scale,grade", "icdr,5", "column grade: '5' is not a whole number from 0 to 4"),
        ("scale,grade", "icdr,-1", "column grade: '-1' is not a whole number from 0 to 4"),
        ("scale,grade", "icdr,--1", "column grade: '--1' is not a whole number from 0 to 4"),
        ("scale,grade", "messidor,4", "column grade: 4 is not on the scale 'messidor', which runs from 0 to 3"),
        ("scale,grade", "binary,2", "column grade: 2 is not on the scale 'binary', which runs from 0 to 1"),
        ("scale,grade", ",2", "column scale: empty, but there is a grade; name its scale, one of icdr"),
        ("dme", "3", "column dme: '3' is not a whole number from 0 to 2"),
        ("MA", "2", "column MA: '2' is not a whole number from 0 to 1"),
        ("SE", "yes", "column SE: 'yes' is not a whole number from 0 to 1"),
        ("eye", "x", "column eye: 'x' is none of left, right"),
        ("split", "foo", "column split: 'foo' is none of train, val, test, unlabeled"),
        ("quality", "good", "column quality: 'good' is none of gradable, ungradable"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(tmp_path, header, row, problem):
    empty = "," * header.count(",")
    message = refusal(tmp_path, f"path,{header}\na.jpg,{empty}\nb.jpg,{row}\n")
    assert "1 defect: " in message
    assert f"row 3, {problem}" in message


def test_all_defects_are_named_in_one_pass(tmp_path):
    text = (
        "path,scale,grade,dme,eye,split\n"  # 1
        "a.jpg,icdr,1,0,left,train\n"
        ",icdr,1,,,\n"
        "b.jpg,icdr,1,0,left\n"
        "c.jpg,icdr,1,0,left,train,more\n"
        "./x/../a.jpg,icdr,1,,,\n"
        "\n"
        "d.jpg,messidor,4,3,x,foo\n"
    )
    message = refusal(tmp_path, text)
    for defect in (
        "8 defects",
        "row 3, column path: empty",
        "row 4: 5 cells under 6 columns",
        "row 5: 7 cells under 6 columns",
        "row 6, column path: ./x/../a.jpg already stands in row 2",
        "row 8, column dme: '3'",
        "row 8, column split: 'foo'",
        "row 8, column eye: 'x'",
        "row 8, column grade: 4 is not on the scale 'messidor'",
    ):
        assert defect in message
    assert "row 2," not in message.split("defects: ")[1]


def test_many_defects_are_counted_and_the_first_named(tmp_path):
    rows = "".join(f"{i}.jpg,7\n" for i in range(50))
    message = refusal(tmp_path, "path,dme\n" + rows)
    assert "50 defects" in message
    assert "row 2," in message
    assert "row 21," in message
    assert "row 22," not in message
    assert "and 30 more" in message


def test_summary_counts_one():
    assert summary("here", ["a"], "mend it") == "here: 1 defect: a. What to do: mend it"
    assert summary("here", ["a", "b", "c"], "mend it", most=2) == (
        "here: 3 defects: a; b; and 1 more. What to do: mend it"
    )


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(MissingInput, match="no such file"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(MissingInput, match="is a folder"):
        read_manifest(tmp_path)
    with pytest.raises(MissingInput, match="no such file"):
        read_manifest(manifest(tmp_path, "path\n") / "m.csv")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        ("path,grade\n", "no photograph under it"),
        ("path,grade\n,\n \n", "no photograph under it"),
        ("file,grade\na.jpg,1\n", "no column 'path' among file, grade"),
        ("path|grade\na.jpg|1\n", "no column 'path' among path|grade"),
        ("path,grade,path\na.jpg,1,b.jpg\n", "the column path stands there more than once"),
        ("path,site\na.jpg,Saint-Étienne\n".encode("latin-1"), "row 2, column site: not UTF-8 text"),
        ("path\na.jpg\n".encode("utf-16"), "not UTF-8 text but UTF-16"),
        ('path\n"a.jpg\nb.jpg\n', "a quote without its partner"),
        ('path\n"' + "a.jpg\n" * 30_000, "a quote without its partner"),
    ],
)
def test_files_that_are_no_manifest(tmp_path, text, problem):
    assert problem in refusal(tmp_path, text)


def test_a_hundred_thousand_rows(tmp_path):
    rows = "".join(f"{i}.jpg,{i // 2},icdr,{i % 5}\n" for i in range(100_000))
    records = read_manifest(manifest(tmp_path, "path,patient,scale,grade\n" + rows))
    assert len(records) == 100_000
    assert records[-1] == Record(path=tmp_path / "99999.jpg", patient="49999", scale="icdr", grade=4)


# Writing

# Surrounding white space is not part of a cell, and control characters are not worth the trouble in a name.
text_cells = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters=""), max_size=12).map(
    str.strip
)
file_names = st.text(string.ascii_letters + string.digits + " ,\"'äé眼;_-.#=", min_size=1, max_size=8).map(
    lambda name: f"x{name}y.png"
)
paths = st.lists(file_names, min_size=1, max_size=3).map(lambda parts: Path("/photographs", *parts))


@st.composite
def records(draw) -> Record:
    scale = draw(st.sampled_from(["", *SCALES]))
    return Record(
        path=draw(paths),
        **{name: draw(text_cells) for name in ("dataset", "site", "camera", "patient", "exam", "provenance")},
        eye=draw(st.sampled_from(["", "left", "right"])),
        split=draw(st.sampled_from(["", *ROLES])),
        scale=scale,
        grade=draw(st.none() | st.integers(0, SCALES[scale])) if scale else None,
        dme=draw(st.none() | st.integers(0, 2)),
        quality=draw(st.sampled_from(["", *QUALITIES])),
        **{lesion: draw(st.none() | st.integers(0, 1)) for lesion in LESIONS},
        **{f"mask_{lesion}": draw(st.none() | paths) for lesion in LESIONS},
    )


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(records(), min_size=1, max_size=6, unique_by=lambda r: r.path))
def test_round_trip(tmp_path, written):
    file = tmp_path / "out" / "m.csv"
    write_manifest(written, file)
    assert read_manifest(file) == written
    first = file.read_bytes()
    write_manifest(read_manifest(file), file)
    assert file.read_bytes() == first


def test_the_text_that_is_written(tmp_path):
    write_manifest(
        [
            Record(path=tmp_path / "images" / "a, b.jpg", patient="007", scale="icdr", grade=0, MA=0),
            Record(path=tmp_path.parent / "elsewhere" / "b.jpg", mask_EX=tmp_path / "m.tif"),
            Record(path=Path("/far/away/c.jpg")),
        ],
        tmp_path / "m.csv",
        sha256=["1", "2", "3"],
    )
    assert (tmp_path / "m.csv").read_bytes().decode() == (
        "path,dataset,site,camera,patient,exam,eye,split,scale,grade,dme,quality,MA,HE,EX,SE,provenance,mask_EX,sha256\n"
        '"images/a, b.jpg",,,,007,,,,icdr,0,,,0,,,,,,1\n'
        "../elsewhere/b.jpg,,,,,,,,,,,,,,,,,m.tif,2\n"
        "/far/away/c.jpg,,,,,,,,,,,,,,,,,,3\n"
    )


def test_a_folder_with_its_manifest_can_be_moved(tmp_path):
    (tmp_path / "old").mkdir()
    write_manifest([Record(path=tmp_path / "old" / "images" / "a.jpg")], tmp_path / "old" / "m.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_manifest(tmp_path / "new" / "m.csv")[0].path == tmp_path / "new" / "images" / "a.jpg"


@pytest.mark.parametrize("place", ["m.csv", "deep/er/m.csv"])
def test_a_relative_path_starts_where_the_program_does(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    write_manifest([Record(path=Path("images/a.jpg"), mask_MA=Path("masks/a.tif"))], Path(place))
    (record,) = read_manifest(Path(place))
    assert record.path == tmp_path / "images" / "a.jpg"
    assert record.mask_MA == tmp_path / "masks" / "a.tif"


def test_added_columns_are_ignored_on_reading(tmp_path):
    record = Record(path=tmp_path / "a.jpg")
    write_manifest([record], tmp_path / "m.csv", sha256=["ab"], role=["train"])
    with (tmp_path / "m.csv").open(newline="") as file:
        assert [row["role"] for row in csv.DictReader(file)] == ["train"]
    assert read_manifest(tmp_path / "m.csv") == [record]


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    file = tmp_path / "m.csv"
    write_manifest([Record(path=tmp_path / "a.jpg")], file)
    before = file.read_bytes()

    def broken():
        yield Record(path=tmp_path / "b.jpg")
        raise RuntimeError("the reader broke")

    with pytest.raises(RuntimeError, match="the reader broke"):
        write_manifest(broken(), file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.csv"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    file = tmp_path / "m.csv"
    write_text(file, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        write_text(file, "new" * 100_000)
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["m.csv"]


def test_the_old_text_stands_until_the_new_one_is_whole(tmp_path, monkeypatch):
    file = tmp_path / "m.csv"
    write_text(file, "old")
    seen = []
    replace = os.replace

    def look(source, destination):
        seen.append((file.read_text(), Path(source).read_text(), Path(source).parent))
        replace(source, destination)

    monkeypatch.setattr(module.os, "replace", look)
    write_text(file, "new")
    assert seen == [("old", "new", tmp_path)]
    assert file.read_text() == "new"


def test_text_is_written_as_it_stands(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "é\r\n眼\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é\r\n眼\n".encode()
    assert read_text(tmp_path / "a" / "b.txt") == "é\n眼\n"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "m.csv", tmp_path / "file" / "deeper" / "m.csv"):
        with pytest.raises(CannotWrite, match="choose another place"):
            write_text(place, "x")


def test_columns_are_the_documented_ones():
    for column in COLUMNS:
        assert f"`{column}`" in module.__doc__ or column in ("mask_HE", "mask_EX")
