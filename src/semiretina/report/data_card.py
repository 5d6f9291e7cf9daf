"""The data card: how many photographs of which kind went where, and what is known of the data sets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from semiretina.data.split import Split
from semiretina.records import ROLES, Record
from semiretina.report.run_set import RunSet
from semiretina.report.section import Section, Table, section, table
from semiretina.report.share import source_of

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


def photographs(runs: RunSet) -> Section | None:
    """The photographs of the first run's split."""
    split = runs.runs[0].split()
    return section("Photographs", counts_table(split, runs.runs[0].label)) if split else None


def sources(runs: RunSet) -> Section | None:
    """What is known of the data sets by their names; None where none of them is one of the program's sources."""
    rows = []
    split = runs.runs[0].split()
    for name in dict.fromkeys(record.dataset for record in split.records) if split else ():
        if source := source_of(name):
            passed_on = "yes" if source.redistributable else "no, or not stated"
            rows.append([name, source.title, source.licence, passed_on, source.citation])
    columns = ["data set", "what it is", "licence", "may be passed on", "cite"]
    known = table("What is known of the data sets, by their names.", columns, rows)
    return section("Sources", known)


def counts_table(split: Split, run: str) -> Table:
    """Photographs by kind (rows) and role (columns); the split is that of `run`."""
    roles = [role for role in ROLES if role in split.roles]
    pairs = list(zip(split.records, split.roles, strict=True))
    rows = [["all photographs", *_line(Counter(split.roles), roles)]]
    for title, word in KINDS.items():
        counts: dict[str, Counter[str]] = {}
        for record, role in pairs:
            counts.setdefault(word(record), Counter())[role] += 1
        if any(counts):
            rows += [[f"{title}: {value or UNKNOWN}", *_line(counts[value], roles)] for value in sorted(counts)]
    patients = {(record.dataset, record.patient, role) for record, role in pairs if record.patient}
    if patients:
        rows.append(["named patients", *_line(Counter(role for _, _, role in patients), roles)])
    note = f"Photographs by role, of {run}. Another seed draws all roles but test anew."
    return table(note, ["", *roles, "all"], rows)


def _line(counts: "Counter[str]", roles: Sequence[str]) -> list[str]:
    return [str(counts[role]) for role in roles] + [str(sum(counts.values()))]
