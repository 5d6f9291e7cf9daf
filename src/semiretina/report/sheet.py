"""A table of a report, written three ways: as markup by the page's macro, as Markdown, and as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semiretina.report.markdown_text import plain
from semiretina.report.markdown_text import row as markdown_row
from semiretina.report.tables import Cell


@dataclass(frozen=True)
class Sheet:
    """Rows of cells under columns; the first cell names its row, and `note` says how to read it."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def words(self) -> list[bool]:
        """Of each column: whether it holds words, which begin at the left, and not numbers."""
        return [not any(row[n].value.lstrip("-")[:1].isdigit() for row in self.rows) for n in range(len(self.columns))]


def sheet(title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Sheet:
    """A sheet without the columns that are empty in every row but the first."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n].value for row in cells)]
    return Sheet(title, note, [columns[n] for n in kept], [[row[n] for n in kept] for row in cells])


def to_markdown(shown: Sheet, level: int = 3) -> str:
    """A heading, the table and the note."""
    lines = [f"{'#' * level} {plain(shown.title)}", ""] if shown.title else []
    lines += [markdown_row(shown.columns), markdown_row(["---" if words else "---:" for words in shown.words])]
    lines += [markdown_row([str(cell) or "–" for cell in row]) for row in shown.rows]
    return "\n".join([*lines, "", *([plain(shown.note), ""] if shown.note else [])])


def to_json(shown: Sheet) -> dict[str, Any]:
    """The sheet as data: a value and its interval stay apart."""
    rows = [[{"value": c.value, "interval": c.interval} if c.interval else c.value for c in row] for row in shown.rows]
    return {"title": shown.title, "note": shown.note, "columns": list(shown.columns), "rows": rows}
