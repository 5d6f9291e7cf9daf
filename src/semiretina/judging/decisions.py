"""From a probability to a row: what a grader answers, at which threshold, and the table that `Grader.predict` gives."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from semiretina.judging.inputs import Photograph
from semiretina.tasks import Task

Graded = Mapping[str, npt.NDArray[np.float32]]  # task -> [outputs], of one photograph
COLUMNS = ("photograph", "path", "task", "output", "probability", "threshold", "answer", "status", "reason")
SHOWN = 40  # rows of a printed table


class Grades(Protocol):
    """What makes probabilities of photographs: `judging.grader.Grader`, or one that runs without torch."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks by their names."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """KEY -> the threshold of each yes-or-no output."""

    @property
    def own_thresholds(self) -> Mapping[str, float]:
        """Of these, the ones that were fixed on purpose."""

    @property
    def batch(self) -> int:
        """How many photographs are graded at a time."""

    def read(self, photograph: Photograph) -> npt.NDArray[np.uint8]:
        """One photograph as this grader sees it."""

    def grade(self, photographs: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Task -> probabilities [n, outputs] of photographs as `read` gives them."""


class Decisions(list[dict[str, Any]]):
    """A row, a dict of `COLUMNS`, for each photograph and output. `pandas.DataFrame(decisions)` makes a frame of it.

    `photograph` counts them from 0; `path` is "" for a picture in memory. `answer` is yes or no: whether the
    `probability` reaches the `threshold`, or (`threshold` None) whether of several classes this is the likeliest.
    `status` is "ok", or "failed" with the `reason` and neither probability nor answer.
    """

    def __repr__(self) -> str:
        """The first rows as a table in columns."""
        shown = [[_cell(row[name]) for name in COLUMNS] for row in self[:SHOWN]]
        widths = [max(map(len, column)) for column in zip(COLUMNS, *shown, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (list(COLUMNS), *shown)]
        more = [f"... and {len(self) - SHOWN} more rows"] if len(self) > SHOWN else []
        return "\n".join(lines + more)


def rows_of(grader: Grades, graded: Graded | None, reason: str = "") -> Iterator[dict[str, Any]]:
    """The rows of one photograph, all but the photograph itself; where it was not `graded`, with the `reason`."""
    status = "failed" if graded is None else "ok"
    for name, task in grader.tasks.items():
        answers = answers_to(task, None if graded is None else graded[name], grader.thresholds)
        for number, (output, (threshold, answer)) in enumerate(zip(task.outputs, answers, strict=True)):
            probability = None if graded is None else float(graded[name][number])
            yield {
                "task": name,
                "output": output,
                "probability": probability,
                "threshold": threshold,
                "answer": answer,
                "status": status,
                "reason": reason,
            }


def answers_to(
    task: Task, probabilities: npt.NDArray[np.float32] | None, thresholds: Mapping[str, float]
) -> list[tuple[float | None, str]]:
    """The threshold, if any, and the answer (yes, no, or "" without probabilities) of each of a task's outputs."""
    limits: list[float | None] = [thresholds[key] for key in task.threshold_keys]
    limits = limits or [None] * len(task.outputs)
    if probabilities is None:
        return [(limit, "") for limit in limits]
    by_key = task.by_key(probabilities[np.newaxis])
    if task.threshold_keys:
        yes = [bool(task.decide(p, thresholds[key])[0]) for key, p in by_key.items()]
    else:
        chosen = int(task.decide(by_key[task.name])[0])
        yes = [number == chosen for number in range(len(task.outputs))]
    return [(limit, "yes" if one else "no") for limit, one in zip(limits, yes, strict=True)]


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
