"""Draws the roles: which photographs are trained on, selected on, tested on, or used without their labels.

Section 4.6 splits 60/20/20 "stratified across hospitals", redraws train and validation for each run and keeps the
test set. Here the strata are site x label, whole groups (a patient, an exam, nearly identical pictures) move together,
and the test set depends on `split_seed` alone. In a cross-validation the folds do so, and each is tested once.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from semiretina.config import Data
from semiretina.data.apportion import draw_folds, draw_groups, in_proportion, levelled, quotas
from semiretina.data.split import Split, find_groups, torn_groups
from semiretina.draws import generator
from semiretina.errors import BadConfig, BadData
from semiretina.records import Record
from semiretina.tasks import Task


def make_split(
    records: Sequence[Record], sha256: Sequence[str], tasks: Mapping[str, Task], data: Data, seed: int
) -> Split:
    """Draws the roles as `data` says; the same arguments give the same split. `seed` draws validation.

    Of n labelled photographs, ceil(test * n) are tested and round(val * n) validated, where groups allow. Rows whose
    `split` column is set keep that role, and then no test (or validation) photographs are drawn if some are given.
    `labels` is the budget of training labels: the surplus becomes unlabelled, and validation labels are cut in the same
    proportion. With one seed, a smaller budget's labels are among a larger one's.

    Photographs of data sets other than those of `evaluate` only train, beside the budget. With `folds` the labelled
    photographs without a given role are parted into that many, and those of `fold` are tested. Photographs with the
    given role test, and their groups, are then unused: that test set is for another run.

    Raises BadData when given roles tear a group apart, BadConfig when the budget exceeds the labels there are.
    """
    groups, strata = find_groups(records, sha256, data.by), _strata(records, tasks)
    labeled = _labeled(records, tasks)
    judged = [not data.evaluate or record.dataset in data.evaluate for record in records]
    roles = _given_roles(records, groups, bool(data.folds))
    candidates = [row for row, has_label in enumerate(labeled) if has_label and judged[row]]
    roles = _hold_out(roles, candidates, groups, strata, data, seed)
    roles = _settle(roles, labeled, groups)
    roles = ["unused" if record.quality == "ungradable" else role for record, role in zip(records, roles, strict=True)]
    if data.split_unlabeled:
        roles = _split_unlabeled(roles, records, groups, strata, data, seed)
    if data.labels != "all":
        roles = _cut(roles, strata, judged, data.labels, seed)
    split = Split(records, sha256, groups, roles)
    assert not torn_groups(split), torn_groups(split)
    return split


def _given_roles(records: Sequence[Record], groups: Sequence[str], folds: bool) -> list[str]:
    """The roles that the manifest gives, to whole groups, "" where it gives none. Raises BadData where it tears one."""
    roles = [record.split for record in records]
    _check_given(records, groups, roles)
    # A given role decides for the rest of its group, which else might be drawn to the other side.
    side = {
        group: "train" if role == "unlabeled" else "unused" if role.startswith("unlabeled-") else role
        for group, role in zip(groups, roles, strict=True)
        if role not in ("", "unused")
    }
    apart = _kept_apart(records, groups) if folds else set[str]()
    return [
        "unused" if group in apart else role or side.get(group, "") for group, role in zip(groups, roles, strict=True)
    ]


def _hold_out(
    roles: list[str], candidates: Sequence[int], groups: Sequence[str], strata: Sequence[str], data: Data, seed: int
) -> list[str]:
    """The roles with test and validation photographs drawn among the candidates, where none are given."""
    undrawn: list[int] = []  # what the test set was drawn from
    for role, key in (("test", data.split_seed), ("val", seed)):
        if role in roles:
            continue
        free = [row for row in candidates if not roles[row]]
        if role == "test" and data.folds:
            drawn = draw_folds(free, groups, strata, data.folds, generator("folds", data.folds, key))[data.fold or 0]
        else:
            whole = sum(roles[row] in ("", "train", "val", "test") for row in candidates)
            count = _held_out(role, data, whole)
            quota = quotas(Counter(strata[row] for row in free), count)
            if role == "val" and undrawn and len({groups[row] for row in undrawn}) == len(undrawn):
                quota = levelled(quota, [strata[row] for row in undrawn], [strata[row] for row in free])
            drawn = draw_groups(free, groups, strata, count, quota, generator(role, key))
        undrawn = free if role == "test" else undrawn
        taken = set(drawn)
        roles = [role if row in taken else before for row, before in enumerate(roles)]
    return roles


def _held_out(role: str, data: Data, whole: int) -> int:
    """How many of `whole` photographs are held out; tested ones are rounded up (readings, row 1: 238 of 1187)."""
    if role == "val":
        return round(data.val * whole)
    return math.ceil((1 / data.folds if data.folds else data.test) * whole - 1e-9)


def given_test(records: Sequence[Record], groups: Sequence[str], tasks: Mapping[str, Task]) -> list[int]:
    """The rows that a run without folds tests because the manifest says so; with folds they are in none of them."""
    apart = _kept_apart(records, groups)
    return [
        row
        for row, has_label in enumerate(_labeled(records, tasks))
        if has_label and groups[row] in apart and records[row].split in ("", "test")
    ]


def _kept_apart(records: Sequence[Record], groups: Sequence[str]) -> set[str]:
    return {group for group, record in zip(groups, records, strict=True) if record.split == "test"}


def _labeled(records: Sequence[Record], tasks: Mapping[str, Task]) -> list[bool]:
    labeled = np.zeros(len(records), bool)
    for task in tasks.values():
        labeled |= task.known(task.targets(records))
    return [bool(flag) for flag in labeled]


def _strata(records: Sequence[Record], tasks: Mapping[str, Task]) -> list[str]:
    """Site x label: the target of the one task, all its outputs together, or with several tasks the grade."""
    columns = [task.targets(records) for task in tasks.values()]
    strata = []
    for row, record in enumerate(records):
        label = str(np.atleast_1d(columns[0][row]))
        # Several tasks would make strata of one photograph each; the grade is what they share.
        if len(columns) > 1 and record.grade is not None:
            label = str(record.grade)
        strata.append("|".join([record.dataset, record.site, label]))
    return strata


def _check_given(records: Sequence[Record], groups: Sequence[str], roles: Sequence[str]) -> None:
    torn = torn_groups(Split(records, [""] * len(records), groups, [role or "unused" for role in roles]))
    if torn:
        first = torn[0].split(":")[0].removeprefix("group ")
        members = [str(record.path.name) for record, group in zip(records, groups, strict=True) if group == first]
        raise BadData(
            f"column split: {len(torn)} groups (a patient, an exam, a cluster or identical pictures) are torn apart, "
            f"for example {', '.join(members[:4])}; give the photographs of a group one role"
        )


def _settle(roles: Sequence[str], labeled: Sequence[bool], groups: Sequence[str]) -> list[str]:
    """Rows still without a role: labelled ones train; unlabelled ones are unused where their group is held out."""
    held = {
        group for group, role in zip(groups, roles, strict=True) if role.removeprefix("unlabeled-") in ("val", "test")
    }
    settled = []
    for given, has_label, group in zip(roles, labeled, groups, strict=True):
        role = given or ("train" if has_label else "unlabeled")
        if not has_label and role in ("train", "val", "test"):
            role = "unlabeled" if role == "train" else "unused"
        # A labelled photograph without a role trains; its group is not held out, or it would have been drawn with it.
        settled.append("unused" if role in ("train", "unlabeled") and group in held else role)
    return settled


def _split_unlabeled(
    roles: Sequence[str],
    records: Sequence[Record],
    groups: Sequence[str],
    strata: Sequence[str],
    data: Data,
    seed: int,
) -> list[str]:
    """Holds out unlabelled photographs, but none of a group with a given role or that trains with labels."""
    split = list(roles)
    training = {group for group, role in zip(groups, roles, strict=True) if role == "train"}
    training |= {group for group, record in zip(groups, records, strict=True) if record.split}
    whole = sum(role == "unlabeled" for role in roles)
    for role, key in (("test", data.split_seed), ("val", seed)):
        if f"unlabeled-{role}" in roles:
            continue
        free = [row for row, drawn in enumerate(split) if drawn == "unlabeled" and groups[row] not in training]
        count = _held_out(role, data, whole)
        quota = quotas(Counter(strata[row] for row in free), count)
        for row in draw_groups(free, groups, strata, count, quota, generator("unlabeled", role, key)):
            split[row] = f"unlabeled-{role}"
    return split


def _cut(roles: Sequence[str], strata: Sequence[str], judged: Sequence[bool], labels: int, seed: int) -> list[str]:
    cut = list(roles)
    train = [row for row, role in enumerate(roles) if role == "train" and judged[row]]
    val = [row for row, role in enumerate(roles) if role == "val"]
    if labels > len(train):
        raise BadConfig(
            f"data.labels: {labels} training labels were asked for, but there are {len(train)}; ask for fewer"
        )
    for rows, budget, surplus in ((train, labels, "unlabeled"), (val, round(labels * len(val) / len(train)), "unused")):
        kept = set(in_proportion(rows, strata, generator("labels", surplus, seed))[:budget])
        for row in rows:
            cut[row] = roles[row] if row in kept else surplus
    return cut
