"""Records and the manifest: one photograph and what is known of it, and the CSV that holds many.

A manifest is a UTF-8 CSV with a header, its cells separated by `,` `;` or tabs. Every cell is read as text: "NA" and
"007" are patients, not numbers. An empty cell means *unknown*. Relative paths start at the manifest's own folder. Only
`path` is required; the columns, all optional otherwise:

| column | meaning |
|---|---|
| `path` | the photograph's file |
| `dataset`, `site`, `camera` | where it comes from; splits are stratified by site |
| `patient`, `exam`, `eye` | whose it is; one patient or exam is never separated; `eye` is `left` or `right` |
| `cluster` | a name that photographs share which show (nearly) the same picture; they are never separated |
| `split` | a role fixed beforehand: see `ROLES` |
| `scale` | the grading scale of `grade`: see `SCALES` |
| `grade` | the grade on that scale, a whole number |
| `dme` | macular edema: 0 no hard exudates, 1 some away from the fovea, 2 some within a disc diameter of it |
| `quality` | `gradable` or `ungradable` |
| `MA`, `HE`, `EX`, `SE` | lesions present (1) or absent (0): microaneurysms, haemorrhages, hard and soft exudates |
| `provenance` | what was changed or joined on import, in words |
| `mask_MA` ... `mask_SE` | files of the lesions' masks, of the photograph's size |
"""

import csv
import difflib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from semiretina.cell_text import whole, word
from semiretina.collector import uncollected
from semiretina.errors import BadData, summary
from semiretina.files import write_text
from semiretina.table_text import INVISIBLE, Defect, read_csv, shown

LESIONS = ("MA", "HE", "EX", "SE")
# "unlabeled-val" and "unlabeled-test" are photographs whose labels, if any, stay hidden, held out of training.
ROLES = ("train", "val", "test", "unlabeled", "unlabeled-val", "unlabeled-test", "unused")
QUALITIES = ("gradable", "ungradable")

