"""Draws the roles: which photographs are trained on, selected on, tested on, or used without their labels.

Section 4.6 splits 60/20/20 "stratified across hospitals", redraws train and validation for each run and keeps the
test set. Here the strata are site x label, whole groups (a patient, an exam, nearly identical pictures) move together,
and the test set depends on `split_seed` alone. In a cross-validation the folds do so, and each is tested once.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from semiretina.data.split import By, Split, find_groups, torn_groups
from semiretina.draws import generator
from semiretina.errors import BadConfig, BadData
from semiretina.records import Record
from semiretina.tasks import Task


def make_split(
    records: Sequence[Record],
    sha256: Sequence[str],
    tasks: Mapping[str, Task],
    *,
    seed: int,
    split_seed: int = 0,
    test: float = 0.2,
    val: float = 0.2,
    by: By = "patient",
    labels: int | Literal["all"] = "all",
    evaluate: Sequence[str] = (),
    split_unlabeled: bool = False,
    folds: int | None = None,
    fold: int = 0,
) -> Split:
    """Draws the roles; the same arguments give the same split.

    Of n labelled photographs, ceil(test * n) are tested and round(val * n) validated, where groups allow. Rows whose
    `split` column is set keep that role, and then no test (or validation) photographs are drawn if some are given.
    `labels` is the budget of training labels: the surplus becomes unlabelled, and validation labels are cut in the same
    proportion. With one seed, a smaller budget's labels are among a larger one's.

    `evaluate` names the data sets that test and validation photographs are drawn from, and that the budget is for; the
    others only train. `split_unlabeled` holds out the same shares of the unlabelled photographs, for the reconstruction
    loss (section 4.6 splits both data sets).

    With `folds` the labelled photographs without a given role are parted into that many, and those of `fold` are
    tested, in place of a share `test` of them. Photographs with the given role test, and their groups, are then unused:
    that test set is for another run.

    Raises BadData when given roles tear a group apart, BadConfig when the budget exceeds the labels there are.
    """
    groups = find_groups(records, sha256, by)
    labeled = _labeled(records, tasks)
    judged = [not evaluate or record.dataset in evaluate for record in records]
    strata = _strata(records, tasks)
    roles = [record.split for record in records]
    _check_given(records, groups, roles)
    # A given role decides for the rest of its group, which else might be drawn to the other side.
    side = {
        group: "train" if role == "unlabeled" else "unused" if role.startswith("unlabeled-") else role
        for group, role in zip(groups, roles, strict=True)
        if role not in ("", "unused")
    }
    roles = [role or side.get(group, "") for group, role in zip(groups, roles, strict=True)]
    if folds:
        assert 0 <= fold < folds, (fold, folds)
        apart = _kept_apart(records, groups)
        roles = ["unused" if group in apart else role for group, role in zip(groups, roles, strict=True)]
        test = 1 / folds
    candidates = [row for row, has_label in enumerate(labeled) if has_label and judged[row]]
    undrawn: list[int] = []  # what the test set was drawn from
    for role, wanted, key in (("test", test, split_seed), ("val", val, seed)):
        if role in roles:
            continue
        free = [row for row in candidates if not roles[row]]
        if role == "test" and folds:
            drawn = _folds(free, groups, strata, folds, generator("folds", folds, key))[fold]
        else:
            whole = sum(roles[row] in ("", "train", "val", "test") for row in candidates)
            share = _share(role, wanted, whole)
            quota = _quotas(Counter(strata[row] for row in free), share)
            if role == "val" and undrawn and len({groups[row] for row in undrawn}) == len(undrawn):
                quota = _level(quota, [strata[row] for row in undrawn], [strata[row] for row in free])
            drawn = _draw(free, groups, strata, share, quota, generator(role, key))
        undrawn = free if role == "test" else undrawn
        for row in drawn:
            roles[row] = role
    roles = _settle(roles, labeled, groups)
    roles = ["unused" if record.quality == "ungradable" else role for record, role in zip(records, roles, strict=True)]
    if split_unlabeled:
        given = [record.split for record in records]
        roles = _split_unlabeled(roles, given, groups, strata, (("test", test, split_seed), ("val", val, seed)))
    if labels != "all":
        roles = _cut(roles, strata, judged, labels, seed)
    split = Split(records, sha256, groups, roles)
    assert not torn_groups(split), torn_groups(split)
    return split


def _share(role: str, wanted: float, whole: int) -> int:
    """How many of `whole` photographs are held out; tested ones are rounded up (readings, row 1: 238 of 1187)."""
    return math.ceil(wanted * whole - 1e-9) if role == "test" else round(wanted * whole)


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
    found = np.zeros(len(records), bool)
    for task in tasks.values():
        found |= task.known(task.targets(records))
    return [bool(flag) for flag in found]


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


def _folds(
    free: Sequence[int], groups: Sequence[str], strata: Sequence[str], count: int, random: np.random.Generator
) -> list[list[int]]:
    """The free rows parted into `count` folds of whole groups, each drawn as a test set is from what is left.

    Where every group is one photograph, the folds' sizes, and each stratum's photographs in them, differ by one at
    most (scikit-learn's StratifiedGroupKFold does not promise it for both).
    """
    left, folds = list(free), []
    for more in range(count, 1, -1):
        # Dealt round like cards, stratum after stratum, every fold gets its part of each and of all, rounded up or
        # down: this one the first card of each round.
        quota = Counter(sorted(strata[row] for row in left)[::more])
        folds.append(_draw(left, groups, strata, quota.total(), quota, random))
        taken = set(folds[-1])
        left = [row for row in left if row not in taken]
    return [*folds, left]


def _draw(
    free: Sequence[int],
    groups: Sequence[str],
    strata: Sequence[str],
    share: int,
    quota: Counter[str],
    random: np.random.Generator,
) -> list[int]:
    """About `share` of the free rows, whole groups, of every stratum about its quota.

    Groups are taken in random order whatever their size: large ones first would fit the shares better, but put most
    patients with several photographs on the test side.
    """
    quota = quota.copy()
    members: dict[str, list[int]] = defaultdict(list)
    for row in free:
        members[groups[row]].append(row)
    names = sorted(members)
    order = [names[i] for i in random.permutation(len(names))]
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
    """Each stratum's part of `share` by largest remainders."""
    total = sum(sizes.values())
    exact = {name: share * size / total for name, size in sizes.items()} if total else {}
    quota = Counter({name: int(value) for name, value in exact.items()})
    rest = share - sum(quota.values())
    for name in sorted(exact, key=lambda name: (quota[name] - exact[name], name))[:rest]:
        quota[name] += 1
    return quota


def _level(quota: Counter[str], undrawn: Sequence[str], free: Sequence[str]) -> Counter[str]:
    """The quotas of validation, moved where the test set's rounding and theirs add up to a whole photograph.

    `undrawn` are the strata of the photographs before the test set was drawn from them, `free` of those left. In every
    stratum validation and training are to be within one photograph of their share of all.
    """
    after, share = Counter(free), quota.total()
    exact, low, high = {}, {}, {}
    for name, size in Counter(undrawn).items():
        exact[name] = share * size / len(undrawn)
        # What validation has when training has its exact share.
        other = after[name] - (len(free) - share) * size / len(undrawn)
        low[name] = math.floor(max(exact[name], other) - 1 + 1e-9) + 1
        high[name] = math.ceil(min(exact[name], other) + 1 - 1e-9) - 1
    moved = Counter({name: min(max(quota[name], low[name]), high[name]) for name in exact})
    while moved.total() != share:
        step = 1 if moved.total() < share else -1
        room = [name for name in exact if low[name] <= moved[name] + step <= high[name]]
        if not room:
            return quota  # the test set's rounding leaves no such quotas
        moved[max(room, key=lambda name: (step * (exact[name] - moved[name]), name))] += step
    return moved


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
    given: Sequence[str],
    groups: Sequence[str],
    strata: Sequence[str],
    shares: Sequence[tuple[str, float, int]],
) -> list[str]:
    """Holds out unlabelled photographs, but none with a given role or of a group that trains with labels."""
    split = list(roles)
    training = {group for group, role in zip(groups, roles, strict=True) if role == "train"}
    training |= {group for group, role in zip(groups, given, strict=True) if role}
    whole = sum(role == "unlabeled" for role in roles)
    for role, wanted, key in shares:
        if f"unlabeled-{role}" in roles:
            continue
        free = [row for row, own in enumerate(split) if own == "unlabeled" and groups[row] not in training]
        share = _share(role, wanted, whole)
        quota = _quotas(Counter(strata[row] for row in free), share)
        for row in _draw(free, groups, strata, share, quota, generator("unlabeled", role, key)):
            split[row] = f"unlabeled-{role}"
    return split


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


def _cut(roles: Sequence[str], strata: Sequence[str], judged: Sequence[bool], labels: int, seed: int) -> list[str]:
    cut = list(roles)
    train = [row for row, role in enumerate(roles) if role == "train" and judged[row]]
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
