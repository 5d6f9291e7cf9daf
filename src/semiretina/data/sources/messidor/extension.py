"""The Messidor Extension: 690 photographs (345 examinations) without grades from Messidor's hospital in Brest.

They were taken in 2009 and 2010, and published as a part of Messidor-2: `IM000516.JPG` and the like, in a folder or in
one below it. In a folder of the whole Messidor-2 they are recognised by their names, and Messidor's left out.

Grades have been published since. They stay hidden from training: no record carries one, so that every split makes
these photographs `unlabeled`. Where the file of grades is given, they are written into `provenance` and nowhere else.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from semiretina.data import messidor_facts as facts
from semiretina.data.sources.messidor.exams import Adjudicated, find_photographs, read_labels, with_eyes
from semiretina.data.sources.messidor.messidor2 import EXTENSION_NAME
from semiretina.data.sources.messidor.published import key
from semiretina.data.sources.source import Source
from semiretina.errors import BadData, MissingInput, summary
from semiretina.progress import say
from semiretina.records import Record

MESSIDOR_NAME = re.compile(rf"\d{{8}}_\d+({'|'.join(hospital.suffix for hospital in facts.HOSPITALS)})")


def records(root: Path, *, labels: str = "", pairs: str = "") -> list[Record]:
    """The Extension's photographs under `root`, sorted by name, without grades, with patients and eyes.

    `pairs` is Messidor-2's pairing file (default: `messidor-2.csv` in `root`, where it is), `labels` the adjudicated
    grades of Messidor-2, which are noted and kept out of training.

    Raises MissingInput where there is no photograph, BadData for names that are none of Messidor-2's and wrong cells.
    """
    root = Path(os.path.abspath(root))
    files = find_photographs(root, "the Messidor Extension's photographs (IM....JPG)")
    extension = {name: file for name, file in sorted(files.items()) if EXTENSION_NAME.fullmatch(name)}
    rest = {name: file for name, file in files.items() if name not in extension}
    strange = [file.name for name, file in rest.items() if not MESSIDOR_NAME.fullmatch(name)]
    if strange:
        raise BadData(summary(str(root), strange, "the Extension's names are IM and a number; take these files out"))
    if not extension:
        raise MissingInput(f"{root}: {len(rest)} photographs of Messidor, none of the Extension (IM....JPG)")
    if rest:
        say(f"messidor_extension: {len(rest)} photographs here are Messidor's by their names, and left out")
    if len(extension) != facts.EXTENSION_PHOTOGRAPHS:
        say(f"messidor_extension: {len(extension)} of {facts.EXTENSION_PHOTOGRAPHS} photographs are here")
    photographs = [
        Record(
            path=file,
            dataset="messidor-extension",
            site=facts.BREST.site,
            camera=facts.CAMERA,
            provenance="Messidor Extension",
        )
        for file in extension.values()
    ]
    cost = f"fellow eyes ({facts.EXTENSION_EXAMS} pairs in the whole set) may be separated by a split"
    photographs = with_eyes(photographs, root, pairs, "messidor_extension", cost, of_source=EXTENSION_NAME)
    return _note(photographs, read_labels(Path(os.path.abspath(labels)))) if labels else photographs


def _note(records: list[Record], rows: Mapping[str, Adjudicated]) -> list[Record]:
    noted = []
    for record in records:
        row = rows.get(key(record.path.name))
        grade = "" if row is None else f"; kept out of training: adjudicated {_words(row)}"
        noted.append(replace(record, provenance=record.provenance + grade))
    known = sum(key(record.path.name) in rows for record in records)
    say(
        f"messidor_extension: {known} of {len(records)} photographs have published grades; they stand in the column "
        "provenance alone, and nothing is trained on them"
    )
    return noted


def _words(row: Adjudicated) -> str:
    return "ungradable" if row.grade is None else f"icdr grade {row.grade}, dme {row.dme}"


SOURCE = Source(
    read=records,
    title="Messidor Extension: unlabelled photographs of one of Messidor's hospitals",
    scale="none: no grades",
    licence=facts.LICENCE,
    citation=f"{facts.CITATION}; Abràmoff et al., JAMA Ophthalmol 2013; 131(3):351",
    get="on application, as a part of Messidor-2: https://www.adcis.net/en/third-party/messidor2/",
    counts={f"unlabelled of {facts.BREST.site}": facts.EXTENSION_PHOTOGRAPHS},
)
