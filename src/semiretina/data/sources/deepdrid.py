"""DeepDRiD: four photographs of each of 500 patients, with grades and quality (Liu et al., Patterns 2022; 3(6):100512).

Read from `regular_fundus_images`; the ultra-widefield photographs are of another kind and left out. Its parts:
`regular-fundus-training` (300 patients, `Images/1/1_l1.jpg`), `regular-fundus-validation` (100), and
`Online-Challenge1&2-Evaluation` (100), whose labels came later, as `Challenge1_labels.xlsx` (`image_id,DR_Levels`) and
`Challenge2_labels.xlsx` (`Overall quality`); without them `Challenge1_upload.csv` names the photographs.

- The grade stands in the column of the left or of the right eye, one for all photographs of an eye. In four patients
  (56, 77, 164, 167) eleven photographs were named anew (`56_r3`) and the name tells the other eye than the column;
  such a photograph has the grade that stands in its row, an unknown eye, and a note in its provenance.
- `image_path` has backslashes and lacks the folder `Images`; it is not used, `image_id` is the file's name.
- `Overall quality` 0 says "not good enough for the diagnosis of retinal diseases", of about half of the photographs,
  which have a grade all the same. `ungradable` would take them from every task; such a photograph keeps its grade, with
  a note and no quality, and is `ungradable` only where there is no grade. Quality 1 is `gradable`.
- `regular-fundus-source-*.csv` tells the screening project (Nicheng, Shanghai, Nation), which is the site here.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semiretina.data.sources.download import (
    Findings,
    Part,
    check_folder,
    finish,
    read_labels,
    read_numbers,
    read_part,
    whole_number,
)
from semiretina.data.sources.source import Source
from semiretina.progress import say
from semiretina.records import SCALES, Record

FOLDER = "regular_fundus_images"
TRAINING, VALIDATION = "regular-fundus-training", "regular-fundus-validation"
EVALUATION = "Online-Challenge1&2-Evaluation"
PARTS = (
    Part(name="training", folder=f"{TRAINING}/Images", table=f"{TRAINING}/{TRAINING}.csv", photographs=1200),
    Part(
        name="validation",
        folder=f"{VALIDATION}/Images",
        table=f"{VALIDATION}/{VALIDATION}.csv",
        photographs=400,
        role="val",
    ),
    Part(
        name="evaluation",
        folder=f"{EVALUATION}/Images",
        table=f"{EVALUATION}/Challenge1_labels.xlsx",
        photographs=400,
        role="test",
    ),
)
WITHOUT_LABELS = f"{EVALUATION}/Challenge1_upload.csv"
CHALLENGE = (f"{EVALUATION}/Challenge1_labels.csv", WITHOUT_LABELS)
COLUMNS = ("image_id", "patient_id", "Overall quality", "left_eye_DR_Level", "right_eye_DR_Level")
EYES = {"l": "left", "r": "right"}
NAME = re.compile(r"(\d+)_([lr])\d+")
ANEW, POOR = "named anew", "graded though its overall quality is poor"  # notes of the provenance


@dataclass(frozen=True)
class Row:
    """What a table tells of a photograph; `eye` is that of the column in which its grade stands."""

    grade: int | None = None
    eye: str = ""
    good: int | None = None


def records(root: Path, *, official_split: bool = False) -> list[Record]:
    """The photographs of the parts that are here, in the order of their tables; a part without labels has no grades.

    `root` is the folder `regular_fundus_images`, or the one that holds it. `official_split` gives graded photographs of
    the validation and evaluation parts the roles `val` and `test`. Without it no role is given.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    root = Path(os.path.abspath(root))
    check_folder(root, f"the folder {FOLDER}")
    place = root / FOLDER if (root / FOLDER).is_dir() else root
    check_folder(place, f"the folders {TRAINING}, {VALIDATION} and {EVALUATION}")
    findings = Findings()
    photographs = []
    for part in PARTS:
        sites = _sites(place, part, findings)
        read, others = (_challenge, CHALLENGE) if part.name == "evaluation" else (_rows, ())
        for name, path, row in read_part(place, "deepdrid", part, read, findings, others):
            match = NAME.fullmatch(name)
            if match is None:
                findings.defects.append(f"{part.folder}: {path.name} is not named like 1_l1.jpg")
                continue
            role = part.role if official_split and row is not None and row.grade is not None else ""
            photographs.append(_record(path, part, match[1], EYES[match[2]], row or Row(), sites.get(name, ""), role))
    finish("deepdrid", place, PARTS, findings, photographs)
    for what, note in (("were named anew: their eye is unknown", ANEW), ("of poor quality keep their grade", POOR)):
        count = sum(note in record.provenance for record in photographs)
        if count:
            say(f"deepdrid: {count} photographs {what}")
    if official_split and not any(record.split == "test" for record in photographs):
        say("deepdrid: no graded photograph of the evaluation part is here, so official_split gives no role 'test'")
    return photographs


