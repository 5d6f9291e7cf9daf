"""Drawing whole groups of photographs so that every stratum gives its part."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np


def draw_groups(
    free: Sequence[int],
    groups: Sequence[str],
    strata: Sequence[str],
    count: int,
    quota: Counter[str],
    random: np.random.Generator,
) -> list[int]:
    """About `count` of the free rows, whole groups, of every stratum about its quota.

    Groups are taken in random order whatever their size: large ones first would fit the counts better, but put most
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
        if all(quota[stratum] >= needed for stratum, needed in needs.items()):
            quota.subtract(needs)
            taken += members[name]
        else:
            late.append(name)
    # What rounding left open: a group that fits the total and misses the strata least.
    while len(taken) < count:
        fitting = [name for name in late if len(members[name]) <= count - len(taken)]
        if not fitting:
            break
        best = min(
            fitting, key=lambda name: sum(max(0, 1 - quota[strata[row]]) for row in members[name]) / len(members[name])
        )
        quota.subtract(Counter(strata[row] for row in members[best]))
        taken += members[best]
        late.remove(best)
    return taken


def draw_folds(
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
        folds.append(draw_groups(left, groups, strata, quota.total(), quota, random))
        taken = set(folds[-1])
        left = [row for row in left if row not in taken]
    return [*folds, left]


def quotas(sizes: Mapping[str, int], count: int) -> Counter[str]:
    """Each stratum's part of `count` by largest remainders."""
    total = sum(sizes.values())
    exact = {name: count * size / total for name, size in sizes.items()} if total else {}
    quota = Counter({name: int(value) for name, value in exact.items()})
    rest = count - sum(quota.values())
    for name in sorted(exact, key=lambda name: (quota[name] - exact[name], name))[:rest]:
        quota[name] += 1
    return quota


def levelled(quota: Counter[str], undrawn: Sequence[str], free: Sequence[str]) -> Counter[str]:
    """The quotas of validation, moved where the test set's rounding and theirs add up to a whole photograph.

    `undrawn` are the strata of the photographs before the test set was drawn from them, `free` of those left. In every
    stratum validation and training are to be within one photograph of their part of all.
    """
    after, count = Counter(free), quota.total()
    exact, low, high = {}, {}, {}
    for name, size in Counter(undrawn).items():
        exact[name] = count * size / len(undrawn)
        # What validation has when training has its exact part.
        other = after[name] - (len(free) - count) * size / len(undrawn)
        low[name] = math.floor(max(exact[name], other) - 1 + 1e-9) + 1
        high[name] = math.ceil(min(exact[name], other) + 1 - 1e-9) - 1
    moved = Counter({name: min(max(quota[name], low[name]), high[name]) for name in exact})
    while moved.total() != count:
        step = 1 if moved.total() < count else -1
        room = [name for name in exact if low[name] <= moved[name] + step <= high[name]]
        if not room:
            return quota  # the test set's rounding leaves no such quotas
        moved[max(room, key=lambda name: (step * (exact[name] - moved[name]), name))] += step
    return moved


def in_proportion(rows: Sequence[int], strata: Sequence[str], random: np.random.Generator) -> list[int]:
    """The rows shuffled, strata in proportion from the first on, so that a smaller budget is part of a larger one."""
    sizes = Counter(strata[row] for row in rows)
    seen: Counter[str] = Counter()
    ranked = []
    for row in (rows[i] for i in random.permutation(len(rows))):
        stratum = strata[row]
        ranked.append(((seen[stratum] + 0.5) / sizes[stratum], row))
        seen[stratum] += 1
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]
