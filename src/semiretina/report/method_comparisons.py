"""Which method is better: from run folders to differences with intervals, and one sentence each.

Runs of one name are the seeds of one method. Two methods are compared over the seeds that both have, and on identical
lists of test photographs only; what is left out is named with the reason. The one comparison that a run's `[claim]`
declares is judged by itself, all others together, by Holm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from semiretina.report.columns import title_of
from semiretina.report.pairs import Pairs, Refused, pair
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.scoring.comparisons import Difference, McNemar, Score, delong, holm, mcnemar, paired_difference
from semiretina.scoring.verdict import Judgement, Verdict


@dataclass(frozen=True)
class SingleRuns:
    """Two runs with one photograph a patient: exact McNemar of their answers, paired DeLong of their areas."""

    mcnemar: McNemar
    delong: Difference | None  # None for a choice among classes


@dataclass(frozen=True)
class Question:
    """A comparison to make: one method against another on one output (a task, or `task.output`) by one score.

    `margin`, in units of the score, is the least gain that matters; None where none was stated beforehand. A `declared`
    question stands in the configuration of `ours` (`[claim]`).
    """

    ours: str
    theirs: str
    task: str
    score: Score
    margin: float | None
    declared: bool


@dataclass(frozen=True)
class PairedComparison(Question):
    """The answer to a question; differences are ours - theirs.

    `difference` has the plain 95 % interval; the verdict of one of several goes by `adjusted`, Holm's p. `unit` is what
    the interval takes to be drawn at random beside the seeds.
    """

    primary: bool
    seeds: list[int]
    photographs: int
    unit: str
    difference: Difference
    adjusted: float
    verdict: Verdict
    sentence: str
    single: SingleRuns | None


@dataclass(frozen=True)
class Comparisons:
    """All comparisons, the primary one first; what was refused; how they were chosen and are judged, in sentences."""

    comparisons: list[PairedComparison]
    refused: list[Refused]
    notes: list[str]


def compare(runs: RunSet) -> Comparisons:
    """Every method against the one that a claim names, or against the first-named one where nothing was declared.

    Raises BadData for a broken table of predictions. One method alone gives no comparison.
    """
    methods: dict[str, list[Run]] = {}
    for run in runs.runs:
        methods.setdefault(run.name, []).append(run)
    if len(methods) < 2:
        return Comparisons([], [], [])
    claims, notes = _claims(methods)
    refused: list[Refused] = []
    measured: list[tuple[Question, Pairs, Difference]] = []
    for question in _questions(methods, claims):
        pairs, left_out = pair(
            methods[question.ours], methods[question.theirs], partial(runs.answers, key=question.task)
        )
        refused += [reason for reason in left_out if reason not in refused]
        if pairs.seeds:
            measured.append((question, pairs, _difference(question.score, pairs)))
    primary = claims[0] if len(claims) == 1 else None
    family = [number for number, (question, _, _) in enumerate(measured) if question != primary]
    adjusted = dict(zip(family, holm([measured[number][2].p for number in family]), strict=True))
    comparisons = [
        _judged(question, pairs, difference, adjusted.get(number), len(family))
        for number, (question, pairs, difference) in enumerate(measured)
    ]
    return Comparisons(comparisons, refused, notes + _explained(claims, comparisons))


def single_runs(single: SingleRuns) -> str:
    """McNemar's and DeLong's tests in one sentence."""
    test = single.mcnemar
    text = f"These two graders: {test.gained} photographs only the first has right, {test.lost} only the second"
    text += f" (exact McNemar p = {test.p:.3g})"
    if single.delong is None:
        return text + "."
    d = single.delong
    if np.isnan(d.p):
        return text + "; their areas do not differ."
    return f"{text}; areas differ by {d.value:.3f} [{d.low:.3f}, {d.high:.3f}] (paired DeLong p = {d.p:.3g})."


def _claims(methods: Mapping[str, Sequence[Run]]) -> tuple[list[Question], list[str]]:
    """What the runs declare, as far as it can be compared here, and what of it cannot."""
    claims, notes = [], []
    for name, runs in methods.items():
        stated = [run.config.get("claim") for run in runs]
        if not any(stated):
            continue
        claim = stated[0]
        if claim is None or any(other != claim for other in stated):
            notes.append(f"The seeds of {name} do not all declare the same claim, so none is taken as declared.")
            continue
        against = [n for n, others in methods.items() if n != name and claim["against"] in _names(n, others)]
        if len(against) != 1:
            many = f"{len(against)} methods here are called so" if against else "which is not among these runs"
            notes.append(f"{name} was declared to be compared with {claim['against']}, {many}.")
            continue
        task = claim.get("task") or runs[0].config["tasks"][0]
        claims.append(Question(name, against[0], task, claim["score"], claim["margin"], True))
    return claims, notes


def _names(method: str, runs: Sequence[Run]) -> set[str]:
    """What a claim may call a method: its name, with or without the folder, or that of one of its runs."""
    return {method, method.rpartition("/")[2], *(str(run.result.get("name")) for run in runs)}


def _questions(methods: Mapping[str, Sequence[Run]], claims: Sequence[Question]) -> list[Question]:
    """The claims, then every other method against the first claim's baseline, or against the first-named method."""
    if claims:
        first = claims[0]
        done = {(claim.ours, claim.theirs) for claim in claims}
        rest = [name for name in methods if name != first.theirs and (name, first.theirs) not in done]
        others = [Question(name, first.theirs, first.task, first.score, first.margin, False) for name in rest]
        return [*claims, *others]
    baseline, *others_named = methods
    run = methods[baseline][0]
    named = run.config["tasks"][0]
    outputs = [key for key in run.result["test"] if key.partition(".")[0] == named] or [named]
    return [Question(name, baseline, key, "auroc", None, False) for key in outputs for name in others_named]


