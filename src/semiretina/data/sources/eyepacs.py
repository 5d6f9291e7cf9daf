"""EyePACS: the photographs of Kaggle's Diabetic Retinopathy Detection (2015), two eyes of each patient.

`train` has 35,126 photographs `10_left.jpeg`, graded in `trainLabels.csv` (`image,level`); `test` has 53,576, whose
grades were published after the competition as `retinopathy_solution.csv` (`image,level,Usage`: the public or the
private leaderboard). The number before `_` is the patient. A clinician rated each: 0 no DR, 1 mild, 2 moderate,
3 severe, 4 proliferative; the competition warns of noise in photographs and labels, and that some photographs are
inverted, as one sees through a condensing lens.

Kaggle's archives come in volumes (`train.zip.001` ...), which are joined before they are unpacked.
"""

import os
import re
from pathlib import Path

from semiretina.data.sources.download import Findings, Part, check_folder, finish, read_numbers, read_part
from semiretina.data.sources.source import Source
from semiretina.progress import say
from semiretina.records import SCALES, Record

PARTS = (
    Part(name="train", folder="train", table="trainLabels.csv", photographs=35126),
    Part(name="test", folder="test", table="retinopathy_solution.csv", photographs=53576, role="test"),
)
NAME = re.compile(r"(\d+)_(left|right)")


def records(root: Path, *, official_split: bool = False) -> list[Record]:
    """The photographs of the parts that are here, in the order of their tables; a part without a table has no grades.

    `official_split` gives graded photographs of `test` the role `test`. Without it no role is given.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    root = Path(os.path.abspath(root))
    check_folder(root, "the folders train and test")
    findings = Findings()
    photographs = []
    for part in PARTS:
        for name, path, grade in read_part(root, "eyepacs", part, _grades, findings):
            match = NAME.fullmatch(name)
            if match is None:
                findings.defects.append(f"{part.folder}: {path.name} is not named like 10_left.jpeg")
                continue
            photographs.append(
                Record(
                    path=path,
                    dataset="eyepacs",
                    patient=match[1],
                    eye=match[2],
                    split=part.role if official_split and grade is not None else "",
                    scale="" if grade is None else "icdr",
                    grade=grade,
                    provenance=f"EyePACS, {part.name} part",
                )
            )
    finish("eyepacs", root, PARTS, findings, photographs)
    if official_split and not any(record.split for record in photographs):
        say("eyepacs: no graded photograph of the test part is here, so official_split gives no role")
    return photographs


def _grades(table: Path, findings: Findings) -> dict[str, int | None]:
    return read_numbers(table, ("image", "level"), SCALES["icdr"], findings)


SOURCE = Source(
    read=records,
    title="EyePACS, the photographs of Kaggle's Diabetic Retinopathy Detection",
    scale="icdr",
    licence="the competition's rules, to be accepted there",
    citation="Cuadros and Bresnick, J Diabetes Sci Technol 2009; 3(3):509; Diabetic Retinopathy Detection, Kaggle 2015",
    get="https://www.kaggle.com/c/diabetic-retinopathy-detection/data (with an account)",
    counts={"graded (train part)": 35126, "graded (test part)": 53576},
    # The train part has 25810, 2443, 5292, 873 and 708. Those of the test part, 39533, 3762, 7861, 1214 and 1206, are
    # the literature's; they sum to 53576.
    grades={0: 65343, 1: 6205, 2: 13153, 3: 2087, 4: 1914},
)
