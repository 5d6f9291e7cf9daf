"""The pixel cache: photographs decoded once into one append-only array, found again by what they contain.

`pixel_store` says how it lies on the disk; here files are looked up there, and read where it does not know them.
"""

import hashlib
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from semiretina.config import Data
from semiretina.data.image import DECODER_VERSION, FILTER, UnreadablePhotograph, read_photograph
from semiretina.data.pixel_appender import Appender, Content
from semiretina.data.pixel_store import Entry, PixelStore
from semiretina.errors import BadData, summary, writing
from semiretina.progress import progress
from semiretina.records import Record

T = TypeVar("T")
R = TypeVar("R")

LARGEST_FILE = 1 << 30  # bytes; a hundred megapixels of 16-bit RGB are 0.6 of it


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
        self.store = PixelStore(self.folder, size)

    def add(self, files: Sequence[Path], *, verify: bool = False) -> list[Entry]:
        """One entry per file, in order; decodes only content that the cache does not hold. Failures are entries too.

        A file of known size and time of change counts as unchanged; `verify` reads and hashes every one. Raises OSError
        when the cache cannot be written (a full disk) and leaves it as it was at its last commit.
        """
        paths = [os.path.abspath(file) for file in files]
        different = list(dict.fromkeys(paths))
        entries, unknown = self._look_up(different, verify)
        if unknown:
            with self.store.locked():
                # All of them again: meanwhile another process may have read some, or emptied the folder.
                entries, unknown = self._look_up(different, verify)
                if unknown:
                    entries |= self._read_and_append(unknown)
        return [entries[path] for path in paths]

    def rows(self) -> npt.NDArray[np.uint8]:
        """All rows so far, uint8 [n, size, size, 3]: a read-only map of the file. Cheap; call it after `add`."""
        return self.store.rows()

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Some rows, uint8 [n, size, size, 3], copied from the file: for one pass over a large cache.

        The pages of a map would count as the process's memory until something else wants it.
        """
        return self.store.read(rows)

    def _look_up(self, paths: Sequence[str], verify: bool) -> tuple[dict[str, Entry], list[str]]:
        """The entries of files that need not be read, and the files that must be."""
        entries: dict[str, Entry] = {}
        unknown = []
        for path in paths:
            size, changed, sha256 = self.store.known_files.get(path, (-1, -1, ""))
            try:
                status = os.stat(path)
            except (OSError, ValueError) as error:
                entries[path] = Entry("", None, None, _why(error))
                continue
            if not verify and sha256 in self.store.entries and (status.st_size, status.st_mtime_ns) == (size, changed):
                entries[path] = self.store.entries[sha256]
            else:
                unknown.append(path)
        return entries, unknown

    def _read_and_append(self, paths: Sequence[str]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        unreadable = 0
        with progress("Reading photographs", len(paths)) as advance, Appender(self.store) as appender:
            for path, content in zip(paths, _in_threads(self._read, paths, _num_cores()), strict=True):
                entry = entries[path] = appender.append(path, content)
                unreadable += entry.error is not None
                advance(1, f"{unreadable} unreadable" if unreadable else "")
        return entries

    def _read(self, path: str) -> Content:
        """One file from the disk, once: its hash, and its pixels where the hash is new. Runs in a thread."""
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return Content(error="a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
            if status.st_size > LARGEST_FILE:
                return Content(error=f"larger than {LARGEST_FILE >> 30} GiB")
            data = Path(path).read_bytes()
        except OSError as error:
            return Content(error=_why(error))
        sha256 = hashlib.sha256(data).hexdigest()
        of_file = (status.st_size, status.st_mtime_ns, sha256)
        if sha256 in self.store.entries:
            return Content(*of_file)
        try:
            return Content(*of_file, *read_photograph(data, self.size, self.crop))
        except UnreadablePhotograph as error:
            return Content(*of_file, error=str(error))


def read_photographs(data: Data, records: Sequence[Record]) -> list[Entry]:
    """The cache's entries of all records. Raises BadData that names every photograph that cannot be read."""
    cache = open_cache(data)
    with writing(cache.folder):
        entries = cache.add([record.path for record in records])
    broken = [f"{r.path}: {e.error}" for r, e in zip(records, entries, strict=True) if e.error]
    if broken:
        raise BadData(summary(data.manifest, broken, "mend these files or take their rows out of the manifest"))
    return entries


def open_cache(data: Data) -> PixelCache:
    """The pixel cache that the configuration names, or the user's."""
    return PixelCache(Path(data.cache) if data.cache else default_cache(), data.size, data.crop)


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
