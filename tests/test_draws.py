import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semiretina.draws import bits, generator, seed_of, uniform

MASK = 2**64 - 1
words = st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=8))


def splitmix(*key: int | str) -> int:
    """The same hash in whole numbers of Python, written from the paper."""
    state = 0
    for word in key:
        number = zlib.crc32(word.encode()) if isinstance(word, str) else word
        z = ((state ^ (number & MASK)) + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        state = z ^ (z >> 31)
    return state


def test_one_word_gives_the_published_outputs_of_splitmix64():
    # The first outputs of Vigna's splitmix64.c from the states 0 and 1234567.
    assert int(bits(0)) == 0xE220A8397B1DCDAF
    assert int(bits(1234567)) == 6457827717110365317


def test_pinned_values_never_change():
    assert int(bits(7, "augment", 0, 3)) == 0xB5BBB1DAA0A122A3
    assert float(uniform(7, "augment", 0, 3)) == 0.7098952444799846
    assert seed_of("order", 1) == 0x35B977CF720A9C4D
    assert generator("test", 0).integers(0, 1000, 4).tolist() == [220, 552, 38, 85]


@given(st.lists(words, min_size=1, max_size=5))
def test_bits_equal_an_independent_script(key):
    assert int(bits(*key)) == splitmix(*key)
    assert float(uniform(*key)) == (splitmix(*key) >> 11) / 2**53
    assert seed_of(*key) == splitmix(*key) // 2


@pytest.mark.parametrize("key", [(0, "flip"), (3, "rotation", 5), ("x",), (-1, 2**80)])
def test_uniform_over_a_range_of_rows(key):
    draws = uniform(*key, np.arange(20_000))
    assert draws.shape == (20_000,)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03


def test_neighbouring_keys_are_not_correlated():
    rows = np.arange(20_000)
    draws = [uniform(seed, "augment", step, rows, use) for seed in (0, 1) for step in (0, 1) for use in (0, 1)]
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 0.03


def test_a_draw_does_not_depend_on_shape_or_company():
    rows = np.array([5, 2, 9])
    together = uniform(1, "a", rows[:, None], np.arange(4))
    assert together.shape == (3, 4)
    for i, row in enumerate(rows):
        for column in range(4):
            assert together[i, column] == uniform(1, "a", int(row), column)
    np.testing.assert_array_equal(uniform(1, "a", rows[::-1].copy()), uniform(1, "a", rows)[::-1])


def test_scalars_give_no_axes_and_uint64():
    assert bits(1, "a").shape == ()
    assert bits(1, "a").dtype == np.uint64
    assert bits(1, np.arange(3)).dtype == np.uint64
    assert uniform(1).dtype == np.float64


def test_different_keys_differ():
    keys = [(a, b) for a in (-2, -1, 0, 1, 2, 2**31, 2**63, "a", "b") for b in (-1, 0, 1, "a")]
    keys += [(a,) for a in (-1, 0, 1, "a")] + [("a", "b", 0), ("b", "a", 0)]
    assert len({int(bits(*key)) for key in keys}) == len(keys)


def test_negative_numbers_are_the_same_alone_and_in_an_array():
    rows = np.array([-5, -1, 0, 2**62])
    np.testing.assert_array_equal(bits("k", rows), [bits("k", int(row)) for row in rows])


def test_whole_numbers_count_modulo_2_to_the_64():
    assert bits(2**64 + 3) == bits(3)
    assert bits(10**30) == bits(10**30 % 2**64)
    assert bits(-1) == bits(2**64 - 1)


def test_generators_repeat_and_differ_by_key():
    first = generator("order", 3).permutation(50)
    np.testing.assert_array_equal(first, generator("order", 3).permutation(50))
    assert not np.array_equal(first, generator("order", 4).permutation(50))
    assert 0 <= seed_of(-1, "x") < 2**63
