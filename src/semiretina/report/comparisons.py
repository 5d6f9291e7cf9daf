"""Which method is better: from run folders to differences with intervals, and one sentence each.

Runs of one name are the seeds of one method. Two methods are compared over the seeds that both have, and on identical
lists of test photographs only; what is left out is named with the reason. The one comparison that a run's `[claim]`
declares is judged by itself, all others together, by Holm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from semiretina.report.answers import Answers, read_answers
from semiretina.report.pairs import Pairs, Refused, pair
from semiretina.report.runs import Run
from semiretina.scoring.comparisons import Difference, McNemar, Score, delong, holm, mcnemar, paired_difference
from semiretina.scoring.verdict import Judgement, Verdict

SCORE_NAMES: Mapping[Score, str] = {
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "quadratic_kappa": "quadratic kappa",
}


@dataclass(frozen=True)
class SingleRuns:
    """Two runs with one photograph a patient: exact McNemar of their answers, paired DeLong of their areas."""

    mcnemar: McNemar
    delong: Difference | None  # None for a choice among classes


@dataclass(frozen=True)
class PairedComparison:
    """One method against another on one output (a task, or `task.output`) by one score; differences are ours - theirs.

    `difference` has the plain 95 % interval; the verdict of one of several goes by `adjusted`, Holm's p. `margin` is
    None where none was stated beforehand. `unit` is what the interval takes to be drawn at random beside the seeds.
    """

    ours: str
    theirs: str
    task: str
    score: Score
    primary: bool
    seeds: list[int]
    photographs: int
    unit: str
    difference: Difference
    margin: float | None
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


@dataclass(frozen=True)
class _Plan:
    """A comparison to make. `declared`: it stands in the configuration of `ours` (`[claim]`)."""

    ours: str
    theirs: str
    task: str
    score: Score
    margin: float | None
    declared: bool


def compare(runs: Sequence[Run]) -> Comparisons:
    """Every method against the one that a claim names, or against the first-named one where nothing was declared.

    Raises BadData for a broken table of predictions. One method alone gives no comparison.
    """
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(run.name, []).append(run)
    if len(methods) < 2:
        return Comparisons([], [], [])
    claims, notes = _claims(methods)
    plans = _plans(methods, claims)
    memory: dict[tuple[str, str], Answers] = {}

    def read(run: Run, key: str) -> Answers:
        if (run.label, key) not in memory:
            memory[run.label, key] = read_answers(run, key)
        return memory[run.label, key]

    refused: list[Refused] = []
    found: list[tuple[_Plan, Pairs, Difference]] = []
    for plan in plans:
        pairs, left_out = pair(methods[plan.ours], methods[plan.theirs], partial(read, key=plan.task))
        refused += [reason for reason in left_out if reason not in refused]
        if pairs.seeds:
            found.append((plan, pairs, _difference(plan.score, pairs)))
    primary = claims[0] if len(claims) == 1 else None
    family = [number for number, (plan, _, _) in enumerate(found) if plan != primary]
    adjusted = dict(zip(family, holm([found[number][2].p for number in family]), strict=True))
    comparisons = [
        _judged(plan, pairs, difference, adjusted.get(number), len(family))
        for number, (plan, pairs, difference) in enumerate(found)
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


def _claims(methods: Mapping[str, Sequence[Run]]) -> tuple[list[_Plan], list[str]]:
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
        against = [other for other, own in methods.items() if other != name and claim["against"] in _names(other, own)]
        if len(against) != 1:
            many = f"{len(against)} methods here are called so" if against else "which is not among these runs"
            notes.append(f"{name} was declared to be compared with {claim['against']}, {many}.")
            continue
        task = claim.get("task") or runs[0].config["tasks"][0]
        claims.append(_Plan(name, against[0], task, claim["score"], claim["margin"], True))
    return claims, notes


def _names(method: str, runs: Sequence[Run]) -> set[str]:
    """What a claim may call a method: its name, with or without the folder, or that of one of its runs."""
    return {method, method.rpartition("/")[2], *(str(run.result.get("name")) for run in runs)}


def _plans(methods: Mapping[str, Sequence[Run]], claims: Sequence[_Plan]) -> list[_Plan]:
    """The claims, then every other method against the first claim's baseline, or against the first-named method."""
    if claims:
        first = claims[0]
        done = {(claim.ours, claim.theirs) for claim in claims}
        rest = [name for name in methods if name != first.theirs and (name, first.theirs) not in done]
        others = [_Plan(name, first.theirs, first.task, first.score, first.margin, False) for name in rest]
        return [*claims, *others]
    baseline, *others_named = methods
    run = methods[baseline][0]
    named = run.config["tasks"][0]
    outputs = [key for key in run.result["test"] if key.partition(".")[0] == named] or [named]
    return [_Plan(name, baseline, key, "auroc", None, False) for key in outputs for name in others_named]


def _difference(score: Score, pairs: Pairs) -> Difference:
    ours, theirs = (
        np.stack([a.values if score == "auroc" else a.chosen for a in side]) for side in (pairs.ours, pairs.theirs)
    )
    return paired_difference(score, pairs.ours[0].labels, ours, theirs, pairs.ours[0].groups)


def _judged(plan: _Plan, pairs: Pairs, difference: Difference, adjusted: float | None, family: int) -> PairedComparison:
    first, alone = pairs.ours[0], adjusted is None
    p, count = (difference.p, 1) if adjusted is None else (adjusted, family)
    judgement = Judgement(difference, plan.margin, p, count)
    single = None
    if len(pairs.seeds) == 1 and difference.groups == len(first.paths):
        second = pairs.theirs[0]
        areas = delong(first.labels, first.values, second.values, first.groups) if first.values.ndim == 1 else None
        single = SingleRuns(mcnemar(first.labels, first.chosen, second.chosen), areas)
    return PairedComparison(
        ours=plan.ours,
        theirs=plan.theirs,
        task=plan.task,
        score=plan.score,
        primary=alone,
        seeds=pairs.seeds,
        photographs=len(first.paths),
        unit=first.unit,
        difference=difference,
        margin=plan.margin,
        adjusted=p,
        verdict=judgement.verdict,
        sentence=judgement.sentence(_called(plan.ours), _called(plan.theirs), first.unit),
        single=single,
    )


def _called(name: str) -> str:
    return "the baseline" if name == "baseline" else name


def _explained(claims: Sequence[_Plan], comparisons: Sequence[PairedComparison]) -> list[str]:
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
            f"{claim.task} by {SCORE_NAMES[claim.score]}; the least gain that matters is "
            f"{100 * (claim.margin or 0):g} points. It {fate}."
        )
    elif claims:
        notes.append(f"{len(claims)} comparisons were declared before training, so that none is the primary one.")
    else:
        notes.append("No comparison was declared before training ([claim] in a configuration): all are secondary.")
    if secondary > 1:
        notes.append(
            f"The {secondary} comparisons that are not primary are judged together: their verdicts go by p values "
            "adjusted after Holm, so an interval of 95 % may leave out 0 where nothing is shown."
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
