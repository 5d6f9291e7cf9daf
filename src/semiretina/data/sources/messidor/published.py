"""Messidor's folders and sheets as they are published: what must be there, and each photograph with its row.

The download is one archive of 100 photographs and one Excel 97 sheet for each of the twelve folders, `Base11` to
`Base34`; a sheet lies beside its folder or in it, and may have been saved as CSV, .xlsx or .ods. Names are found in
upper and lower case; photographs may have been converted, so a name's extension does not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiretina.data import messidor_facts as facts
from semiretina.data.image import photographs_in
from semiretina.data.sources.download import ARCHIVES, Findings, check_folder, find_entry, photograph_name, shortage
from semiretina.errors import MissingInput
from semiretina.progress import say
from semiretina.table_text import inspect_table


@dataclass(frozen=True)
class Graded:
    """A photograph with its sheet's row; `name` as `key` gives it."""

    path: Path
    folder: str
    name: str
    grade: int
    edema: int


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its number (the header is row 1), the photograph's file name, and the two gradings."""

    number: int
    file: str
    grade: int
    edema: int


def key(name: str) -> str:
    """What identifies a photograph: its file name in upper case, without folders (`/` or `\\`) and extension."""
    return photograph_name(name).upper()


def by_key(files: Sequence[Path], where: str) -> tuple[dict[str, Path], list[str]]:
    """The files by `key`, and what is wrong: two files, in other formats or folders, that are one photograph."""
    by_name: dict[str, Path] = {}
    defects = []
    for file in files:
        first = by_name.setdefault(key(file.name), file)
        if first != file:
            defects.append(f"{where}: {first.name} and {file.name} are one photograph twice")
    return by_name, defects


