"""Tables as people save them: CSV of any of three separators and any line ends, spreadsheets, and their defects.

Whatever can be read without a doubt is read. What cannot is named by row and column, all of it in one pass. Rows are
numbered as a spreadsheet numbers them, the header being row 1.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from semiretina.errors import BadData, summary
from semiretina.files import read_bytes
from semiretina.workbook import MAGIC, read_workbook

SEPARATORS = (",", ";", "\t")
MOST_BROKEN = 100  # rows with broken quotes, after which the rest of a file is not looked at
PLACEHOLDERS = ("na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "unknown", "missing", "#n/a", "tbd")
# Seen by nobody and part of the cell all the same: zero-width characters, soft hyphen, marks of writing direction.
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOREIGN = re.compile("[\udc80-\udcff]")  # how Python keeps a byte that is not UTF-8
_SAVE = "save the file as CSV in UTF-8 and run again"


class Defect(NamedTuple):
    """What is wrong with one cell, one row (`column` is "") or the whole file (`row` is 0)."""

    row: int
    column: str
    why: str

    def __str__(self) -> str:
        place = ", ".join(
            part for part in (f"row {self.row}" * bool(self.row), f"column {self.column}" * bool(self.column)) if part
        )
        return f"{place}: {self.why}" if place else self.why


@dataclass(frozen=True)
class TableText:
    """A header and the rows under it that have as many cells as it, stripped; `defects` says what is left out."""

    header: Sequence[str] = ()
    rows: Sequence[tuple[int, list[str]]] = ()
    separator: str = ","
    defects: list[Defect] = field(default_factory=list)


def read_table(file: Path, columns: Sequence[str] = ()) -> tuple[list[str], dict[int, dict[str, str]]]:
    """The named columns of a CSV or of a spreadsheet's first sheet, and its rows by number: column -> text.

    Raises MissingInput where there is no such file, BadData that names what is no table and all that is wrong with it,
    and where one of `columns`, those of the published table, is not there.
    """
    table = inspect_table(file)
    if table.defects and not table.header:
        raise BadData(f"{file}: {table.defects[0]}")
    header = [name for name in table.header if name]
    if absent := [name for name in columns if name not in header]:
        raise BadData(
            f"{file}: no column {', '.join(absent)} among {', '.join(header)}; restore the table as it was published"
        )
    if table.defects:
        advice = "mend the table, or download it again"
        raise BadData(summary(str(file), [str(defect) for defect in table.defects], advice))
    if not table.rows:
        raise BadData(f"{file}: no row under a header; the first line names the columns, each further one is a row")
    rows = {n: {name: cell for name, cell in zip(table.header, row, strict=True) if name} for n, row in table.rows}
    return header, rows


def inspect_table(file: Path) -> TableText:
    """A CSV or a spreadsheet's first sheet (.xls, .xlsx, .ods) with its defects; a file's content says what it is.

    Raises MissingInput where there is no such file.
    """
    content = read_bytes(file)
    if not content.startswith(MAGIC):
        return _parse_csv(content, "")
    try:
        cells = read_workbook(content)
    except ValueError as error:
        advice = "download it again, or save it as CSV"
        return TableText(defects=[Defect(0, "", f"not a workbook that can be read ({error}); {advice}")])
    filled = [(number, row) for number, texts in enumerate(cells, start=1) if any(row := [*map(str.strip, texts)])]
    return TableText(filled[0][1], filled[1:]) if filled else TableText(defects=[Defect(0, "", "the sheet is empty")])


def read_csv(file: Path, key: str) -> TableText:
    """A CSV whose header should have the column `key`; the separator that makes it one wins. Empty rows are left out.

    Raises MissingInput where there is no such file.
    """
    return _parse_csv(read_bytes(file), key)


def _parse_csv(content: bytes, key: str) -> TableText:
    kind = _not_text(content)
    if kind:
        return TableText(defects=[Defect(0, "", kind)])
    text = content.decode("utf-8-sig", "surrogateescape")
    if not text.strip():
        needed = f"a header line with at least the column '{key}' is needed" if key else "download it again"
        return TableText(defects=[Defect(0, "", f"the file is empty; {needed}")])
    lines = list(io.StringIO(text, newline=""))
    begin = next(number for number, line in enumerate(lines) if line.strip())
    # Spreadsheets write and read this line to say which separator they mean.
    stated = re.fullmatch("sep=([,;\t])", lines[begin].strip("\r\n"))
    separator = stated[1] if stated else _separator(lines[begin], key)
    rows = _rows(lines, begin + 1 if stated else begin, separator)
    first, header = next(rows, (1, ""))
    if isinstance(header, str):
        return TableText(separator=separator, defects=[Defect(first, "", _broken(header))])
    return _with_defects([name.strip() for name in header], first, rows, separator, text)


def shown(text: str) -> str:
    """A cell for a message, with what cannot be seen written out: "left\\u200b"."""
    return "".join(
        f"\\u{ord(letter):04x}" if INVISIBLE.match(letter) or CONTROL.match(letter) else letter for letter in text
    )


def _with_defects(
    header: list[str], first: int, rows: Iterator[tuple[int, list[str] | str]], separator: str, text: str
) -> TableText:
    # Looked for in the whole text first: hardly any file has one, and then no cell needs a look.
    foreign, control = _FOREIGN.search(text) is not None, CONTROL.search(text) is not None
    kept: list[tuple[int, list[str]]] = []
    defects = _strange(first, [f"{n}" for n in range(1, len(header) + 1)], header, foreign, control)
    width = len(header)
    for number, texts in rows:
        if isinstance(texts, str):
            defects.append(Defect(number, "", _broken(texts)))
            continue
        cells = list(map(str.strip, texts))
        if not any(cells):
            continue
        if len(cells) != width:
            defects.append(Defect(number, "", _uneven(cells, width, separator)))
            continue
        strange = _strange(number, header, cells, foreign, control) if foreign or control else []
        if strange:
            defects += strange
            wrong = {defect.column for defect in strange}
            cells = ["" if name in wrong else cell for name, cell in zip(header, cells, strict=True)]
            if not any(cells):
                continue
        kept.append((number, cells))
    return TableText(header, kept, separator, defects)


def _rows(lines: Sequence[str], start: int, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row's number, and its cells or what breaks it; after a broken one, on with the next line of the file."""
    number = start + 1
    for _ in range(MOST_BROKEN):
        reader = csv.reader(lines[start:], delimiter=separator, strict=True)
        while True:
            before = reader.line_num
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, str(error)
                number += 1
                start += before + 1
                break
            yield number, cells
            number += 1
    if start < len(lines):
        yield number, f"{MOST_BROKEN} rows before this one are broken, so the rest of the file was not read"


