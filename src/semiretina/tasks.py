"""Tasks: what a head of the classifier predicts, and the documented way from a record to its target.

A target that the record does not state is *unknown*: it is masked out of the loss and the scores, never guessed. The
one exception follows from a scale's definition (an eye graded "no retinopathy" has no lesion); such targets are marked
as derived. A photograph whose quality is `ungradable` has no target for any task.

| task | outputs | target |
|---|---|---|
| `dr` | one sigmoid | grade > 0, on any scale |
| `referable` | one sigmoid | grade >= 2 (moderate or worse on ICDR; its like on Messidor) or dme = 2; not on `binary` |
| `severity` | softmax over the grades of one scale | the grade |
| `severity-ordinal` | the grades of one scale, from a sigmoid each for "above grade k" | the grade |
| `lesions` | four sigmoids MA, HE, EX, SE | the record's columns; if empty, implied by the grade: `IMPLIED_LESIONS` |
| `dme` | one sigmoid | macular edema that needs referral: dme = 2 |

`referable`, `severity` and `severity-ordinal` read one grading scale. Over records of several scales it must be said
which: `severity:icdr` learns from, and is scored on, the records of the scale `icdr` alone; to it those of the others
are unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
SCALED = ("referable", "severity", "severity-ordinal")  # what reads one grading scale, and may name it: severity:icdr

Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """What a head predicts.

    `kind` "binary": each output has a sigmoid; "classes": one softmax over the outputs; "ordinal": the outputs are
    grades in their order, and each but the last has a sigmoid for "the grade is above this one". `scale`: the one whose
    records are read; those of all scales when it is "".
    """

    name: str
    outputs: tuple[str, ...]
    kind: Literal["binary", "classes", "ordinal"]
    target: Callable[[Record], Sequence[float | None]]  # one value an output ("binary"), or one class
    scale: str = ""

    @property
    def num_logits(self) -> int:
        """How many logits the task's head gives."""
        return len(self.outputs) - (self.kind == "ordinal")

    def targets(self, records: Sequence[Record]) -> Targets:
        """What the loss takes; NaN or -1 where unknown.

        "binary": float32 [n, outputs]. "classes": int64 [n]. "ordinal": float32 [n, outputs - 1], y_k = 1[grade > k].
        """
        empty: Sequence[float | None] = [None] * (len(self.outputs) if self.kind == "binary" else 1)
        rows = [self.target(record) if self._reads(record) else empty for record in records]
        values = np.array([[np.nan if v is None else v for v in row] for row in rows], np.float32).reshape(
            len(rows), len(empty)
        )
        if self.kind == "binary":
            return values
        if self.kind == "classes":
            return np.where(np.isnan(values), -1, values).astype(np.int64)[:, 0]
        return np.where(np.isnan(values), np.nan, values > np.arange(self.num_logits)).astype(np.float32)

    def _reads(self, record: Record) -> bool:
        return record.quality != "ungradable" and self.scale in ("", record.scale)


def known(task: Task, targets: Targets) -> npt.NDArray[np.bool_]:
    """[n] whether at least one of a record's targets is known."""
    found = targets >= 0 if task.kind == "classes" else (~np.isnan(targets)).any(axis=1)
    return np.asarray(found, np.bool_)


def keys_of(task: Task) -> tuple[str, ...]:
    """The names that the task's scores go by: the task, or `task.output` for each of several yes-or-no outputs."""
    several = task.kind == "binary" and len(task.outputs) > 1
    return tuple(f"{task.name}.{output}" for output in task.outputs) if several else (task.name,)


def classes_of(task: Task, targets: Targets) -> npt.NDArray[np.int64]:
    """int64 [n], the class of each record, -1 where unknown, from the targets of "classes" or "ordinal"."""
    assert task.kind != "binary", f"{task.name} does not choose among classes"
    classes = targets if task.kind == "classes" else np.where(known(task, targets), targets.sum(axis=1), -1)
    return classes.astype(np.int64)


def make_tasks(names: Sequence[str], records: Sequence[Record]) -> dict[str, Task]:
    """The named tasks for these records; a severity that names no scale takes the one that the records have.

    Raises BadConfig for an unknown name, for a scale-bound task over mixed scales that does not name one, and BadData
    for a task no record carries.
    """
    scales = sorted({r.scale for r in records if r.grade is not None and r.quality != "ungradable"})
    tasks = {}
    for name in names:
        task = make_task(name, scales[0] if scales else "icdr")
        if name in SCALED and len(scales) > 1:
            choices = " or ".join(f"'{name}:{scale}'" for scale in scales)
            raise BadConfig(
                f"tasks: '{name}' would mix the grading scales {', '.join(scales)}; name the one that it reads, "
                f"{choices}, map them to one under [data.regrade], or use 'dr', which means the same on all"
            )
        if not known(task, task.targets(records)).any():
            raise BadData(f"tasks: no record carries a label for '{name}'; take it out of `tasks` or fill its columns")
        tasks[name] = task
    return tasks


def make_task(name: str, scale: str) -> Task:
    """The task of that name, `severity` or `severity:icdr`; `scale` is for a name without one.

    Raises BadConfig for an unknown name or scale, and for a scale where none is read.
    """
    kind, colon, own = name.partition(":")
    if kind not in TASKS:
        raise BadConfig(f"tasks: unknown task '{kind}'; known are {', '.join(TASKS)}")
    if not colon:
        return TASKS[kind](scale)
    if kind not in SCALED:
        raise BadConfig(f"tasks: '{name}': '{kind}' means the same on all grading scales; write '{kind}'")
    if own not in SCALES:
        raise BadConfig(f"tasks: '{name}': unknown grading scale '{own}'; known are {', '.join(SCALES)}")
    return replace(TASKS[kind](own), name=name, scale=own)


def derived_lesions(record: Record) -> tuple[str, ...]:
    """The lesions whose target follows from the grade's definition and not from the record's own columns."""
    implied = IMPLIED_LESIONS[record.scale].get(record.grade, {}) if record.grade is not None else {}
    return tuple(lesion for lesion in implied if getattr(record, lesion) is None)


def count_derived(task: Task, records: Sequence[Record]) -> dict[str, int]:
    """How many targets of each output are derived; empty for a task that derives none."""
    if task.name != "lesions":
        return {}
    derived = [derived_lesions(record) for record in records if record.quality != "ungradable"]
    return {lesion: sum(lesion in lesions for lesions in derived) for lesion in LESIONS}


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


def _grades(scale: str) -> tuple[str, ...]:
    return tuple(f"grade {grade}" for grade in range(SCALES[scale] + 1))


def _dme(record: Record) -> list[float | None]:
    return [None if record.dme is None else float(record.dme == 2)]


# task -> how it is made for the records' grading scale
TASKS: Mapping[str, Callable[[str], Task]] = {
    "dr": lambda scale: Task("dr", ("dr",), "binary", _dr),
    "referable": lambda scale: Task("referable", ("referable",), "binary", _referable),
    "severity": lambda scale: Task("severity", _grades(scale), "classes", _severity, scale),
    "severity-ordinal": lambda scale: Task("severity-ordinal", _grades(scale), "ordinal", _severity, scale),
    "lesions": lambda scale: Task("lesions", LESIONS, "binary", _lesions),
    "dme": lambda scale: Task("dme", ("dme",), "binary", _dme),
}
