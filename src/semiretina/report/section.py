"""What a report is made of: sections of words, tables and pictures, from which page, Markdown and JSON are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from semiretina.report.columns import Cell
from semiretina.report.pictures import Picture, Style

NOTICE = "Research software, not a medical device."


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is "", "note", "notice" or "warning". `lead` opens it in bold, `link` names a section."""

    block: ClassVar[str] = "text"
    words: str
    kind: str = "note"
    lead: str = ""
    link: str = ""

    def __bool__(self) -> bool:
        return bool(self.words)


@dataclass(frozen=True)
class Item:
    """A sentence of a list: what it is about, the sentence, and a lesser one; `marked` where it warns.

    `verdict` is its gist for a program.
    """

    words: str
    about: str = ""
    aside: str = ""
    marked: bool = False
    verdict: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of sentences; of the kind "sentences" the first one stands out."""

    block: ClassVar[str] = "bullets"
    items: Sequence[Item]
    kind: str = ""

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a value."""

    block: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Code:
    """Text as it stands in a file."""

    block: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side under one title; `styles` are the lines of a legend, `notes` say how to read them."""

    block: ClassVar[str] = "pictures"
    title: str
    pictures: Sequence[Picture]
    styles: Mapping[str, Style] = field(default_factory=dict)
    notes: Sequence[str] = ()
    kind: str = "pictures"

    def __bool__(self) -> bool:
        return bool(self.pictures)


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; the first cell names its row, and `note` says how to read it.

    Without a title it has its section's. On a page the column `grouped_by` becomes a heading over each of its values.
    `kind` is "table", "confusion" (shaded) or "samples" (of photographs).
    """

    block: ClassVar[str] = "table"
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    grouped_by: str | None = None
    kind: str = "table"

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def words(self) -> list[bool]:
        """Of each column: whether it holds words, which begin at the left, and not numbers."""
        return [not any(row[n].text.lstrip("-")[:1].isdigit() for row in self.rows) for n in range(len(self.columns))]

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """The columns but `grouped_by`, each with whether it holds words."""
        return [head for head in zip(self.columns, self.words, strict=True) if head[0] != self.grouped_by]

    @property
    def groups(self) -> list[tuple[Cell, list[Sequence[Cell]]]]:
        """Rows that follow each other under one value of `grouped_by`, which they lack; all in one without it."""
        at = self.columns.index(self.grouped_by) if self.grouped_by is not None else None
        made: list[tuple[Cell, list[Sequence[Cell]]]] = []
        for row in self.rows:
            head = Cell() if at is None else row[at]
            if not made or made[-1][0].text != head.text:
                made.append((head, []))
            made[-1][1].append([cell for n, cell in enumerate(row) if n != at])
        return made


def table(note: str, columns: Sequence[str], rows: Sequence[Sequence[Cell | str]], title: str = "") -> Table:
    """A table without the columns that are empty in every row but the first."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n].text for row in cells)]
    return Table(title, note, [columns[n] for n in kept], [[row[n] for n in kept] for row in cells])


@dataclass(frozen=True)
class Section:
    """Blocks under a title, or without one. `name` is its anchor and its name in JSON, `short` its title in a contents.

    A `folded` one is opened by a click, unless it is `opened`. Of the kind "list" it must not be compared with the
    sections beside it; "error", "warning" and "note" stand before its title.
    """

    block: ClassVar[str] = "section"
    title: str
    blocks: "Sequence[Block]"
    name: str = ""
    short: str = ""
    folded: bool = False
    opened: bool = False
    kind: str = ""


Block = Text | Bullets | Facts | Code | Pictures | Table | Section


def section(
    title: str, *blocks: Block | None, name: str = "", folded: bool = False, opened: bool = False
) -> Section | None:
    """A section of the blocks that hold something; None where none does."""
    there = [block for block in blocks if block]
    return Section(title, there, name, folded=folded, opened=opened) if there else None
