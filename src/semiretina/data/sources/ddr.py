"""DDR: photographs from China for grading, segmentation and detection (Li et al., Inf Sci 2019; 501:511).

The graded part, `DR_grading`, has the folders `train`, `valid` and `test`, and beside each a list without a header
(`train.txt`) of lines `007-0004-000.jpg 0`: a name and a grade 0 to 4, or 5 for a photograph that cannot be graded,
which has quality `ungradable` and no grade here. The segmentation and detection parts are not read.

13,673 photographs of 9,598 patients; whose each is, is not told.
"""

import os
from pathlib import Path

from semiretina.data.sources.download import (
    Findings,
    Part,
    check_folder,
    finish,
    photograph_name,
    read_part,
    whole_number,
)
from semiretina.data.sources.source import Source
from semiretina.errors import BadData
from semiretina.files import read_text
from semiretina.progress import say
from semiretina.records import Record

FOLDER = "DR_grading"
UNGRADABLE = 5
PARTS = (
    Part(name="train", folder="train", table="train.txt", photographs=6835),
    Part(name="valid", folder="valid", table="valid.txt", photographs=2733, role="val"),
    Part(name="test", folder="test", table="test.txt", photographs=4105, role="test"),
)


def records(root: Path, *, official_split: bool = False) -> list[Record]:
    """The photographs of the parts that are here, in the order of their lists; a part without a list has no grades.

    `root` is the folder `DR_grading`, or the one that holds it. `official_split` gives the parts valid and test the
    roles `val` and `test`. Without it no role is given.

    Raises MissingInput and BadData that name every missing file, every photograph without a line and every wrong line.
    """
    root = Path(os.path.abspath(root))
    check_folder(root, f"the folder {FOLDER}")
    place = root / FOLDER if (root / FOLDER).is_dir() else root
    check_folder(place, "the folders train, valid and test")
    findings = Findings()
    photographs = []
    for part in PARTS:
        for _, path, grade in read_part(place, "ddr", part, _grades, findings):
            graded = grade is not None and grade != UNGRADABLE
            photographs.append(
                Record(
                    path=path,
                    dataset="ddr",
                    split=part.role if official_split and grade is not None else "",
                    scale="icdr" if graded else "",
                    grade=grade if graded else None,
                    quality="" if grade is None else "gradable" if graded else "ungradable",
                    provenance=f"DDR grading, {part.name} part",
                )
            )
    finish("ddr", place, PARTS, findings, photographs)
    say(
        "ddr: patients are unknown (the whole set has 13673 photographs of 9598); a split may separate photographs "
        "of one, which flatters the test"
    )
    return photographs


def _grades(table: Path, findings: Findings) -> dict[str, int | None]:
    lines = {number: line.split() for number, line in enumerate(read_text(table).splitlines(), start=1)}
    lines = {number: words for number, words in lines.items() if words}
    if not lines:
        raise BadData(f"{table}: no line in it; each is a photograph's name, a space and its grade")
    rows: dict[str, int | None] = {}
    first: dict[str, int] = {}
    for number, words in lines.items():
        where = f"{table.name}, row {number}"
        if len(words) != 2:
            findings.defects.append(f"{where}: '{' '.join(words)}' is not a name and a grade, as '007-0004-000.jpg 0'")
            continue
        name = photograph_name(words[0])
        grade = whole_number(words[1], UNGRADABLE, f"{where}, column 2 (grade)", findings)
        if name in rows:
            findings.defects.append(f"{where}, column 1 (name): {name} stands in row {first[name]} too")
            continue
        rows[name], first[name] = grade, number
    return rows


SOURCE = Source(
    read=records,
    title="DDR, graded photographs from China",
    scale="icdr",
    licence="not stated by its authors: ask them",
    citation="Li et al., Inf Sci 2019; 501:511, doi:10.1016/j.ins.2019.06.011",
    get="https://github.com/nkicsl/DDR-dataset",
    counts={f"graded or ungradable ({part.name} part)": part.photographs for part in PARTS}
    | {"of these ungradable": 1151},
    # Parts and grades as the literature counts them: both, the latter with the ungradable ones, sum to 13673.
    grades={0: 6266, 1: 630, 2: 4477, 3: 236, 4: 913},
)
