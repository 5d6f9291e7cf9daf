"""Sections as Markdown, without their pictures. Names of runs, sites and files stay words and never become markup."""

import re
from collections.abc import Sequence

from semiretina.report.section import Block, Bullets, Facts, Section, Table, Text

# What begins code, emphasis, markup, a cell or a strike anywhere in a line; "[" alone begins nothing.
_MARKS = re.compile(r"[\\`*<|~]|(?<=\])\(|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")


def plain(text: str) -> str:
    """The text as Markdown shows it word by word, on one line."""
    return _MARKS.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split()))


def row(texts: Sequence[str]) -> str:
    """One row of a table."""
    return f"| {' | '.join(map(plain, texts))} |"


def table_markdown(table: Table) -> str:
    """The rows of a table under their columns."""
    lines = [table.columns, ["---" if words else "---:" for words in table.words]]
    lines += [[str(cell) or "–" for cell in cells] for cells in table.rows]
    return "\n".join(map(row, lines)) + "\n"


def section_markdown(section: Section, level: int = 2) -> str:
    """A heading and what stands under it; "" where that is nothing but pictures."""
    deeper = level + 1 if section.title else level
    body = "\n".join(filter(None, (_block(block, deeper) for block in section.blocks)))
    return f"{'#' * level} {plain(section.title)}\n\n{body}" if body and section.title else body


def _block(block: Block, level: int) -> str:
    if isinstance(block, Section):
        return section_markdown(block, level)
    if isinstance(block, Text):
        return plain(f"{block.lead} {block.words}") + "\n"
    if isinstance(block, Bullets):
        abouts = [f"**{plain(item.about)}.** " if item.about else "" for item in block.items]
        items = zip(abouts, block.items, strict=True)
        return "".join(f"- {about}{plain(f'{item.words} {item.aside}')}\n" for about, item in items)
    if isinstance(block, Facts):
        return "".join(f"- {plain(name)}: {plain(value)}\n" for name, value in block.pairs)
    if isinstance(block, Table) and block.kind != "samples":
        title = f"{'#' * level} {plain(block.title)}\n\n" if block.title else ""
        return title + table_markdown(block) + (f"\n{plain(block.note)}\n" if block.note else "")
    return ""
