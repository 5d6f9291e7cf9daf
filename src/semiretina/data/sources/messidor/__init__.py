"""Messidor: 1200 photographs of three French hospitals, graded for retinopathy and the risk of macular edema.

Twelve folders of 100 photographs, four a hospital, each with an Excel 97 sheet (Decencière et al., Image Anal Stereol
2014; 33(3):231). The scale is Messidor's own: 0 to 3. The sheets are distributed with errors that the errata on the
data set's page list; they are mended by default, and every record tells what was mended:

- Four retinopathy grades are corrected.
- Thirteen photographs stand there twice under two names; one of each pair is dropped, which leaves 1187. The pairs are
  checked by picture. A pair of unlike pictures is told and stays whole: dropping one would lose a photograph, while
  keeping a duplicate loses nothing. Two pairs have different labels; those of the kept name count.

Photographs of the same picture that no erratum lists are told and share an `exam`, so that no split separates them.

Messidor does not say whose the photographs are. Messidor-2's pairing file does for the 1058 that it shares.
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from semiretina.data import messidor_facts as facts
from semiretina.data.same_pictures.thumbnails import find_same_pictures
from semiretina.data.sources.messidor import published
from semiretina.data.sources.messidor.exams import with_eyes
from semiretina.data.sources.messidor.published import Graded, counted
from semiretina.data.sources.source import Source
from semiretina.errors import BadData, summary
from semiretina.grouping import joined_groups
from semiretina.progress import say
from semiretina.records import Record


def records(root: Path, *, errata: bool = True, pairs: str = "") -> list[Record]:
    """The photographs of the folders that are here, in the order of their sheets.

    `errata=False` leaves the sheets' grades and the duplicates as they are distributed, and says what it ignores; the
    two of a pair then share an `exam`. `pairs` is Messidor-2's pairing file, which gives patients and eyes (default:
    `messidor-2.csv` in `root`, where it is).

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    root = Path(os.path.abspath(root))
    photographs = _corrected(published.read(root), errata)
    cost = f"fellow eyes ({facts.SHARED_EXAMS} pairs in the whole set) may be separated by a split"
    photographs = with_eyes(photographs, root, pairs, "messidor", cost)
    photographs = _without_duplicates(photographs, errata)
    counts = Counter(record.grade for record in photographs if record.grade is not None)
    say(f"messidor: {len(photographs)} photographs, grades {counted(counts)}")
    return photographs


def _corrected(rows: Sequence[Graded], errata: bool) -> list[Record]:
    """The records, with the grades that the errata correct; raises BadData for a grade that is neither old nor new."""
    corrections = {(correction.folder, correction.name): correction for correction in facts.CORRECTIONS}
    corrected, done, already, defects = [], [], [], []
    for row in rows:
        correction = corrections.get((row.folder, row.name))
        grade, note = row.grade, ""
        if correction is not None and row.grade == correction.old:
            done.append(f"{row.name} {correction.old} -> {correction.new}")
            grade = correction.new if errata else row.grade
            note = f"; grade {correction.old} -> {correction.new} by the errata{'' if errata else ', ignored'}"
        elif correction is not None and row.grade == correction.new:
            already.append(f"{row.name} {row.grade}")
            note = "; grade already as the errata correct it"
        elif correction is not None and errata:
            wrong = f"'{row.grade}' is neither the distributed {correction.old} nor the corrected {correction.new}"
            defects.append(f"{row.folder}, {row.name}, column {facts.GRADE}: {wrong}")
        corrected.append(
            Record(
                path=row.path,
                dataset="messidor",
                site=facts.FOLDERS[row.folder].site,
                camera=facts.CAMERA,
                scale="messidor",
                grade=grade,
                dme=row.edema,
                provenance=f"Messidor {row.folder}{note}",
            )
        )
    if defects:
        advice = "restore the sheets as they were published, or add -o errata=false"
        raise BadData(summary("messidor, errata", defects, advice))
    if done:
        what = "corrected by the errata" if errata else "left as distributed (errata=false), against the errata"
        say(f"messidor: grades {what}: {', '.join(done)}")
    if already:
        say(f"messidor: grades that the sheets have as the errata correct them: {', '.join(already)}")
    return corrected