def _difference(score: Score, pairs: Pairs) -> Difference:
    ours, theirs = (
        np.stack([a.values if score == "auroc" else a.chosen for a in side]) for side in (pairs.ours, pairs.theirs)
    )
    return paired_difference(score, pairs.ours[0].labels, ours, theirs, pairs.ours[0].groups)


def _judged(
    question: Question, pairs: Pairs, difference: Difference, adjusted: float | None, family: int
) -> PairedComparison:
    first, alone = pairs.ours[0], adjusted is None
    p, count = (difference.p, 1) if adjusted is None else (adjusted, family)
    judgement = Judgement(difference, question.margin, p, count)
    single = None
    if len(pairs.seeds) == 1 and difference.groups == len(first.paths):
        second = pairs.theirs[0]
        areas = delong(first.labels, first.values, second.values, first.groups) if first.values.ndim == 1 else None
        single = SingleRuns(mcnemar(first.labels, first.chosen, second.chosen), areas)
    return PairedComparison(
        **vars(question),
        primary=alone,
        seeds=pairs.seeds,
        photographs=len(first.paths),
        unit=first.unit,
        difference=difference,
        adjusted=p,
        verdict=judgement.verdict,
        sentence=judgement.sentence(_called(question.ours), _called(question.theirs), first.unit),
        single=single,
    )


def _called(name: str) -> str:
    return "the baseline" if name == "baseline" else name


def _explained(claims: Sequence[Question], comparisons: Sequence[PairedComparison]) -> list[str]:
    if not comparisons:
        return []
    notes = []
    secondary = sum(not one.primary for one in comparisons)
    if len(claims) == 1:
        claim = claims[0]
        fate = "is the primary comparison and is judged by itself"
        if secondary == len(comparisons):
            fate = "could not be made with these runs"
        notes.append(
            f"Declared before training, in the configuration of {claim.ours}: the comparison with {claim.theirs} on "
            f"{claim.task} by {title_of(claim.score)}; the least gain that matters is "
            f"{100 * (claim.margin or 0):g} points. It {fate}."
        )
    elif claims:
        notes.append(f"{len(claims)} comparisons were declared before training, so that none is the primary one.")
    else:
        notes.append("No comparison was declared before training ([claim] in a configuration): all are secondary.")
    if secondary > 1:
        notes.append(
            f"The {secondary} comparisons that are not primary are judged together: their verdicts go by p values "
            "adjusted after Holm, so a difference may not be shown although its interval of 95 % leaves out 0."
        )
    return [*notes, f"A point is 0.01 of the score. {_intervals(comparisons)}"]


def _intervals(comparisons: Sequence[PairedComparison]) -> str:
    """What the intervals of these differences hold, and what those of one seed lack."""
    units = " or ".join(dict.fromkeys(f"{one.unit}s" for one in comparisons))
    single = [len(one.seeds) == 1 for one in comparisons]
    if not any(single):
        return f"Intervals are 95 %, over seeds and over {units}."
    lacking = (
        "how differently the same training ends from another seed is not in them, so they are too narrow for methods"
    )
    if all(single):
        return f"Intervals are 95 %, over {units} alone, since there is one training of each method: {lacking}."
    return f"Intervals are 95 %, over seeds and over {units}; those of one seed over {units} alone: {lacking}."