SCALES = {
    # scale: highest grade. Grades run from 0 (no retinopathy) up.
    "icdr": 4,  # International Clinical Diabetic Retinopathy scale (Wilkinson et al., Ophthalmology 2003; 110(9):1677)
    "messidor": 3,  # Messidor's own (Decenciere et al., Image Anal Stereol 2014; 33(3):231)
    "binary": 1,  # 1 = any retinopathy; for collections that were graded yes or no
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One photograph and what is known of it; the columns of a manifest. `None` and "" mean unknown."""

    path: Path
    dataset: str = ""
    site: str = ""
    camera: str = ""
    patient: str = ""
    exam: str = ""
    eye: str = ""
    cluster: str = ""
    split: str = ""
    scale: str = ""
    grade: int | None = None
    dme: int | None = None
    quality: str = ""
    MA: int | None = None
    HE: int | None = None
    EX: int | None = None
    SE: int | None = None
    provenance: str = ""
    mask_MA: Path | None = None
    mask_HE: Path | None = None
    mask_EX: Path | None = None
    mask_SE: Path | None = None


COLUMNS = tuple(field.name for field in fields(Record))
MASK_COLUMNS = tuple(f"mask_{lesion}" for lesion in LESIONS)
FILE_COLUMNS = ("path", *MASK_COLUMNS)
# What may be absent from a manifest's header without a word, and is left out when every cell of it is empty.
RARE_COLUMNS = ("cluster", *MASK_COLUMNS)


@dataclass(frozen=True)
class Reading:
    """A manifest as far as it can be read: its records, and every defect for which training would refuse it."""

    records: list[Record] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # of each record: the row that a spreadsheet shows it in
    paths: list[str] = field(default_factory=list)  # of each record: `path` as it is written
    header: Sequence[str] = ()
    more: dict[str, list[str]] = field(default_factory=dict)  # the columns that nothing reads, a text a record
    defects: list[Defect] = field(default_factory=list)


def read_manifest(manifest: Path, *, also: Sequence[str] = ()) -> list[Record]:
    """The records of a manifest, with absolute paths.

    The separators `,` `;` and tab are recognised, and any line ends. `also` names further columns that may stand there,
    and are not read.

    Raises MissingInput when there is no such file and BadData that names every defect, each with row and column.
    """
    reading = inspect_manifest(manifest, also=also)
    if reading.defects:
        raise BadData(summary(str(manifest), [str(defect) for defect in reading.defects], "mend these and run again"))
    return reading.records


@uncollected()
def inspect_manifest(manifest: Path, *, also: Sequence[str] = ()) -> Reading:
    """What `read_manifest` reads, with the defects beside it; a record lacks what a wrong cell would have said.

    Raises MissingInput when there is no such file.
    """
    table = read_csv(manifest, "path")
    header, defects = table.header, list(table.defects)
    if not header:
        return Reading(defects=defects)
    defects += _header_defects(header, also)
    reading = Reading(
        header=header, more={name: [] for name in header if name and name not in COLUMNS}, defects=defects
    )
    if "path" not in header:
        return reading
    parse = row_parser(tuple(header), manifest.resolve().parent)
    at = {name: number for number, name in enumerate(header)}
    path_at, more_at = at["path"], [(texts, at[name]) for name, texts in reading.more.items()]
    seen: dict[str, int] = {}
    for line, cells in table.rows:
        if cells == header:
            defects.append(Defect(line, "", "repeats the header; delete the row"))
            continue
        record, wrong = parse(cells)
        for problem in wrong:
            column, why = problem.removeprefix("column ").split(": ", 1)
            defects.append(Defect(line, column, why))
        if record is None:
            continue
        before = seen.setdefault(str(record.path), line)
        if before != line:
            defects.append(Defect(line, "path", f"{cells[path_at]} already stands in row {before}"))
        reading.records.append(record)
        reading.rows.append(line)
        reading.paths.append(cells[path_at])
        for texts, number in more_at:
            texts.append(cells[number])
    if not reading.records and not defects:
        defects.append(Defect(0, "", "there is a header but no photograph under it"))
    defects.sort(key=lambda defect: defect.row)
    return reading


def write_manifest(records: Iterable[Record], manifest: Path, **more: Sequence[str]) -> None:
    """Writes records as a manifest; `more` adds columns (one text per record). Replaces the file in one step."""
    kept = list(records)
    columns = [c for c in COLUMNS if c not in RARE_COLUMNS or any(getattr(r, c) for r in kept)]
    base = manifest.resolve().parent
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *more])
    for number, record in enumerate(kept):
        cells = [_cell(getattr(record, column), base) for column in columns]
        writer.writerow(cells + [values[number] for values in more.values()])
    write_text(manifest, text.getvalue())


def parse_row(row: Mapping[str, str], base: Path) -> tuple[Record | None, list[str]]:
    """One manifest row as a record (None where it has no path), and what is wrong with it as 'column NAME: why'."""
    return row_parser(tuple(row), base)([row[name] or "" for name in row])


def row_parser(names: tuple[str, ...], base: Path) -> Callable[[Sequence[str]], tuple[Record | None, list[str]]]:
    """`parse_row` for many rows that have the columns `names`: a function of their cells alone."""
    at = {name: number for number, name in enumerate(names)}
    coded = tuple(name for name in at if name in _PARSERS)
    files = [name for name in at if name in FILE_COLUMNS]
    free = [name for name in at if name in COLUMNS and name not in (*coded, *files)]
    coded_at, files_at, free_at = ([at[name] for name in some] for some in (coded, files, free))
    base = Path(os.path.normpath(base))

    def parse(cells: Sequence[str]) -> tuple[Record | None, list[str]]:
        known, wrong = _parsed(coded, tuple([cells[i] for i in coded_at]))
        values = dict(zip(free, [cells[i] for i in free_at], strict=True), **known)
        for name, number in zip(files, files_at, strict=True):
            if cells[number]:
                values[name] = _located(base, cells[number])
        if "path" not in values:
            return None, [*wrong, "column path: empty"]
        return Record(**values), list(wrong)

    return parse


def _header_defects(header: Sequence[str], also: Sequence[str]) -> list[Defect]:
    defects = []
    if "path" not in header:
        why = f"no column 'path' among {', '.join(map(shown, header))}; `semiretina data import table` makes a manifest"
        if any(Path(name).suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff") for name in header):
            why = f"no header but a photograph, and so {why}; the first line must name the columns"
        defects.append(Defect(1, "", why))
    for name in sorted({name for name in header if name and header.count(name) > 1}):
        defects.append(Defect(1, name, f"the column {name} stands there more than once; keep one"))
    for name in header:
        bare = INVISIBLE.sub("", name).strip()
        near = [column for column in COLUMNS if column.lower() == bare.lower()]
        near = near or difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.75)
        if name not in COLUMNS and name not in also and near and near[0] not in header:
            defects.append(Defect(1, name, f"unknown column '{shown(name)}'; did you mean '{near[0]}'? Rename it"))
    return defects


@lru_cache(maxsize=10_000)
def _parsed(names: tuple[str, ...], texts: tuple[str, ...]) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The values of one row's cells in columns with a parser, and what is wrong with them.

    Kept, since a hundred thousand rows have but a few hundred different ones.
    """
    values: dict[str, Any] = {}
    wrong = []
    for name, text in zip(names, texts, strict=True):
        try:
            if text:
                values[name] = _PARSERS[name](text)
        except ValueError as error:
            wrong.append(f"column {name}: {error}")
    grade, scale = values.get("grade"), values.get("scale", "")
    if grade is not None and not scale and not any(problem.startswith("column scale") for problem in wrong):
        wrong.append(f"column scale: empty, but there is a grade; name its scale, one of {', '.join(SCALES)}")
    elif grade is not None and scale and grade > SCALES[scale]:
        wrong.append(f"column grade: {grade} is not on the scale '{scale}', which runs from 0 to {SCALES[scale]}")
    return values, wrong


def _located(base: Path, text: str) -> Path:
    """The file that a cell names. Only ".." needs `normpath`, which takes as long as all the rest."""
    return Path(os.path.normpath(base / text)) if ".." in text else base / text


_PARSERS: dict[str, Callable[[str], object]] = {
    "eye": word(("left", "right")),
    "split": word(ROLES),
    "scale": word(tuple(SCALES)),
    "quality": word(QUALITIES),
    "grade": whole(0, max(SCALES.values())),
    "dme": whole(0, 2),
    **{lesion: whole(0, 1) for lesion in LESIONS},
}


def _cell(value: object, base: Path) -> str:
    if not isinstance(value, Path):
        return "" if value is None else str(value)
    value = Path(os.path.abspath(value))  # a relative path starts where the program does, not at the manifest
    inside = value.is_relative_to(base) or value.is_relative_to(base.parent)
    return Path(os.path.relpath(value, base)).as_posix() if inside else str(value)
