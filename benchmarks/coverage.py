"""How often the 95 % intervals of the scores hold the truth, for patients with two photographed eyes.

    python benchmarks/coverage.py                  # every cell of the tables in docs/results/coverage.md
    python benchmarks/coverage.py --only 50 200 --replications 200
    python benchmarks/coverage.py --few            # those of its table of few positives and few patients
    python benchmarks/coverage.py --calibration    # the calibration error of graders that are well calibrated, or not

A patient's eyes agree: their severities correlate by 0.7, the grader's errors on them by 0.4. **Yes or no**: an eye is
diseased when its severity is among the highest of a share (the prevalence); its score is normal around 0 or, if
diseased, around d, so that the AUROC is exactly Phi(d / sqrt 2) and every other true value is one integral over the
score. **Five grades**: severity is cut at the quantiles 0.5, 0.7, 0.85, 0.95; the grader sees severity with an error
and names the likeliest grade; r is the correlation of what it sees with severity.

The studied functions are `binary_scores` and `class_scores` as everybody calls them. An interval that is
undefined (NaN) counts as a miss. A sample without positives or negatives has no score to give an interval to, and is
drawn again.
"""

import argparse
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from semiretina.scoring import binary_scores, class_scores, scores
from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.caution import within_chance

Floats = npt.NDArray[np.float64]
Coverage = dict[str, tuple[float, float]]  # of each score: % that hold the truth, % undefined
SIZES = (50, 100, 200, 500)  # photographs
AREAS = (0.7, 0.8, 0.92, 0.97)
PREVALENCES = (0.2, 0.5)
RARE = (0.92, 0.1)  # one more pair of AUROC and prevalence, with fewer than ten positives up to 100 photographs
CORRELATIONS = (0.7, 0.9)
# Photographs, then the settings: 12 patients, and about five positives.
FEW_OF_TWO = [(24, 0.8, 0.2), (24, 0.8, 0.5), (24, 0.92, 0.2), (24, 0.92, 0.5)]
FEW_OF_TWO += [(50, 0.8, 0.1), (50, 0.92, 0.1), (100, 0.8, 0.05), (100, 0.92, 0.05)]
FEW_OF_FIVE = [(24, 0.7), (24, 0.9)]
SEVERITIES, ERRORS = 0.7, 0.4  # how two eyes of a patient correlate
OVERCONFIDENCE = 1.5  # of the logits, so that the calibration error is not 0
# Photographs, then AUROC, prevalence and overconfidence: 1 is well calibrated, 1.1 as after a temperature was fitted.
CALIBRATED = [(n, 0.9, 0.3, 1.0) for n in (50, 100, 200, 500, 1000, 3000)]
CALIBRATED += [(n, 0.8, 0.5, 1.0) for n in (200, 1000)] + [(n, 0.97, 0.2, 1.0) for n in (200, 1000)]
CALIBRATED += [(n, 0.9, 0.3, factor) for factor in (1.1, 1.5, 2.0) for n in (200, 1000, 3000)]
BINS = 15
CUTS = norm.ppf([0.5, 0.7, 0.85, 0.95])
STATED = 0.1  # prevalence at which PPV and NPV are asked for
GRID = np.linspace(-9, 13, 440_001)
SHARES = ["accuracy", "sensitivity", "specificity", "balanced_accuracy", "ppv", "npv"]
BINARY = ["auroc", *SHARES, "average_precision", "brier", "ece"]
CLASSES = ["accuracy", "balanced_accuracy", "quadratic_kappa", "auroc", "brier", "ece"]


def pairs(draw: np.random.Generator, patients: int, correlation: float) -> Floats:
    """[2 * patients] standard normal numbers, those of a patient side by side."""
    shared = np.repeat(draw.standard_normal(patients), 2)
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * draw.standard_normal(2 * patients)


