"""Table 1: which hyper-parameters the best runs of a grid share, as the paper prints it, beside the paper's values.

Row p holds the modal values among the runs whose accuracy has a percentile rank of at least p and below the next row's;
the last row reaches to 1, included. The percentile rank of a run is the share of the runs that are no better than it
(scipy's `percentileofscore(kind="weak")`): equal accuracies share a rank, and the best always stand in the last row.
Accuracies are those on validation photographs. A run that diverged has no accuracy and no rank.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

from semiretina import __version__
from semiretina.errors import BadData
from semiretina.files import read_text, write_text
from semiretina.report.template import render

PERCENTILES = (75, 80, 85, 90, 95)

# The two halves of the table, by the methods of their stages.
TRAININGS: Mapping[tuple[str, ...], str] = {
    ("reconstruction", "supervised"): "AE then CL",
    ("combined",): "AE-CL combined",
    ("balanced",): "AE-CL combined",
}

_NO, _YES, _EITHER = (False,), (True,), (False, True)
# The paper's values: training -> percentile -> hyper-parameter -> values, several where they are tied.
PAPER: Mapping[str, Mapping[int, Mapping[str, tuple[Any, ...]]]] = {
    "AE then CL": {
        75: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _EITHER, "weight_decay": (1e-5,)},
        80: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1e-5,)},
        85: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1e-5,)},
        90: {"lr": (4e-3, 5e-3), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1e-5,)},
        95: {"lr": (4e-3,), "momentum": (0.5, 0.9), "nesterov": _NO, "weight_decay": (1e-5,)},
    },
    "AE-CL combined": {
        75: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1.0,)},
        80: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1.0,)},
        85: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _YES, "weight_decay": (1.0,)},
        90: {"lr": (5e-3,), "momentum": (0.9,), "nesterov": _NO, "weight_decay": (1.0,)},
        95: {"lr": (4e-3,), "momentum": (0.9,), "nesterov": _YES, "weight_decay": (1.0,)},
    },
}
REMARKS = (
    "Nesterov is a flag, printed as 0.0 and 1.0; several values in a cell are tied.",
    "The paper's weight decay of 1.0 lies outside its own grid of 1e-7, 1e-5, 0.01 and 0.1 (section 5.1).",
)
INDEX = "points.jsonl"  # in the folder of a sweep
TITLES = {"lr": "learning rate", "momentum": "momentum", "nesterov": "Nesterov", "weight_decay": "weight decay"}


@dataclass(frozen=True)
class Point:
    """One experiment of a grid, as the study's `points.jsonl` tells it."""

    key: str  # the name of its run folder
    parameters: Mapping[str, Any]  # dotted key -> value
    status: Literal["open", "done", "diverged"]
    accuracy: float | None = None  # on validation photographs, of the configuration's first task
    auroc: float | None = None
    seconds: float | None = None  # of training


class Row(NamedTuple):
    """The modal values among the runs of one row: more than one where they are tied, none where no run has the rank."""

    percentile: int
    runs: int
    modes: Mapping[str, tuple[Any, ...]]


def read_points(file: Path) -> list[Point]:
    """The points of a `points.jsonl`; none where there is no file. Raises BadData that names a broken line."""
    if not file.exists():
        return []
    points = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        try:
            points.append(Point(**json.loads(line)))
        except (json.JSONDecodeError, TypeError) as error:
            raise BadData(f"{file}: line {number} is no point of a grid ({error}); take the line out") from None
    return points


def best_point(points: Iterable[Point]) -> Point | None:
    """The best on validation, by accuracy and then by AUROC, the first of equals; None where all diverged."""
    scored = [point for point in points if point.accuracy is not None]
    return max(scored, key=lambda point: (point.accuracy or 0.0, point.auroc or 0.0), default=None)


def table_one(points: Iterable[Point]) -> list[Row]:
    """The rows of one half of the table, from 0.75 down to 0.95."""
    ranked = [(point, point.accuracy) for point in points if point.accuracy is not None]
    names = list(dict.fromkeys(name for point, _ in ranked for name in point.parameters))
    rows = []
    for low, high in zip(PERCENTILES, (*PERCENTILES[1:], 101), strict=True):
        members = [
            point
            for point, accuracy in ranked
            # Whole numbers: 0.75 of 96 runs is 72 exactly.
            if low * len(ranked) <= 100 * sum(other <= accuracy for _, other in ranked) < high * len(ranked)
        ]
        rows.append(Row(low, len(members), {name: modes(p.parameters.get(name) for p in members) for name in names}))
    return rows


