"""What photographs are counted by: eyes and patients, the parts of a test set, and what they lack for that."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from semiretina.data.split import By, find_groups
from semiretina.judging.predictions import Predictions
from semiretina.records import Record
from semiretina.scoring.intervals import Ints, group_numbers
from semiretina.wording import counted


def patients_of(records: Sequence[Record], groups: Sequence[str]) -> Ints:
    """[n] numbers, equal where the photographs are of one patient or exam, or of one of the split's `groups` [n].

    Also where the split ignored patients: that it separates fellow eyes makes them no less alike.
    """
    return group_numbers(find_groups(records, groups, "patient"))  # groups of one name as if of one picture


def patients_in(table: Predictions, by: By) -> Ints:
    """[n] numbers as of `patients_of`, from a table of predictions whose groups were made `by` patient or photograph.

    Groups by patient hold all that is known of patients, and tell those of two data sets apart.
    """
    names = table.patients if by == "photograph" else [""] * len(table.paths)
    records = [Record(path=Path(path), patient=name) for path, name in zip(table.paths, names, strict=True)]
    return patients_of(records, table.groups)


def levels_of(records: Sequence[Record]) -> dict[str, Ints]:
    """Level -> [n] the photograph, eye or patient that each photograph counts for, as numbers.

    A level that no record states is left out. A photograph without a patient (or, among eyes, without an eye) counts
    for itself.
    """
    eyes = ["\n".join((r.dataset, r.patient, r.eye)) if r.patient and r.eye else "" for r in records]
    patients = ["\n".join((r.dataset, r.patient)) if r.patient else "" for r in records]
    names = {"photograph": [""] * len(records), "eye": eyes, "patient": patients}
    return {level: group_numbers(those) for level, those in names.items() if level == "photograph" or any(those)}


def parts_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """What a test set is divided by -> [n] the part of each photograph, "" where unknown."""
    scales = {record.scale for record in records if record.grade is not None}
    grades = ["" if r.grade is None else f"{r.scale} {r.grade}" if len(scales) > 1 else str(r.grade) for r in records]
    return {"site": sites_of(records, records), "camera": [record.camera for record in records], "grade": grades}


def sites_of(records: Sequence[Record], among: Sequence[Record]) -> list[str]:
    """[n] the site of each record, after its data set's name where those `among` are of several."""
    several = len({record.dataset for record in among}) > 1
    return [" ".join(filter(None, (record.dataset if several else "", record.site))) for record in records]


def unnamed(records: Sequence[Record]) -> list[str]:
    """In sentences, what the scores by eye and patient lack."""
    no_patient = sum(not record.patient for record in records)
    no_eye = sum(bool(record.patient) and not record.eye for record in records)
    if no_patient == len(records):
        return [
            "No photograph names its patient: there are no scores by eye or patient, and the intervals, which take "
            "each photograph for a patient of its own, are too narrow where it is not."
        ]
    sentences = []
    if no_patient:
        sentences.append(f"Of {counted(no_patient, 'photograph')} the patient is not named: each counts as one.")
    if no_eye == len(records) - no_patient:
        sentences.append("No photograph says which eye it shows: there are no scores by eye.")
    elif no_eye:
        sentences.append(f"Of {counted(no_eye, 'photograph')} the eye is not stated: each counts as one.")
    return sentences


def untested(tested: Sequence[Record], trained: Sequence[Record]) -> list[str]:
    """In a sentence, which sites of the training photographs are not among the tested ones."""
    among = [*tested, *trained]
    seen = set(sites_of(tested, among))
    counts = Counter(site for site in sites_of(trained, among) if site and site not in seen)
    named = ", ".join(f"{site} ({counted(count, 'photograph')} trained on)" for site, count in sorted(counts.items()))
    return [f"No labelled test photograph is of {named}: the scores say nothing of it."] if counts else []
