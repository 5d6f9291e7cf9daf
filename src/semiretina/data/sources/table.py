"""Anybody's own photographs: a table of any column names, or folders whose names are the grades.

A table, CSV or the first sheet of a spreadsheet, has a row per photograph. Its columns are found by their usual names
(`COLUMN_NAMES`) or named by the option `columns`; the separators `,` `;` and tab are recognised. Every cell is text:
"NA" and "007" are patients. An empty grade is unknown; any other text that is no grade of the scale is an error. A name
without extension is completed by looking.

A folder has a subfolder per class (`0`, `1`, ... or names that the option `classes` maps to grades; `unlabeled` for
none), or photographs alone, which then have no grade. Nothing is guessed: grades need the option `scale`.
"""

import difflib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from semiretina.data.image import SUFFIXES, photographs_in
from semiretina.data.sources.source import Source
from semiretina.errors import BadConfig, BadData, MissingInput, summary
from semiretina.progress import say
from semiretina.records import SCALES, Record, parse_row
from semiretina.table_text import read_table

UNLABELED = ("unlabeled", "unlabelled")
# The manifest's columns and the names, in lower case, by which other tables call them.
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "image_path", "image path", "file", "filename", "file_name", "file name", "image", "image name"),
        *("image_name", "image_id", "id_code", "photo", "photograph"),
    ),
    "grade": (
        *("grade", "level", "diagnosis", "dr_grade", "dr grade", "retinopathy grade", "retinopathy_grade", "severity"),
        *("label", "class", "adjudicated_dr_grade", "dr"),
    ),
    "dme": ("dme", "risk of macular edema", "macular_edema", "adjudicated_dme"),
    "patient": ("patient", "patient_id", "patient id", "patientid", "subject", "subject_id"),
    "exam": ("exam", "exam_id", "visit", "visit_id", "study_id"),
    "eye": ("eye", "laterality", "side"),
    "site": ("site", "hospital", "clinic", "center", "centre"),
    "camera": ("camera", "device"),
    "split": ("split", "role"),
    "quality": ("quality",),
    **{lesion: (lesion.lower(),) for lesion in ("MA", "HE", "EX", "SE")},
}
EYES = {"l": "left", "os": "left", "left": "left", "r": "right", "od": "right", "right": "right"}


def records(
    root: Path,
    *,
    scale: str = "",
    images: str = "",
    classes: str = "",
    dataset: str = "",
    columns: Mapping[str, str] = {},
) -> list[Record]:
    """The photographs of a CSV or spreadsheet, in its order, or of a folder, in the order of their names.

    `scale` names the grades' scale (see `records.SCALES`). `images` is the folder where the names in a table start
    (default: the table's own). `classes` maps names of classes, subfolders or cells, to grades: "healthy=0,dr=1".
    `dataset` names the collection (default: the name of `root`). `columns` says which columns of the table have unusual
    names: `-o columns.grade=LEVEL`; "-" leaves one out.

    Raises MissingInput and BadData that name every missing file and every wrong cell, BadConfig for wrong options.
    """
    root = Path(os.path.abspath(root))
    if scale and scale not in SCALES:
        raise BadConfig(f"table.scale: '{scale}' is none of {', '.join(SCALES)}")
    if unknown := [name for name in columns if name not in COLUMN_NAMES]:
        raise BadConfig(f"table.columns: unknown '{unknown[0]}'; the columns are {', '.join(COLUMN_NAMES)}")
    grades = _read_classes(classes)
    dataset = dataset or root.stem
    if root.is_dir():
        useless = [name for name, given in (("columns", columns), ("images", images)) if given]
        if useless:
            raise BadConfig(f"table: {', '.join(useless)}: no use for a folder; {root} is not a table")
        photographs = _from_folder(root, scale, grades, dataset)
    elif root.exists():
        start = Path(os.path.abspath(images)) if images else root.parent
        photographs = _from_table(root, scale, grades, dataset, start, columns)
    else:
        raise MissingInput(f"{root}: no such file or folder; give a table or a folder of photographs")
    counts = Counter(record.grade for record in photographs if record.grade is not None)
    tally = ", ".join(f"{grade}: {counts[grade]}" for grade in sorted(counts))
    say(
        f"table: {len(photographs)} photographs, {len(photographs) - counts.total()} without a grade"
        + (f"; grades {tally}" if tally else "")
    )
    return photographs


def _read_classes(classes: str) -> dict[str, str]:
    grades = {}
    for entry in classes.split(",") if classes else ():
        name, equals, grade = (part.strip() for part in entry.partition("="))
        if not equals or not name or not grade.isdecimal():
            raise BadConfig(f"table.classes: '{entry.strip()}' is not of the form name=grade, as in 'healthy=0,dr=1'")
        grades[name] = grade
    return grades


def _need_scale(root: Path) -> BadConfig:
    return BadConfig(
        f"{root}: there are grades, but not on which scale; add -o scale=... with one of {', '.join(SCALES)} "
        "(icdr is the 0-4 scale of EyePACS, APTOS and IDRiD; binary is 1 for any retinopathy)"
    )


