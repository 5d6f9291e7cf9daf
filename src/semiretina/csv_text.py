"""CSV as people save it: any of three separators, any line ends, with a byte-order mark or without, and its defects.

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

from semiretina.files import read_bytes

SEPARATORS = (",", ";", "\t")
MOST_BROKEN = 100  # rows with broken quotes, after which the rest of a file is not looked at, which is told
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
class CsvText:
    """A header and the rows under it that have as many cells as it, stripped; `defects` tells of what is left out."""

    header: Sequence[str] = ()
    rows: Sequence[tuple[int, list[str]]] = ()
    separator: str = ","
    defects: list[Defect] = field(default_factory=list)


def read_csv(file: Path, key: str) -> CsvText:
    """A CSV whose header should have the column `key`; the separator that makes it one wins. Empty rows are left out.

    Raises MissingInput where there is no such file.
    """
    content = read_bytes(file)
    kind = _not_text(content)
    if kind:
        return CsvText(defects=[Defect(0, "", f"{kind}; {_SAVE}")])
    text = content.decode("utf-8-sig", "surrogateescape")
    if not text.strip():
        return CsvText(
            defects=[Defect(0, "", f"the file is empty; a header line with at least the column '{key}' is needed")]
        )
    lines = list(io.StringIO(text, newline=""))
    begin = next(number for number, line in enumerate(lines) if line.strip())
    # Spreadsheets write and read this line to say which separator they mean.
    stated = re.fullmatch("sep=([,;\t])", lines[begin].strip("\r\n"))
    separator = stated[1] if stated else _separator(lines[begin], key)
    rows = _rows(lines, begin + 1 if stated else begin, separator)
    first, header = next(rows, (1, ""))
    if isinstance(header, str):
        return CsvText(separator=separator, defects=[Defect(first, "", _broken(header))])
    return _with_defects([name.strip() for name in header], first, rows, separator, text)


def shown(text: str) -> str:
    """A cell for a message, with what cannot be seen written out: "left\\u200b"."""
    return "".join(
        f"\\u{ord(letter):04x}" if INVISIBLE.match(letter) or CONTROL.match(letter) else letter for letter in text
    )


def _with_defects(
    header: list[str], first: int, rows: Iterator[tuple[int, list[str] | str]], separator: str, text: str
) -> CsvText:
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
    return CsvText(header, kept, separator, defects)


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
    return max(SEPARATORS, key=lambda mark: (key in headers[mark], len(headers[mark])))


def _not_text(content: bytes) -> str:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return "a spreadsheet's own file and not CSV"
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "not UTF-8 text but UTF-32"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[:400].count(0) > len(content[:400]) // 4:
        return "not UTF-8 text but UTF-16, as spreadsheets save 'Unicode text'"
    return ""


def _strange(number: int, header: Sequence[str], cells: Sequence[str], foreign: bool, control: bool) -> list[Defect]:
    found = []
    for name, cell in zip(header, cells, strict=True):
        if foreign and _FOREIGN.search(cell):
            guess = shown(cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace"))
            found.append(Defect(number, name, f"not UTF-8 text ('{guess}', if it is Windows-1252); {_SAVE}"))
        elif control and CONTROL.search(cell):
            found.append(Defect(number, name, f"'{shown(cell)}' holds a control character; type the cell anew"))
    return found


def _broken(error: str) -> str:
    return f"{error}; look for a quote without its partner"


def _uneven(cells: Sequence[str], width: int, separator: str) -> str:
    told = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} under {width} columns"
    others = [mark for mark in SEPARATORS if mark != separator and any(mark in cell for cell in cells)]
    names = {",": "','", ";": "';'", "\t": "tabs"}
    return f"{told} (is it separated by {names[others[0]]}? the header is by {names[separator]})" if others else told
