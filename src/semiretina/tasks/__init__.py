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
from dataclasses import replace

from semiretina.errors import BadConfig, BadData
from semiretina.records import LESIONS, SCALES, Record
from semiretina.tasks.binary import Binary
from semiretina.tasks.classes import Classes
from semiretina.tasks.definitions import (
    IMPLIED_LESIONS,
    count_derived,
    derived_lesions,
    dme,
    dr,
    grade,
    grades_of_scale,
    lesions,
    referable,
)
from semiretina.tasks.ordinal import Ordinal
from semiretina.tasks.task import Targets, Task

__all__ = [
    "IMPLIED_LESIONS",
    "SCALED",
    "TASKS",
    "Binary",
    "Classes",
    "Ordinal",
    "Targets",
    "Task",
    "count_derived",
    "derived_lesions",
    "make_task",
    "make_tasks",
]

SCALED = ("referable", "severity", "severity-ordinal")  # what reads one grading scale, and may name it: severity:icdr

# task -> how it is made for the records' grading scale
TASKS: Mapping[str, Callable[[str], Task]] = {
    "dr": lambda scale: Binary("dr", ("dr",), dr),
    "referable": lambda scale: Binary("referable", ("referable",), referable),
    "severity": lambda scale: Classes("severity", grades_of_scale(scale), grade, scale),
    "severity-ordinal": lambda scale: Ordinal("severity-ordinal", grades_of_scale(scale), grade, scale),
    "lesions": lambda scale: Binary("lesions", LESIONS, lesions),
    "dme": lambda scale: Binary("dme", ("dme",), dme),
}


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
        if not task.known(task.targets(records)).any():
            raise BadData(f"tasks: no record carries a label for '{name}'; take it out of `tasks` or fill its columns")
        tasks[name] = task
    return tasks


def make_task(name: str, scale: str) -> Task:
    """The task of that name, `severity` or `severity:icdr`; `scale` is for a name without one.

    Raises BadConfig for an unknown name or scale, and for a scale where none is read.
    """
    plain, colon, named = name.partition(":")
    if plain not in TASKS:
        raise BadConfig(f"tasks: unknown task '{plain}'; known are {', '.join(TASKS)}")
    if not colon:
        return TASKS[plain](scale)
    if plain not in SCALED:
        raise BadConfig(f"tasks: '{name}': '{plain}' means the same on all grading scales; write '{plain}'")
    if named not in SCALES:
        raise BadConfig(f"tasks: '{name}': unknown grading scale '{named}'; known are {', '.join(SCALES)}")
    return replace(TASKS[plain](named), name=name, scale=named)
