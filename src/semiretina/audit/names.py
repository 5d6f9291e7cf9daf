"""Names in a manifest: patients, exams and eyes, and words that look alike and are not the same."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from operator import attrgetter
from os.path import basename, splitext

from semiretina.audit.finding import Place, Sighting
from semiretina.records import Reading, Record
from semiretina.table_text import INVISIBLE, PLACEHOLDERS, shown

CROWD = 40  # photographs of one patient; more than two eyes, four fields and five visits give
_ZEROS = re.compile(r"(?<![0-9.])0+(?=[0-9])")
_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]+")
_EYE_WORD = re.compile(r"(?i)(?<![a-z])(left|right|os|od|l|r)(?![a-z])")


def name_findings(reading: Reading) -> Iterator[Sighting]:
    """What is odd about who is who. All of it may be meant: these are warnings."""
    yield from _without_patient(reading)
    yield from _odd_ids(reading)
    yield from _spelling(reading)
    yield from _across(reading)
    yield from _eyes(reading)
    yield from _partly(reading)
    yield from _invisible(reading)


def fellow_key(record: Record) -> str:
    """A file's name without its word for the eye, "" where it has none: equal for what looks like fellow eyes."""
    stem = splitext(basename(record.path))[0]
    bare, count = _EYE_WORD.subn("\0", stem)
    return f"{record.path.parent}/{bare}" if count == 1 else ""


def _without_patient(reading: Reading) -> Iterator[Sighting]:
    rows = [row for row, record in zip(reading.rows, reading.records, strict=True) if not record.patient]
    if not rows:
        return
    nameless = [record for record in reading.records if not record.patient]
    detail = f"{len(rows)} of {len(reading.rows)} photographs"
    with_exam = sum(bool(record.exam) for record in nameless)
    pairs = sum(count > 1 for key, count in Counter(map(fellow_key, nameless)).items() if key)
    detail += f"; {with_exam} of them have an exam" if with_exam else ""
    detail += f"; {pairs} pairs of file names look like fellow eyes" if pairs else ""
    yield "no-patient", Place(tuple(rows), "patient", detail=detail)


def _odd_ids(reading: Reading) -> Iterator[Sighting]:
    for column in ("patient", "exam"):
        names = list(map(attrgetter(column), reading.records))
        kinds: dict[str, list[str]] = {}
        for name, count in Counter(names).items():
            unknown = name.lower() in PLACEHOLDERS and count > 1
            crowd = name and count > CROWD and column == "patient" and not unknown
            rounded = "+" in name and _ROUNDED.fullmatch(name)
            holds_of = {"placeholder": unknown, "crowd": crowd, "damaged-id": rounded}
            if any(holds_of.values()):
                kinds[name] = [kind for kind, holds in holds_of.items() if holds]
        rows_of: dict[str, list[int]] = {name: [] for name in kinds}
        for row, name in zip(reading.rows, names, strict=True):
            if name in rows_of:
                rows_of[name].append(row)
        for name, rows in rows_of.items():
            details = {
                "placeholder": f"'{name}' stands in {len(rows)} rows, which count as one {column}",
                "crowd": f"'{shown(name)}' has {len(rows)} photographs",
                "damaged-id": f"'{name}'",
            }
            for kind in kinds[name]:
                yield kind, Place(tuple(rows), column, detail=details[kind])


def _spelling(reading: Reading) -> Iterator[Sighting]:
    for column in ("patient", "exam", "dataset", "site", "camera"):
        cells = list(map(attrgetter(column), reading.records))
        first: dict[str, str] = {}  # how a name is spelt first
        others: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys(cells):
            plain = name if name.isascii() else INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
            bare = "".join(plain.split()).casefold()
            bare = _ZEROS.sub("", bare) if "0" in bare else bare
            if first.setdefault(bare, name) != name:
                others[bare].append(name)
        if not others:
            continue
        row_of = dict(zip(reversed(cells), reversed(reading.rows), strict=True))  # the first row of each name stays
        for bare, rest in others.items():
            names = [first[bare], *rest]
            spellings = " and ".join(f"'{shown(name)}'" for name in names)
            yield "spelling", Place(tuple(row_of[name] for name in names), column, detail=spellings)