class Binary:
    """One yes-or-no grader: its true scores, and samples of its answers."""

    def __init__(self, area: float, prevalence: float, overconfidence: float = OVERCONFIDENCE) -> None:
        self.seed = (1, round(1000 * area), round(1000 * prevalence))
        self.overconfidence = overconfidence
        self.distance, self.prevalence = np.sqrt(2) * norm.ppf(area), prevalence
        # A little above the middle of the two means, so that sensitivity is below specificity.
        self.threshold = float(self.probability(np.array(self.distance / 2 + 0.25)))

    def probability(self, score: Floats) -> Floats:
        exact = self.distance * score - self.distance**2 / 2 + logit(self.prevalence)
        return expit(self.overconfidence * exact)

    def truth(self) -> dict[str, float]:
        ill, well = self.prevalence, 1 - self.prevalence
        diseased, healthy = norm.pdf(GRID - self.distance), norm.pdf(GRID)
        answered = ill * norm.sf(GRID - self.distance) + well * norm.sf(GRID)
        p = self.probability(GRID)
        sensitivity, specificity = norm.cdf(self.distance / 2 - 0.25), norm.cdf(self.distance / 2 + 0.25)
        gaps = ill * diseased * (1 - p) - well * healthy * p
        in_bins = np.bincount(np.clip(np.ceil(p * BINS).astype(int) - 1, 0, BINS - 1), gaps, BINS)
        return {
            "auroc": norm.cdf(self.distance / np.sqrt(2)),
            "accuracy": ill * sensitivity + well * specificity,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "average_precision": integral(diseased * ill * norm.sf(GRID - self.distance) / answered),
            "ppv": sensitivity * STATED / (sensitivity * STATED + (1 - specificity) * (1 - STATED)),
            "npv": specificity * (1 - STATED) / (specificity * (1 - STATED) + (1 - sensitivity) * STATED),
            "brier": integral(ill * diseased * (1 - p) ** 2 + well * healthy * p**2),
            "ece": float(np.abs(in_bins).sum() * (GRID[1] - GRID[0])),
        }

    def sample(self, draw: np.random.Generator, n: int) -> Mapping[str, Any]:
        while True:
            labels = pairs(draw, n // 2, SEVERITIES) > norm.isf(self.prevalence)
            if 0 < labels.sum() < n:
                break
        score = pairs(draw, n // 2, ERRORS) + self.distance * labels
        return binary_scores(labels, self.probability(score), patients(n), self.threshold, prevalence=STATED)


class Grades:
    """One grader of five grades that sees severity with an error."""

    def __init__(self, correlation: float) -> None:
        self.seed = (5, round(1000 * correlation))
        self.correlation = correlation

    def probabilities(self, seen: Floats) -> Floats:
        spread = np.sqrt(1 - self.correlation**2)
        below = norm.cdf((CUTS - self.correlation * seen[:, None]) / spread)
        return np.diff(below, axis=1, prepend=0, append=1)

    def truth(self) -> dict[str, float]:
        seen = np.linspace(-8, 8, 40_001)
        p, density = self.probabilities(seen), norm.pdf(seen) * (seen[1] - seen[0])
        answers, joint = p.argmax(axis=1), p * density[:, None]
        table = np.array([joint[answers == k].sum(axis=0) for k in range(5)]).T  # [grade, answer]
        distance = np.square(np.subtract.outer(np.arange(5), np.arange(5)))
        chance = np.outer(table.sum(axis=1), table.sum(axis=0))
        areas = []
        for k in range(5):
            labels, weights = np.repeat([1, 0], len(seen)), np.concatenate([joint[:, k], density - joint[:, k]])
            areas.append(roc_auc_score(labels, np.tile(p[:, k], 2), sample_weight=np.maximum(weights, 0)))
        return {
            "accuracy": np.trace(table),
            "balanced_accuracy": (np.diag(table) / table.sum(axis=1)).mean(),
            "quadratic_kappa": 1 - (distance * table).sum() / (distance * chance).sum(),
            "auroc": float(np.mean(areas)),
            "brier": 1 - float((density[:, None] * p**2).sum()),
            "ece": 0.0,
        }

    def sample(self, draw: np.random.Generator, n: int) -> Mapping[str, Any]:
        severity, error = pairs(draw, n // 2, SEVERITIES), pairs(draw, n // 2, ERRORS)
        seen = self.correlation * severity + np.sqrt(1 - self.correlation**2) * error
        return class_scores(np.searchsorted(CUTS, severity), self.probabilities(seen), patients(n))


def calibration(grader: Binary, n: int, replications: int) -> tuple[float, float, float, float, float]:
    """The true error, means of that reported and of that by chance, % of intervals that hold, % that are warned of."""
    truth, draw = grader.truth()["ece"], np.random.default_rng([n, *grader.seed])
    samples = [grader.sample(draw, n) for _ in range(replications)]
    reported, chance = ([found[name] for found in samples] for name in ("ece", "ece_by_chance"))
    held = [each.low <= truth <= each.high for each in reported]
    warned = [within_chance(found) for found in samples]
    means = (float(np.mean([each.value for each in estimates])) for estimates in (reported, chance))
    return (truth, *means, 100 * float(np.mean(held)), 100 * float(np.mean(warned)))


def integral(values: Floats) -> float:
    return float(values.sum() * (GRID[1] - GRID[0]))


def patients(n: int) -> npt.NDArray[np.int64]:
    return np.arange(n) // 2


def coverage(grader: Binary | Grades, n: int, replications: int) -> Coverage:
    truth, draw = grader.truth(), np.random.default_rng([n, *grader.seed])
    held, undefined = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(replications):
        found = grader.sample(draw, n)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
            undefined[name] += bool(np.isnan(found[name].low))
    return {name: (100 * held[name] / replications, 100 * undefined[name] / replications) for name in truth}


Settings = list[tuple[float, ...]]
# The grader, its scores, the titles and values of its settings, and those of few photographs with their number.
TABLES: Sequence[tuple[Callable[..., Binary | Grades], list[str], list[str], Settings, Settings]] = (
    (Binary, BINARY, ["n", "AUROC", "prevalence"], [*itertools.product(AREAS, PREVALENCES), RARE], FEW_OF_TWO),
    (Grades, CLASSES, ["n", "r"], [(r,) for r in CORRELATIONS], FEW_OF_FIVE),
)


@functools.cache
def blocks(n: int, *key: int | str, **options: int) -> list[Floats]:
    return list(resamples(patients(n), *key, **options))


def row(settings: tuple[float, ...], names: list[str], result: Coverage) -> str:
    texts = [f"{result[name][0]:.1f}{f' ({result[name][1]:.1f})' if result[name][1] else ''}" for name in names]
    return f"| {' | '.join([*map(str, settings), *texts])} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=int, nargs="+", default=SIZES, help="numbers of photographs")
    parser.add_argument("--few", action="store_true", help="few positives and few patients instead")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--calibration", action="store_true", help="the calibration error by overconfidence instead")
    arguments = parser.parse_args()
    # The draws are the same at each call, and here the patients too: they are drawn once.
    scores.resamples = lambda groups, *key, **options: blocks(len(groups), *key, **options)
    started = time.perf_counter()
    if arguments.calibration:
        scores.BINARY = {name: scores.BINARY[name] for name in ("ece", "ece_by_chance")}  # the others take minutes
        print("\n| n | AUROC | prevalence | overconfidence | true | reported | by chance | held | warned |")
        print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
        for n, *own in CALIBRATED:
            true, reported, chance, held, warned = calibration(Binary(*own), n, arguments.replications)
            errors = f"{true:.3f} | {reported:.3f} | {chance:.3f}"
            print(f"| {' | '.join(map(str, (n, *own)))} | {errors} | {held:.1f} | {warned:.1f} |", flush=True)
        print(f"\n{arguments.replications} replications a cell. {time.perf_counter() - started:.0f} s.")
        return
    for make, names, title, settings, few in TABLES:
        print(f"\n| {' | '.join([*title, *names])} |\n|{'--:|' * len(title + names)}")
        for n, *own in few if arguments.few else [(n, *own) for n in arguments.only for own in settings]:
            print(row((n, *own), names, coverage(make(*own), int(n), arguments.replications)), flush=True)
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.replications)
    print(
        f"\n{arguments.replications} replications a cell: a standard error of {error:.1f} points at 95 %. "
        f"In brackets: % of intervals that are undefined, counted as misses. {time.perf_counter() - started:.0f} s."
    )


if __name__ == "__main__":
    main()
