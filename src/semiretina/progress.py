"""Progress of long work on stderr: a bar with the time left on a terminal, a plain line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """One plain line to stderr, where progress goes (results go to stdout); of several processes the first speaks."""
    if _first():
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A length of time in words: "40 s", "12 min", "3 h 20 min", "5 days"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{round(seconds)} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Yields `advance(count=1, note="")`. `total` is the number of counts that make the work done."""
    if sys.stderr.isatty() and _first():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _lines(title, total)


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"  # set by torchrun


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console  # noqa: PLC0415  (rich is slow to import and only a terminal needs it)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bar.advance(task, count)
            if note:
                bar.update(task, note=note)

        yield advance


def _lines(title: str, total: int) -> Callable[..., None]:
    start = time.monotonic()
    done, printed = 0, -SECONDS_BETWEEN_LINES

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, printed
        done += count
        elapsed = time.monotonic() - start
        if elapsed - printed < SECONDS_BETWEEN_LINES and done < total:
            return
        printed = elapsed
        left = elapsed / done * (total - done) if done else 0.0
        say(f"{title}: {done}/{total}, {left:.0f} s left{', ' + note if note else ''}")

    return advance
