"""Roles: which photographs are trained on, selected on, tested on, or used without their labels.

Section 4.6 splits 60/20/20 "stratified across hospitals", redraws train and validation for each run and keeps the
test set. Here the strata are site x label, whole groups (a patient, an exam, identical pictures) move together, the
test set depends on `split_seed` alone, and the list of roles is a file in the run whose hash travels with every score.
"""

import csv
import hashlib
import io
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from semiretina.config import Regrade
from semiretina.draws import generator
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.records import ROLES, SCALES, Record, parse_row, read_text, summary, write_manifest
from semiretina.tasks import Task, known

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

    @property
    def counts(self) -> dict[str, int]:
        """How many photographs have each role."""
        counted = Counter(self.roles)
        return {role: counted[role] for role in ROLES}

    @cached_property
    def test_sha256(self) -> str:
        """Hash of the test list: the sorted picture hashes. Scores are comparable only where it is equal (readings,
        row 4).
        """
        pictures = sorted(self.sha256[row] for row in self.rows("test"))
        return hashlib.sha256("\n".join(pictures).encode()).hexdigest()

    def write(self, file: Path) -> None:
        """Writes `split.csv`: the manifest's columns, then sha256, group and role."""
        write_manifest(self.records, file, sha256=self.sha256, group=self.groups, role=self.roles)


def read_split(file: Path) -> Split:
    """A split from its file, checked: no group has two of the roles train, val and test, no unlabelled one of val or
    test.
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
    torn = torn_groups(split)
    if torn:
        raise Refused(
            summary(str(file), torn, "a group must stay on one side; restore the file or draw the split again")
        )
    return split


def torn_groups(split: Split) -> list[str]:
    """Groups that stand on both sides of a border, each as 'group G: roles'. Empty for every split this module
    draws.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    for group, role in zip(split.groups, split.roles, strict=True):
        if role != "unused":
            sides[group].add("train" if role == "unlabeled" else role)
    return [f"group {group}: {' and '.join(sorted(roles))}" for group, roles in sides.items() if len(roles) > 1]


def make_split(
    records: Sequence[Record],
    sha256: Sequence[str],
    tasks: Mapping[str, Task],
    *,
    seed: int,
    split_seed: int = 0,
    test: float = 0.2,
    val: float = 0.2,
    by: Literal["patient", "photograph"] = "patient",
    labels: int | Literal["all"] = "all",
) -> Split:
    """Draws the roles; the same arguments give the same split.

    Of n labelled photographs, ceil(test * n) are tested and round(val * n) validated, where groups allow. Rows whose
    `split` column is set keep that role, and then no test (or validation) photographs are drawn if some are given.
    `labels` is the budget of training labels: the surplus becomes unlabelled, and validation labels are cut in the same
    proportion. With one seed, a smaller budget's labels are among a larger one's.

    Raises BadData when given roles tear a group apart, BadConfig when the budget exceeds the labels there are.
    """
    groups = find_groups(records, sha256, by)
    labeled = _labeled(records, tasks)
    strata = _strata(records, tasks)
    roles = [record.split for record in records]
    _check_given(records, groups, roles)
    # A given role decides for the rest of its group, which else might be drawn to the other side.
    side = {
        group: "train" if role == "unlabeled" else role
        for group, role in zip(groups, roles, strict=True)
        if role not in ("", "unused")
    }
    roles = [role or side.get(group, "") for group, role in zip(groups, roles, strict=True)]
    for role, wanted, key in (("test", test, split_seed), ("val", val, seed)):
        if role in roles:
            continue
        free = [row for row, given in enumerate(roles) if not given and labeled[row]]
        whole = sum(labeled[row] and given in ("", "train", "val", "test") for row, given in enumerate(roles))
        share = math.ceil(wanted * whole - 1e-9) if role == "test" else round(wanted * whole)
        for row in _draw(free, groups, strata, share, generator(role, key)):
            roles[row] = role
    roles = _settle(roles, labeled, groups)
    if labels != "all":
        roles = _cut(roles, strata, labels, seed)
    roles = ["unused" if record.quality == "ungradable" else role for record, role in zip(records, roles, strict=True)]
    split = Split(records, sha256, groups, roles)
    assert not torn_groups(split), torn_groups(split)
    return split


