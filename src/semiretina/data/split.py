"""A split: each photograph's group and role, as a file in the run whose hash travels with every score.

The roles are those of `records.ROLES`; the module `roles` draws them.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from semiretina.errors import BadData, Refused, summary
from semiretina.files import read_text
from semiretina.grouping import equal_pairs, first_joined
from semiretina.records import ROLES, Record, parse_row, write_manifest

By = Literal["patient", "photograph"]

EXTRA_COLUMNS = ("sha256", "group", "role")


@dataclass(frozen=True)
class Split:
    """Records with their photographs' sha256, group and role, in the manifest's order; all lists are of one length."""

    records: Sequence[Record]
    sha256: Sequence[str]
    groups: Sequence[str]
    roles: Sequence[str]

    def rows(self, *roles: str) -> npt.NDArray[np.int64]:
        """The row numbers that have one of the roles, ascending."""
        return np.array([row for row, role in enumerate(self.roles) if role in roles], np.int64)

    def ungradable(self, role: str) -> npt.NDArray[np.int64]:
        """The ungradable photographs, which have no role, that belong to `role`: of its groups, or given to it."""
        members = {group for group, other in zip(self.groups, self.roles, strict=True) if other == role}
        given = {
            group
            for group, record in zip(self.groups, self.records, strict=True)
            if record.split == role and record.quality != "ungradable"
        }
        # Folds leave a given test set alone, and then what is given to it is not theirs.
        counted = not members or not given or bool(members & given)
        return np.array(
            [
                row
                for row, record in enumerate(self.records)
                if record.quality == "ungradable"
                and self.roles[row] == "unused"
                and ((counted and record.split == role) or (not record.split and self.groups[row] in members))
            ],
            np.int64,
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many photographs have each role; unlabelled ones that are held out are told where there are any."""
        counted = Counter(self.roles)
        return {role: counted[role] for role in ROLES if counted[role] or not role.startswith("unlabeled-")}

    @cached_property
    def test_sha256(self) -> str:
        """Hash of the test list, the sorted hashes of its photographs: only where it is equal do scores compare."""
        return list_sha256([self.sha256[row] for row in self.rows("test")])

    def write(self, file: Path) -> None:
        """Writes `split.csv`: the manifest's columns, then sha256, group and role."""
        write_manifest(self.records, file, sha256=self.sha256, group=self.groups, role=self.roles)


def list_sha256(pictures: Sequence[str]) -> str:
    """Hash of a list of photographs from their own hashes, in whatever order they stand."""
    return hashlib.sha256("\n".join(sorted(pictures)).encode()).hexdigest()


def read_split(file: Path, by: By = "photograph") -> Split:
    """A split from its file, checked; `by` is what it was drawn by, `data.by` of its configuration.

    Raises BadData that names every wrong cell, and Refused where a group stands on both sides of a border: it is in two
    of training (labelled or not), validation and test. Groups are those of the file, and those that its columns patient
    and exam (both with `by="patient"` alone), cluster and sha256 tell, so that none of them can be edited unnoticed.
    """
    rows = list(csv.DictReader(io.StringIO(read_text(file), newline="")))
    if not rows or any(name not in rows[0] for name in ("path", *EXTRA_COLUMNS)):
        raise BadData(
            f"{file}: not a split: the columns path, sha256, group and role are needed; delete it to draw it again"
        )
    base = file.resolve().parent
    parsed = [parse_row(row, base) for row in rows]
    defects = [f"row {line}, {problem}" for line, (_, wrong) in enumerate(parsed, start=2) for problem in wrong]
    defects += [f"row {n}, column role: '{r['role']}'" for n, r in enumerate(rows, start=2) if r["role"] not in ROLES]
    if defects:
        raise BadData(summary(str(file), defects, "restore the file from the run it belongs to"))
    records = [record for record, _ in parsed if record is not None]
    split = Split(records, *([row[name] for row in rows] for name in EXTRA_COLUMNS))
    for names in (split.groups, find_groups(records, split.sha256, by)):
        if torn := torn_groups(replace(split, groups=names)):
            raise Refused(
                summary(str(file), torn, "a group must stay on one side; restore the file or draw the split again")
            )
    return split


