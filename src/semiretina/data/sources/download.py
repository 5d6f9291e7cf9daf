"""What every importer asks of a download: is it unpacked, is it whole, which file does a name mean.

Most come in parts, each a folder of photographs and a table of their labels, which are joined by name.

A photograph's name is its file's without folders and extension. What is missing and what is wrong is gathered over all
parts and told at once.
"""

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.data.image import SUFFIXES
from semiretina.errors import BadData, MissingInput, summary
from semiretina.files import write_bytes
from semiretina.progress import say
from semiretina.records import Record
from semiretina.table_text import read_table

ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".001", ".z01")

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One official part: its folder of photographs and table of labels, and how many photographs are published."""

    name: str
    folder: str
    table: str
    photographs: int
    role: str = ""  # what `official_split` makes of its labelled photographs


@dataclass
class Findings:
    """What a download lacks and what is wrong with it."""

    missing: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def tell(
        self,
        root: Path,
        restore: str = "the download as it was published",
        leave: str = "a part that is to be left out goes with its labels",
    ) -> None:
        """Raises BadData where something is wrong, MissingInput where something is missing; each names everything."""
        if self.defects:
            more = f" (and more is missing: {'; '.join(self.missing[:3])})" if self.missing else ""
            advice = f"restore {restore}, and run again{more}"
            raise BadData(summary(str(root), self.defects, advice))
        if self.missing:
            advice = f"complete the download; {leave}"
            raise MissingInput(f"{root}: {'; '.join(self.missing)}. What to do: {advice}")


def read_part(
    root: Path,
    dataset: str,
    part: Part,
    read: Callable[[Path, Findings], Mapping[str, Row]],
    findings: Findings,
    tables: Sequence[str] = (),
) -> list[tuple[str, Path, Row | None]]:
    """Each photograph's name, file and row, in the order of the table; a part without a table has no rows, said aloud.

    `read` gives the rows of a table by name. `tables` are further names that the table may have. A part of which
    nothing is here is empty, said aloud.
    """
    folder = root / part.folder
    table = next((root / name for name in (part.table, *tables) if (root / name).exists()), None)
    if not folder.is_dir():
        packed = [name for name in _packed(folder.parent) if name.lower().startswith(f"{folder.name}.".lower())]
        if packed:
            findings.missing.append(f"{part.folder}: '{packed[0]}' is not unpacked; unpack it there")
        elif table is not None:
            findings.missing.append(f"{part.folder}: no such folder, though its labels '{table.name}' are here")
        else:
            say(f"{dataset}: the {part.name} part ({part.photographs} photographs) is not here")
        return []
    files = find_photographs(folder, part.folder, findings)
    if not files:
        packed = _packed(folder)
        why = (
            f"holds archives ({', '.join(packed[:3])}) and no photographs; unpack them there" if packed else "is empty"
        )
        findings.missing.append(f"{part.folder}: {why}")
        return []
    if table is None:
        wanted = root / part.table
        packed = [name for name in _packed(wanted.parent) if name.lower().startswith(f"{wanted.name}.".lower())]
        if packed:
            findings.missing.append(f"{part.table}: '{packed[0]}' is not unpacked; unpack it there")
        lacking = f"{dataset}: {part.name}: no '{part.table}', so its photographs have no labels"
        say(f"{lacking}; {len(files)} are here, {part.photographs} are published")
        return [(name, files[name], None) for name in sorted(files)]
    before = len(findings.defects)
    rows = read(table, findings)
    lost = [name for name in rows if name not in files]
    if lost:
        findings.missing.append(shortage(part.folder, len(rows) - len(lost), len(rows), lost, "images"))
    if len(findings.defects) == before:  # where rows could not be read, their photographs would seem to have none
        extra = [file.name for name, file in files.items() if name not in rows]
        findings.defects += [f"{part.folder}: {name} has no row in '{table.name}'" for name in sorted(extra)]
        if len(rows) != part.photographs:
            say(f"{dataset}: '{table.name}' has {len(rows)} rows, {part.photographs} are published")
    return [(name, files[name], row) for name, row in rows.items() if name in files]


def find_photographs(folder: Path, where: str, findings: Findings) -> dict[str, Path]:
    """The photographs in the folder and its subfolders by name; two files of one name are a defect of `told`.

    Lists each folder once and asks nothing of the single files, of which there may be tens of thousands.
    """
    photographs: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() not in SUFFIXES or name.startswith("."):
                continue
            file = Path(place, name)
            if photographs.setdefault(stem, file) is not file:
                first = photographs[stem].relative_to(folder)
                findings.defects.append(f"{where}: {first} and {file.relative_to(folder)} are one photograph twice")
    return photographs


def photograph_name(text: str) -> str:
    """The name that a cell gives a photograph, which may have folders (`/` or `\\`) and an extension."""
    name = text.replace("\\", "/").rsplit("/", 1)[-1].strip()
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in SUFFIXES else name


def read_labels(file: Path, columns: Sequence[str], findings: Findings) -> dict[str, tuple[int, dict[str, str]]]:
    """Name, as the first of the columns gives it -> row number and cells. Raises BadData where a column is absent."""
    _, lines = read_table(file, columns)
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    for number, cells in lines.items():
        name = photograph_name(cells[columns[0]])
        if not name or name in rows:
            why = f"{name} stands in row {rows[name][0]} too" if name else "empty"
            findings.defects.append(f"{file.name}, row {number}, column {columns[0]}: {why}")
        else:
            rows[name] = number, cells
    return rows


def read_numbers(file: Path, columns: tuple[str, str], highest: int, findings: Findings) -> dict[str, int | None]:
    """Name -> the whole number from 0 to `highest` in the second of the columns, None and a defect where it is none."""
    name_column, column = columns
    return {
        name: whole_number(cells[column], highest, f"{file.name}, row {number}, column {column}", findings)
        for name, (number, cells) in read_labels(file, (name_column, column), findings).items()
    }


def whole_number(text: str, highest: int, where: str, findings: Findings) -> int | None:
    """The number, or None and a defect at `where` if it is none from 0 to `highest`."""
    if text.isdecimal() and int(text) <= highest:
        return int(text)
    findings.defects.append(f"{where}: '{text}' is not a whole number from 0 to {highest}")
    return None


def finish(dataset: str, root: Path, parts: Sequence[Part], findings: Findings, records: Sequence[Record]) -> None:
    """Says how many photographs have which grade, how many have none, and how many of these are ungradable.

    Raises BadData and MissingInput where the findings have something, or no part is here.
    """
    findings.tell(root)
    if not records:
        folders = ", ".join(f"'{part.folder}'" for part in parts)
        raise MissingInput(f"{root}: none of the folders {folders} is here; give the folder that holds them")
    counts = Counter(record.grade for record in records if record.grade is not None)
    grades = ", ".join(f"{grade}: {counts[grade]}" for grade in sorted(counts)) or "none"
    bare = [record for record in records if record.grade is None]
    ungradable = sum(record.quality == "ungradable" for record in bare)
    more = f" ({ungradable} ungradable)" if ungradable else ""
    say(f"{dataset}: {len(records)} photographs, {len(bare)} without a grade{more}; grades {grades}")


def _packed(folder: Path) -> list[str]:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [name for name in names if is_archive(name)]


def find_entry(folder: Path, *names: str) -> Path | None:
    """The folder's file or folder that has one of these names in upper or lower case; the first name found wins."""
    entries = {entry.name.lower(): entry for entry in sorted(folder.iterdir())} if folder.is_dir() else {}
    return next((entries[name.lower()] for name in names if name.lower() in entries), None)


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive, or of one of the volumes that it was cut into."""
    suffix = Path(name).suffix.lower()
    return suffix in ARCHIVES or re.fullmatch(r"\.(\d{3}|z\d{2})", suffix) is not None


def check_folder(root: Path, what: str) -> None:
    """Raises MissingInput where `root` is no folder, or holds archives that nobody has unpacked instead of `what`."""
    if not root.is_dir():
        raise MissingInput(f"{root}: no such folder; give the one that holds {what}")
    packed = sorted(f.name for f in root.iterdir() if is_archive(f.name) and f.is_file())
    others = [f for f in root.iterdir() if f.name not in packed and not f.name.startswith(".")]
    if packed and not others:
        raise MissingInput(
            f"{root}: holds archives ({', '.join(packed[:4])}{', ...' if len(packed) > 4 else ''}) and not {what}; "
            "unpack them here"
        )


def shortfall(where: Path | str, here: int, expected: int, missing: Iterable[str], what: str = "files") -> str:
    """The message for a download that is not whole: "Base23: 97 of 100 images; missing a, b, c. Complete ..."."""
    message = shortage(where, here, expected, missing, what)
    return f"{message}. Complete the download, or import what you have with 'table'"


def shortage(where: Path | str, here: int, expected: int, missing: Iterable[str], what: str) -> str:
    """What `shortfall` says, without the advice."""
    names = sorted(missing)
    more = f", and {len(names) - 20} more" if len(names) > 20 else ""
    named = f"; missing {', '.join(names[:20])}{more}" if names else ""
    return f"{where}: {here} of {expected} {what}{named}"


def write_png(pixels: npt.NDArray[np.uint8], file: Path) -> None:
    """Writes a photograph that came inside another file, uint8 [height, width, 3] or [height, width], in one step.

    Records point to files that Pillow reads. A file that stands is kept: its name must tell one content from another.
    """
    if file.exists():
        return
    content = io.BytesIO()
    # Level 1: a photograph is noise to the compressor, so that the higher levels cost seconds and gain little.
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    write_bytes(file, content.getvalue())
