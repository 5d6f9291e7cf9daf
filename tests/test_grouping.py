"""Groups of what is equal, against joining them by hand, pair after pair, until nothing changes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from semiretina.grouping import equal_pairs, first_joined, joined_groups

ROWS = st.integers(0, 29)


def lowest(pairs: list[tuple[int, int]], count: int) -> list[int]:
    names = list(range(count))
    for _ in range(count):
        for one, other in pairs:
            names[one] = names[other] = min(names[one], names[other])
    return names


@settings(deadline=None)
@given(st.lists(st.tuples(ROWS, ROWS)))
def test_groups_are_named_by_their_first_rows(pairs: list[tuple[int, int]]) -> None:
    expected = lowest(pairs, 30)
    assert first_joined(pairs, 30).tolist() == expected
    paired = {row for pair in pairs for row in pair}
    wanted = [[row for row in range(30) if expected[row] == first] for first in range(30) if expected[first] == first]
    assert joined_groups(pairs) == [group for group in wanted if paired & set(group)]


def test_a_pair_may_be_given_any_number_of_times_and_in_any_order() -> None:
    assert first_joined([(3, 1), (1, 3)] * 300, 5).tolist() == [0, 1, 2, 1, 4]
    assert first_joined([], 3).tolist() == [0, 1, 2]
    assert first_joined([], 0).tolist() == []
    assert joined_groups([]) == []


def test_rows_of_one_name_are_paired_with_the_first_and_rows_without_a_name_with_none() -> None:
    assert list(equal_pairs(["b", "", "a", "b", "", "b", "a"])) == [(0, 3), (0, 5), (2, 6)]
    assert list(equal_pairs([("x", "1"), "", ("y", "1"), ("x", "1")])) == [(0, 3)]
