"""The pixel cache: photographs decoded once into one append-only array, found again by what they contain.

One folder per (size, crop, filter, decoder version) holds

| file | what |
|---|---|
| `pixels.u8` | rows of uint8 [size, size, 3], nothing else |
| `index.jsonl` | sha256 of a file's content -> row and crop box, or the reason why it cannot be read |
| `files.jsonl` | absolute path, size, time of change -> sha256: a start stats files and hashes only what changed |
| `lock` | held by the one process that appends |

A line of the index is written after the pixels of its row, and rows follow each other. So whatever moment a process
dies at, what stands beyond the last whole line is dropped by the next one that appends, and nothing else is lost.
"""

import hashlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from semiretina.data.image import DECODER_VERSION, FILTER, Box, UnreadablePhotograph, read_photograph
from semiretina.errors import CannotWrite
from semiretina.progress import progress, say

SECONDS_BETWEEN_SYNCS = 5.0


@dataclass(frozen=True)
class Entry:
    """What the cache holds of one file: a row of pixels and its crop box, or the reason why there is none.

    `sha256` is that of the file's content, "" where the file itself could not be opened.
    """

    sha256: str
    row: int | None
    box: Box | None
    error: str | None


@dataclass(frozen=True)
class _Read:
    """What a thread brings back of one file; without pixels where its content is known or unreadable."""

    stamp: tuple[int, int]  # size in bytes, time of change in ns
    entry: Entry  # its row is not known yet
    pixels: npt.NDArray[np.uint8] | None


