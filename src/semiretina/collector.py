"""Python's collector of cycles, and when to do without it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Work that makes many objects and no cycles of them.

    The collector of cycles would walk all that is there again and again, which takes a fifth of such work.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
