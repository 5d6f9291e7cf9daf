"""Spreadsheets as text: cells of every kind, every format, and files that are none."""

import random
import struct
from pathlib import Path

import pytest

import workbooks
from semiretina.errors import BadData, MissingInput
from semiretina.table_text import inspect_table, read_table
from semiretina.workbook import read_workbook

TITLE = "Service Ophtalmologie Lariboisière"


def test_cells_of_an_xls_become_the_text_that_one_would_type() -> None:
    assert read_workbook(workbooks.XLS) == [
        ["Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema "],
        ["20051020_63045_0100_PP.tif", TITLE, "3", "0"],
        ["20051020_43808_0100_PP.tif", TITLE, "2", "1"],
        ["63045", "007", "2.5", "True"],
        ["", "", "", ""],
        ["2020-01-31 00:00:00", "2020-01-31 08:30:00", "", ""],
    ]


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_a_workbook_is_a_table_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    rows = [("image_id", " level ", ""), (None, None, None), ("347_l1 ", 4.0, 9), (None,) * 3, (7, 0.5, None)]
    write = {"xlsx": workbooks.write_xlsx, "ods": workbooks.write_ods}[suffix]
    for name in (f"a.{suffix}", "a.csv"):
        write(tmp_path / name, rows)
        header, lines = read_table(tmp_path / name, ("image_id", "level"))
        assert header == ["image_id", "level"]
        assert lines == {3: {"image_id": "347_l1", "level": "4"}, 5: {"image_id": "7", "level": "0.5"}}
        with pytest.raises(BadData, match=r"a\.\w+: no column grade among image_id, level; restore the table"):
            read_table(tmp_path / name, ("grade",))


def test_the_same_table_is_read_from_every_format(tmp_path: Path) -> None:
    rows = [("path", "grade"), ("007.jpg", 3), ("NA", 0)]
    (tmp_path / "a.csv").write_text("path;grade\n007.jpg;3\nNA;0\n")
    workbooks.write_xlsx(tmp_path / "a.xlsx", rows)
    workbooks.write_ods(tmp_path / "a.ods", rows)
    tables = [inspect_table(tmp_path / f"a.{suffix}") for suffix in ("csv", "xlsx", "ods")]
    for table in tables:
        assert list(table.header) == ["path", "grade"]
        assert list(table.rows) == [(2, ["007.jpg", "3"]), (3, ["NA", "0"])]
        assert not table.defects


def test_a_table_without_a_row_is_refused(tmp_path: Path) -> None:
    workbooks.write_xlsx(tmp_path / "a.xlsx", [("image_id", "level")])
    (tmp_path / "a.csv").write_text("image_id,level\n,\n")
    for name in ("a.xlsx", "a.csv"):
        with pytest.raises(BadData, match="no row under a header"):
            read_table(tmp_path / name)
    workbooks.write_xlsx(tmp_path / "a.xlsx", [])
    with pytest.raises(BadData, match="the sheet is empty"):
        read_table(tmp_path / "a.xlsx")
    with pytest.raises(MissingInput, match="no such file"):
        read_table(tmp_path / "b.xlsx")


def test_damaged_workbooks_give_one_reason_and_no_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    workbooks.write_xlsx(tmp_path / "a.xlsx", [("a", "b"), (1, 2)])
    xlsx = (tmp_path / "a.xlsx").read_bytes()
    draws = random.Random(0)
    for content in (workbooks.XLS, xlsx):
        for end in draws.sample(range(8, len(content) - 100), 3):
            (tmp_path / "cut").write_bytes(content[:end])
            with pytest.raises(BadData, match=r"not a workbook that can be read \(.+\); download it again"):
                read_table(tmp_path / "cut")
    # A cell said to lie in row and column 65536: more cells than there is memory for, which ends the reading process.
    at = workbooks.XLS.index(struct.pack("<4H", 0x027E, 10, 3, 0)) + 4
    far = workbooks.XLS[:at] + struct.pack("<2H", 65535, 65535) + workbooks.XLS[at + 4 :]
    with pytest.raises(ValueError, match="damaged, or no workbook"):
        read_workbook(far)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html><body>Please log in</body></html>", "a web page and not a table; sign in"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><table>", "a web page and not a table"),
        ("\ufeff<table>".encode("utf-16"), "a web page and not a table"),
        (b"<?xml version='1.0'?><Workbook>", "XML and not a table"),
        (b"PK\x03\x04 an xlsx", "not a workbook that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "not a workbook that can be read"),
        (b"", "the file is empty; download it again"),
        ("image,grade".encode("utf-16"), "not UTF-8 text but UTF-16"),
        (b"image,grade\nM\xfcller,1\n", r"row 2, column image: not UTF-8 text \('Müller', if it is Windows-1252\)"),
        (b"image,grade\na,1,2\n", "row 2: 3 cells under 2 columns"),
    ],
)
def test_files_that_are_no_table_say_why(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "labels.xls").write_bytes(content)
    with pytest.raises(BadData, match=f"labels.xls: (1 defect: )?{why}"):
        read_table(tmp_path / "labels.xls")
