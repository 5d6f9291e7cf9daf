"""Labels that contradict each other, that are of one class only, or of very few photographs; and their counts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np

from semiretina.audit.finding import Place, Sighting
from semiretina.records import LESIONS, MASK_COLUMNS, Reading, Record
from semiretina.tasks import IMPLIED_LESIONS, TASKS

FEW = 10
# What is counted besides the labels.
COUNTED = ("dataset", "site", "camera", "scale", "eye", "quality", "split")


def label_findings(reading: Reading) -> Iterator[Sighting]:
    """What the labels say against each other, row by row, and what all of them together cannot teach."""
    contradictions: dict[tuple[str, str], list[int]] = defaultdict(list)
    ungradable = []
    known_ones: dict[tuple[object, ...], list[tuple[str, str]]] = {}  # there are few different rows of labels
    for row, record in zip(reading.rows, reading.records, strict=True):
        if record.quality == "ungradable":
            if record.grade is not None or any(getattr(record, lesion) is not None for lesion in LESIONS):
                ungradable.append(row)
            continue
        labels = _labels(record)
        if labels not in known_ones:
            known_ones[labels] = contradictions_of(record)
        for contradiction in known_ones[labels]:
            contradictions[contradiction].append(row)
    for (column, why), rows in contradictions.items():
        yield "contradiction", Place(tuple(rows), column, detail=why)
    if ungradable:
        yield "ungradable", Place(tuple(ungradable), "quality", detail=f"{len(ungradable)} graded, but 'ungradable'")
    yield from _classes(reading.records)


_labels = attrgetter("grade", "scale", "dme", *LESIONS, *MASK_COLUMNS)


def contradictions_of(record: Record) -> list[tuple[str, str]]:
    """The cells that cannot be right together by the definitions of scales and `dme`: a column, and a sentence."""
    stated = {lesion: getattr(record, lesion) for lesion in LESIONS}
    defects = []
    if record.grade is not None and record.scale:
        graded = f"grade = {record.grade} on {record.scale}"
        for lesion, implied in IMPLIED_LESIONS[record.scale].get(record.grade, {}).items():
            if stated[lesion] is not None and stated[lesion] != implied:
                defects.append((lesion, f"{lesion} = {stated[lesion]}, but {graded} means {lesion} = {implied}"))
        if record.grade == 0 and record.scale == "icdr" and record.dme:
            defects.append(("dme", f"dme = {record.dme}, but {graded} means no abnormality"))
        if record.grade > 0 and set(stated.values()) == {0}:
            defects.append(("grade", f"{graded}, but MA, HE, EX and SE are all 0"))
    if record.dme is not None and stated["EX"] is not None and (record.dme > 0) != (stated["EX"] > 0):
        defects.append(("dme", f"dme = {record.dme}, but EX = {stated['EX']}: dme tells where hard exudates are"))
    for lesion in LESIONS:
        if getattr(record, f"mask_{lesion}") is not None and stated[lesion] == 0:
            defects.append((f"mask_{lesion}", f"mask_{lesion} names a file, but {lesion} = 0"))
    return defects


def _classes(records: Sequence[Record]) -> Iterator[Sighting]:
    # A grade without a scale is a wrong cell, which is told of each.
    graded = Counter(r.scale for r in records if r.grade is not None and r.scale and r.quality != "ungradable")
    if len(graded) > 1:
        detail = ", ".join(f"{scale}: {count}" for scale, count in graded.items())
        yield "scales", Place(column="scale", detail=detail)
    # Equal labels have equal targets: one record of each kind is asked.
    alike = Counter((r.scale, r.grade, r.dme, r.quality) for r in records)
    asked = [Record(path=Path(), scale=a, grade=b, dme=c, quality=d) for a, b, c, d in alike]
    for name in ("dr", "referable", "dme"):
        task = TASKS[name]("icdr")
        targets = task.targets(asked)
        has_label = task.known(targets)
        numbers = np.array(list(alike.values()), np.int64)[has_label]
        positives, count = int(numbers @ (targets[has_label, 0] > 0)), int(numbers.sum())
        detail = f"'{name}': {positives} positive, {count - positives} negative"
        if count and positives in (0, count):
            yield "one-class", Place(detail=detail)
        elif count and min(positives, count - positives) < FEW:
            yield "few", Place(detail=detail)


def counts_of(records: Sequence[Record]) -> Mapping[str, Mapping[str, int]]:
    """How many photographs there are of each grade, place, scale and role; "" is the empty cell."""
    counts: dict[str, Mapping[str, int]] = {}
    for column in COUNTED:
        cells = Counter(str(getattr(record, column)) for record in records)
        if set(cells) != {""}:
            counts[column] = dict(sorted(cells.items(), key=lambda item: (-item[1], item[0])))
    for scale in sorted({record.scale for record in records if record.grade is not None}):
        grades = Counter(r.grade for r in records if r.scale == scale and r.grade is not None)
        counts[f"grade, {scale}"] = {str(grade): grades[grade] for grade in sorted(grades)}
    for column in ("dme", *LESIONS):
        values = Counter(getattr(record, column) for record in records)
        if set(values) != {None}:
            counts[column] = {"" if v is None else str(v): n for v, n in sorted(values.items(), key=str)}
    return counts
