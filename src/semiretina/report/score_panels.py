"""What of the test scores and answers goes into which picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from semiretina.report.answers import Answers, Unfit, read_answers
from semiretina.report.pictures import Picture, Style
from semiretina.report.runs import Run
from semiretina.report.score_figures import (
    Curve,
    Reliability,
    Stratum,
    forest_panel,
    interval_panel,
    precision_panel,
    reliability_panel,
    roc_panel,
)
from semiretina.report.tables import Row, Score, ratio, score
from semiretina.scoring.curves import Band, precision_band, roc_band
from semiretina.scoring.intervals import Floats, Ints, share

Styles = Mapping[str, Style]
BINS = 10  # of a reliability diagram; the ECE has its own 15
STRATA = ("site", "camera", "grade")  # by what the test photographs are told apart


@dataclass(frozen=True)
class Confusion:
    """How often a run answered which class (columns) to photographs of which class (rows)."""

    run: str
    task: str
    classes: list[str]
    counts: list[list[int]]


class Answered:
    """The answers of runs to their test photographs, each table read once; what cannot be read is told in `wanting`."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.wanting: list[str] = []
        self._read: dict[tuple[str, str], Answers | None] = {}

    def of(self, run: Run, key: str) -> Answers | None:
        """The run's answers for `key`, or None where it has none that can be drawn."""
        if (run.label, key) not in self._read:
            try:
                self._read[run.label, key] = read_answers(run, key)
            except Unfit as reason:
                self._read[run.label, key] = None
                self.wanting.append(f"{reason}; its curves of {key} are not drawn.")
        return self._read[run.label, key]

    def only(self, runs: Sequence[Run]) -> "Answered":
        """The same for these of its runs."""
        part = Answered(runs)
        part.wanting, part._read = self.wanting, self._read
        return part

    def methods(self, key: str) -> list[tuple[str, list[tuple[Run, Answers]]]]:
        """The runs of each name that answered the same photographs as the first of them."""
        found: dict[str, list[tuple[Run, Answers]]] = {}
        for run in self.runs:
            answers = self.of(run, key) if key in run.result["test"] else None
            if answers is None:
                continue
            own = found.setdefault(run.name, [])
            if not own or own[0][1].paths == answers.paths:
                own.append((run, answers))
        return list(found.items())


def score_pictures(rows: Sequence[Row], styles: Styles) -> list[Picture]:
    """Of one output: AUROC, accuracy and kappa of the runs with their intervals."""
    key = rows[0].task
    votes = {round(row.majority, 3) for row in rows if row.majority is not None}
    vote = ("majority vote", votes.pop()) if len(votes) == 1 else None
    pictures = [
        interval_panel(f"{key}: AUROC on test", [(r.run, styles[r.name], r.auroc) for r in rows], ("chance", 0.5)),
        interval_panel(f"{key}: accuracy on test", [(r.run, styles[r.name], r.accuracy) for r in rows], vote),
    ]
    kappas = [(row.run, styles[row.name], row.quadratic_kappa) for row in rows]
    if any(kappa.value is not None for _, _, kappa in kappas):
        pictures.append(interval_panel(f"{key}: quadratic kappa on test", kappas, ("chance", 0.0)))
    return pictures


def bands(rows: Sequence[Row], answered: Answered) -> dict[str, tuple[Band, Band]]:
    """Of a yes-or-no output whose labels are of both kinds: name -> its ROC and its precision-recall curve."""
    found: dict[str, tuple[Band, Band]] = {}
    for name, own in answered.methods(rows[0].task):
        labels = own[0][1].labels
        if own[0][1].values.ndim == 1 and len(set(labels.tolist())) == 2:
            values, patients = np.stack([answers.values for _, answers in own]), own[0][1].groups
            found[name] = roc_band(labels, values, patients), precision_band(labels, values, patients)
    return found


def curve_pictures(
    rows: Sequence[Row], curves: Mapping[str, tuple[Band, Band]], answered: Answered, styles: Styles
) -> list[Picture]:
    """The ROC and precision-recall curves of one output, a line and a band for each name; none without `curves`."""
    if not curves:
        return []
    key = rows[0].task
    methods = dict(answered.methods(key))
    precise = {name: [_precise(answers) for _, answers in methods[name] if answers.chosen.any()] for name in curves}
    roc = [Curve(styles[name], curve, _points(rows, name)) for name, (curve, _) in curves.items()]
    precision = [Curve(styles[name], curve, precise[name]) for name, (_, curve) in curves.items()]
    positives = float(methods[next(iter(curves))][0][1].labels.mean())
    title = f"{key}: precision and recall on test"
    return [
        roc_panel(f"{key}: ROC curves on test", roc, _said(rows, "AUROC", "auroc")),
        precision_panel(title, precision, positives, _said(rows, "average precision", "average_precision")),
    ]


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    return [
        (1 - row.specificity.value, row.sensitivity.value)
        for row in rows
        if row.name == name and row.sensitivity.value is not None and row.specificity.value is not None
    ]


