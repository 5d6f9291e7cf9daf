"""Sections as plain values for a program: words, tables with their numbers, and the numbers behind pictures."""

from collections import defaultdict
from typing import Any

from semiretina.report.columns import Cell
from semiretina.report.pictures import Picture
from semiretina.report.section import Bullets, Code, Facts, Section, Table, Text


def section_json(section: Section) -> dict[str, Any]:
    """A section as an object: its name and title, and a list for each kind of block that it holds."""
    held: dict[str, Any] = defaultdict(list)
    for block in section.blocks:
        if isinstance(block, Section):
            held["sections"].append(section_json(block))
        elif isinstance(block, Text):
            held["texts"].append(f"{block.lead} {block.words}".strip())
        elif isinstance(block, Bullets):
            held["items"] += [vars(item) for item in block.items]
        elif isinstance(block, Facts):
            held.setdefault("facts", {}).update(block.pairs)
        elif isinstance(block, Code):
            held["code"].append(block.text)
        elif isinstance(block, Table):
            if block.kind != "samples":
                held["tables"].append(table_json(block))
        else:
            held["pictures"] += [_picture(picture) for picture in block.pictures]
            held["texts"] += block.notes
    return {"name": section.name, "title": section.title, **held}


def table_json(table: Table) -> dict[str, Any]:
    """A table; a cell that rounds a number is an object of its text and the number with its interval."""
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return {"title": table.title, "note": table.note, "columns": list(table.columns), "rows": rows}


def _cell(cell: Cell) -> Any:
    return cell.text if cell.score is None else {"text": str(cell), **cell.score._asdict()}


def _picture(picture: Picture) -> dict[str, Any]:
    return {"shows": picture.alt, "caption": picture.caption, **({"data": picture.data} if picture.data else {})}
