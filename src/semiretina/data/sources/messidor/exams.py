"""What is published with Messidor-2: which two photographs are one examination, and the adjudicated grades.

The pairing file `messidor-2.csv` has a row for each examination, `left;right`, with the photographs' names:
`20051020_43808_0100_PP.png` for Messidor's own and `IM000516.JPG` for those of the Messidor Extension. The grades of
Krause et al. (Ophthalmology 2018; 125(8):1264), `messidor_data.csv`, come from elsewhere and exist under two headers.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semiretina.data import messidor_facts as facts
from semiretina.data.image import photographs_in
from semiretina.data.sources.download import ARCHIVES, check_folder, find_entry, shortage
from semiretina.data.sources.messidor.published import by_key, key
from semiretina.errors import BadData, MissingInput, summary
from semiretina.progress import say
from semiretina.records import SCALES, Record
from semiretina.table_text import read_table

# The names of the columns: Krause's own, and those of the copies that have the columns of APTOS 2019.
LABELS_COLUMNS = {
    "photograph": ("image_id", "id_code"),
    "grade": ("adjudicated_dr_grade", "diagnosis"),
    "edema": ("adjudicated_dme",),
    "gradable": ("adjudicated_gradable",),
}
REFERABLE = 2  # the manifest's dme for "hard exudates within a disc diameter of the macula's centre"


@dataclass(frozen=True)
class Eye:
    """Whose eye a photograph shows: the patient of one examination, named after its left photograph."""

    patient: str
    eye: str


@dataclass(frozen=True)
class Adjudicated:
    """A row of the adjudicated grades: `grade` and `dme` as a record has them, None where ungradable."""

    file: str
    grade: int | None
    dme: int | None

    @property
    def quality(self) -> str:
        """As a record has it."""
        return "ungradable" if self.grade is None else "gradable"


def find_photographs(root: Path, what: str) -> dict[str, Path]:
    """All photographs under `root` by `key`.

    Raises MissingInput where there is none, BadData where one is there twice.
    """
    check_folder(root, what)
    files = photographs_in(root, "**/*")
    if not files:
        packed = sorted(f.name for f in root.iterdir() if f.suffix.lower() in ARCHIVES)
        advice = f"unpack {', '.join(packed[:4])} here" if packed else f"give the folder that holds {what}"
        raise MissingInput(f"{root}: no photograph in it or its subfolders; {advice}")
    by_name, defects = by_key(files, str(root))
    if defects:
        raise BadData(summary(str(root), defects, "keep each photograph once"))
    return by_name


def find_file(root: Path, given: str, usual: Sequence[str]) -> Path | None:
    """The file that the option names, or the one of a usual name in `root`, or None."""
    return Path(os.path.abspath(given)) if given else find_entry(root, *usual)


def read_pairs(file: Path) -> dict[str, Eye]:
    """`key` -> whose eye. Raises BadData that names every empty cell and every photograph that stands there twice."""
    header, rows = read_table(file)
    columns = {name.lower(): name for name in header}
    absent = [name for name in facts.PAIRS_COLUMNS if name not in columns]
    if absent:
        raise BadData(
            f"{file}: no column {', '.join(absent)} among {', '.join(header)}; the pairing file's header is left;right"
        )
    eyes: dict[str, Eye] = {}
    first: dict[str, int] = {}
    defects = []
    for number, row in rows.items():
        names = {eye: key(row[columns[eye]]) for eye in facts.PAIRS_COLUMNS}
        for eye, name in names.items():
            if not name or name in first:
                why = f"{row[columns[eye]]} stands in row {first[name]} too" if name else "empty"
                defects.append(f"row {number}, column {eye}: {why}")
                continue
            first[name] = number
            eyes[name] = Eye(names["left"] or name, eye)
    if defects:
        raise BadData(summary(str(file), defects, "give each photograph one examination; restore the published file"))
    return eyes


def with_eyes(
    records: Sequence[Record], root: Path, given: str, source: str, cost: str, of_source: re.Pattern[str] | None = None
) -> list[Record]:
    """The records with the patient and the eye of the pairing file, if there is one; says how many it knows.

    `cost` says what is lost without the file. With `of_source`, the file's names that match it and have no record are
    photographs which are not here, and told.
    """
    file = find_file(root, given, facts.PAIRS_FILES)
    if file is None:
        say(f"{source}: no patients: {cost}; give Messidor-2's pairing file: -o pairs=FOLDER/{facts.PAIRS_FILES[0]}")
        return list(records)
    eyes = read_pairs(file)
    names = [key(record.path.name) for record in records]
    known = [eyes[name] for name in names if name in eyes]
    if not known:
        raise BadData(f"{file}: names none of these {len(records)} photographs; give Messidor-2's pairing file")
    patients = Counter(eye.patient for eye in known)
    both = sum(count == 2 for count in patients.values())
    say(
        f"{source}: {file.name} knows {len(known)} of {len(records)} photographs: {both} examinations of both eyes, "
        f"{len(patients) - both} of one; the patients of {len(records) - len(known)} photographs are unknown"
    )
    here = set(names)
    missing = [name for name in eyes if of_source is not None and of_source.fullmatch(name) and name not in here]
    if missing:
        say(shortage(f"{source}, by {file.name}", len(known), len(known) + len(missing), missing, "photographs"))
    return [
        replace(record, patient=eyes[name].patient, eye=eyes[name].eye) if name in eyes else record
        for name, record in zip(names, records, strict=True)
    ]


def read_labels(file: Path) -> dict[str, Adjudicated]:
    """`key` -> the adjudicated grades. A photograph marked ungradable has none.

    `adjudicated_dme` 1, hard exudates within a disc diameter of the macula's centre, is a record's dme 2. Its 0, none
    there, is 0, though exudates further away were not recorded; no task tells dme 0 from 1.

    Raises BadData that names every wrong cell and every photograph that stands there twice.
    """
    header, rows = read_table(file)
    columns = {}
    for what, names in LABELS_COLUMNS.items():
        match = [column for column in header if column.lower() in names]
        if len(match) != 1:
            raise BadData(
                f"{file}: {'no' if not match else 'more than one'} column {' or '.join(names)} among "
                f"{', '.join(header)}; restore the table as it was published"
            )
        columns[what] = match[0]
    labels: dict[str, Adjudicated] = {}
    first: dict[str, int] = {}
    defects = []
    for number, row in rows.items():
        texts = {what: row[column] for what, column in columns.items()}
        name = key(texts["photograph"])
        values: dict[str, int | None] = {}
        for what, highest in (("gradable", 1), ("grade", SCALES["icdr"]), ("edema", 1)):
            text = texts[what].removesuffix(".0")  # columns with empty cells are written so by pandas
            if what != "gradable" and values["gradable"] == 0:
                values[what] = None
                continue
            values[what] = int(text) if text.isdecimal() and int(text) <= highest else None
            if values[what] is None:
                why = f"'{texts[what]}' is not a whole number from 0 to {highest}"
                defects.append(f"row {number}, column {columns[what]}: {why}")
        if not name or name in first:
            why = f"{texts['photograph']} stands in row {first[name]} too" if name else "empty"
            defects.append(f"row {number}, column {columns['photograph']}: {why}")
        first.setdefault(name, number)
        edema = REFERABLE if values["edema"] else values["edema"]
        labels[name] = Adjudicated(texts["photograph"], values["grade"], edema)
    if defects:
        raise BadData(summary(str(file), defects, "mend these cells, or restore the table as it was published"))
    return labels
