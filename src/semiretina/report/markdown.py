"""The report without pictures: as Markdown for a reader, and as JSON for a program."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from semiretina import __version__
from semiretina.engine.run_folder import finite
from semiretina.report.contents import Comparison, Contents
from semiretina.report.sheet import Sheet, sheet
from semiretina.report.sheet import to_json as sheet_json
from semiretina.report.sheet import to_markdown as sheet_markdown
from semiretina.report.tables import Cell
from semiretina.report.tables import to_markdown as results_markdown
from semiretina.scoring.curves import Band

NOTICE = "Research software, not a medical device."
SCHEMA = 1
# The parts of a comparison that are tables.
SHEETS = (
    *("more", "levels", "strata_numbers", "operating", "abstention", "conformal", "protocol"),
    *("photographs", "sources"),
)


def to_markdown(contents: Contents) -> str:
    """The sentences, every table and the cautions."""
    names = ", ".join(dict.fromkeys(run.name for run in contents.runs))
    parts = [f"# {names}\n", *(_sentence(*one) for one in _told(contents))]
    parts += [f"{' '.join(contents.findings.notes)}\n"] if contents.findings.notes else []
    parts += _list("Not compared", contents.findings.refused)
    parts += ["".join(f"- {name}: {value}\n" for name, value in contents.facts), f"{NOTICE}\n"]
    for comparison in contents.comparisons:
        parts.append(f"## {comparison.title or 'Results on the test photographs'}\n")
        if comparison.rows:
            parts.append(results_markdown(comparison.rows))
        parts += [sheet_markdown(one) for one in sheets(comparison).values()]
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


def to_json(contents: Contents) -> str:
    """All that the page shows, but for photographs: an object of schema `SCHEMA`; NaN becomes null."""
    found = {
        "schema": SCHEMA,
        "semiretina": __version__,
        "shared": contents.shared,
        "notice": NOTICE,
        "facts": dict(contents.facts),
        "sentences": [asdict(one) for one in contents.findings.sentences],
        "notes": contents.findings.notes,
        "not_compared": contents.findings.refused,
        "cautions": contents.cautions,
        "runs": [
            {
                "label": run.label,
                "name": run.name,
                "seed": run.seed,
                "result": _hidden({**run.result, "name": run.name}, contents),
                "epochs": [_epoch(row) for row in run.epochs()],
                "config": settings.config,
                "environment": dict(settings.environment),
            }
            for run, settings in zip(contents.runs, contents.settings, strict=True)
        ],
        "comparisons": [
            {
                "title": comparison.title,
                "test_list": comparison.rows[0].test_list if comparison.rows else "",
                "results": [asdict(row) for row in comparison.rows],
                "tables": {name: sheet_json(one) for name, one in sheets(comparison).items()},
                "curves": {
                    key: {name: {"roc": _band(roc), "precision_recall": _band(pr)} for name, (roc, pr) in own.items()}
                    for key, own in comparison.bands.items()
                },
                "looks": [asdict(one) for one in comparison.looks],
                "confusions": [asdict(one) for one in comparison.confusions],
            }
            for comparison in contents.comparisons
        ],
        "mistakes": sheet_json(contents.mistake_list) if contents.mistake_list else None,
        "survival": [asdict(table) for table in contents.survival],
    }
    return json.dumps(finite(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sheets(comparison: Comparison) -> dict[str, Sheet]:
    """The tables that a comparison has, by the name of the part."""
    found = {name: getattr(comparison, name) for name in SHEETS}
    return {name: one for name, one in found.items() if one is not None}


def _told(contents: Contents) -> list[tuple[str, str, str]]:
    return [(one.about, one.text, one.more) for one in contents.findings.sentences]


def _sentence(about: str, text: str, more: str) -> str:
    return f"**{about}.** {text}{' ' + more if more else ''}\n"


def _list(title: str, texts: Sequence[str], level: int = 2) -> list[str]:
    return [f"{'#' * level} {title}\n", "".join(f"- {text}\n" for text in texts)] if texts else []


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


def _hidden(value: Any, contents: Contents) -> Any:
    if isinstance(value, Mapping):
        return {contents.hide(str(key)): _hidden(inner, contents) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner, contents) for inner in value]
    return contents.hide(value) if isinstance(value, str) else value


def _epoch(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("phase", "stage", "epoch", "train", "val", "test") if name in row}


def _band(band: Band) -> dict[str, list[float]]:
    return {name: [round(float(x), 5) for x in values] for name, values in asdict(band).items()}
