"""Messidor-2: 874 examinations of both eyes, 1748 photographs; 1058 are Messidor's, 690 the Messidor Extension's.

The download has the photographs (`IMAGES`, PNG and JPG) and the pairing file `messidor-2.csv`, and no grades. Those in
use are the adjudicated ones of Krause et al. (`messidor_data.csv`): the ICDR scale 0 to 4, referable macular edema,
and four photographs that are ungradable. A copy of 1744 rows without these four is around, too. All names match
whatever the case and extension.

Two photographs that are one picture by Messidor's errata share an `exam`, so that no split separates them.
Messidor's photographs are PNG files here and TIFF files there, and records of another `dataset`: where both are merged,
no split can know them to be the same. Use one or the other.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from semiretina.data import messidor_facts as facts
from semiretina.data.sources.download import shortfall
from semiretina.data.sources.messidor.exams import find_file, find_photographs, read_labels, with_eyes
from semiretina.data.sources.messidor.published import counted, key
from semiretina.data.sources.source import Source
from semiretina.errors import MissingInput
from semiretina.progress import say
from semiretina.records import Record

EXTENSION_NAME = re.compile(r"IM\d+")  # of the Messidor Extension's photographs, as `key` gives them
LABELS_FILES = ("messidor_data.csv",)


def site_of(name: str) -> str:
    """The hospital that a photograph's `key` tells; "" for a name that is not of Messidor-2."""
    if EXTENSION_NAME.fullmatch(name):
        return facts.BREST.site
    return next((hospital.site for hospital in facts.HOSPITALS if name.endswith(hospital.suffix)), "")


def records(root: Path, *, labels: str = "", pairs: str = "") -> list[Record]:
    """The photographs under `root`, sorted by name, with their adjudicated grades, patients and eyes.

    `labels` and `pairs` are the files of grades and of examinations (default: `messidor_data.csv` and `messidor-2.csv`
    in `root`, where they are). A photograph without a row has no grade; an ungradable one has `quality` ungradable.

    Raises MissingInput that names every photograph which has grades and is not here, BadData for every wrong cell.
    """
    root = Path(os.path.abspath(root))
    files = find_photographs(root, "Messidor-2's photographs")
    file = find_file(root, labels, LABELS_FILES)
    rows = read_labels(file) if file is not None else {}
    missing = [row.file for name, row in rows.items() if name not in files]
    if missing:
        raise MissingInput(shortfall(root, len(rows) - len(missing), len(rows), missing, "graded photographs"))
    photographs = []
    for name, path in sorted(files.items()):
        row = rows.get(name)
        photographs.append(
            Record(
                path=path,
                dataset="messidor2",
                site=site_of(name),
                camera=facts.CAMERA,
                scale="icdr" if row is not None and row.grade is not None else "",
                grade=None if row is None else row.grade,
                dme=None if row is None else row.dme,
                quality="" if row is None else row.quality,
                provenance="Messidor-2" + ("" if row is None else ", adjudicated by Krause et al. 2018"),
            )
        )
    cost = f"fellow eyes ({facts.MESSIDOR2_EXAMS} pairs in the whole set) may be separated by a split"
    photographs = _tied(with_eyes(photographs, root, pairs, "messidor2", cost))
    if len(photographs) != facts.MESSIDOR2_PHOTOGRAPHS:
        say(f"messidor2: {len(photographs)} photographs here, {facts.MESSIDOR2_PHOTOGRAPHS} are published")
    if file is None:
        say(f"messidor2: no grades: '{LABELS_FILES[0]}' is not in {root}; it comes from elsewhere, see `data list`")
        return photographs
    bare = [record.path.name for record in photographs if not record.quality]
    if bare:
        more = f", and {len(bare) - 20} more" if len(bare) > 20 else ""
        say(f"messidor2: {len(bare)} photographs have no row in {file.name} and no grade: {', '.join(bare[:20])}{more}")
    ungradable = sum(record.quality == "ungradable" for record in photographs)
    counts = Counter(record.grade for record in photographs if record.grade is not None)
    say(f"messidor2: grades {counted(counts)}; {ungradable} ungradable")
    return photographs


def _tied(records: Sequence[Record]) -> list[Record]:
    """The records, with one `exam` for those two that are one picture by Messidor's errata."""
    result = list(records)
    position = {key(record.path.name): i for i, record in enumerate(records)}
    tied = []
    for left, right in facts.DUPLICATES.items():
        if left in position and right in position:
            tied.append(f"{left} = {right}")
            for i in (position[left], position[right]):
                result[i] = replace(result[i], exam=f"same-picture-{right}")
    if tied:
        say(f"messidor2: one picture by Messidor's errata, never separated by a split: {', '.join(tied)}")
    return result


SOURCE = Source(
    read=records,
    title="Messidor-2: pairs of eyes, with adjudicated grades",
    scale="icdr",
    licence=f"{facts.LICENCE}; the grades CC0",
    citation=f"{facts.CITATION}; Abràmoff et al., JAMA Ophthalmol 2013; 131(3):351; "
    "for the grades Krause et al., Ophthalmology 2018, doi:10.1016/j.ophtha.2018.01.034",
    get="on application: https://www.adcis.net/en/third-party/messidor2/; the grades: "
    "https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades",
    counts={"graded": 1744, "ungradable": 4},
    grades={0: 1017, 1: 270, 2: 347, 3: 75, 4: 35},
)