def _without_duplicates(records: Sequence[Record], errata: bool) -> list[Record]:
    """The records without the published duplicates that are the same picture; same pictures that stay are tied."""
    result = list(records)
    names = [published.key(record.path.name) for record in records]
    same = {(pair.first, pair.second) for pair in find_same_pictures([record.path for record in records])}
    duplicates, unlike = _published(records, names, same)
    for i, j in unlike:
        for one, other in ((i, j), (j, i)):
            note = f"a duplicate of {names[other]} by the errata, but the pictures differ"
            result[one] = replace(result[one], provenance=f"{result[one].provenance}; {note}")
    dropped = duplicates if errata else {}
    for i, j in dropped.items():
        result = _one_patient(result, i, j)
        result[j] = replace(result[j], provenance=f"{result[j].provenance}; its duplicate {names[i]} dropped")
    if duplicates:
        what = "dropped, the second of each pair stays" if errata else "kept, never separated by a split"
        named = ", ".join(f"{names[i]} = {names[j]}" for i, j in duplicates.items())
        say(f"messidor: {len(duplicates)} duplicates by the errata, the same by their pictures, {what}: {named}")
    further = same - {(min(pair), max(pair)) for pair in duplicates.items()}
    edges = {(dropped.get(i, i), dropped.get(j, j)) for i, j in same | set(duplicates.items())}
    for group in joined_groups(sorted((i, j) for i, j in edges if i != j)):
        for i in group:
            result[i] = replace(result[i], exam=f"same-picture-{names[group[0]]}")
        if any(dropped.get(i, i) in group for pair in further for i in pair):
            named = ", ".join(_labels(names[i], result[i]) for i in group)
            say(f"messidor: the same picture, not all in the errata, never separated by a split: {named}")
    return [record for i, record in enumerate(result) if i not in dropped]


def _published(
    records: Sequence[Record], names: Sequence[str], same: Collection[tuple[int, int]]
) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """The published pairs that are here, as positions: duplicate -> kept where the pictures agree, and the others."""
    position = {name: i for i, name in enumerate(names)}
    duplicates: dict[int, int] = {}
    unlike = []
    for left, right in facts.DUPLICATES.items():
        if left not in position:
            continue
        if right not in position:
            say(f"messidor: {left} stays, since what it duplicates by the errata, {right}, is not here")
            continue
        i, j = position[left], position[right]
        if (min(i, j), max(i, j)) not in same and records[i].path.read_bytes() != records[j].path.read_bytes():
            unlike.append((i, j))
            say(f"messidor: {left} and {right} are one picture by the errata, but their pictures differ; both stay")
            continue
        duplicates[i] = j
        if (records[i].grade, records[i].dme) != (records[j].grade, records[j].dme):
            both = f"{_labels(left, records[i])}, {_labels(right, records[j])}"
            say(f"messidor: one picture with different labels: {both}")
    return duplicates, unlike


def _one_patient(records: Sequence[Record], dropped: int, kept: int) -> list[Record]:
    """The records, with the dropped duplicate's patient and the kept one's under one name."""
    gone, stays = records[dropped], records[kept]
    result = list(records)
    if not stays.patient:
        result[kept] = replace(stays, patient=gone.patient, eye=gone.eye)
    elif gone.patient:
        result = [replace(r, patient=stays.patient) if r.patient == gone.patient else r for r in records]
    return result


def _labels(name: str, record: Record) -> str:
    return f"{name} (grade {record.grade}, dme {record.dme})"


SOURCE = Source(
    read=records,
    title="Messidor: three French hospitals, retinopathy and macular edema",
    scale="messidor",
    licence=facts.LICENCE,
    citation=facts.CITATION,
    get="on application: https://www.adcis.net/en/third-party/messidor/",
    counts={f"of {hospital.site}": facts.PER_FOLDER * len(hospital.folders) for hospital in facts.HOSPITALS}
    | {"of all 1200 after the errata (the grades are those before)": facts.KEPT},
    grades=facts.GRADES,
)
