"""Every kind of manifest defect, planted alone and all together: each is found in one pass, by row and column."""

import csv
import io
import unicodedata
from dataclasses import dataclass

import pytest

from semiretina.audit.audit import manifest_findings
from semiretina.audit.copies import torn_findings
from semiretina.audit.finding import KINDS, gather
from semiretina.errors import BadData, MissingInput
from semiretina.records import inspect_manifest, read_manifest
from semiretina.table_text import MOST_BROKEN

COLUMNS = [
    *("path", "dataset", "site", "camera", "patient", "exam", "eye", "split", "scale", "grade", "dme", "quality"),
    *("MA", "HE", "EX", "SE", "provenance", "mask_MA", "mask_HE", "mask_EX", "mask_SE"),
]
ZERO_WIDTH = "\u200b"
NFC, NFD = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")


@dataclass
class Plant:
    """Rows to add (a dict of cells over healthy ones, or a raw line), and the finding that must name the last one."""

    kind: str
    column: str
    words: str
    rows: list
    files: tuple = ()  # further files to make
    untouched: tuple = ()  # paths of rows whose files are not made


def cell(column, value, words, **more):
    return Plant("cell", column, words, [{column: value, **more}])


PLANTS = {
    # the file of a photograph
    "empty path": Plant("cell", "path", "empty", [{"path": "", "provenance": "something"}]),
    "repeated path": Plant(
        "cell", "path", "already stands in row", [{"path": "twice.jpg"}, {"path": "./x/../twice.jpg"}]
    ),
    "missing file": Plant("missing", "path", "no such file", [{"path": "gone.jpg"}], untouched=("gone.jpg",)),
    "missing folder": Plant("missing", "path", "no such folder", [{"path": "far/a.jpg"}], untouched=("far/a.jpg",)),
    "a folder": Plant("missing", "path", "a folder", [{"path": "sub"}], files=("sub/x",), untouched=("sub",)),
    "an address": Plant(
        "missing", "path", "not fetched", [{"path": "https://a/b.jpg"}], untouched=("https://a/b.jpg",)
    ),
    "a home folder": Plant("missing", "path", "write it out", [{"path": "~/b.jpg"}], untouched=("~/b.jpg",)),
    "a backslash": Plant("missing", "path", "write '/'", [{"path": "sub\\x.jpg"}], untouched=("sub\\x.jpg",)),
    "another case": Plant(
        "missing", "path", "there is 'Case.JPG'", [{"path": "case.jpg"}], files=("Case.JPG",), untouched=("case.jpg",)
    ),
    "another suffix": Plant(
        "missing", "path", "there is 'suffix.png'", [{"path": "suffix.jpg"}], ("suffix.png",), ("suffix.jpg",)
    ),
    "another Unicode form": Plant(
        "missing", "path", "no such file; there is", [{"path": f"1{NFD}.jpg"}], (f"1{NFC}.jpg",), (f"1{NFD}.jpg",)
    ),
    "case clash": Plant("case", "path", "'clash.jpg' and 'CLASH.jpg'", [{"path": "clash.jpg"}, {"path": "CLASH.jpg"}]),
    "Unicode clash": Plant("unicode", "path", "and", [{"path": f"2{NFC}.jpg"}, {"path": f"2{NFD}.jpg"}]),
    "zero-width in a path": Plant("invisible", "path", "\\u200b", [{"path": f"zero{ZERO_WIDTH}.jpg"}]),
    # rows
    "too few cells": Plant("row", "", "2 cells under 21 columns", ["few.jpg,d"]),
    "too many cells": Plant("row", "", "22 cells under 21 columns", ["many.jpg" + "," * 21]),
    "another separator": Plant("row", "", "is it separated by ';'", ["semicolon.jpg;d;s"]),
    "broken quote": Plant("row", "", "a quote without its partner", ['"broken".jpg' + "," * 20]),
    "repeated header": Plant("row", "", "repeats the header", [",".join(COLUMNS)]),
    "control character": cell("site", "a\x01b", "'a\\u0001b' holds a control character"),
    # words
    "grade beyond all scales": cell("grade", "5", "'5' is not a whole number from 0 to 4"),
    "grade beyond its scale": cell("grade", "4", "not on the scale 'messidor'", scale="messidor"),
    "negative grade": cell("grade", "-1", "'-1' is not a whole number"),
    "fractional grade": cell("grade", "1.0", "write 1"),
    "grade with a decimal comma": cell("grade", "2,0", "write 2"),
    "grade in words": cell("grade", "moderate", "'moderate' is not a whole number"),
    "grade not available": cell("grade", "NA", "leave the cell empty"),
    "no scale": cell("scale", "", "empty, but there is a grade"),
    "unknown scale": cell("scale", "etdrs", "'etdrs' is none of icdr"),
    "scale in capitals": cell("scale", "ICDR", "did you mean 'icdr'"),
    "zero-width in a scale": cell("scale", f"icdr{ZERO_WIDTH}", "'icdr\\u200b' is none of"),
    "dme beyond its scale": cell("dme", "3", "'3' is not a whole number from 0 to 2"),
    "lesion in words": cell("SE", "yes", "'yes' is not a whole number from 0 to 1"),
    "lesion counted": cell("HE", "7", "'7' is not a whole number from 0 to 1"),
    "eye word": cell("eye", "OD", "did you mean 'right'"),
    "eye in capitals": cell("eye", "Left", "did you mean 'left'"),
    "quality word": cell("quality", "good", "did you mean 'gradable'"),
    "role word": cell("split", "training", "did you mean 'train'"),
    # contradictions
    "healthy with microaneurysms": Plant(
        "contradiction", "MA", "grade = 0 on icdr means MA = 0", [{"grade": "0", "MA": "1"}]
    ),
    "mild without microaneurysms": Plant(
        "contradiction", "MA", "grade = 1 on icdr means MA = 1", [{"grade": "1", "MA": "0"}]
    ),
    "diseased without lesions": Plant(
        "contradiction", "grade", "are all 0", [{"grade": "3", "MA": "0", "HE": "0", "EX": "0", "SE": "0"}]
    ),
    "healthy with edema": Plant("contradiction", "dme", "means no abnormality", [{"grade": "0", "dme": "2"}]),
    "edema without exudates": Plant("contradiction", "dme", "EX = 0", [{"dme": "1", "EX": "0"}]),
    "exudates without edema": Plant("contradiction", "dme", "EX = 1", [{"dme": "0", "EX": "1"}]),
    "mask of an absent lesion": Plant(
        "contradiction", "mask_EX", "EX = 0", [{"EX": "0", "mask_EX": "ex.tif"}], files=("ex.tif",)
    ),
    "grade of an ungradable one": Plant("ungradable", "quality", "graded, but", [{"quality": "ungradable"}]),
    "several scales": Plant("scales", "scale", "messidor: ", [{"scale": "messidor", "grade": "1"}]),
    # who is who
    "no patient": Plant("no-patient", "patient", "photographs", [{"patient": ""}]),
    "patient in capitals": Plant(
        "spelling", "patient", "'Smith' and 'SMITH'", [{"patient": "Smith"}, {"patient": "SMITH"}]
    ),
    "patient with spaces": Plant("spelling", "patient", "'A 1' and 'A1'", [{"patient": "A 1"}, {"patient": "A1"}]),
    "patient with zeros": Plant("spelling", "patient", "'77' and '0077'", [{"patient": "77"}, {"patient": "0077"}]),
    "patient with zero-width": Plant("invisible", "patient", "'zw\\u200b'", [{"patient": f"zw{ZERO_WIDTH}"}]),
    "site in two ways": Plant("spelling", "site", "'North' and 'north'", [{"site": "North"}, {"site": "north"}]),
    "patient in two data sets": Plant(
        "two-datasets", "patient", "'both'", [{"patient": "both"}, {"patient": "both", "dataset": "other"}]
    ),
    "exam of two patients": Plant(
        "shared-exam", "exam", "exam 'e9'", [{"patient": "x1", "exam": "e9"}, {"patient": "x2", "exam": "e9"}]
    ),
    "patient unknown": Plant("placeholder", "patient", "'unknown'", [{"patient": "unknown"}] * 2),
    "patient of a crowd": Plant("crowd", "patient", "41 photographs", [{"patient": "crowd"}] * 41),
    "rounded id": Plant("damaged-id", "patient", "'1.23E+11'", [{"patient": "1.23E+11"}]),
    "an eye missing": Plant("no-eye", "eye", "photographs", [{"eye": ""}]),
    "more than two eyes": Plant("eyes", "eye", "3 photographs", [{"patient": "three", "eye": ""}] * 3),
    "an eye twice": Plant("repeats", "eye", "left eye: 2", [{"patient": "again", "eye": "left"}] * 2),
    "a data set missing": Plant("partly", "dataset", "empty in 1 of", [{"dataset": ""}]),
    # masks
    "missing mask": Plant("mask", "mask_HE", "no such file", [{"mask_HE": "none.tif"}]),
    "mask is the photograph": Plant(
        "mask", "mask_HE", "photograph itself", [{"path": "own.jpg", "mask_HE": "own.jpg"}]
    ),
    "mask of two": Plant(
        "shared-mask", "mask_SE", "stands in row", [{"mask_SE": "se.tif"}, {"mask_SE": "se.tif"}], files=("se.tif",)
    ),
    # the given split
    "torn patient": Plant(
        "torn", "split", "patient 'torn'", [{"patient": "torn", "split": "train"}, {"patient": "torn", "split": "test"}]
    ),
    "torn eyes": Plant(
        "torn-eyes",
        "split",
        "fellow-left.jpg train",
        [
            {"patient": "", "path": "fellow-left.jpg", "split": "train"},
            {"patient": "", "path": "fellow-right.jpg", "split": "test"},
        ],
    ),
    "split in part": Plant("given", "split", "have a role", [{"split": "train"}]),
}


