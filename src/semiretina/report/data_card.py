"""The data card: how many photographs of which kind went where, and what is known of the data sets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from semiretina.data.split import Split
from semiretina.records import ROLES, Record
from semiretina.report.share import source_of
from semiretina.report.sheet import Sheet, sheet

UNKNOWN = "(not stated)"
# What photographs are told apart by: title -> the record's words; one that no record has is left out.
KINDS: Mapping[str, Callable[[Record], str]] = {
    "data set": lambda record: record.dataset,
    "site": lambda record: record.site,
    "camera": lambda record: record.camera,
    "grading scale": lambda record: record.scale,
    "grade": lambda record: "" if record.grade is None else f"{record.scale} {record.grade}",
    "macular edema": lambda record: "" if record.dme is None else str(record.dme),
    "eye": lambda record: record.eye,
    "quality": lambda record: record.quality,
}


def counts_sheet(split: Split, run: str) -> Sheet:
    """Photographs by kind (rows) and role (columns); `run` is whose split it is."""
    roles = [role for role in ROLES if role in split.roles]
    rows = [["all photographs", *_line(Counter(split.roles), roles)]]
    for title, word in KINDS.items():
        counted = Counter((word(r), role) for r, role in zip(split.records, split.roles, strict=True))
        values = sorted({value for value, _ in counted})
        if values in ([], [""]):
            continue
        for value in values:
            own = Counter({role: count for (other, role), count in counted.items() if other == value})
            rows.append([f"{title}: {value or UNKNOWN}", *_line(own, roles)])
    patients = [Counter({role: len(_patients(split, role)) for role in roles})]
    rows += [["named patients", *_line(own, roles)] for own in patients if any(own.values())]
    note = f"Photographs by role, of {run}. Another seed draws all roles but test anew."
    return sheet("Photographs", note, ["", *roles, "all"], rows)


def sources_sheet(split: Split) -> Sheet | None:
    """What is known of the data sets by their names; None where none of them is one of the program's sources."""
    rows = []
    for name in dict.fromkeys(record.dataset for record in split.records):
        if source := source_of(name):
            passed_on = "yes" if source.redistributable else "no, or not stated"
            rows.append([name, source.title, source.licence, passed_on, source.citation])
    columns = ("data set", "what it is", "licence", "may be passed on", "cite")
    return sheet("Sources", "What is known of the data sets, by their names.", columns, rows) if rows else None


def _line(counted: "Counter[str]", roles: Sequence[str]) -> list[str]:
    return [str(counted[role]) for role in roles] + [str(sum(counted.values()))]


def _patients(split: Split, role: str) -> set[tuple[str, str]]:
    own = zip(split.records, split.roles, strict=True)
    return {(record.dataset, record.patient) for record, other in own if other == role and record.patient}
