"""Spreadsheets for tests: a real .xls, and the smallest .xlsx and .ods that hold some rows."""

import base64
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

# Written by a spreadsheet program's library: Messidor's header; two of its photographs, graded 3, 0 and 2, 1; a row of
# 63045, "007", 2.5 and true; an empty row; a row of the day 2020-01-31, 8:30 of that day, and the error of 1/0.
XLS = zlib.decompress(
    base64.b64decode(
        "eNrtWEloFEEUfdU9M5kMMZnRJJCIQxNwX+gkRoOgo+KCYGJUXBFiJ9Nm2swSOqOgB41LjoLgSfESiIKI28UFFRQvHgRFD6IgJIogeBJUPGjG"
        "X797zCRGSEAFpd/Qv6p+/XpVXb/qV00/eRwZ6LtWPYhRWAYVQ7liBAp0gp7ifCEMqs/lZDafBunJefinUBwkRwb8uD3pUZH0ofT3IBRc9d0n"
        "CbymZxe60JxJm9pfxEoegyHkGJaSFDhLmlJU8agms2xnOYXlFba8w3I5a06wXEq2A2InHsea5zS6q3i7UsN1pZC8N7jNS9bUogIP5So+fFI4"
        "tn6ssC0j+b9URH0l6Ad5eq2ZNm1ZLsM5hIAdhPlNTfNXrYr6KnBebu9hlZZILEmlBlBOy6Mfn3Ia8DEfB+5pnv7v6gVI/2WkvugX+iB5dyx9"
        "Mbl4tP6U4gN6kNvN262XtsdnnxMS1pj7rGTtVzzg8C/DPK2YdSmjw9TSRsqsAjZ0JbIJI5nKJDMdVrsWN7sMO5sy09kIsMnMWulMl5FNHNA6"
        "bCNuVpLO6u7UMnu0lNG+L2nYmhk3U4ZWDdTpekOtXqe3LqrXFza06rW63trSsiBr7akBNpv2fqvd1GRv+c5Mbb1hW20Zq9t6Z5uFDAvrG/XG"
        "QgYV0PXFIXmKcdQLj4h6kzgalJCMo4zzEY4JYXrhrxc+PG1qa4m1sqaHp8A5D6fLSUMOR2QLalyKPB8ga+Zwi7ksjzLrVM5XsyynfUnpjJYK"
        "N7PmGNsc59oZ1E8941lsZkF+FuV732+8Ge19E5tN+ctrBw+WX34e60MNOShO7eXvGOaJeeLMaYlbsXwq3Nj5imXVT3E0qITdsefcQ78M36S7"
        "CRGWTknOjvhRUty5ckoqlVSXS4zBJZjL59oL5vJT6S6NTTBXKVsozCVZlDFYFLYJuCzKCBaFWUI/LBwWdRTLISXEuggqX6jMojKLXBJOnWR5"
        "TyZ+JUglld9ZMvmZcySTn8+lrZcUqLQK/GQ5BVsIF/e+XR7ANHawMy/yluQ0LUJUIErrZZkyGdflG9HhNYwQPHjw4MGDBw8efjsE397g3o3A"
        "t5gA30yc7zrf6BnyPpP8t9iEDP2y9FdwNdKU2jgwofVTCb/Ic4lxtsl/L5TYRr3b6EQbj6NzwuuX7vqi8H3G3TD8+7bQRPsfmsg4/3D/3wGU"
        "PSZ+"
    )
)

_SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"

Cell = str | int | float | None


def write_xlsx(file: Path, rows: Sequence[Sequence[Cell]]) -> None:
    """A workbook of one sheet; numbers are written as Excel writes them, 4.0 as 4."""
    cells = ""
    for number, row in enumerate(rows, start=1):
        cells += f'<row r="{number}">'
        for place, cell in enumerate(row):
            at = f'r="{chr(ord("A") + place)}{number}"'
            if isinstance(cell, str):
                cells += f'<c {at} t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
            elif cell is not None:
                cells += f"<c {at}><v>{cell:g}</v></c>"
        cells += "</row>"
    sheet = '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets>'
    related = f'<Relationship Id="rId1" Type="{_OFFICE}/%s" Target="%s"/>'
    with zipfile.ZipFile(file, "w") as archive:
        content = {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
            "_rels/.rels": _relationships(related % ("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook xmlns="{_SPREADSHEET}" xmlns:r="{_OFFICE}">{sheet}</workbook>',
            "xl/_rels/workbook.xml.rels": _relationships(related % ("worksheet", "worksheets/sheet1.xml")),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SPREADSHEET}"><sheetData>{cells}</sheetData></worksheet>',
        }
        for name, text in content.items():
            archive.writestr(name, text)


def write_ods(file: Path, rows: Sequence[Sequence[Cell]]) -> None:
    """An OpenDocument spreadsheet of one sheet."""
    names = {
        name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("manifest", "office", "table", "text")
    }
    cells = ""
    for row in rows:
        cells += "<table:table-row>"
        for cell in row:
            if isinstance(cell, str):
                cells += (
                    f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
                )
            elif cell is None:
                cells += "<table:table-cell/>"
            else:
                cells += f'<table:table-cell office:value-type="float" office:value="{cell}"/>'
        cells += "</table:table-row>"
    table = f'<table:table table:name="Sheet1">{cells}</table:table>'
    body = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f"<manifest:manifest {spaces}/>")
        archive.writestr("content.xml", f"<office:document-content {spaces}>{body}</office:document-content>")


def _relationships(inner: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{inner}</Relationships>'
