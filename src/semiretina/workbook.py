"""The first sheet of a spreadsheet's own file (.xls, .xlsx, .ods, .xlsb) as text, read by calamine in a process apart.

A damaged workbook makes calamine panic, or ask for more memory than there is, which ends the process that reads it.
"""

import json
import subprocess
import sys
from contextlib import suppress
from datetime import date, datetime, time

MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # of .xlsx, .ods and .xlsb; of .xls and what is encrypted
MOST_MEMORY = 4 << 30  # bytes; the largest sheet of an .xls, full of numbers, takes 2 GB
PATIENCE = 300  # s


def read_workbook(content: bytes) -> list[list[str]]:
    """The cells of the first sheet, row by row from the first; all rows are equally long.

    Whole numbers stand without a decimal point, dates as "2020-01-31 00:00:00", booleans as True and False, formulas as
    their results, errors and empty cells as "". Raises ValueError with the reason where it cannot be read.
    """
    command = [sys.executable, "-P", __file__]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading took more than {PATIENCE} s") from None
    if done.returncode:
        raise ValueError("damaged, or no workbook")
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        raise ValueError(answer)
    return [[str(cell) for cell in row] for row in answer]


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date) and not isinstance(value, datetime):
        return str(datetime.combine(value, time()))
    return str(value)


def _main() -> None:
    """Reads a workbook from the standard input and writes its cells, or the reason why not, as JSON."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum  # noqa: PLC0415  (here alone)

    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  (not on Windows)

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    answer: list[list[str]] | str
    try:
        book = CalamineWorkbook.from_filelike(sys.stdin.buffer)
        sheets = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        rows = book.get_sheet_by_name(sheets[0]).to_python(skip_empty_area=False) if sheets else []
        answer = [[_text(value) for value in row] for row in rows]
    except (CalamineError, OSError) as error:
        answer = " ".join(str(error).split())
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
