"""Grouping what is equal: rows that share a name, or that pairs join, directly or through others."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt


def equal_pairs(names: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Each row that has the name of an earlier one, with the first of them; an empty name, "", joins nothing."""
    first: dict[Hashable, int] = {}
    for row, name in enumerate(names):
        if name and (before := first.setdefault(name, row)) != row:
            yield before, row


def first_joined(pairs: Iterable[tuple[int, int]], count: int) -> npt.NDArray[np.int64]:
    """[count] for each row the lowest row of its group, itself where no pair joins it with another."""
    lowest = list(range(count))

    def root(row: int) -> int:
        while lowest[row] != row:
            lowest[row] = lowest[lowest[row]]
            row = lowest[row]
        return row

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        lowest[high] = low
    return np.array([root(row) for row in range(count)], np.int64)


def joined_groups(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The groups that pairs make, each ascending, in the order of their first rows; rows in no pair are left out."""
    first = first_joined(pairs, 1 + max((max(pair) for pair in pairs), default=-1))
    groups: dict[int, list[int]] = {}
    for row in sorted({row for pair in pairs for row in pair}):
        groups.setdefault(int(first[row]), []).append(row)
    return list(groups.values())