def planted(folder, names, header=COLUMNS):
    """Writes a manifest with ten healthy photographs and the plants; the row of each plant's last line."""
    (folder / "x").mkdir(exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    last, line = {}, 1
    healthy = [{"patient": f"h{n // 2}", "grade": "0" if n < 10 else "2"} for n in range(22)]
    for name, plant in [("", Plant("", "", "", healthy)), *((name, PLANTS[name]) for name in names)]:
        for number, row in enumerate(plant.rows):
            line += 1
            if isinstance(row, str):
                text.write(row + "\n")
                continue
            stem = name.replace(" ", "_") or "healthy"
            cells = {
                **{"path": f"{stem}{number}.jpg", "dataset": "d", "site": "s", "camera": "c", "patient": f"p {name}"},
                **{"eye": ("left", "right")[number % 2], "scale": "icdr", "grade": "2", **row},
            }
            if cells["path"] and cells["path"] not in plant.untouched:
                (folder / cells["path"]).touch()
            writer.writerow([cells.get(column, "") for column in header])
        for file in plant.files:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).touch()
        last[name] = line
    manifest = folder / "m.csv"
    manifest.write_text(text.getvalue(), "utf-8")
    return manifest, last


def findings(manifest):
    reading = inspect_manifest(manifest)
    found = manifest_findings(manifest, reading) + list(torn_findings(reading, [""] * len(reading.records)))
    return {finding.kind: finding for finding in gather(found)}


