"""Cells of a few possible values: how their text is read, and what is said to who wrote it otherwise."""

import difflib
from collections.abc import Callable, Mapping
from functools import lru_cache

from semiretina.table_text import INVISIBLE, PLACEHOLDERS, shown

# How others say it; only for advice, a manifest is never guessed at.
WORDS: Mapping[str, tuple[str, ...]] = {
    "left": ("l", "os"),
    "right": ("r", "od"),
    "train": ("training", "trn"),
    "val": ("valid", "validation", "dev"),
    "test": ("testing", "tst", "holdout"),
    "unlabeled": ("unlabelled",),
    "gradable": ("good", "adequate", "usable"),
    "ungradable": ("bad", "poor", "inadequate", "reject"),
}


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reads the whole numbers from `low` to `high`; the reader raises ValueError with advice for other text."""
    usual = {str(value): value for value in range(low, high + 1)}

    def parse(text: str) -> int:
        if text in usual:
            return usual[text]
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(_not_whole(text, low, high))
        return int(text)

    return parse


def word(allowed: tuple[str, ...]) -> Callable[[str], str]:
    """Reads exactly these words; the reader raises ValueError with advice for other text."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(_not_one_of(text, allowed))
        return text

    return parse


@lru_cache(maxsize=1000)
def _not_one_of(text: str, allowed: tuple[str, ...]) -> str:
    why = f"'{shown(text)}' is none of {', '.join(allowed)}"
    bare = INVISIBLE.sub("", text).strip().lower()
    near = [word for word in allowed if bare == word or bare in WORDS.get(word, ())]
    near = near or difflib.get_close_matches(bare, allowed, n=1)
    return f"{why}; did you mean '{near[0]}'?" if near else f"{why}{_unknown(text)}"


def _unknown(text: str) -> str:
    return "; leave the cell empty where it is not known" if text.lower() in PLACEHOLDERS else ""


@lru_cache(maxsize=1000)
def _not_whole(text: str, low: int, high: int) -> str:
    why = f"'{shown(text)}' is not a whole number from {low} to {high}"
    bare = INVISIBLE.sub("", text).replace(",", ".")
    try:
        value = float(bare)
    except ValueError:
        return why + _unknown(text)
    return f"{why}; write {value:.0f}" if value in range(low, high + 1) and bare != f"{value:.0f}" else why
