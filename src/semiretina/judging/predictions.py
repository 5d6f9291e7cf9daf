"""The table of predictions, `predictions-*.csv` of a run folder: its one writer and its one reader.

A row for each photograph and output; `label` is empty where it is unknown. Tables of before have no eye, camera, grade
and group. Nothing heavy is imported here: whoever reads answers need not have what gave them.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from semiretina.errors import BadData
from semiretina.files import read_text, write_text

if TYPE_CHECKING:
    from semiretina.tasks import Task

LABELS = {"": np.nan, "0": 0.0, "1": 1.0}
TEXTS = {label: text for text, label in LABELS.items() if text}


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers to n photographs, in the order of their first rows, and what the table says of each.

    Of every task there are `outputs`, and by them `labels` [n, outputs] (0, 1, or NaN where unknown) and
    `probabilities` [n, outputs].
    """

    paths: Sequence[str]
    patients: Sequence[str]
    sites: Sequence[str]
    eyes: Sequence[str]
    cameras: Sequence[str]
    grades: Sequence[int | None]
    groups: Sequence[str]  # those of the split
    folds: npt.NDArray[np.int64] | None = None  # the fold whose network answered, in the table of a cross-validation
    outputs: Mapping[str, Sequence[str]]
    labels: Mapping[str, npt.NDArray[np.float32]]
    probabilities: Mapping[str, npt.NDArray[np.floating]]

    def write(self, file: Path) -> None:
        """Writes the table: by task, then photograph, then output."""
        about = [
            [path, patient, site, eye, camera, "" if grade is None else grade, group]
            for path, patient, site, eye, camera, grade, group in zip(
                self.paths, self.patients, self.sites, self.eyes, self.cameras, self.grades, self.groups, strict=True
            )
        ]
        more = [[]] * len(about) if self.folds is None else [[fold] for fold in self.folds]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = ("path", "patient", "site", "eye", "camera", "grade", "group", "task", "output", "label")
        writer.writerow([*columns, "probability", *(["fold"] if self.folds is not None else [])])
        for task, outputs in self.outputs.items():
            for row, cells in enumerate(about):
                for number, output in enumerate(outputs):
                    label = TEXTS.get(self.labels[task][row, number], "")
                    probability = f"{self.probabilities[task][row, number]:.9g}"
                    writer.writerow([*cells, task, output, label, probability, *more[row]])
        write_text(file, text.getvalue())


def read_predictions(file: Path, tasks: "Mapping[str, Task] | None" = None) -> Predictions:
    """The table in a file; with `tasks`, only where it holds the answers to these and to nothing else.

    Raises MissingInput where there is no such file, BadData for another table and for a probability that is none.
    """
    text = read_text(file)
    try:
        table = _parse(csv.DictReader(io.StringIO(text, newline="")))
        if tasks is not None:
            _check(table, tasks)
        return table
    except (KeyError, TypeError, ValueError) as error:
        what = "a table of predictions" if tasks is None else f"the predictions of {', '.join(tasks)}"
        raise BadData(f"{file}: not {what} ({error}); train it again") from None


def _parse(rows: Iterable[Mapping[str, str]]) -> Predictions:
    cells: dict[tuple[str, str, str], tuple[float, float]] = {}
    about: dict[str, Mapping[str, str]] = {}
    outputs: dict[str, dict[str, None]] = {}
    for row in rows:
        outputs.setdefault(row["task"], {})[row["output"]] = None
        cells[row["path"], row["task"], row["output"]] = LABELS[row["label"]], float(row["probability"])
        about.setdefault(row["path"], row)

    def column(name: str, read: Callable[[str], Any] = str) -> list[Any]:
        return [read(row.get(name) or "") for row in about.values()]

    values = {
        task: np.array([[cells[path, task, output] for output in named] for path in about], np.float64)
        for task, named in outputs.items()
    }
    return Predictions(
        paths=list(about),
        patients=[row["patient"] for row in about.values()],
        sites=column("site"),
        eyes=column("eye"),
        cameras=column("camera"),
        grades=column("grade", lambda cell: int(cell) if cell else None),
        groups=column("group"),
        folds=np.array(column("fold", int), np.int64) if any(row.get("fold") for row in about.values()) else None,
        outputs={task: tuple(named) for task, named in outputs.items()},
        labels={task: pairs[:, :, 0].astype(np.float32) for task, pairs in values.items()},
        probabilities={task: pairs[:, :, 1] for task, pairs in values.items()},
    )


def _check(table: Predictions, tasks: "Mapping[str, Task]") -> None:
    """Raises ValueError where the table is not whole, or not of these tasks."""
    wanted = {(name, output) for name, task in tasks.items() for output in task.outputs}
    there = {(name, output) for name, outputs in table.outputs.items() for output in outputs}
    if wanted != there:
        differences = [f"no {' '.join(pair)}" for pair in sorted(wanted - there)]
        raise ValueError(", ".join(differences + [f"also {' '.join(pair)}" for pair in sorted(there - wanted)]))
    if not all(table.groups):
        raise ValueError("a photograph without its 'group'")
    for values in table.probabilities.values():
        if (wrong := values[~((values >= 0) & (values <= 1))]).size:
            raise ValueError(f"a probability of {wrong[0]:g}")
