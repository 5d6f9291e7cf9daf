"""How a claim's number is worked out from the runs of a reproduction: functions that answer in a sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binomtest, spearmanr

from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.network_figure import built
from semiretina.report.paper.numbers import (
    IMAGENET_PHOTOGRAPHS,
    IMAGENET_SIZES,
    TASK,
    Number,
    curves,
    majority,
    number,
    pixels,
    spread,
    training_photographs,
)
from semiretina.report.runs import Run

HOLE = "— (a hole)"
RISE = 0.9  # of the way from the majority vote to the best accuracy: what counts as converged


@dataclass(frozen=True)
class Evidence:
    """The runs of every cell, a seed each, and the role ("val" or "test") whose accuracy is known after every epoch."""

    runs: Mapping[str, Sequence[Run]]
    role: str

    @cached_property
    def numbers(self) -> Mapping[str, Number]:
        """What each cell reached."""
        return {name: number(name, self.of(name)) for name in CELLS}

    def of(self, cell: str) -> Sequence[Run]:
        """The runs of a cell; none where it is a hole."""
        return self.runs.get(cell, ())

    def curves(self, cell: str, score: str = "accuracy") -> list[list[float]]:
        """Its curves over epochs, a seed each that has one: percentages, or the plain loss."""
        return [curve for curve in curves(self.of(cell), self.role, score) if curve]

    def differences(self, better: str, than: str) -> list[float]:
        """The differences of two cells, a seed each that both have; none where the test photographs differ."""
        runs, others = self.of(better), self.of(than)
        if len({run.test_list for run in (*runs, *others)}) != 1:
            return []
        values = {run.seed: value for run, value in zip(others, self.numbers[than].values, strict=True)}
        pairs = zip(runs, self.numbers[better].values, strict=True)
        return [value - values[run.seed] for run, value in pairs if run.seed in values]


Answer = Callable[[Evidence], str]


def gain(better: str, than: str) -> Answer:
    """The mean difference over the seeds that both have, and exact McNemar for the first (readings, row 32)."""

    def answer(evidence: Evidence) -> str:
        runs, others = evidence.of(better), evidence.of(than)
        differences = evidence.differences(better, than)
        if not differences:
            together = runs and others and len({run.test_list for run in (*runs, *others)}) > 1
            return "— (tested on different photographs)" if together else HOLE
        pairs = [(run, other) for run in runs for other in others if run.seed == other.seed]
        gained, lost = discordant(*pairs[0])
        sign = "+" if np.mean(differences) >= 0 else ""
        seed = f", seed {pairs[0][0].seed}" if len(differences) > 1 else ""
        return (
            f"{sign}{spread(differences, 2)} points; at the last look{seed}, {gained} photographs gained and {lost} "
            f"lost of {evidence.numbers[better].n}, exact McNemar p = {mcnemar(gained, lost):.2g}"
        )

    return answer


def helped(models: Sequence[str]) -> Answer:
    """What both trainings with unlabelled photographs gain over each model's baseline."""

    def gains(evidence: Evidence, model: str) -> str:
        trainings = [f"{model}-{training}" for training in ("ae-then-cl", "combined")]
        differences = [evidence.differences(name, f"{model}-baseline") for name in trainings]
        return " and ".join(f"{np.mean(gains):+.2f} points" if gains else HOLE for gains in differences)

    def answer(evidence: Evidence) -> str:
        each = ", ".join(f"{CELLS[f'{model}-combined'].model} {gains(evidence, model)}" for model in models)
        return f"AE then CL and combined: {each}"

    return answer


def first_accuracies(one: str, other: str) -> Answer:
    """The accuracy after the first epoch of the classifier."""

    def answer(evidence: Evidence) -> str:
        firsts, others = ([curve[0] for curve in evidence.curves(name)] for name in (one, other))
        return f"at the first epoch of the classifier, with and without: {_against(firsts, others, '%')}"

    return answer


def speed(trainings: Mapping[str, str]) -> Answer:
    """Epochs to one level for all trainings: `RISE` of the way from the majority vote to the best that any reached.

    A level of each training's own would call a model that stays at chance the fastest.
    """

    def answer(evidence: Evidence) -> str:
        known = {words: evidence.curves(cell) for words, cell in trainings.items()}
        every = [value for seeds in known.values() for curve in seeds for value in curve]
        votes = [majority(run, evidence.role) for cell in trainings.values() for run in evidence.of(cell)]
        if not every:
            return HOLE
        vote = float(np.mean([v for v in votes if v is not None] or [50.0]))
        if max(every) <= vote:
            return f"none of them rises above the majority vote, {vote:.1f} %"
        level = vote + RISE * (max(every) - vote)
        said = "; ".join(f"{words} {_epochs_to(level, seeds)}" for words, seeds in known.items())
        return (
            f"epochs to {level:.1f} %, {100 * RISE:.0f} % of the way from the majority vote to the best of them: {said}"
        )

    return answer