def modes(values: Iterable[Any]) -> tuple[Any, ...]:
    """The most frequent values, all that are tied, the smaller first; lists and tables by their text."""
    texts = [json.dumps(value, sort_keys=True) for value in values]
    counts = Counter(texts)
    tied = [json.loads(text) for text, count in counts.items() if count == max(counts.values())]
    numeric = all(isinstance(value, (int, float)) for value in tied)
    return tuple(sorted(tied, key=None if numeric else json.dumps))


def number_text(value: Any) -> str:
    """A value as the paper prints it: 4e-3, 0.9, 1e-5, and 0.0 or 1.0 for a flag."""
    if isinstance(value, bool) or (isinstance(value, float) and not 0 < abs(value) < 0.1):
        return str(float(value))
    if isinstance(value, float):
        exact = Decimal(repr(value)).normalize()
        return f"{exact.scaleb(-exact.adjusted()).normalize():f}e{exact.adjusted()}"
    return value if isinstance(value, str) else json.dumps(value)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last word of each dotted key, or the whole key where two end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    counts = Counter(last.values())
    return {key: name if counts[name] == 1 else key for key, name in last.items()}


class Half(NamedTuple):
    """One half of the table as text: a training's name, how many runs stand behind it, titles, and cells by row."""

    training: str
    runs: int
    diverged: int
    titles: list[str]
    lines: list[tuple[str, int, list[tuple[str, str]]]]  # percentile, runs, (ours, the paper's or "") for each title


def halves(points: Mapping[str, Sequence[Point]]) -> list[Half]:
    """The table's halves by training; the paper's values stand beside those of `TRAININGS`."""
    shown = []
    for training, trained in points.items():
        rows = table_one(trained)
        names = short_names(rows[0].modes)
        paper = PAPER.get(training, {})
        lines = [
            (
                f"{row.percentile / 100:.2f}",
                row.runs,
                [
                    (_cell(row.modes[key]), _cell(paper.get(row.percentile, {}).get(name, ())))
                    for key, name in names.items()
                ],
            )
            for row in rows
        ]
        ranked = sum(point.accuracy is not None for point in trained)
        diverged = sum(point.status == "diverged" for point in trained)
        shown.append(Half(training, ranked, diverged, [TITLES.get(name, name) for name in names.values()], lines))
    return shown


def to_text(points: Mapping[str, Sequence[Point]]) -> str:
    """The table for a terminal: a block for each training, the paper's values in brackets."""
    parts = []
    for half in halves(points):
        titles = ["percentile rank", "runs", *half.titles]
        lines = [
            [rank, str(runs), *(f"{ours or '–'} ({paper})" if paper else ours or "–" for ours, paper in cells)]
            for rank, runs, cells in half.lines
        ]
        widths = [max(len(line[column]) for line in (titles, *lines)) for column in range(len(titles))]
        block = ["  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)) for line in (titles, *lines)]
        parts.append("\n".join([f"Table 1, {_headline(half)}", *(line.rstrip() for line in block)]) + "\n")
    return "\n".join([*parts, *_notes(points)]) + "\n"


def to_html(points: Mapping[str, Sequence[Point]]) -> str:
    """The table as the paper prints it, trainings side by side; a piece of a page in `report.css`'s style."""
    return _render("table1.html", points)


def write_page(points: Mapping[str, Sequence[Point]], file: Path) -> None:
    """The table as a self-contained page. Raises CannotWrite."""
    write_text(file, _render("table1-page.html", points))


def _render(template: str, points: Mapping[str, Sequence[Point]]) -> str:
    shown = [(half, _headline(half)) for half in halves(points)]
    return render(template, {"halves": shown, "notes": _notes(points), "version": __version__})


def _headline(half: Half) -> str:
    diverged = f", {half.diverged} diverged and have no rank" if half.diverged else ""
    return f"{half.training}: {half.runs} {'run' if half.runs == 1 else 'runs'}{diverged}"


def _notes(points: Mapping[str, Sequence[Point]]) -> list[str]:
    notes = [
        "Modal values among the runs whose validation accuracy has at least this percentile rank, and less than the "
        "next row's. A rank is the share of runs that are no better."
    ]
    return [*notes, "In brackets: the paper's values.", *REMARKS] if any(name in PAPER for name in points) else notes


def _cell(values: Sequence[Any]) -> str:
    return ", ".join(number_text(value) for value in values)