def read(root: Path) -> list[Graded]:
    """The photographs of the folders that are here, in the order of their sheets; says which are not here.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    check_folder(root, "Messidor's folders Base11 to Base34")
    if root.name.lower() in {folder.lower() for folder in facts.FOLDERS}:
        raise MissingInput(f"{root}: is one of Messidor's twelve folders; give the folder that holds them")
    graded: list[Graded] = []
    findings = Findings()
    counts: dict[str, int] = {}
    for folder in facts.FOLDERS:
        spelled = sorted(
            entry.name for entry in root.iterdir() if entry.is_dir() and entry.name.lower() == folder.lower()
        )
        if len(spelled) > 1:
            findings.defects.append(f"{' and '.join(spelled)}: one folder twice; keep one")
            continue
        place, sheets = _find(root, folder)
        archive = find_entry(root, *(folder + suffix for suffix in ARCHIVES))
        if place is not None and sheets:
            counts[folder] = _read_folder(folder, place, sheets, graded, findings)
        elif place is not None:
            names = " or ".join(f"'{sheet.format(folder=folder)}.xls'" for sheet in facts.SHEETS)
            findings.missing.append(f"{folder}: no sheet {names}, neither in it nor beside it")
        elif archive is not None:
            findings.missing.append(f"{folder}: '{archive.name}' is not unpacked; unpack it into a folder {folder}")
        elif sheets:
            findings.missing.append(f"{folder}: no such folder, though its sheet '{sheets[0].name}' is here")
    findings.defects += _twice(graded)
    findings.tell(
        root, "the folders and sheets as they were published", "a folder that is to be left out goes with its sheet"
    )
    if not counts:
        raise MissingInput(f"{root}: none of the folders Base11 to Base34 is here; give the folder that holds them")
    absent = [folder for folder in facts.FOLDERS if folder not in counts]
    if absent:
        count = f"{len(absent)} of {len(facts.FOLDERS)} folders, {facts.PER_FOLDER * len(absent)} photographs"
        say(f"messidor: not here: {', '.join(absent)} ({count})")
    uneven = [f"{folder} {count}" for folder, count in counts.items() if count != facts.PER_FOLDER]
    if uneven:
        say(f"messidor: sheets with other than the {facts.PER_FOLDER} rows that are published: {', '.join(uneven)}")
    return graded


def _find(root: Path, folder: str) -> tuple[Path | None, list[Path]]:
    """The folder and its sheets, wherever they lie."""
    place = find_entry(root, folder)
    place = place if place is not None and place.is_dir() else None
    inside = sorted(f for f in place.rglob("*") if f.is_dir()) if place is not None else []
    folders = [root, *([place] if place is not None else []), *inside]
    names = [sheet.format(folder=folder) + suffix for sheet in facts.SHEETS for suffix in facts.SHEET_SUFFIXES]
    sheets = [sheet for p in folders for name in names if (sheet := find_entry(p, name)) is not None]
    return place, [sheet for sheet in sheets if sheet.is_file()]


def _read_folder(folder: str, place: Path, sheets: Sequence[Path], graded: list[Graded], findings: Findings) -> int:
    """Adds one folder's photographs, what it lacks and what is wrong; the number of its sheet's rows."""
    rows, wrong = read_sheet(sheets[0])
    if other := next((sheet for sheet in sheets[1:] if read_sheet(sheet)[0] != rows), None):
        findings.defects.append(f"{folder}: its sheets '{sheets[0]}' and '{other}' differ; keep one")
        return 0
    files, twice = by_key(photographs_in(place, "**/*"), folder)
    findings.defects += wrong + twice
    if not files and (packed := [f.name for f in place.iterdir() if f.suffix.lower() in ARCHIVES]):
        findings.missing.append(
            f"{folder}: holds archives ({', '.join(sorted(packed)[:3])}) and no photographs; unpack them there"
        )
        return len(rows)
    lost = [row.file for name, row in rows.items() if name not in files]
    if lost:
        findings.missing.append(shortage(folder, len(rows) - len(lost), len(rows), lost, "images"))
    # Where rows could not be read, their photographs would seem to have none.
    extra = [] if wrong else [file.name for name, file in files.items() if name not in rows]
    findings.defects += [f"{folder}: {name} has no row in '{sheets[0].name}'" for name in extra]
    graded += [Graded(files[n], folder, n, row.grade, row.edema) for n, row in rows.items() if n in files]
    return len(rows)


def _twice(graded: Sequence[Graded]) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{photograph.folder}: {photograph.path.name} stands in {first[photograph.name]} too"
        for photograph in graded
        if first.setdefault(photograph.name, photograph.folder) != photograph.folder
    ]


def read_sheet(file: Path) -> tuple[dict[str, Row], list[str]]:
    """The sheet's rows by `key`, without those that have defects, and what is wrong, each with file, row and column."""
    table = inspect_table(file)
    defects = [f"{file.name}{', ' if defect.row else ': '}{defect}" for defect in table.defects]
    if not table.header:
        return {}, defects
    header = [name.casefold() for name in table.header]
    columns = {column: column.strip().casefold() for column in (facts.NAME, facts.GRADE, facts.EDEMA)}
    if absent := [column.strip() for column, name in columns.items() if name not in header]:
        return {}, [f"{file.name}: no column {', '.join(absent)} among {', '.join(table.header)}"]
    rows: dict[str, Row] = {}
    for number, cells in table.rows:
        texts = {column: cells[header.index(name)] for column, name in columns.items()}
        bad = [
            f"column {column.strip()}: '{texts[column]}' is not a whole number from 0 to {highest}"
            for column, highest in facts.HIGHEST.items()
            if not (texts[column].isdecimal() and int(texts[column]) <= highest)
        ]
        name = key(texts[facts.NAME])
        if not name or name in rows:
            why = f"{texts[facts.NAME]} stands in row {rows[name].number} too" if name else "empty"
            bad.append(f"column {facts.NAME}: {why}")
        defects += [f"{file.name}, row {number}, {problem}" for problem in bad]
        if not bad:
            rows[name] = Row(number, texts[facts.NAME], int(texts[facts.GRADE]), int(texts[facts.EDEMA]))
    if not rows and not defects:
        defects = [f"{file.name}: no row under its header"]
    return rows, defects


def counted(grades: Mapping[int, int]) -> str:
    """Grades and how many photographs have each, in words."""
    return ", ".join(f"{grade}: {grades[grade]}" for grade in sorted(grades))