def _precise(answers: Answers) -> tuple[float, float]:
    """Recall and precision at the threshold in use."""
    hits = float((answers.chosen * answers.labels).sum())
    return hits / float(answers.labels.sum()), hits / float(answers.chosen.sum())


def _said(rows: Sequence[Row], title: str, measure: str) -> list[str]:
    """The measure in words: with its interval for one run, from lowest to highest for several seeds of one name."""
    said = []
    for name in dict.fromkeys(row.name for row in rows):
        own: list[Score] = [getattr(row, measure) for row in rows if row.name == name]
        values = [one.value for one in own if one.value is not None]
        if len(own) == 1 and values:
            said.append(f"{name}: {title} {ratio(own[0])}")
        elif values:
            said.append(f"{name}: {title} {min(values):.3f} to {max(values):.3f} in {len(own)} seeds")
    return said


def calibration_pictures(rows: Sequence[Row], answered: Answered, styles: Styles) -> list[Picture]:
    """The reliability diagram of one output: of a choice among classes, how often its answer was right."""
    key = rows[0].task
    diagrams = []
    for name, own in answered.methods(key):
        first = own[0][1]
        if first.values.ndim == 1:
            stated = np.stack([answers.values for _, answers in own])
            hits = np.stack([answers.labels == 1 for _, answers in own])
        else:
            stated = np.stack([answers.values.max(axis=1) for _, answers in own])
            hits = np.stack([answers.chosen == answers.labels for _, answers in own])
        diagrams.append(_reliability(name, styles[name], stated, hits, first.groups))
    return [reliability_panel(f"{key}: calibration on test", diagrams, _said(rows, "ECE", "ece"))] if diagrams else []


def _reliability(name: str, style: Style, stated: Floats, hits: npt.NDArray[np.bool_], patients: Ints) -> Reliability:
    """Bins over [s, n] answers of s seeds together; the interval of one seed's share is Wilson's, over patients."""
    places = np.minimum((stated * BINS).astype(int), BINS - 1)
    used = [k for k in range(BINS) if (places == k).any()]
    low, high = np.full(len(used), np.nan), np.full(len(used), np.nan)
    for number, k in enumerate(used):
        if len(stated) == 1:
            here = places[0] == k
            estimate = share(hits[0][here], patients[here])
            low[number], high[number] = estimate.low, estimate.high
    return Reliability(
        name,
        style,
        np.array([stated[places == k].mean() for k in used]),
        np.array([hits[places == k].mean() for k in used]),
        low,
        high,
        [int((places == k).sum()) for k in used],
    )


def confusions(key: str, answered: Answered) -> list[Confusion]:
    """The confusion matrix of each run on one output: of no and yes at the threshold in use, or of its classes."""
    found = []
    for run in answered.runs:
        answers = answered.of(run, key) if key in run.result["test"] else None
        if answers is None:
            continue
        several = answers.values.ndim == 2
        classes = list(run.predictions().outputs[key]) if several else ["no", "yes"]
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, (answers.labels, answers.chosen), 1)
        found.append(Confusion(run.label, key, classes, counts.tolist()))
    return found


def strata_pictures(key: str, runs: Sequence[Run], styles: Styles) -> list[Picture]:
    """A forest plot for each way in which the test photographs of one output were divided into two parts or more."""
    pictures = []
    for by in STRATA:
        names, measure = strata_of(key, by, runs)
        if len(names) < 2:
            continue
        strata = [
            Stratum(
                name,
                max(part["n"] for run in runs if (part := stratum(run, key, by, name))),
                [
                    (run.label, styles[run.name], score(part, measure))
                    for run in runs
                    if (part := stratum(run, key, by, name))
                ],
            )
            for name in names
        ]
        whole = score(runs[0].result["test"].get(key, {}), measure).value
        reference = ("all photographs", whole) if len(runs) == 1 and whole is not None else None
        title = {"auroc": "AUROC", "accuracy": "accuracy"}[measure]
        pictures.append(forest_panel(f"{key}: {title} by {by}", strata, reference))
    return pictures


def strata_of(key: str, by: str, runs: Sequence[Run]) -> tuple[list[str], str]:
    """The parts of that kind, and the score to show: the AUROC where any part defines it, else the accuracy."""
    parts = [(run.result["test"].get(key, {}).get("strata") or {}).get(by) or {} for run in runs]
    names = list(dict.fromkeys(name for own in parts for name in own))
    areas = [score(one, "auroc").value for own in parts for one in own.values()]
    return names, "auroc" if any(area is not None and not isnan(area) for area in areas) else "accuracy"


def stratum(run: Run, key: str, by: str, name: str) -> Mapping[str, Any]:
    """The run's scores on one part; empty where it has none."""
    strata = run.result["test"].get(key, {}).get("strata") or {}
    return (strata.get(by) or {}).get(name) or {}