def names(found, plant, row):
    places = found[plant.kind].places if plant.kind in found else ()
    return any(
        (row in place.rows or plant.kind == "scales") and place.column == plant.column and plant.words in place.detail
        for place in places
    )


def test_the_healthy_rows_are_healthy(tmp_path):
    assert findings(planted(tmp_path, [])[0]) == {}


@pytest.mark.parametrize("name", PLANTS)
def test_a_defect_alone(tmp_path, name):
    manifest, last = planted(tmp_path, [name])
    found = findings(manifest)
    assert names(found, PLANTS[name], last[name]), found
    # Nothing else is an error, and only an error stops the reading.
    assert {kind for kind in found if KINDS[kind].severity == "error"} <= {PLANTS[name].kind}
    if PLANTS[name].kind in ("row", "cell"):
        with pytest.raises(BadData, match=f"row {last[name]}"):
            read_manifest(manifest)
    else:
        assert read_manifest(manifest)


def test_all_defects_together(tmp_path):
    assert len(PLANTS) > 60
    manifest, last = planted(tmp_path, PLANTS)
    found = findings(manifest)
    assert [name for name in PLANTS if not names(found, PLANTS[name], last[name])] == []


@pytest.mark.parametrize(
    ("header", "row", "told"),
    [
        ("path,qualty", 1, "row 1, column qualty: unknown column 'qualty'; did you mean 'quality'?"),
        ("path,Grade", 1, "row 1, column Grade: unknown column 'Grade'; did you mean 'grade'?"),
        (f"path,{ZERO_WIDTH}grade", 1, "unknown column '\\u200bgrade'; did you mean 'grade'?"),
        ("path,site,site", 1, "row 1, column site: the column site stands there more than once; keep one"),
        ("file,grade", 1, "row 1: no column 'path' among file, grade"),
        ("a.jpg,1", 1, "row 1: no header but a photograph"),
        ("qualty,Grade", 1, "3 defects: row 1: no column 'path'"),
    ],
)
def test_headers(tmp_path, header, row, told):
    (tmp_path / "m.csv").write_text(header + "\nb.jpg" + "," * header.count(",") + "\n", "utf-8")
    with pytest.raises(BadData) as error:
        read_manifest(tmp_path / "m.csv")
    assert told in str(error.value)
    assert "header" in findings(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n", "the file is empty"),
        ("path\na.jpg\n".encode("utf-16"), "not UTF-8 text but UTF-16"),
        ("path\na.jpg\n".encode("utf-16-le"), "not UTF-8 text but UTF-16"),
        ("path\na.jpg\n".encode("utf-32"), "not UTF-8 text but UTF-32"),
        (b"PK\x03\x04" + bytes(40), "a spreadsheet's own file"),
        (b"path,grade\n,\n", "a header but no photograph under it"),
        (b'"path\na.jpg\n', "a quote without its partner"),
    ],
)
def test_files_that_are_no_manifest(tmp_path, content, told):
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(BadData, match=told):
        read_manifest(tmp_path / "m.csv")
    (finding,) = findings(tmp_path / "m.csv").values()
    assert told in finding.places[0].detail


