"""The report without pictures, as Markdown for a reader."""

from collections.abc import Sequence

from semiretina import __version__
from semiretina.report.contents import NOTICE, Comparison, Contents
from semiretina.report.markdown_text import plain
from semiretina.report.sheet import Sheet, sheet
from semiretina.report.sheet import to_markdown as sheet_markdown
from semiretina.report.tables import Cell
from semiretina.report.tables import to_markdown as results_markdown


def to_markdown(contents: Contents) -> str:
    """The sentences, every table and the cautions."""
    names = plain(", ".join(dict.fromkeys(run.name for run in contents.runs)))
    parts = [f"# {names}\n", *(_sentence(*one) for one in _told(contents))]
    parts += [f"{plain(' '.join(contents.findings.notes))}\n"] if contents.findings.notes else []
    parts += ["".join(f"- {name}: {plain(value)}\n" for name, value in contents.facts), f"{NOTICE}\n"]
    parts += _list("Not compared", contents.findings.refused)
    for comparison in contents.comparisons:
        parts.append(f"## {comparison.title or 'Results on the test photographs'}\n")
        if comparison.rows:
            parts.append(results_markdown(comparison.rows))
        parts += [sheet_markdown(one) for one in comparison.sheets().values()]
        parts += [sheet_markdown(one) for one in _confusion_sheets(comparison)]
        parts += _list("Looks at the test set", [look.text for look in comparison.looks], level=3)
    parts += [sheet_markdown(contents.mistake_list, level=2)] if contents.mistake_list else []
    for table in contents.survival:
        rows: list[list[Cell | str]] = []
        for kind, lines in table.lines:
            rows += [[f"{kind}, {size}", *line] for size, line in lines]
        title = "Lesions that survive reconstruction"
        parts.append(sheet_markdown(sheet(title, table.facts, table.columns, rows), level=2))
    parts += _list("Cautions", contents.cautions)
    parts.append(f"Made by semiretina {__version__} from run folders alone.\n")
    return "\n".join(parts)


def _told(contents: Contents) -> list[tuple[str, str, str]]:
    return [(one.about, one.text, one.more) for one in contents.findings.sentences]


def _sentence(about: str, text: str, more: str) -> str:
    return f"**{plain(about)}.** {plain(f'{text} {more}')}\n"


def _list(title: str, texts: Sequence[str], level: int = 2) -> list[str]:
    return [f"{'#' * level} {title}\n", "".join(f"- {plain(text)}\n" for text in texts)] if texts else []


def _confusion_sheets(comparison: Comparison) -> list[Sheet]:
    return [
        sheet(
            f"Confusion matrix of {one.run}, {one.task}",
            "Photographs by true class (rows) and answer (columns).",
            ["", *one.classes],
            [[name, *map(str, counts)] for name, counts in zip(one.classes, one.counts, strict=True)],
        )
        for one in comparison.confusions
    ]