def torn_groups(split: Split) -> list[str]:
    """Groups that stand on both sides of a border, each as 'group G: roles'; empty for every split that is drawn."""
    sides: dict[str, set[str]] = defaultdict(set)
    for group, role in zip(split.groups, split.roles, strict=True):
        if role != "unused":
            sides[group].add("train" if role == "unlabeled" else role.removeprefix("unlabeled-"))
    return [f"group {group}: {' and '.join(sorted(roles))}" for group, roles in sides.items() if len(roles) > 1]


def find_groups(records: Sequence[Record], sha256: Sequence[str], by: By) -> list[str]:
    """A name for each record's group: a patient, an exam, a cluster, or identical pictures, joined where they overlap.

    With `by="photograph"` (the paper's split) only identical pictures and clusters are joined.
    """
    names: list[list[Hashable]] = [[*sha256], [record.cluster for record in records]]
    if by == "patient":
        names.append([(record.dataset, record.patient) if record.patient else "" for record in records])
        names.append([(record.dataset, record.exam) if record.exam else "" for record in records])
    # A group is named by its first row, so that the name does not depend on the order of joining.
    return [f"g{row}" for row in first_joined(chain(*map(equal_pairs, names)), len(records))]


def pictures_in_several_sets(split: Split) -> str:
    """In words, which pictures (files of equal content) stand in several data sets, and their roles; "" where none.

    They are one group, so that a picture which is tested in one set is `unused` in the other and never trained on.
    """
    holders: dict[str, set[str]] = defaultdict(set)
    for digest, record in zip(split.sha256, split.records, strict=True):
        holders[digest].add(record.dataset)
    several = {digest for digest, datasets in holders.items() if len(datasets) > 1}
    if not several:
        return ""
    roles: dict[str, Counter[str]] = defaultdict(Counter)
    for digest, record, role in zip(split.sha256, split.records, split.roles, strict=True):
        if digest in several:
            roles[record.dataset][role] += 1
    numbers = [
        f"{dataset or 'no name'} {', '.join(f'{count} {role}' for role, count in sorted(counts.items()))}"
        for dataset, counts in sorted(roles.items())
    ]
    verb = "picture stands" if len(several) == 1 else "pictures stand"
    return f"{len(several)} {verb} in more than one data set, never separated by the split: {'; '.join(numbers)}"


def patients_in_several_sets(split: Split) -> str:
    """In words, how many patients' names stand in several data sets; "" where none.

    A name counts within its data set alone, since collections number their patients from 1. Where two collections are
    of one clinic, its patients may be tested in one and trained on in the other: only the user can know.
    """
    holders: dict[str, set[str]] = defaultdict(set)
    for record in split.records:
        if record.patient:
            holders[record.patient].add(record.dataset)
    several = [datasets for datasets in holders.values() if len(datasets) > 1]
    if not several:
        return ""
    where = ", ".join(sorted(name or "no name" for name in set[str]().union(*several)))
    verb = "name of a patient stands" if len(several) == 1 else "names of patients stand"
    return (
        f"{len(several)} {verb} in more than one data set ({where}), taken for different people; if they are the same, "
        "give their photographs one `dataset` in the manifest"
    )


def kept_out(split: Split) -> str:
    """In words, how many photographs a fold leaves alone, since the manifest gives them the role test; "" where none.

    What else is of their groups stays out with them.
    """
    given = {group for group, record in zip(split.groups, split.records, strict=True) if record.split == "test"}
    count = sum(record.split == "test" for record in split.records)
    others = sum(group in given and not r.split for group, r in zip(split.groups, split.records, strict=True))
    more = f", with {others} of the same patients, exams or pictures" if others else ""
    noun, verb = ("photograph", "stays") if count == 1 else ("photographs", "stay")
    return f"{count} {noun} that the manifest gives the role test {verb} out of the folds{more}" if count else ""


def held_back(split: Split) -> str:
    """In words, how many photographs are `unused` because of whom or what they show; "" where none."""
    held = {group for group, role in zip(split.groups, split.roles, strict=True) if role.endswith(("val", "test"))}
    count = sum(
        role == "unused" and group in held and record.quality != "ungradable"
        for record, group, role in zip(split.records, split.groups, split.roles, strict=True)
    )
    verb = "photograph shows" if count == 1 else "photographs show"
    return f"{count} unused {verb} a patient, exam or picture that is kept for validation or test" if count else ""