def _record(path: Path, part: Part, patient: str, eye: str, row: Row, site: str, role: str) -> Record:
    """`eye` is the one that the photograph's name tells."""
    notes = [f"DeepDRiD, {part.name} part"]
    agreed = row.eye in ("", eye)
    if not agreed:
        notes.append(f"{ANEW}: the name tells the {eye} eye, the grade stands for the {row.eye} one")
    if row.good == 0 and row.grade is not None:
        notes.append(POOR)
    return Record(
        path=path,
        dataset="deepdrid",
        site=site,
        patient=patient,
        eye=eye if agreed else "",
        split=role,
        scale="" if row.grade is None else "icdr",
        grade=row.grade,
        quality="gradable" if row.good else "ungradable" if row.good == 0 and row.grade is None else "",
        provenance="; ".join(notes),
    )


def _sites(place: Path, part: Part, findings: Findings) -> Mapping[str, str]:
    """Name -> screening project, where the table of them is here."""
    file = (place / part.table).with_name(f"regular-fundus-source-{part.name}.csv")
    if not file.exists():
        return {}
    rows = read_labels(file, ("image_id", "Source"), findings)
    return {name: cells["Source"].lower() for name, (_, cells) in rows.items()}


def _rows(table: Path, findings: Findings) -> dict[str, Row]:
    columns = {eye: f"{eye}_eye_DR_Level" for eye in EYES.values()}
    rows = {}
    for name, (number, cells) in read_labels(table, COLUMNS, findings).items():
        where = f"{table.name}, row {number}"
        if name.partition("_")[0] != cells["patient_id"]:
            findings.defects.append(f"{where}, column patient_id: '{cells['patient_id']}' is not the patient of {name}")
        good = whole_number(cells["Overall quality"], 1, f"{where}, column Overall quality", findings)
        filled = [eye for eye, column in columns.items() if cells[column]]
        if len(filled) != 1:
            why = f"{'both' if filled else 'neither'} filled, one has the grade"
            findings.defects.append(f"{where}, columns {' and '.join(columns.values())}: {why}")
            rows[name] = Row()
            continue
        column = columns[filled[0]]
        grade = whole_number(cells[column], SCALES["icdr"], f"{where}, column {column}", findings)
        rows[name] = Row(grade, filled[0], good)
    return rows


def _challenge(table: Path, findings: Findings) -> dict[str, Row]:
    """The evaluation part's rows, from its two tables of labels or the list that has none."""
    files = (table.with_name(f"Challenge2_labels{suffix}") for suffix in (".xlsx", ".csv"))
    file = next((file for file in files if file.exists()), None)
    good = {} if file is None else read_numbers(file, ("image_id", "Overall quality"), 1, findings)
    if table.name == Path(WITHOUT_LABELS).name:
        say("deepdrid: no 'Challenge1_labels.xlsx', so the photographs of the evaluation part have no grade")
        return {name: Row(good=good.get(name)) for name in read_labels(table, ("image_id",), findings)}
    grades = read_numbers(table, ("image_id", "DR_Levels"), SCALES["icdr"], findings)
    return {name: Row(grade=grade, good=good.get(name)) for name, grade in grades.items()}


SOURCE = Source(
    read=records,
    title="DeepDRiD, four photographs of each patient, with quality",
    scale="icdr",
    licence="see the file LICENSE of the download",
    citation="Liu et al., Patterns 2022; 3(6):100512, doi:10.1016/j.patter.2022.100512",
    get="https://github.com/deepdrdoc/DeepDRiD",
    counts={f"{part.name} part": part.photographs for part in PARTS},
    # Counted in the tables of the training part (540, 140, 234, 214, 72) and the validation part (174, 46, 92, 68, 20).
    grades={0: 714, 1: 186, 2: 326, 3: 282, 4: 92},
)
