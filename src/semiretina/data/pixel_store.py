"""The files of a pixel cache: one append-only array, and what it holds by content and by path.

One folder per (size, crop, filter, decoder version) holds

| file | what |
|---|---|
| `pixels.u8` | rows of uint8 [size, size, 3], nothing else |
| `index.jsonl` | sha256 of a file's content -> row and crop box, or the reason why it cannot be read |
| `files.jsonl` | absolute path, size, time of change -> sha256: a start stats files and hashes only what changed |
| `lock` | held by the one process that appends |

Rows follow each other, and a line of the index is written after the pixels of its row. So at whatever moment a process
dies, what stands beyond the last whole line is dropped by the next one that appends, and nothing else is lost.
"""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from semiretina.data.image import Box
from semiretina.errors import CannotWrite
from semiretina.progress import say

FILE_KEYS = {"path", "size", "changed", "sha256"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache holds of one file: a row of pixels and its crop box, or the reason why there is none.

    `sha256` is that of the file's content, "" where the file itself could not be read from the disk.
    """

    sha256: str
    row: int | None
    box: Box | None
    error: str | None


class PixelStore:
    """What the files of one folder hold, up to the last whole line of each.

    Raises CannotWrite where the folder cannot be made.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise CannotWrite(
                f"{self.folder}: cannot make this folder ({error.strerror}); choose another cache"
            ) from None
        self.entries: dict[str, Entry] = {}  # sha256 -> entry
        self.known_files: dict[str, tuple[int, int, str]] = {}  # absolute path -> size, time of change, sha256
        self.num_rows = 0
        self._read_to = {"index.jsonl": 0, "files.jsonl": 0}  # bytes
        self._rows = self._map()
        self.catch_up()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of `pixels.u8`."""
        return self.size * self.size * 3

    def rows(self) -> npt.NDArray[np.uint8]:
        """All rows so far, uint8 [n, size, size, 3]: a read-only map of the file."""
        if len(self._rows) != self.num_rows:
            self._rows = self._map()
        return self._rows

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Some rows, uint8 [n, size, size, 3], copied from the file and not mapped."""
        copies = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        with (self.folder / "pixels.u8").open("rb", buffering=0) as pixels:
            for row, place in zip(rows, copies, strict=True):
                pixels.seek(row * self.row_bytes)
                count = pixels.readinto(place.data)
                assert count == self.row_bytes, (row, count)
        return copies

    def catch_up(self) -> None:
        """Takes in what was appended since the last call, by this process or another, up to the last whole line."""
        file = self.folder / "pixels.u8"
        available = file.stat().st_size // self.row_bytes if file.exists() else 0
        if available < self.num_rows or any(_length(self.folder / name) < end for name, end in self._read_to.items()):
            self.entries, self.known_files, self.num_rows = {}, {}, 0  # the folder was emptied under our feet
            self._read_to = dict.fromkeys(self._read_to, 0)
            self._rows = self._map()
        for line, end in _lines(self.folder / "index.jsonl", self._read_to["index.jsonl"], {"sha256"}):
            row, box = line.get("row"), line.get("box")
            if row is not None and (row != self.num_rows or row >= available):
                break
            entry = Entry(line["sha256"], row, tuple(box) if box else None, line.get("error"))
            self.entries[entry.sha256] = entry
            self.num_rows += row is not None
            self._read_to["index.jsonl"] = end
        for line, end in _lines(self.folder / "files.jsonl", self._read_to["files.jsonl"], FILE_KEYS):
            self.known_files[line["path"]] = (line["size"], line["changed"], line["sha256"])
            self._read_to["files.jsonl"] = end

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for appending, after taking in what others appended and dropping what a kill left behind."""
        lock = FileLock(self.folder / "lock")
        try:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                say(f"Waiting for another process that reads photographs into {self.folder}")
                lock.acquire()
        except PermissionError as error:
            raise CannotWrite(f"{self.folder}: cannot write here ({error.strerror}); choose another cache") from None
        try:
            self.catch_up()
            self.drop_rest()
            yield
        finally:
            lock.release()

    def drop_rest(self) -> None:
        """Cuts off what is not yet, or not wholly, in the index. Only the process that holds the lock may do so."""
        for name, end in (*self._read_to.items(), ("pixels.u8", self.num_rows * self.row_bytes)):
            if _length(self.folder / name) > end:
                os.truncate(self.folder / name, end)

    def _map(self) -> npt.NDArray[np.uint8]:
        shape = (self.num_rows, self.size, self.size, 3)
        if self.num_rows == 0:
            empty = np.empty(shape, np.uint8)
            empty.flags.writeable = False
            return empty
        # A plain array over the map: indexing a np.memmap costs several times as much.
        return np.asarray(np.memmap(self.folder / "pixels.u8", np.uint8, "r", shape=shape))


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _lines(file: Path, start: int, keys: set[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """The JSON lines from a byte on, each with the byte after it, up to the first that is torn or lacks a key."""
    if _length(file) <= start:
        return
    with file.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            start += len(line)
            try:
                values = json.loads(line if line.endswith(b"\n") else b"")
            except ValueError:
                return
            if not isinstance(values, dict) or not keys <= values.keys():
                return
            yield values, start