def _separator(line: str, key: str) -> str:
    """The one that gives a cell `key`; else the one that gives the most cells, which has a say in the messages."""
    headers = {mark: [cell.strip().strip('"').lower() for cell in line.split(mark)] for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: (bool(key) and key in headers[mark], len(headers[mark])))


def _not_text(content: bytes) -> str:
    """What the content is instead of UTF-8 text, and what to do about it; "" where it may be text."""
    # A page saved as UTF-16 has a mark and a zero byte after each letter.
    start = content[:64].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t")
    if start.startswith(b"<"):
        what = "XML" if start.startswith(b"<?xml") else "a web page"
        return f"{what} and not a table; sign in where it comes from, and download it again"
    if content.startswith(MAGIC):
        return f"a spreadsheet's own file and not CSV; {_SAVE}"
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return f"not UTF-8 text but UTF-32; {_SAVE}"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[:400].count(0) > len(content[:400]) // 4:
        return f"not UTF-8 text but UTF-16, as spreadsheets save 'Unicode text'; {_SAVE}"
    return ""


def _strange(number: int, header: Sequence[str], cells: Sequence[str], foreign: bool, control: bool) -> list[Defect]:
    defects = []
    for name, cell in zip(header, cells, strict=True):
        if foreign and _FOREIGN.search(cell):
            guess = shown(cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace"))
            defects.append(Defect(number, name, f"not UTF-8 text ('{guess}', if it is Windows-1252); {_SAVE}"))
        elif control and CONTROL.search(cell):
            defects.append(Defect(number, name, f"'{shown(cell)}' holds a control character; type the cell anew"))
    return defects


def _broken(error: str) -> str:
    return f"{error}; look for a quote without its partner"


def _uneven(cells: Sequence[str], width: int, separator: str) -> str:
    count = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} under {width} columns"
    others = [mark for mark in SEPARATORS if mark != separator and any(mark in cell for cell in cells)]
    names = {",": "','", ";": "';'", "\t": "tabs"}
    return f"{count} (is it separated by {names[others[0]]}? the header is by {names[separator]})" if others else count
