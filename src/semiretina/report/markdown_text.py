"""Words of others in Markdown: names of runs, sites and files stay what they are, and never become markup."""

import re
from collections.abc import Sequence

# What begins code, emphasis, markup, a cell or a strike anywhere in a line; "[" alone begins nothing.
_MARKS = re.compile(r"[\\`*<|~]|(?<=\])\(|&(?=#?\w+;)|(?<!\w)_|_(?!\w)")


def plain(text: str) -> str:
    """The text as Markdown shows it word by word, on one line."""
    return _MARKS.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def row(texts: Sequence[str]) -> str:
    """One row of a table."""
    return f"| {' | '.join(map(plain, texts))} |"