def find_groups(records: Sequence[Record], sha256: Sequence[str], by: str) -> list[str]:
    """A name for each record's group: one patient, one exam, or identical pictures, joined where they overlap.

    With `by="photograph"` (the paper's split) only identical pictures are joined.
    """
    parent = list(range(len(records)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, ...], int] = {}
    for row, record in enumerate(records):
        keys: list[tuple[str, ...]] = [("picture", sha256[row])] if sha256[row] else []
        if by == "patient":
            keys += [("patient", record.dataset, record.patient)] if record.patient else []
            keys += [("exam", record.dataset, record.exam)] if record.exam else []
        for key in keys:
            parent[root(row)] = root(first.setdefault(key, row))
    # A group is named by its first row, so that the name does not depend on the order of joining.
    name: dict[int, str] = {}
    for row in range(len(records)):
        name.setdefault(root(row), f"g{row}")
    return [name[root(row)] for row in range(len(records))]


def regrade(records: Sequence[Record], maps: Mapping[str, Regrade]) -> list[Record]:
    """Records with grades mapped to another scale where the configuration says so ([data.regrade.SCALE])."""
    for scale, mapping in maps.items():
        where = f"data.regrade.{scale}"
        if scale not in SCALES or mapping.to not in SCALES:
            raise BadConfig(f"{where}: scales are {', '.join(SCALES)}; '{scale}' to '{mapping.to}' cannot be mapped")
        if len(mapping.grades) != SCALES[scale] + 1 or any(not -1 <= g <= SCALES[mapping.to] for g in mapping.grades):
            raise BadConfig(
                f"{where}: grades needs {SCALES[scale] + 1} entries, each from 0 to "
                f"{SCALES[mapping.to]}, or -1 for no grade"
            )
    changed = []
    for record in records:
        if record.grade is None or record.scale not in maps:
            changed.append(record)
            continue
        grade = maps[record.scale].grades[record.grade]
        note = f"{record.provenance}; grade {record.grade} on {record.scale}".strip("; ")
        new = {"grade": grade, "scale": maps[record.scale].to} if grade >= 0 else {"grade": None}
        changed.append(replace(record, provenance=note, **new))
    return changed


def _labeled(records: Sequence[Record], tasks: Mapping[str, Task]) -> list[bool]:
    found = np.zeros(len(records), bool)
    for task in tasks.values():
        found |= known(task, task.targets(records))
    return [bool(flag) for flag in found]


def _strata(records: Sequence[Record], tasks: Mapping[str, Task]) -> list[str]:
    """Site x label of the first task that a record carries; several outputs count together."""
    columns = [task.targets(records) for task in tasks.values()]
    strata = []
    for row, record in enumerate(records):
        values = [str(np.atleast_1d(column[row])) for column in columns]
        strata.append(
            "|".join([record.dataset, record.site, values[0] if len(values) == 1 else _label(record, values)])
        )
    return strata


def _label(record: Record, values: Sequence[str]) -> str:
    # Several tasks would make strata of one photograph each; the grade is what they share.
    return str(record.grade) if record.grade is not None else values[0]


def _check_given(records: Sequence[Record], groups: Sequence[str], roles: Sequence[str]) -> None:
    torn = torn_groups(Split(records, [""] * len(records), groups, [role or "unused" for role in roles]))
    if torn:
        first = torn[0].split(":")[0].removeprefix("group ")
        members = [str(record.path.name) for record, group in zip(records, groups, strict=True) if group == first]
        raise BadData(
            f"column split: {len(torn)} groups (a patient, an exam or identical pictures) are torn apart, for example "
            f"{', '.join(members[:4])}; give the photographs of a group one role"
        )