def _epochs_to(level: float, accuracies: Sequence[Sequence[float]]) -> str:
    if not accuracies:
        return HOLE
    epochs = [next((e for e, value in enumerate(curve, start=1) if value >= level), None) for curve in accuracies]
    reached = [float(epoch) for epoch in epochs if epoch is not None]
    if not reached:
        return "never"
    missed = len(epochs) - len(reached)
    return spread(reached, 0) + (f", never in {missed} of {len(epochs)} seeds" if missed else "")


def steadiness(what: str, models: Mapping[str, tuple[str, str]]) -> Answer:
    """How much the accuracy varies over the later half of the epochs, in two trainings of each model."""

    def compared(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> str:
        # The later half of two epochs is one, which does not vary.
        if one and other and any(len(curve) < 3 for curve in (*one, *other)):
            return "— (too few epochs)"
        before, after = ([float(np.std(curve[len(curve) // 2 :])) for curve in curves] for curves in (one, other))
        return _against(before, after, "points")

    def answer(evidence: Evidence) -> str:
        each = [
            f"{model} {compared(evidence.curves(cell), evidence.curves(other))}"
            for model, (cell, other) in models.items()
        ]
        return f"standard deviation over the later half of the epochs, {what}: {', '.join(each)}"

    return answer


def _against(ours: Sequence[float], theirs: Sequence[float], unit: str) -> str:
    return f"{spread(ours, 1)} against {spread(theirs, 1)} {unit}" if ours and theirs else HOLE


def imagenet_ratio(models: Mapping[str, str]) -> Answer:
    """Pixels to parameters of ImageNet's photographs at the network's usual side, beside ours."""

    def answer(evidence: Evidence) -> str:
        said = []
        for model, cell in models.items():
            if not evidence.of(cell):
                said.append(f"{model} {HOLE}")
                continue
            run = evidence.of(cell)[0]
            network, side = built(run.config), IMAGENET_SIZES[model]
            ours = pixels(training_photographs(run), network.size) / network.without_decoder
            there = pixels(IMAGENET_PHOTOGRAPHS, side) / network.without_decoder
            said.append(f"{model} {there:,.0f} at {side} px against {ours:.1f} here")
        return f"of ImageNet's {IMAGENET_PHOTOGRAPHS:,} photographs: {'; '.join(said)}"

    return answer


def overfitting(models: Mapping[str, str]) -> Answer:
    """The loss on the training photographs at the last epoch beside that on those that are held out, first seed."""

    def answer(evidence: Evidence) -> str:
        said = []
        for model, cell in models.items():
            held_out, trained = evidence.curves(cell, "loss"), curves(evidence.of(cell), "train", "loss")
            if not (held_out and trained and trained[0]):
                said.append(f"{model} {HOLE}")
                continue
            lowest = int(np.argmin(held_out[0])) + 1
            said.append(
                f"{model} {trained[0][-1]:.2f} against {held_out[0][-1]:.2f}, which was lowest at epoch {lowest} of "
                f"{len(held_out[0])}: {min(held_out[0]):.2f}"
            )
        what = "test" if evidence.role == "test" else "validation"
        return f"loss at the last epoch in training against {what}, not pretrained: {'; '.join(said)}"

    return answer


def equivalence(evidence: Evidence) -> str:
    """How far accuracy and area lie apart over all runs, and whether they rank them alike."""
    scores = [run.result["test"][TASK] for runs in evidence.runs.values() for run in runs]
    pairs = [(score["accuracy"]["value"], score["auroc"]["value"]) for score in scores]
    known = [(100 * a, 100 * u) for a, u in pairs if a is not None and u is not None]
    if len(known) < 3:
        return "— (fewer than three runs)"
    accuracy, area = map(np.array, zip(*known, strict=True))
    said = f"over {len(known)} runs they differ by {np.abs(accuracy - area).mean():.1f} points on average"
    if min(np.ptp(accuracy), np.ptp(area)) == 0:
        return f"{said}; they have no ranks to compare"
    return f"{said}; their ranks correlate with {float(spearmanr(accuracy, area).statistic):.2f}"


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p that as many or more of the photographs on which two runs differ go one way."""
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def discordant(run: Run, other: Run) -> tuple[int, int]:
    """How many test photographs the first run alone answers rightly, and how many the other alone."""
    assert run.test_list == other.test_list, "runs on different test photographs are not paired"
    right, right_there = (_right(r) for r in (run, other))
    return sum(right[p] and not right_there[p] for p in right), sum(right_there[p] and not right[p] for p in right)


def _right(run: Run) -> dict[str, bool]:
    threshold = float(run.config.get("threshold", 0.5))
    table = run.predictions()
    answers = zip(table.paths, table.labels[TASK][:, 0], table.probabilities[TASK][:, 0], strict=True)
    return {path: bool((probability >= threshold) == label) for path, label, probability in answers if label >= 0}
