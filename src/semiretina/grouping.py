"""Grouping what is equal: rows that share a name, or that pairs join, directly or through others."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def equal_pairs(names: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Each row that has the name of an earlier one, with the first of them; an empty name, "", joins nothing."""
    first: dict[Hashable, int] = {}
    for row, name in enumerate(names):
        if name and (before := first.setdefault(name, row)) != row:
            yield before, row


def first_joined(pairs: Iterable[tuple[int, int]], count: int) -> npt.NDArray[np.int64]:
    """[count] for each row the lowest row of its group, itself where no pair joins it with another."""
    ends = np.array(list(pairs), np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    group = connected_components(links, directed=False)[1]
    return np.asarray(np.unique(group, return_index=True)[1][group], np.int64)


def joined_groups(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The groups that pairs make, each ascending, in the order of their first rows; rows in no pair are left out."""
    first = first_joined(pairs, 1 + max((max(pair) for pair in pairs), default=-1))
    groups: dict[int, list[int]] = {}
    for row in sorted({row for pair in pairs for row in pair}):
        groups.setdefault(int(first[row]), []).append(row)
    return list(groups.values())
