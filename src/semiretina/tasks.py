"""Tasks: what a head of the classifier predicts, and the documented way from a record to its target.

A target that the record does not state is *unknown*: it is masked out of the loss and the scores, never guessed. The
one exception follows from a scale's definition (an eye graded "no retinopathy" has no lesion); such targets are marked
as derived. A photograph whose quality is `ungradable` has no target for any task.

| task | outputs | target |
|---|---|---|
| `dr` | one sigmoid | grade > 0, on any scale |
| `referable` | one sigmoid | grade >= 2 (moderate or worse on ICDR; its like on Messidor) or dme = 2; not on `binary` |
| `severity` | softmax over the grades of one scale | the grade |
| `lesions` | four sigmoids MA, HE, EX, SE | the record's columns; if empty, implied by the grade: `IMPLIED_LESIONS` |
| `dme` | one sigmoid | macular edema that needs referral: dme = 2 |
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from semiretina.errors import BadConfig, BadData
from semiretina.records import LESIONS, SCALES, Record

# scale -> grade -> lesions that the definition of the grade decides. ICDR: Wilkinson et al. 2003, 0 "no abnormalities",
# 1 "microaneurysms only". Messidor: Decenciere et al. 2014, 0 "no microaneurysm and no haemorrhage", 1 "1-5
# microaneurysms and no haemorrhage"; it says nothing of exudates.
IMPLIED_LESIONS: Mapping[str, Mapping[int, Mapping[str, int]]] = {
    "icdr": {0: {"MA": 0, "HE": 0, "EX": 0, "SE": 0}, 1: {"MA": 1, "HE": 0, "EX": 0, "SE": 0}},
    "messidor": {0: {"MA": 0, "HE": 0}, 1: {"MA": 1, "HE": 0}},
    "binary": {},
}
REFERABLE_FROM: Mapping[str, int | None] = {"icdr": 2, "messidor": 2, "binary": None}


@dataclass(frozen=True, slots=True)
class Task:
    """What a head predicts. `kind` "binary": each output a sigmoid; "classes": one softmax over the outputs."""

    name: str
    outputs: tuple[str, ...]
    kind: Literal["binary", "classes"]
    target: Callable[[Record], Sequence[float | None]]  # one value an output ("binary"), or one class ("classes")

    def targets(self, records: Sequence[Record]) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
        """float32 [n, outputs] with NaN where unknown ("binary"), or int64 [n] with -1 where unknown ("classes")."""
        empty: Sequence[float | None] = [None] * (len(self.outputs) if self.kind == "binary" else 1)
        rows = [empty if record.quality == "ungradable" else self.target(record) for record in records]
        values = np.array([[np.nan if v is None else v for v in row] for row in rows], np.float32).reshape(
            len(rows), len(empty)
        )
        return values if self.kind == "binary" else np.where(np.isnan(values), -1, values).astype(np.int64)[:, 0]


def known(task: Task, targets: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """[n] whether at least one of a record's targets is known."""
    found = (~np.isnan(targets)).any(axis=1) if task.kind == "binary" else targets >= 0
    return np.asarray(found, np.bool_)


def make_tasks(names: Sequence[str], records: Sequence[Record]) -> dict[str, Task]:
    """The named tasks for these records; `severity` takes its grades from their scale.

    Raises BadConfig for an unknown name, for a scale-bound task over mixed scales, and BadData for a task no record
    carries.
    """
    scales = sorted({record.scale for record in records if record.grade is not None})
    tasks = {}
    for name in names:
        if name not in TASKS:
            raise BadConfig(f"tasks: unknown task '{name}'; known are {', '.join(TASKS)}")
        if name in ("severity", "referable") and len(scales) > 1:
            raise BadConfig(
                f"tasks: '{name}' would mix the grading scales {', '.join(scales)}; map them to one under "
                "[data.regrade], or use 'dr', which means the same on all"
            )
        task = TASKS[name](scales[0] if scales else "icdr")
        if not known(task, task.targets(records)).any():
            raise BadData(f"tasks: no record carries a label for '{name}'; take it out of `tasks` or fill its columns")
        tasks[name] = task
    return tasks


def derived_lesions(record: Record) -> tuple[str, ...]:
    """The lesions whose target follows from the grade's definition and not from the record's own columns."""
    implied = IMPLIED_LESIONS[record.scale].get(record.grade, {}) if record.grade is not None else {}
    return tuple(lesion for lesion in implied if getattr(record, lesion) is None)


def _dr(record: Record) -> list[float | None]:
    return [None if record.grade is None else float(record.grade > 0)]


def _referable(record: Record) -> list[float | None]:
    if record.dme == 2:
        return [1.0]
    threshold = REFERABLE_FROM[record.scale] if record.scale else None
    return [None if record.grade is None or threshold is None else float(record.grade >= threshold)]


def _severity(record: Record) -> list[float | None]:
    return [record.grade]


def _lesions(record: Record) -> list[float | None]:
    implied = IMPLIED_LESIONS[record.scale].get(record.grade, {}) if record.grade is not None else {}
    stated = {lesion: getattr(record, lesion) for lesion in LESIONS}
    return [stated[lesion] if stated[lesion] is not None else implied.get(lesion) for lesion in LESIONS]


def _dme(record: Record) -> list[float | None]:
    return [None if record.dme is None else float(record.dme == 2)]


# task -> how it is made for the records' grading scale
TASKS: Mapping[str, Callable[[str], Task]] = {
    "dr": lambda scale: Task("dr", ("dr",), "binary", _dr),
    "referable": lambda scale: Task("referable", ("referable",), "binary", _referable),
    "severity": lambda scale: Task(
        "severity", tuple(f"grade {grade}" for grade in range(SCALES[scale] + 1)), "classes", _severity
    ),
    "lesions": lambda scale: Task("lesions", LESIONS, "binary", _lesions),
    "dme": lambda scale: Task("dme", ("dme",), "binary", _dme),
}
