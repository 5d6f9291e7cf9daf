"""Appending to the pixel cache: rows, and the lines that speak of them, in commits that a power cut cannot tear."""

import json
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from semiretina.data.image import Box
from semiretina.data.pixel_store import Entry, PixelStore

SECONDS_BETWEEN_COMMITS = 2.0


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of one file. `sha256` is "" where nothing could be read, and `error` says why."""

    size: int = 0
    changed: int = 0  # ns
    sha256: str = ""
    pixels: npt.NDArray[np.uint8] | None = None  # None where the content is known already, or unreadable
    box: Box | None = None
    error: str | None = None


class Appender:
    """Appends to a store whose lock is held, with a commit now and then, at the end, and none after a failure."""

    def __init__(self, store: PixelStore) -> None:
        self.store = store
        self.entries: dict[str, Entry] = {}  # not committed yet, by sha256
        self.num_rows = store.num_rows
        self.lines: dict[str, list[str]] = {"index.jsonl": [], "files.jsonl": []}
        self.committed = monotonic()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.descriptors = {}
            for name in ("pixels.u8", *self.lines):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self.descriptors[name] = os.open(self.store.folder / name, flags, 0o666)
                stack.callback(os.close, self.descriptors[name])
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.stack:
            whole = False
            try:
                if kind is None:
                    self.commit()
                    whole = True
            finally:
                if not whole:
                    with suppress(OSError):  # the next process that appends does it otherwise
                        self.store.drop_rest()

    def append(self, path: str, content: Content) -> Entry:
        """Takes up one file; its entry, which counts from the next commit on."""
        if not content.sha256:
            return Entry("", None, None, content.error)
        sha256 = content.sha256
        entry = self.store.entries.get(sha256) or self.entries.get(sha256)
        if entry is None:
            entry = self._store(content)
        of_file = (content.size, content.changed, sha256)
        if self.store.known_files.get(path) != of_file:
            line = {"path": path, "size": content.size, "changed": content.changed, "sha256": sha256}
            self.lines["files.jsonl"].append(json.dumps(line) + "\n")
        if monotonic() - self.committed > SECONDS_BETWEEN_COMMITS:
            self.commit()
        return entry

    def _store(self, content: Content) -> Entry:
        if content.pixels is None:
            entry = Entry(content.sha256, None, None, content.error)
            line: dict[str, Any] = {"sha256": entry.sha256, "error": entry.error}
        else:
            _write(self.descriptors["pixels.u8"], content.pixels.tobytes())
            entry = Entry(content.sha256, self.num_rows, content.box, None)
            line = {"sha256": entry.sha256, "row": entry.row, "box": entry.box}
            self.num_rows += 1
        self.entries[entry.sha256] = entry
        self.lines["index.jsonl"].append(json.dumps(line) + "\n")
        return entry

    def commit(self) -> None:
        """Pixels to the disk first, then the lines that speak of them."""
        if self.num_rows > self.store.num_rows:
            os.fsync(self.descriptors["pixels.u8"])
        for name, lines in self.lines.items():
            if lines:
                _write(self.descriptors[name], "".join(lines).encode())
                os.fsync(self.descriptors[name])
        self.store.catch_up()
        assert self.store.num_rows == self.num_rows
        self.lines = {name: [] for name in self.lines}
        self.entries = {}
        self.committed = monotonic()


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