def default_cache() -> Path:
    """The folder of all pixel caches: $SEMIRETINA_CACHE, or `semiretina` in the user's cache folder."""
    if os.environ.get("SEMIRETINA_CACHE"):
        return Path(os.environ["SEMIRETINA_CACHE"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "semiretina"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "semiretina"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "semiretina"


class PixelCache:
    """Photographs of one size and crop. Several processes may use one folder at once; one object serves one thread.

    Raises CannotWrite where the folder cannot be made.
    """

    def __init__(self, folder: Path, size: int, crop: str = "field-of-view") -> None:
        self.size, self.crop = size, crop
        self.folder = folder / f"{size}-{crop}-{FILTER}-v{DECODER_VERSION}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(
                f"{self.folder}: cannot make this folder ({error.strerror}); choose another cache"
            ) from None
        self._index, self._journal = self.folder / "index.jsonl", self.folder / "files.jsonl"
        self._pixels = self.folder / "pixels.u8"
        self._forget()
        self._catch_up()

    def _forget(self) -> None:
        self._entries: dict[str, Entry] = {}  # by sha256
        self._files: dict[str, tuple[tuple[int, int], str]] = {}  # absolute path -> stamp, sha256
        self._num_rows = 0
        self._ends = {self._index: 0, self._journal: 0}  # how far each has been read, bytes
        self._view: npt.NDArray[np.uint8] = np.empty((0, self.size, self.size, 3), np.uint8)

    def add(self, files: Sequence[Path], *, verify: bool = False) -> list[Entry]:
        """One entry per file, in order; decodes only content that the cache does not hold. Failures are entries too.

        A file of known size and time of change is taken for unchanged; `verify` reads and hashes all of them. Raises
        OSError when pixels cannot be written (a full disk) with the cache as it was at its last commit.
        """
        paths = [os.path.abspath(file) for file in files]
        different = list(dict.fromkeys(paths))
        found = {} if verify else self._known_of(different)
        if len(found) < len(different):
            with self._appending():
                # All of them again: another process may have read some meanwhile, or emptied the folder.
                found = {} if verify else self._known_of(different)
                found |= self._fill([path for path in different if path not in found])
        return [found[path] for path in paths]

    def rows(self) -> npt.NDArray[np.uint8]:
        """All rows, uint8 [n, size, size, 3]: a read-only map of the file. After `add` ask again for more."""
        if len(self._view) != self._num_rows:
            shape = (self._num_rows, self.size, self.size, 3)
            self._view = np.memmap(self._pixels, np.uint8, "r", shape=shape)
        return self._view

    def _known(self, path: str) -> Entry | None:
        """The entry of a file that is as it was, or that cannot be had; None where it must be read."""
        try:
            stamp = _stamp(path)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            return Entry("", None, None, _why(error))
        known, sha256 = self._files.get(path, ((-1, -1), ""))
        return self._entries.get(sha256) if stamp == known else None

    def _known_of(self, paths: Sequence[str]) -> dict[str, Entry]:
        return {path: entry for path in paths if (entry := self._known(path)) is not None}

    def _fill(self, missing: Sequence[str]) -> dict[str, Entry]:
        """Reads and appends; the caller holds the lock."""
        found: dict[str, Entry] = {}
        if not missing:
            return found
        with (
            progress("Reading photographs", len(missing)) as advance,
            self._pixels.open("ab") as pixels,
            self._index.open("ab") as index,
            self._journal.open("ab") as journal,
        ):
            synced = time.monotonic()
            for path, read in self._read_ahead(missing):
                if isinstance(read, Entry):
                    found[path] = read
                else:
                    found[path] = self._append(path, read, pixels, index, journal)
                if time.monotonic() - synced > SECONDS_BETWEEN_SYNCS:
                    _sync(pixels, index, journal)
                    synced = time.monotonic()
                advance()
            _sync(pixels, index, journal)
        return found

    def _append(self, path: str, read: _Read, pixels: Any, index: Any, journal: Any) -> Entry:
        entry = self._entries.get(read.entry.sha256)
        if entry is None:
            entry = read.entry
            if read.pixels is not None:
                entry = Entry(entry.sha256, self._num_rows, entry.box, None)
                pixels.write(read.pixels.tobytes())
                # The row must be in the file before the line that points to it.
                pixels.flush()
                self._num_rows += 1
            self._write_line(index, self._index, [entry.sha256, entry.row, entry.box, entry.error])
            self._entries[entry.sha256] = entry
        if self._files.get(path) != (read.stamp, entry.sha256):
            self._write_line(journal, self._journal, [path, *read.stamp, entry.sha256])
            self._files[path] = (read.stamp, entry.sha256)
        return entry

    def _write_line(self, out: Any, file: Path, values: list[Any]) -> None:
        line = json.dumps(values).encode() + b"\n"
        out.write(line)
        out.flush()
        self._ends[file] += len(line)

    def _read_ahead(self, paths: Sequence[str]) -> Iterator[tuple[str, _Read | Entry]]:
        """Reads files by threads (Pillow and hashlib let go of the interpreter), in order, a bounded number ahead."""
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as readers:
            left = iter(paths)
            running = deque((path, readers.submit(self._read, path)) for path in islice(left, 2 * workers))
            try:
                while running:
                    path, future = running.popleft()
                    yield path, future.result()
                    running.extend((path, readers.submit(self._read, path)) for path in islice(left, 1))
            finally:
                for _, future in running:
                    future.cancel()

    def _read(self, path: str) -> _Read | Entry:
        try:
            stamp = _stamp(path)
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            return Entry("", None, None, _why(error))
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in self._entries:
            return _Read(stamp, Entry(sha256, None, None, None), None)
        try:
            pixels, box = read_photograph(content, self.size, self.crop)
        except UnreadablePhotograph as error:
            return _Read(stamp, Entry(sha256, None, None, str(error)), None)
        return _Read(stamp, Entry(sha256, None, box, None), pixels)

    @contextmanager
    def _appending(self) -> Iterator[None]:
        """Holds the cache for appending, read up to its end and without what a killed process left half-written."""
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=2)
        except Timeout:
            say(f"{self.folder}: another process is reading photographs into this cache; waiting for it")
            lock.acquire()
        try:
            self._catch_up()
            for file, end in self._ends.items():
                _cut(file, end)
            _cut(self._pixels, self._num_rows * self.size * self.size * 3)
            yield
        except BaseException:
            # What is in memory may be ahead of the files (a full disk): read it again.
            self._forget()
            self._catch_up()
            raise
        finally:
            lock.release()

    def _catch_up(self) -> None:
        """Reads what has been appended since; rows without their pixels, as a power cut may leave, count as absent."""
        held = _size(self._pixels) // (self.size * self.size * 3)
        if held < self._num_rows or any(_size(file) < end for file, end in self._ends.items()):
            self._forget()  # somebody emptied or mended the folder meanwhile
        for sha256, row, box, error in self._lines(
            self._index, lambda row: row is None or (row == self._num_rows and row < held)
        ):
            self._entries[sha256] = Entry(sha256, row, tuple(box) if box else None, error)
            self._num_rows += row is not None
        for path, size, changed, sha256 in self._lines(self._journal, lambda size: isinstance(size, int)):
            self._files[path] = ((size, changed), sha256)

    def _lines(self, file: Path, good: Callable[[Any], bool]) -> Iterator[Any]:
        """The whole lines that were appended since the last call, up to the first that is damaged.

        A line holds four values; `good` judges the second.
        """
        if not file.exists():
            return
        with file.open("rb") as source:
            source.seek(self._ends[file])
            for line in source:
                values = _parse(line)
                if values is None or not good(values[1]):
                    return
                self._ends[file] += len(line)
                yield values


def _parse(line: bytes) -> list[Any] | None:
    try:
        values = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return values if isinstance(values, list) and len(values) == 4 and isinstance(values[0], str) else None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"cannot be opened: {error.strerror if isinstance(error, OSError) else error}"


def _cut(file: Path, end: int) -> None:
    if _size(file) > end:
        with file.open("r+b") as out:
            out.truncate(end)


def _sync(*files: Any) -> None:
    """Pixels first: a line must never outlive its row."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())
