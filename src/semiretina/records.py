"""Records and the manifest: one photograph and what is known of it, and the CSV that holds many.

A manifest is a UTF-8 CSV with a header. Every cell is read as text: "NA" and "007" are patients, not numbers. An
empty cell means *unknown*. Relative paths start at the manifest's own folder. Only `path` is required; the columns, all
optional otherwise:

| column | meaning |
|---|---|
| `path` | the photograph's file |
| `dataset`, `site`, `camera` | where it comes from; splits are stratified by site |
| `patient`, `exam`, `eye` | whose it is; one patient or exam is never separated; `eye` is `left` or `right` |
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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from semiretina.errors import BadData
from semiretina.files import read_text, write_text

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
# What may be absent from a manifest's header without a word, and is left out when every cell of it is empty.
MASK_COLUMNS = tuple(f"mask_{lesion}" for lesion in LESIONS)


def read_manifest(manifest: Path, *, also: Sequence[str] = ()) -> list[Record]:
    """The records of a manifest, with absolute paths.

    `also` names further columns that may stand there, and are not read.

    Raises MissingInput when there is no such file and BadData that names every defect, each with row and column.
    """
    text = read_text(manifest)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(lines)
    except csv.Error as error:
        raise BadData(f"{manifest}: line {lines.line_num}: {error}; look for a quote without its partner") from None
    if not rows:
        raise BadData(f"{manifest}: the file is empty; a manifest needs a header line with at least the column 'path'")
    header = [name.strip() for name in rows[0]]
    _check_header(manifest, header, also)
    base = manifest.resolve().parent
    records, defects = [], []
    seen: dict[Path, int] = {}
    for line, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            defects.append(f"row {line}: {len(cells)} cells under {len(header)} columns")
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        record, wrong = parse_row(row, base)
        defects += [f"row {line}, {problem}" for problem in wrong]
        if record is None:
            continue
        if record.path in seen:
            defects.append(f"row {line}, column path: {row['path']} already stands in row {seen[record.path]}")
        seen.setdefault(record.path, line)
        records.append(record)
    if defects:
        raise BadData(summary(str(manifest), defects, "mend these cells and run again"))
    if not records:
        raise BadData(f"{manifest}: there is a header but no photograph under it")
    return records


def write_manifest(records: Iterable[Record], manifest: Path, **more: Sequence[str]) -> None:
    """Writes records as a manifest; `more` adds columns (one text per record). Replaces the file in one step."""
    kept = list(records)
    columns = [c for c in COLUMNS if c not in MASK_COLUMNS or any(getattr(r, c) for r in kept)]
    base = manifest.resolve().parent
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *more])
    for number, record in enumerate(kept):
        cells = [_cell(getattr(record, column), base) for column in columns]
        writer.writerow(cells + [values[number] for values in more.values()])
    write_text(manifest, text.getvalue())


def parse_row(row: dict[str, str], base: Path) -> tuple[Record | None, list[str]]:
    """One manifest row as a record (None where it has no path), and what is wrong with it as 'column NAME: why'."""
    wrong: list[str] = []
    values: dict[str, object] = {name: row.get(name, "") for name in COLUMNS if _PARSERS.get(name) is None}
    for name, parse in _PARSERS.items():
        text = row.get(name, "")
        try:
            values[name] = parse(text) if text else None
        except ValueError as error:
            wrong.append(f"column {name}: {error}")
            values[name] = None
    if not row.get("path"):
        return None, [*wrong, "column path: empty"]
    for name in ("path", *MASK_COLUMNS):
        if row.get(name):
            values[name] = Path(os.path.normpath(base / row[name]))
    for name, allowed in (
        ("split", ROLES),
        ("eye", ("left", "right")),
        ("quality", QUALITIES),
        ("scale", tuple(SCALES)),
    ):
        if values[name] and values[name] not in allowed:
            wrong.append(f"column {name}: '{values[name]}' is none of {', '.join(allowed)}")
            values[name] = ""
    grade, scale = values["grade"], str(values["scale"])
    if isinstance(grade, int) and not scale and not any(problem.startswith("column scale") for problem in wrong):
        wrong.append(f"column scale: empty, but there is a grade; name its scale, one of {', '.join(SCALES)}")
    elif isinstance(grade, int) and scale and not 0 <= grade <= SCALES[scale]:
        wrong.append(f"column grade: {grade} is not on the scale '{scale}', which runs from 0 to {SCALES[scale]}")
    return Record(**values), wrong  # type: ignore[arg-type]


def summary(where: str, defects: Sequence[str], advice: str, most: int = 20) -> str:
    """One message for many defects: all counted, the first `most` named."""
    more = f"; and {len(defects) - most} more" if len(defects) > most else ""
    count = "1 defect" if len(defects) == 1 else f"{len(defects)} defects"
    return f"{where}: {count}: {'; '.join(defects[:most])}{more}. What to do: {advice}"


def _check_header(manifest: Path, header: Sequence[str], also: Sequence[str]) -> None:
    if "path" not in header:
        raise BadData(
            f"{manifest}: no column 'path' among {', '.join(header)}; `semiretina data import table` makes a manifest"
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise BadData(f"{manifest}: the column {', '.join(repeated)} stands there more than once; keep one")
    for name in header:
        near = [column for column in COLUMNS if column.lower() == name.lower()]
        near = near or difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.75)
        if name not in COLUMNS and name not in also and near and near[0] not in header:
            raise BadData(f"{manifest}: unknown column '{name}'; did you mean '{near[0]}'? Rename it")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"'{text}' is not a whole number from {low} to {high}")
        return int(text)

    return parse


_PARSERS: dict[str, Callable[[str], object]] = {
    "grade": _whole(0, max(SCALES.values())),
    "dme": _whole(0, 2),
    **{lesion: _whole(0, 1) for lesion in LESIONS},
    **dict.fromkeys(MASK_COLUMNS, str),
}


def _cell(value: object, base: Path) -> str:
    if value is None:
        return ""
    if isinstance(value, Path):
        value = Path(os.path.abspath(value))  # a relative path starts where the program does, not at the manifest
        inside = value.is_relative_to(base) or value.is_relative_to(base.parent)
        return Path(os.path.relpath(value, base)).as_posix() if inside else str(value)
    return str(value)
