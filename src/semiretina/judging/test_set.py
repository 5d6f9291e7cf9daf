"""Whose photographs are scored: the eyes and patients that they show, parts of a test set, and what to beware of."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semiretina.data.split import find_groups
from semiretina.records import Record
from semiretina.scoring.intervals import Ints, group_numbers
from semiretina.scoring.levels import binary_level, binary_part, by_part, class_level, class_part
from semiretina.scoring.scores import Scores, binary_scores, class_scores

Found = dict[str, object]  # Scores, with "levels" and "strata" in them
Part = Callable[[npt.NDArray[np.bool_]], Scores]


@dataclass(frozen=True)
class Tested:
    """n photographs that are scored, and after them those that a grader cannot see.

    `patients` [n and more] numbers them, `units` (level -> [n and more]) and `parts` (kind -> [n]) are those of
    `units_of` and `parts_of`.
    """

    patients: Ints
    units: Mapping[str, Ints]
    parts: Mapping[str, Sequence[str]]

    def score_binary(
        self, labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: float, prevalence: float | None
    ) -> Found:
        """All scores of a yes-or-no output: `labels` [n and more], unknown where NaN, and `probabilities` [n]."""
        y, p = np.asarray(labels), np.asarray(probabilities)
        n, patients = len(p), self.patients[: len(p)]

        def part(rows: npt.NDArray[np.bool_]) -> Scores:
            return binary_part(y[:n][rows], p[rows], patients[rows], threshold)

        seen = _with_unseen(p, len(y))
        return {
            **binary_scores(y[:n], p, patients, threshold, prevalence=prevalence),
            "levels": {name: binary_level(y, seen, own, self.patients, threshold) for name, own in self.units.items()},
            "strata": _strata(self.parts, part),
        }

    def score_classes(self, labels: Ints, probabilities: npt.ArrayLike) -> Found:
        """All scores of a choice among k classes: `labels` [n and more], unknown where negative; [n, k]."""
        p = np.asarray(probabilities)
        n, patients, answers = len(p), self.patients[: len(p)], p.argmax(axis=1)

        def part(rows: npt.NDArray[np.bool_]) -> Scores:
            return class_part(labels[:n][rows], answers[rows], patients[rows])

        seen = _with_unseen(answers, len(labels))
        return {
            **class_scores(labels[:n], p, patients),
            "levels": {
                name: class_level(labels, seen, p.shape[1], own, self.patients) for name, own in self.units.items()
            },
            "strata": _strata(self.parts, part),
        }


def make_tested(records: Sequence[Record], unseen: Sequence[Record], groups: Sequence[str]) -> Tested:
    """The photographs that are scored, and those that a grader cannot see; `groups` are the split's, of both."""
    everyone = [*records, *unseen]
    return Tested(patients_of(everyone, groups), units_of(everyone), parts_of(records))


def patients_of(records: Sequence[Record], groups: Sequence[str]) -> Ints:
    """[n] numbers, equal where the photographs are of one patient or exam, or of one of the split's `groups` [n].

    Also where the split was told to ignore patients: that it separates fellow eyes makes them no less alike.
    """
    return group_numbers(find_groups(records, groups, "patient"))  # groups of one name as if of one picture


def units_of(records: Sequence[Record]) -> dict[str, Ints]:
    """Level -> [n] the unit of each photograph; without the levels that no record tells.

    A photograph without a patient (at the level of eyes: or without an eye) is a unit of its own.
    """
    eyes = ["\n".join((r.dataset, r.patient, r.eye)) if r.patient and r.eye else "" for r in records]
    patients = ["\n".join((r.dataset, r.patient)) if r.patient else "" for r in records]
    names = {"photograph": [""] * len(records), "eye": eyes, "patient": patients}
    return {level: group_numbers(own) for level, own in names.items() if level == "photograph" or any(own)}


def parts_of(records: Sequence[Record]) -> dict[str, list[str]]:
    """What a test set is told apart by -> [n] the part of each photograph, "" where unknown."""
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
    told = [f"Of {_photographs(no_patient)} the patient is not named: each counts as one."] if no_patient else []
    if no_eye == len(records) - no_patient:
        return [*told, "No photograph says which eye it shows: there are no scores by eye."]
    return told + ([f"Of {_photographs(no_eye)} the eye is not stated: each counts as one."] if no_eye else [])


def untested(tested: Sequence[Record], trained: Sequence[Record]) -> list[str]:
    """In a sentence, which sites of the training photographs are not among the tested ones."""
    among = [*tested, *trained]
    there = set(sites_of(tested, among))
    counts = Counter(site for site in sites_of(trained, among) if site and site not in there)
    named = ", ".join(f"{site} ({_photographs(count)} trained on)" for site, count in sorted(counts.items()))
    return [f"No labelled test photograph is of {named}: the scores say nothing of it."] if counts else []


def _strata(parts: Mapping[str, Sequence[str]], score: Part) -> dict[str, Mapping[str, Scores]]:
    found = {kind: by_part(names, score) for kind, names in parts.items()}
    return {kind: scores for kind, scores in found.items() if scores}


def _with_unseen(values: npt.NDArray[np.float32] | Ints, total: int) -> npt.NDArray[np.float64]:
    return np.concatenate([values, np.full(total - len(values), np.nan)])


def _photographs(count: int) -> str:
    return f"{count} photograph" if count == 1 else f"{count} photographs"
