"""The paper's claims in words, each with the number that it stands on and ours, and what its gains can show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, spearmanr

from semiretina.report.paper.cells import CELLS, TABLE_2
from semiretina.report.paper.numbers import PAPER_TEST, TASK, Number, curves, number, spread
from semiretina.report.runs import Run

HOLE = "— (a hole)"
Runs = Mapping[str, Sequence[Run]]  # cell -> its runs, a seed each


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the paper, the number it stands on, and ours."""

    sentence: str
    section: str
    paper: str
    ours: str


def claims(runs: Runs, role: str) -> list[Claim]:
    """The paper's claims in words, each with our number; `role` is whose curves over epochs there are."""
    numbers = {name: number(name, runs.get(name, ())) for name in CELLS}

    def gain(better: str, than: str) -> str:
        return _difference(numbers[better], numbers[than], runs.get(better, ()), runs.get(than, ()))

    def gains(model: str) -> str:
        pairs = [(f"{model}-{training}", f"{model}-baseline") for training in ("ae-then-cl", "combined")]
        found = [differences(numbers[a], numbers[b], runs.get(a, ()), runs.get(b, ())) for a, b in pairs]
        return " and ".join(f"{np.mean(own):+.2f} points" if own else HOLE for own in found)

    def first(name: str) -> list[float]:
        return [curve[0] for curve in curves(runs.get(name, ()), role) if curve]

    def unsteady(name: str) -> list[float]:
        return [float(np.std(curve[len(curve) // 2 :])) for curve in curves(runs.get(name, ()), role) if curve]

    def reached(name: str) -> str:
        found = [float(_reached(curve)) for curve in curves(runs.get(name, ()), role) if curve]
        return spread(found, 0) if found else HOLE

    def both(function: Callable[[str], list[float]], one: str, other: str, unit: str) -> str:
        own, others = function(one), function(other)
        return f"{spread(own, 1)} against {spread(others, 1)} {unit}" if own and others else HOLE

    return [
        Claim(
            "a small amount of unlabelled data can improve the classifier by around 2 %",
            "1",
            "AECL1 +1.68 and -1.26 points, AERes18 +2.1 and +2.1 points",
            f"AE then CL and combined: AECL1 {gains('aecl1')}, AERes18 {gains('aeres18')}",
        ),
        Claim(
            "pre-training on unlabelled data helps, shown by the higher starting accuracy",
            "5.4, figure 6a",
            "about 57 % (the majority vote, for 60 epochs)",
            "at the first epoch of the classifier, with and without: "
            f"{both(first, 'aecl1-ae-then-cl', 'aecl1-baseline', '%')}",
        ),
        Claim(
            "AE then CL1 is 1.68 % above the CL1 baseline",
            "5.4, table 2",
            "+1.68 points: 4 of 238 photographs",
            gain("aecl1-ae-then-cl", "aecl1-baseline"),
        ),
        Claim(
            "the combined loss converges faster than AE then CL1 and CL1",
            "5.4, figure 6a",
            "no number",
            f"epochs to 95 % of its own rise: combined {reached('aecl1-combined')}, "
            f"AE then CL {reached('aecl1-ae-then-cl')}, baseline {reached('aecl1-baseline')}",
        ),
        Claim(
            "the combined model's maximum is not above the CL1 baseline",
            "5.4, table 2",
            "-1.26 points",
            gain("aecl1-combined", "aecl1-baseline"),
        ),
        Claim(
            "AERes18, AE then CL, is 2.1 % above Res18",
            "table 2",
            "+2.1 points: 5 of 238 photographs",
            gain("aeres18-ae-then-cl", "aeres18-baseline"),
        ),
        Claim(
            "AERes18, combined, is 2.1 % above Res18",
            "5.4, 6",
            "+2.1 points: 5 of 238 photographs",
            gain("aeres18-combined", "aeres18-baseline"),
        ),
        Claim(
            "AERes18 with unlabelled data is 2.1 % above the pretrained ResNet18 classifier",
            "6",
            "-2.1 points: figure 5a's ResNet18 peaks near 91.2 %",
            gain("aeres18-combined", "resnet18-pretrained"),
        ),
        Claim(
            "pre-training on ImageNet improves InceptionV3 by about 30 %",
            "5.3, figure 5a",
            "+29 points",
            gain("inceptionv3-pretrained", "inceptionv3-scratch"),
        ),
        Claim(
            "pre-training on ImageNet improves ResNet18 by about 20 %",
            "5.3, figure 5a",
            "+18.6 points",
            gain("resnet18-pretrained", "resnet18-scratch"),
        ),
        Claim(
            "the variance of the accuracy over epochs decreases after pre-training",
            "5.3",
            "no number",
            "standard deviation over the later half of the epochs, pretrained and not: ResNet18 "
            f"{both(unsteady, 'resnet18-pretrained', 'resnet18-scratch', 'points')}, InceptionV3 "
            f"{both(unsteady, 'inceptionv3-pretrained', 'inceptionv3-scratch', 'points')}",
        ),
        Claim(
            "InceptionV3 is worse than ResNet18 when neither is pre-trained",
            "5.3",
            "61.3 against 72.6 %",
            gain("inceptionv3-scratch", "resnet18-scratch"),
        ),
        Claim(
            "Res18 performs like ResNet18",
            "5.3, figure 5",
            "86.97 (table 2) against 91.2 %",
            gain("aeres18-baseline", "resnet18-pretrained"),
        ),
        Claim("accuracy and area under the ROC curve are equivalent", "4.6", "no number", _equivalence(runs)),
    ]


def _reached(curve: Sequence[float]) -> int:
    """The first epoch, from 1, whose accuracy has made 95 % of the way from the first epoch's to the largest."""
    goal = curve[0] + 0.95 * (max(curve) - curve[0])
    return 1 + next(epoch for epoch, value in enumerate(curve) if value >= goal)


def differences(better: Number, than: Number, runs: Sequence[Run], others: Sequence[Run]) -> list[float]:
    """The differences of two cells, a seed each that both have; none where the test photographs differ."""
    if len({run.test_list for run in (*runs, *others)}) != 1:
        return []
    seeds = {run.seed: value for run, value in zip(others, than.values, strict=True)}
    return [v - seeds[run.seed] for run, v in zip(runs, better.values, strict=True) if run.seed in seeds]


def _difference(better: Number, than: Number, runs: Sequence[Run], others: Sequence[Run]) -> str:
    """The mean difference over the seeds that both have, and exact McNemar for the first (readings, row 32)."""
    found = differences(better, than, runs, others)
    if not found:
        together = runs and others and len({run.test_list for run in (*runs, *others)}) > 1
        return "— (tested on different photographs)" if together else HOLE
    pairs = [(run, other) for run in runs for other in others if run.seed == other.seed]
    gained, lost = discordant(*pairs[0])
    sign = "+" if np.mean(found) >= 0 else ""
    seed = f", seed {pairs[0][0].seed}" if len(found) > 1 else ""
    return (
        f"{sign}{spread(found, 2)} points; at the last look{seed}, {gained} photographs gained and {lost} lost of "
        f"{better.n}, exact McNemar p = {mcnemar(gained, lost):.2g}"
    )


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p that as many or more of the photographs on which two runs differ go one way."""
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def paper_gains() -> list[tuple[str, int, int, float]]:
    """The gains of table 2: in words, in photographs, of how many, and the least p they can have (readings, row 32).

    The least: where every photograph on which the two runs differ was gained.
    """
    found = []
    for title, (baseline, *others) in TABLE_2.items():
        for name in others:
            gain = round((CELLS[name].paper - CELLS[baseline].paper) * PAPER_TEST / 100)
            if gain > 0:
                model = title.partition(" ")[0]
                found.append((f"{model}, {CELLS[name].training}", gain, PAPER_TEST, mcnemar(gain, 0)))
    return found


def discordant(run: Run, other: Run) -> tuple[int, int]:
    """How many test photographs the first run alone answers rightly, and how many the other alone."""
    assert run.test_list == other.test_list, "runs on different test photographs are not paired"
    own, others = (_right(r) for r in (run, other))
    return sum(own[p] and not others[p] for p in own), sum(others[p] and not own[p] for p in own)


def _right(run: Run) -> dict[str, bool]:
    threshold = float(run.config.get("threshold", 0.5))
    table = run.predictions()
    answers = zip(table.paths, table.labels[TASK][:, 0], table.probabilities[TASK][:, 0], strict=True)
    return {path: bool((probability >= threshold) == label) for path, label, probability in answers if label >= 0}


def _equivalence(runs: Runs) -> str:
    pairs = [
        (run.result["test"][TASK]["accuracy"]["value"], run.result["test"][TASK]["auroc"]["value"])
        for own in runs.values()
        for run in own
    ]
    known = [(100 * a, 100 * u) for a, u in pairs if a is not None and u is not None]
    if len(known) < 3:
        return "— (fewer than three runs)"
    accuracy, area = map(np.array, zip(*known, strict=True))
    said = f"over {len(known)} runs they differ by {np.abs(accuracy - area).mean():.1f} points on average"
    if min(np.ptp(accuracy), np.ptp(area)) == 0:
        return f"{said}; they have no ranks to compare"
    return f"{said}; their ranks correlate with {float(spearmanr(accuracy, area).statistic):.2f}"