def _draw(
    free: Sequence[int], groups: Sequence[str], strata: Sequence[str], share: int, random: np.random.Generator
) -> list[int]:
    """About `share` of the free rows, whole groups, every stratum in proportion (largest remainder)."""
    quota = _quotas(Counter(strata[row] for row in free), share)
    members: dict[str, list[int]] = defaultdict(list)
    for row in free:
        members[groups[row]].append(row)
    names = sorted(members)
    order = [names[i] for i in random.permutation(len(names))]
    # Large groups first, while there is room for them; the shuffled order decides among equals.
    order.sort(key=lambda name: -len(members[name]))
    taken: list[int] = []
    late: list[str] = []
    for name in order:
        needs = Counter(strata[row] for row in members[name])
        if all(quota[stratum] >= count for stratum, count in needs.items()):
            quota.subtract(needs)
            taken += members[name]
        else:
            late.append(name)
    # What rounding left open: a group that fits the total and misses the strata least.
    while len(taken) < share:
        fitting = [name for name in late if len(members[name]) <= share - len(taken)]
        if not fitting:
            break
        best = min(
            fitting, key=lambda name: sum(max(0, 1 - quota[strata[row]]) for row in members[name]) / len(members[name])
        )
        quota.subtract(Counter(strata[row] for row in members[best]))
        taken += members[best]
        late.remove(best)
    return taken


def _quotas(sizes: Mapping[str, int], share: int) -> Counter[str]:
    total = sum(sizes.values())
    exact = {name: share * size / total for name, size in sizes.items()} if total else {}
    quota = Counter({name: int(value) for name, value in exact.items()})
    rest = share - sum(quota.values())
    for name in sorted(exact, key=lambda name: (quota[name] - exact[name], name))[:rest]:
        quota[name] += 1
    return quota


def _settle(roles: Sequence[str], labeled: Sequence[bool], groups: Sequence[str]) -> list[str]:
    """Rows still without a role: labelled ones train; unlabelled ones are unused where their group is held out."""
    held = {group for group, role in zip(groups, roles, strict=True) if role in ("val", "test")}
    settled = []
    for given, has_label, group in zip(roles, labeled, groups, strict=True):
        role = given or ("train" if has_label else "unlabeled")
        if not has_label and role in ("train", "val", "test"):
            role = "unlabeled" if role == "train" else "unused"
        # A labelled photograph without a role trains; its group is not held out, or it would have been drawn with it.
        settled.append("unused" if role in ("train", "unlabeled") and group in held else role)
    return settled


def _order(rows: Sequence[int], strata: Sequence[str], random: np.random.Generator) -> list[int]:
    """The rows shuffled, strata in proportion from the first on, so that a smaller budget is part of a larger one."""
    sizes = Counter(strata[row] for row in rows)
    seen: Counter[str] = Counter()
    places = []
    for row in (rows[i] for i in random.permutation(len(rows))):
        stratum = strata[row]
        places.append(((seen[stratum] + 0.5) / sizes[stratum], row))
        seen[stratum] += 1
    return [row for _, row in sorted(places, key=lambda place: place[0])]


def _cut(roles: Sequence[str], strata: Sequence[str], labels: int, seed: int) -> list[str]:
    cut = list(roles)
    train = [row for row, role in enumerate(roles) if role == "train"]
    val = [row for row, role in enumerate(roles) if role == "val"]
    if labels > len(train):
        raise BadConfig(
            f"data.labels: {labels} training labels were asked for, but there are {len(train)}; ask for fewer"
        )
    for rows, budget, surplus in ((train, labels, "unlabeled"), (val, round(labels * len(val) / len(train)), "unused")):
        kept = set(_order(rows, strata, generator("labels", surplus, seed))[:budget])
        for row in rows:
            cut[row] = roles[row] if row in kept else surplus
    return cut
