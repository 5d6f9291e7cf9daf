"""Randomness without state: every draw is a function of where it is used.

`uniform(seed, "augment", stage, epoch, step, images, 3)` gives the same number on any device, in any process, in any
order of calls. Nothing has to be saved when a run stops, and sharding over processes changes no draw. The hash is
SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), folded over the words
of the key.
"""

import zlib

import numpy as np
import numpy.typing as npt

Word = int | str | npt.NDArray[np.int64]


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bits(*key: Word) -> npt.NDArray[np.uint64]:
    """64 random bits for each element of the key's arrays, which broadcast; a key of scalars gives shape ().

    Whole numbers count modulo 2^64.
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for word in key:
            if isinstance(word, np.ndarray):
                words = word.astype(np.uint64)
            else:
                number = zlib.crc32(word.encode()) if isinstance(word, str) else int(word)
                words = np.asarray(number % 2**64, np.uint64)
            state = _mix((state ^ words) + np.uint64(0x9E3779B97F4A7C15))
    return np.asarray(state, np.uint64)


def uniform(*key: Word) -> npt.NDArray[np.float64]:
    """Uniform draws in [0, 1), one for each element of the key's arrays."""
    return (bits(*key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(*key: int | str) -> np.random.Generator:
    """A numpy generator for draws that need more than one number: permutations, distributions."""
    return np.random.default_rng(int(bits(*key)))


def seed_of(*key: int | str) -> int:
    """A seed in [0, 2^63) for a library's own generator."""
    return int(bits(*key) >> np.uint64(1))
