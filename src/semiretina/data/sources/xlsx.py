"""The first sheet of an Excel workbook (.xlsx) as a table of text; openpyxl reads it."""

import zipfile
from pathlib import Path

from semiretina.errors import BadData, MissingInput


def read_xlsx(file: Path) -> tuple[list[str], dict[int, dict[str, str]]]:
    """The header, and each row that is not empty by its number (the header is row 1): column -> text.

    Whole numbers come without a decimal point. Raises BadData that names what is no table.
    """
    from openpyxl import load_workbook  # noqa: PLC0415  (slow to import)
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        workbook = load_workbook(file, read_only=True, data_only=True)
        lines = [[_text(value) for value in row] for row in workbook.worksheets[0].iter_rows(values_only=True)]
        workbook.close()
    except FileNotFoundError:
        raise MissingInput(f"{file}: no such file") from None
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError, SyntaxError, OSError) as error:
        advice = "download it again, or save it as CSV"
        raise BadData(f"{file}: not an Excel workbook (.xlsx) that can be read ({error}); {advice}") from None
    header = lines[0] if lines else []
    rows = {
        number: {name: cell for name, cell in zip(header, cells, strict=False) if name}
        for number, cells in enumerate(lines[1:], start=2)
        if any(cells)
    }
    if not rows:
        raise BadData(f"{file}: no row under a header; download it again")
    return [name for name in header if name], rows


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
