"""One self-contained page, `report.html`, from run folders: nothing in it asks for another file or a network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semiretina import __version__
from semiretina.files import read_text, write_text
from semiretina.report.balance_panel import balance_panels
from semiretina.report.figures import Picture, styles
from semiretina.report.panels import (
    Confusion,
    Epochs,
    Styles,
    confusions,
    sample_grids,
    schedule_panels,
    score_panels,
    test_panels,
    validation_panels,
)
from semiretina.report.runs import Run, check_complete, read_runs
from semiretina.report.survival import survival_tables
from semiretina.report.tables import NOT_ABOVE, Cell, Row, Score, cells, list_title, percent, rows_of, score
from semiretina.report.template import render


@dataclass(frozen=True)
class Comparison:
    """Runs that may be compared: they were tested on the same photographs."""

    title: str
    columns: list[str]
    tables: list[tuple[str, list[tuple[Row, list[Cell]]]]]  # (task, its rows)
    names: list[str]  # whose lines are drawn
    scores: dict[str, list[Picture]]  # by task
    curves: list[Picture]
    confusions: dict[str, list[Confusion]]
    protocol: list[list[str]]  # of the paper's protocol: run, task, once, max, epoch, last, mean of the last ten
    protocol_curves: list[Picture]
    below_majority: bool


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Writes `out`/report.html, which compares these run folders, and returns its path.

    Runs that were tested on different photographs are shown under a warning and in separate comparisons. Raises
    MissingInput that names the files which unfinished runs lack, BadData for a broken one, CannotWrite.
    """
    read = read_runs(runs)
    check_complete(read)
    epochs = {run.label: run.epochs() for run in read}
    look = styles([run.name for run in read])
    lists = list(dict.fromkeys(run.test_list for run in read))
    comparisons = [
        _comparison(
            list_title(number, sha) if len(lists) > 1 else "",
            [run for run in read if run.test_list == sha],
            epochs,
            look,
        )
        for number, sha in enumerate(lists)
    ]
    page = render(
        "report.html",
        {
            "runs": read,
            "facts": _facts(read),
            "comparisons": comparisons,
            "styles": look,
            "schedules": schedule_panels(read, epochs),
            "balances": balance_panels(read, epochs),
            "grids": sample_grids(read, epochs),
            "survival": survival_tables(read),
            "settings": [settings(run) for run in read],
            "not_above": NOT_ABOVE,
            "version": __version__,
        },
    )
    file = out / "report.html"
    write_text(file, page)
    return file


def _comparison(title: str, runs: Sequence[Run], epochs: Epochs, look: Styles) -> Comparison:
    rows = rows_of(runs)
    own_epochs = {run.label: epochs[run.label] for run in runs}
    columns, lines = cells(rows, skip=("run", "task"))
    table: dict[str, list[tuple[Row, list[Cell]]]] = {}
    for row, line in zip(rows, lines, strict=True):
        table.setdefault(row.task, []).append((row, line))
    return Comparison(
        title=title,
        columns=columns,
        tables=list(table.items()),
        names=list(dict.fromkeys(run.name for run in runs)),
        scores=score_panels(rows, runs, look),
        curves=validation_panels(runs, own_epochs, look),
        confusions=confusions(runs),
        protocol=_protocol(runs),
        protocol_curves=test_panels(runs, own_epochs, look),
        below_majority=not all(row.above_majority for row in rows),
    )


def _protocol(runs: Sequence[Run]) -> list[list[str]]:
    rows = []
    for run in runs:
        for task, stated in (run.result.get("paper_protocol") or {}).items():
            once = percent(score(run.result["test"].get(task, {}), "accuracy"))
            numbers = {key: percent(Score(stated[key])).value for key in ("max", "last", "mean_last_ten")}
            rows.append(
                [
                    run.label,
                    task,
                    str(once),
                    numbers["max"],
                    str(stated["epoch"]),
                    numbers["last"],
                    numbers["mean_last_ten"],
                ]
            )
    return rows


def _facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What was compared, in a few pairs of name and value; a value that the runs do not share lists all."""

    def counted(role: str) -> str:
        return _shared([run.result.get("counts", {}).get(role) for run in runs])

    networks = _shared([run.config["model"]["name"] for run in runs])
    sizes = _shared([run.config["data"]["size"] for run in runs])
    facts = [
        ("Network", networks),
        ("Photographs", f"{sizes} pixels square"),
        ("Labelled, for training", counted("train")),
        ("Labelled, for validation", counted("val")),
        ("Unlabelled", counted("unlabeled")),
        ("Ungradable, left out", _shared([run.result.get("ungradable") or None for run in runs])),
        ("Tested on", counted("test")),
        ("Seed" if len({run.seed for run in runs}) == 1 else "Seeds", _shared([run.seed for run in runs])),
    ]
    return [(name, value) for name, value in facts if value]


def _shared(values: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))


def settings(run: Run) -> dict[str, Any]:
    """What a page folds away of a run: its configuration, its environment and its test list."""
    environment: Mapping[str, Any] = run.environment()
    return {
        "run": run.label,
        "config": read_text(run.folder.config),
        "environment": [
            (k, v if isinstance(v, str) else json.dumps(v)) for k, v in environment.items() if v is not None
        ],
        "test_list": run.test_list,
    }
