"""The pixel cache: photographs decoded once into one append-only array, found again by what they contain.

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
import hashlib
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from semiretina.data.image import DECODER_VERSION, FILTER, Box, UnreadablePhotograph, read_photograph
from semiretina.errors import CannotWrite
from semiretina.progress import progress, say

T = TypeVar("T")
R = TypeVar("R")

SECONDS_BETWEEN_COMMITS = 2.0
FILE_KEYS = {"path", "size", "changed", "sha256"}
LARGEST_FILE = 1 << 30  # bytes; a hundred megapixels of 16-bit RGB are 0.6 of it


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache holds of one file: a row of pixels and its crop box, or the reason why there is none.

    `sha256` is that of the file's content, "" where the file itself could not be read from the disk.
    """

    sha256: str
    row: int | None
    box: Box | None
    error: str | None


@dataclass(frozen=True, slots=True)
class _Content:
    """What a thread brings back of one file. `sha256` is "" where nothing could be read, and `error` says why."""

    size: int = 0
    changed: int = 0  # ns
    sha256: str = ""
    pixels: npt.NDArray[np.uint8] | None = None  # None where the content is known already, or unreadable
    box: Box | None = None
    error: str | None = None


def default_cache() -> Path:
    """The folder of all pixel caches: $SEMIRETINA_CACHE, or `semiretina` in the user's cache folder."""
    if os.environ.get("SEMIRETINA_CACHE"):
        return Path(os.environ["SEMIRETINA_CACHE"]).expanduser()
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

    def add(self, files: Sequence[Path], *, verify: bool = False) -> list[Entry]:
        """One entry per file, in order; decodes only content that the cache does not hold. Failures are entries too.

        A file of known size and time of change counts as unchanged; `verify` reads and hashes every one. Raises OSError
        when the cache cannot be written (a full disk) and leaves it as it was at its last commit.
        """
        paths = [os.path.abspath(file) for file in files]
        different = list(dict.fromkeys(paths))
        found, unknown = self._look_up(different, verify)
        if unknown:
            with self._locked():
                # All of them again: meanwhile another process may have read some, or emptied the folder.
                found, unknown = self._look_up(different, verify)
                found |= self._read_and_append(unknown)
        return [found[path] for path in paths]

    def rows(self) -> npt.NDArray[np.uint8]:
        """All rows so far, uint8 [n, size, size, 3]: a read-only map of the file. Cheap; call it after `add`."""
        if len(self._rows) != self.num_rows:
            self._rows = self._map()
        return self._rows

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

    def drop_rest(self) -> None:
        """Cuts off what is not yet, or not wholly, in the index. Only the process that holds the lock may do so."""
        for name, end in (*self._read_to.items(), ("pixels.u8", self.num_rows * self.row_bytes)):
            if _length(self.folder / name) > end:
                os.truncate(self.folder / name, end)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of `pixels.u8`."""
        return self.size * self.size * 3

    def _map(self) -> npt.NDArray[np.uint8]:
        shape = (self.num_rows, self.size, self.size, 3)
        if self.num_rows == 0:
            empty = np.empty(shape, np.uint8)
            empty.flags.writeable = False
            return empty
        # A plain array over the map: indexing a np.memmap costs several times as much.
        return np.asarray(np.memmap(self.folder / "pixels.u8", np.uint8, "r", shape=shape))

    def _look_up(self, paths: Sequence[str], verify: bool) -> tuple[dict[str, Entry], list[str]]:
        """The entries of files that need not be read, and the files that must be."""
        found: dict[str, Entry] = {}
        unknown = []
        for path in paths:
            size, changed, sha256 = self.known_files.get(path, (-1, -1, ""))
            try:
                status = os.stat(path)
            except (OSError, ValueError) as error:
                found[path] = Entry("", None, None, _why(error))
                continue
            if not verify and sha256 in self.entries and (status.st_size, status.st_mtime_ns) == (size, changed):
                found[path] = self.entries[sha256]
            else:
                unknown.append(path)
        return found, unknown

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.folder / "lock")
        try:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                say(f"Waiting for another process that reads photographs into {self.folder}")
                lock.acquire()
        except PermissionError as error:
            raise CannotWrite(f"{self.folder}: cannot write here ({error.strerror}); choose another cache") from None
        with lock:
            lock.release()  # `with` counts a second time
            self.catch_up()
            self.drop_rest()
            yield

    def _read_and_append(self, paths: Sequence[str]) -> dict[str, Entry]:
        if not paths:
            return {}
        found: dict[str, Entry] = {}
        unreadable = 0
        with progress("Reading photographs", len(paths)) as advance, _Appender(self) as appender:
            for path, content in zip(paths, _in_threads(self._read, paths, _num_cores()), strict=True):
                entry = found[path] = appender.append(path, content)
                unreadable += entry.error is not None
                advance(1, f"{unreadable} unreadable" if unreadable else "")
        return found

    def _read(self, path: str) -> _Content:
        """One file from the disk, once: its hash, and its pixels where the hash is new. Runs in a thread."""
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return _Content(error="a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
            if status.st_size > LARGEST_FILE:
                return _Content(error=f"larger than {LARGEST_FILE >> 30} GiB")
            data = Path(path).read_bytes()
        except OSError as error:
            return _Content(error=_why(error))
        sha256 = hashlib.sha256(data).hexdigest()
        of_file = (status.st_size, status.st_mtime_ns, sha256)
        if sha256 in self.entries:
            return _Content(*of_file)
        try:
            return _Content(*of_file, *read_photograph(data, self.size, self.crop))
        except UnreadablePhotograph as error:
            return _Content(*of_file, error=str(error))


class _Appender:
    """Appends to a cache whose lock is held, with a commit now and then, at the end, and none after a failure."""

    def __init__(self, cache: PixelCache) -> None:
        self.cache = cache
        self.entries: dict[str, Entry] = {}  # not committed yet, by sha256
        self.num_rows = cache.num_rows
        self.lines: dict[str, list[str]] = {"index.jsonl": [], "files.jsonl": []}
        self.committed = monotonic()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.descriptors = {}
            for name in ("pixels.u8", *self.lines):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self.descriptors[name] = os.open(self.cache.folder / name, flags, 0o666)
                stack.callback(os.close, self.descriptors[name])
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.stack:
            try:
                if kind is None:
                    self.commit()
            except BaseException:
                kind = OSError
                raise
            finally:
                if kind is not None:
                    with suppress(OSError):  # the next process that appends does it otherwise
                        self.cache.drop_rest()

    def append(self, path: str, content: _Content) -> Entry:
        if not content.sha256:
            return Entry("", None, None, content.error)
        sha256 = content.sha256
        entry = self.cache.entries.get(sha256) or self.entries.get(sha256)
        if entry is None:
            entry = self._store(content)
        of_file = (content.size, content.changed, sha256)
        if self.cache.known_files.get(path) != of_file:
            line = {"path": path, "size": content.size, "changed": content.changed, "sha256": sha256}
            self.lines["files.jsonl"].append(json.dumps(line) + "\n")
        if monotonic() - self.committed > SECONDS_BETWEEN_COMMITS:
            self.commit()
        return entry

    def _store(self, content: _Content) -> Entry:
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
        if self.num_rows > self.cache.num_rows:
            os.fsync(self.descriptors["pixels.u8"])
        for name, lines in self.lines.items():
            if lines:
                _write(self.descriptors[name], "".join(lines).encode())
                os.fsync(self.descriptors[name])
        self.cache.catch_up()
        assert self.cache.num_rows == self.num_rows
        self.lines = {name: [] for name in self.lines}
        self.entries = {}
        self.committed = monotonic()


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


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


def _in_threads(work: Callable[[T], R], items: Sequence[T], num_threads: int) -> Iterator[R]:
    """`work` of each item, in order; only a few results wait at any time: memory does not grow with the list."""
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(num_threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 4 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return (error.strerror or type(error).__name__).lower()
    return "no such file"