def _across(reading: Reading) -> Iterator[Sighting]:
    home: dict[str, int] = {}  # the first record of each patient
    owner: dict[tuple[str, str], int] = {}  # of each exam
    away: dict[str, dict[str, int]] = defaultdict(dict)
    shared: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    rows, records = reading.rows, reading.records
    for number, record in enumerate(records):
        patient, dataset = record.patient, record.dataset
        if not patient:
            continue
        first = home.setdefault(patient, number)
        if records[first].dataset != dataset:
            away[patient].setdefault(records[first].dataset, rows[first])
            away[patient].setdefault(dataset, rows[number])
        if record.exam:
            exam = (dataset, record.exam)
            first = owner.setdefault(exam, number)
            if records[first].patient != patient:
                shared[exam].setdefault(records[first].patient, rows[first])
                shared[exam].setdefault(patient, rows[number])
    for patient, row_of in away.items():
        detail = f"'{shown(patient)}' in {' and '.join(name or 'no data set' for name in row_of)}"
        yield "two-datasets", Place(tuple(row_of.values()), "patient", detail=detail)
    for (_, name), row_of in shared.items():
        detail = f"exam '{shown(name)}' of the patients {', '.join(map(shown, row_of))}"
        yield "shared-exam", Place(tuple(row_of.values()), "exam", detail=detail)


def _eyes(reading: Reading) -> Iterator[Sighting]:
    members: dict[tuple[str, str, str], list[int]] = {}
    for number, record in enumerate(reading.records):
        if record.patient:
            members.setdefault((record.dataset, record.patient, record.exam), []).append(number)
    for (_, patient, exam), numbers in members.items():
        if len(numbers) < 2:
            continue
        eyes = [reading.records[number].eye for number in numbers]
        if len(eyes) > 2 and "" in eyes and not exam:
            detail = (
                f"patient '{shown(patient)}' has {len(eyes)} photographs, {eyes.count('')} of no stated eye or exam"
            )
            yield "eyes", Place(tuple(reading.rows[number] for number in numbers), "eye", detail=detail)
        for eye in ("left", "right"):
            if eyes.count(eye) > 1:
                rows = tuple(reading.rows[n] for n, stated in zip(numbers, eyes, strict=True) if stated == eye)
                detail = f"patient '{shown(patient)}', {eye} eye: {len(rows)} photographs"
                yield "repeats", Place(rows, "eye", detail=detail)
    blind = [row for row, record in zip(reading.rows, reading.records, strict=True) if not record.eye]
    if blind and len(blind) < len(reading.rows):
        yield "no-eye", Place(tuple(blind), "eye", detail=f"{len(blind)} of {len(reading.rows)} photographs")


def _partly(reading: Reading) -> Iterator[Sighting]:
    for column in ("dataset", "site", "camera"):
        cells = map(attrgetter(column), reading.records)
        empty = [row for row, cell in zip(reading.rows, cells, strict=True) if not cell]
        if empty and len(empty) < len(reading.rows):
            yield "partly", Place(tuple(empty), column, detail=f"empty in {len(empty)} of {len(reading.rows)} rows")
    given = [row for row, record in zip(reading.rows, reading.records, strict=True) if record.split]
    if given and len(given) < len(reading.rows):
        yield "given", Place(tuple(given), "split", detail=f"{len(given)} of {len(reading.rows)} rows have a role")


def _invisible(reading: Reading) -> Iterator[Sighting]:
    for column in ("path", "dataset", "site", "camera", "patient", "exam"):
        cells = reading.paths if column == "path" else list(map(attrgetter(column), reading.records))
        if "".join(cells).isascii():
            continue
        for row, cell in zip(reading.rows, cells, strict=True):
            if INVISIBLE.search(cell):
                yield "invisible", Place((row,), column, detail=f"'{shown(cell)}'")