def test_latin_1_is_named_by_row_and_column_and_the_rest_is_read(tmp_path):
    (tmp_path / "m.csv").write_bytes("path,site,dme\na.jpg,Saint-Étienne,\nb.jpg,Lyon,9\n".encode("latin-1"))
    with pytest.raises(BadData) as error:
        read_manifest(tmp_path / "m.csv")
    assert "row 2, column site: not UTF-8 text ('Saint-Étienne', if it is Windows-1252)" in str(error.value)
    assert "row 3, column dme: '9'" in str(error.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(MissingInput, match="no such file"):
        inspect_manifest(tmp_path / "none.csv")


FOREIGN_NAMES = ("two words.jpg", "é眼.jpg", "عين يمنى.jpg", "a;b.jpg", "a'b.jpg", "l,r.jpg")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\n"])
@pytest.mark.parametrize("stated", [False, True])
def test_what_is_read_as_it_is_meant(tmp_path, separator, end, start, stated):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    if stated:
        text.write(f"sep={separator}{end}")
    writer.writerow(["path", "patient", "eye"])
    for number, name in enumerate(FOREIGN_NAMES):
        (tmp_path / name).touch()
        writer.writerow([name, f"p{number}", "left"])
    (tmp_path / "m.csv").write_bytes(start + text.getvalue().encode())
    assert findings(tmp_path / "m.csv") == {}
    assert [record.path.name for record in read_manifest(tmp_path / "m.csv")] == list(FOREIGN_NAMES)


def test_one_broken_quote_does_not_swallow_the_rest(tmp_path):
    rows = "".join(f"{n}.jpg,\n" for n in range(30_000))
    (tmp_path / "m.csv").write_text(f'path,dme\na.jpg,\n"b.jpg,\n{rows}c.jpg,9\n')
    reading = inspect_manifest(tmp_path / "m.csv")
    assert [(defect.row, defect.column) for defect in reading.defects] == [(3, ""), (30_004, "dme")]
    assert len(reading.records) == 30_002


def test_what_was_not_read_behind_very_many_broken_quotes_is_told(tmp_path):
    broken = '"a"b.jpg\n' * MOST_BROKEN
    (tmp_path / "m.csv").write_text(f"path\n{broken}")
    assert len(inspect_manifest(tmp_path / "m.csv").defects) == MOST_BROKEN
    (tmp_path / "m.csv").write_text(f"path\n{broken}c.jpg\n")
    reading = inspect_manifest(tmp_path / "m.csv")
    assert reading.records == []
    assert (reading.defects[-1].row, len(reading.defects)) == (MOST_BROKEN + 2, MOST_BROKEN + 1)
    assert "the rest of the file was not read" in reading.defects[-1].why


def test_a_row_without_a_path_is_checked_all_the_same(tmp_path):
    (tmp_path / "m.csv").write_text("path,scale,grade,eye\n,,2,L\n")
    assert [defect.column for defect in inspect_manifest(tmp_path / "m.csv").defects] == ["eye", "scale", "path"]


def test_scales_are_counted_without_what_is_ungradable_or_of_no_scale(tmp_path):
    rows = "a,icdr,0,\nb,icdr,1,ungradable\nc,binary,1,\nd,icdr,1,\ne,,1,"
    (tmp_path / "m.csv").write_text(f"path,scale,grade,quality\n{rows}\n")
    assert findings(tmp_path / "m.csv")["scales"].places[0].detail == "icdr: 2, binary: 1"


def test_one_name_may_be_odd_in_two_ways(tmp_path):
    rows = "".join(f"{n}.jpg,{'1.2E+10' if n % 2 else 'na'}\n" for n in range(84))
    (tmp_path / "m.csv").write_text(f"path,patient\n{rows}")
    found = findings(tmp_path / "m.csv")
    odd, even = tuple(range(3, 86, 2)), tuple(range(2, 86, 2))
    assert [(place.rows, place.detail) for place in found["damaged-id"].places] == [(odd, "'1.2E+10'")]
    assert [(place.rows, place.detail) for place in found["crowd"].places] == [(odd, "'1.2E+10' has 42 photographs")]
    assert [place.rows for place in found["placeholder"].places] == [even]


def test_absolute_paths_elsewhere(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "a.jpg").touch()
    far = tmp_path / "one" / "two"
    far.mkdir(parents=True)
    (far / "m.csv").write_text(f"path\n{tmp_path / 'a.jpg'}\n")
    assert "1 paths outside" in findings(far / "m.csv")["absolute"].places[0].detail
    (tmp_path / "m.csv").write_text(f"path\n{tmp_path / 'a.jpg'}\n")
    assert "absolute" not in findings(tmp_path / "m.csv")


def test_columns_that_nothing_reads(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "m.csv").write_text("path,doctor,\na.jpg,x,\n")
    assert [place.detail for place in findings(tmp_path / "m.csv")["columns"].places] == [
        "doctor",
        "a column without a name",
    ]
    assert read_manifest(tmp_path / "m.csv")
