"""What a record states of each task: the documented table of `tasks` from grade, scale, dme and lesions to a target."""

from collections.abc import Mapping, Sequence

from semiretina.records import LESIONS, SCALES, Record
from semiretina.tasks.task import Task

# scale -> grade -> lesions that the definition of the grade decides. ICDR: Wilkinson et al. 2003, 0 "no abnormalities",
# 1 "microaneurysms only". Messidor: Decenciere et al. 2014, 0 "no microaneurysm and no haemorrhage", 1 "1-5
# microaneurysms and no haemorrhage"; it says nothing of exudates.
IMPLIED_LESIONS: Mapping[str, Mapping[int, Mapping[str, int]]] = {
    "icdr": {0: {"MA": 0, "HE": 0, "EX": 0, "SE": 0}, 1: {"MA": 1, "HE": 0, "EX": 0, "SE": 0}},
    "messidor": {0: {"MA": 0, "HE": 0}, 1: {"MA": 1, "HE": 0}},
    "binary": {},
}
REFERABLE_FROM: Mapping[str, int | None] = {"icdr": 2, "messidor": 2, "binary": None}


def derived_lesions(record: Record) -> tuple[str, ...]:
    """The lesions whose target follows from the grade's definition and not from the record's own columns."""
    implied = IMPLIED_LESIONS[record.scale].get(record.grade, {}) if record.grade is not None else {}
    return tuple(lesion for lesion in implied if getattr(record, lesion) is None)


def count_derived(task: Task, records: Sequence[Record]) -> dict[str, int]:
    """How many targets of each output are derived; empty for a task that derives none."""
    if task.name != "lesions":
        return {}
    derived = [derived_lesions(record) for record in records if record.quality != "ungradable"]
    return {lesion: sum(lesion in of_record for of_record in derived) for lesion in LESIONS}


def dr(record: Record) -> list[float | None]:
    """Any retinopathy: grade > 0."""
    return [None if record.grade is None else float(record.grade > 0)]


def referable(record: Record) -> list[float | None]:
    """Moderate or worse by the grade of the scale, or macular edema that needs referral."""
    if record.dme == 2:
        return [1.0]
    threshold = REFERABLE_FROM[record.scale] if record.scale else None
    return [None if record.grade is None or threshold is None else float(record.grade >= threshold)]


def grade(record: Record) -> list[float | None]:
    """The grade."""
    return [record.grade]


def lesions(record: Record) -> list[float | None]:
    """MA, HE, EX, SE as stated, or else as the definition of the grade implies."""
    implied = IMPLIED_LESIONS[record.scale].get(record.grade, {}) if record.grade is not None else {}
    stated = {lesion: getattr(record, lesion) for lesion in LESIONS}
    return [stated[lesion] if stated[lesion] is not None else implied.get(lesion) for lesion in LESIONS]


def grades_of_scale(scale: str) -> tuple[str, ...]:
    """The names of its grades, the mildest first."""
    return tuple(f"grade {number}" for number in range(SCALES[scale] + 1))


def dme(record: Record) -> list[float | None]:
    """Macular edema that needs referral."""
    return [None if record.dme is None else float(record.dme == 2)]
