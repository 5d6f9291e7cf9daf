"""Where a manifest's paths lead: files that are missing, and names that one system tells apart and another does not."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from semiretina.audit.finding import Place, Sighting
from semiretina.records import MASK_COLUMNS, Reading
from semiretina.table_text import INVISIBLE, shown


def path_findings(reading: Reading, base: Path) -> Iterator[Sighting]:
    """Missing photographs and masks, names that clash, absolute paths. `base` is the manifest's folder."""
    folders = _Folders()
    away = []
    for row, text, record in zip(reading.rows, reading.paths, reading.records, strict=True):
        why = folders.why_not(str(record.path))
        if why:
            yield "missing", Place((row,), "path", (str(record.path),), f"{shown(text)}: {_advised(text, why)}")
        if text.startswith("/") and not record.path.is_relative_to(base.parent):
            away.append(row)
    if away:
        yield "absolute", Place(tuple(away), "path", detail=f"{len(away)} paths outside {base.parent}")
    yield from _clashes(reading)
    yield from _masks(reading, folders)


class _Folders:
    """Listings of folders, each read once: a look-up among a hundred thousand files costs no call to the system."""

    def __init__(self) -> None:
        self.listings: dict[str, dict[str, bool] | str] = {}  # of a folder: name -> is a file; or why there is none
        self.bare_names: dict[str, dict[str, str]] = {}

    def why_not(self, path: str) -> str:
        """Why the path is no file; "" where it is one."""
        folder, _, name = path.rpartition(os.sep)  # a quarter of the time of os.path.split, for a path in normal form
        folder = folder or os.sep
        if folder not in self.listings:
            self.listings[folder] = _list(folder)
        listing = self.listings[folder]
        if isinstance(listing, str):
            return f"{folder}: {listing}"
        if name in listing:
            return "" if listing[name] else "a folder, not a file"
        if folder not in self.bare_names:
            self.bare_names[folder] = {_bare(other): other for other, is_file in listing.items() if is_file}
        near = self.bare_names[folder].get(_bare(name))
        return f"no such file; there is '{shown(near)}'" if near else "no such file"


def _list(folder: str) -> dict[str, bool] | str:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: not entry.is_dir() for entry in entries}
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "no such folder"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()


def _bare(name: str) -> str:
    """A file's name without case, Unicode form, spaces, invisible characters and suffix."""
    plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", name)).casefold()
    return "".join(os.path.splitext(plain)[0].split())


def _advised(text: str, why: str) -> str:
    if "://" in text:
        return f"{why}; addresses are not fetched, give a file"
    if text.startswith("~"):
        return f"{why}; '~' is not your home folder here, write it out"
    if "\\" in text:
        return f"{why}; write '/' between folders"
    return why


def _clashes(reading: Reading) -> Iterator[Sighting]:
    first: dict[str, int] = {}
    paths = [str(record.path) for record in reading.records]
    for number, path in enumerate(paths):
        form = path if path.isascii() else unicodedata.normalize("NFC", path)
        before = first.setdefault(form.casefold(), number)
        other = paths[before]
        if other == path:  # itself, or the same path again, which is a defect of its own
            continue
        same_letters = unicodedata.normalize("NFC", other) == form
        rows = (reading.rows[before], reading.rows[number])
        names = f"'{os.path.basename(other)}' and '{os.path.basename(path)}'"
        yield "unicode" if same_letters else "case", Place(rows, "path", (other, path), shown(names))


def _masks(reading: Reading, folders: _Folders) -> Iterator[Sighting]:
    columns = [column for column in MASK_COLUMNS if column in reading.header]
    if not columns:
        return
    first: dict[Path, tuple[int, str]] = {}
    for row, record in zip(reading.rows, reading.records, strict=True):
        for column in columns:
            mask = getattr(record, column)
            if mask is None:
                continue
            why = folders.why_not(str(mask))
            if why:
                yield "mask", Place((row,), column, (str(mask),), f"{mask.name}: {why}")
            elif mask == record.path:
                yield "mask", Place((row,), column, (str(mask),), f"{mask.name}: is the photograph itself")
            elif mask in first:
                before, other = first[mask]
                detail = f"{mask.name} stands in row {before}, column {other}, too"
                yield "shared-mask", Place(tuple(sorted({before, row})), column, (str(mask),), detail)
            first.setdefault(mask, (row, column))