def _from_folder(root: Path, scale: str, grades: Mapping[str, str], dataset: str) -> list[Record]:
    flat = photographs_in(root)
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    inside = {folder: files for folder in folders if (files := photographs_in(folder, "**/*"))}
    if not flat and not inside:
        raise MissingInput(f"{root}: no photograph in it; their names end in {', '.join(SUFFIXES)}")
    labeled = [folder for folder in inside if folder.name.lower() not in UNLABELED]
    if labeled and flat:
        advice = "move them into a folder of their class, or into 'unlabeled'"
        raise BadData(f"{root}: {len(flat)} photographs lie beside the folder '{labeled[0].name}'; {advice}")
    if labeled and not scale:
        raise _need_scale(root)
    defects = []
    photographs = [Record(path=file, dataset=dataset) for file in flat]
    for folder, files in inside.items():
        text = "" if folder.name.lower() in UNLABELED else grades.get(folder.name, folder.name)
        if text and not (text.isdecimal() and int(text) <= SCALES[scale]):
            defects.append(f"folder '{folder.name}'")
            continue
        grade = int(text) if text else None
        photographs += [Record(path=f, dataset=dataset, scale=scale if text else "", grade=grade) for f in files]
    if defects:
        advice = f"name folders by grades 0 to {SCALES[scale]} of '{scale}', or map them: -o classes=healthy=0,dr=1"
        raise BadData(summary(str(root), defects, advice))
    return photographs


def _from_table(
    file: Path, scale: str, grades: Mapping[str, str], dataset: str, images: Path, given: Mapping[str, str]
) -> list[Record]:
    header, lines = read_table(file)
    columns = _find_columns(file, header, given)
    if not scale and any(row.get(columns.get("grade", "")) for row in lines.values()):
        raise _need_scale(file)
    if not images.is_dir():
        raise MissingInput(f"{images}: no such folder; the names in {file.name} start there (option images)")
    listings: dict[Path, dict[str, list[Path]]] = {}
    records: dict[Path, tuple[int, Record]] = {}
    defects, missing = [], []
    for number, texts in lines.items():
        row = {name: texts[column] for name, column in columns.items()}
        row["eye"] = EYES.get(row.get("eye", "").lower(), row.get("eye", ""))
        row["grade"] = grades.get(row.get("grade", ""), row.get("grade", ""))
        row |= {"dataset": dataset, "scale": scale if row["grade"] else ""}
        record, wrong = parse_row(row, images)
        for problem in wrong:
            name, why = problem.removeprefix("column ").split(": ", 1)
            defects.append(f"row {number}, column {columns.get(name, name)}: {why}")
        if record is None:
            continue
        files = _places(images, row["path"], listings)
        if not files:
            missing.append(f"row {number}: {row['path']}")
        elif len(files) > 1:
            choices = " or ".join(place.name for place in files)
            defects.append(f"row {number}, column {columns['path']}: '{row['path']}' may be {choices}")
        elif files[0] in records:
            before = records[files[0]][0]
            defects.append(f"row {number}, column {columns['path']}: '{row['path']}' stands in row {before} too")
        else:
            records[files[0]] = number, replace(record, path=files[0])
    if defects:
        more = f" ({len(missing)} photographs are missing, too)" if missing else ""
        raise BadData(summary(str(file), defects, f"mend these cells, an empty one means unknown, and run again{more}"))
    if missing:
        advice = f"put the photographs into {images}, or say where the names start: -o images=FOLDER"
        raise MissingInput(summary(str(file), [f"no photograph for {row}" for row in missing], advice))
    return [record for _, record in records.values()]


def _find_columns(file: Path, header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Manifest column -> the table's own column."""
    columns = {}
    for name, usual in COLUMN_NAMES.items():
        option = given.get(name, "")
        if option == "-":
            continue
        if option and option not in header:
            near = difflib.get_close_matches(option, header, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(header)}"
            raise BadConfig(f"table.columns.{name}: no column '{option}' in {file}; {hint}")
        matches = [option] if option else [column for column in header if column.lower() in usual]
        exact = [column for column in matches if column.lower() == name.lower()]
        matches = exact or matches
        if len(matches) > 1:
            raise BadData(
                f"{file}: columns {' and '.join(matches)} may be the {name}; choose: -o columns.{name}=COLUMN, or '-'"
            )
        if matches:
            columns[name] = matches[0]
    if "path" not in columns:
        raise BadData(
            f"{file}: which of the columns {', '.join(header)} names the photographs? Add -o columns.path=COLUMN"
        )
    repeated = sorted({column for column in columns.values() if header.count(column) > 1})
    if repeated:
        raise BadData(f"{file}: the column {', '.join(repeated)} stands there more than once; keep one")
    return columns


def _places(images: Path, name: str, listings: dict[Path, dict[str, list[Path]]]) -> list[Path]:
    """The files that a name may mean: itself, or with an extension; `listings` keeps folders that were looked into."""
    place = Path(os.path.normpath(images / name.replace("\\", "/")))
    if place.suffix.lower() in SUFFIXES:
        return [place] if place.is_file() else []
    if place.parent not in listings:
        listing: dict[str, list[Path]] = {}
        for file in photographs_in(place.parent):
            listing.setdefault(file.stem, []).append(file)
        listings[place.parent] = listing
    return listings[place.parent].get(place.name, [])


SOURCE = Source(
    read=records,
    title="anybody's photographs: a CSV file or spreadsheet, or a folder per class",
    licence="your own",
    get="give the table or the folder as root",
    scale="as the option scale says",
)
