"""Planted studies: labels and answers of two methods whose true difference is known. `judge.py` puts them to the judge.

No photograph is needed. A study draws labels of 40 to 600 photographs, mostly two eyes a patient, and what the graders
see: Gaussian around `separation` times a signal. It varies with the patient and the photograph (shared by the methods),
with the method and the patient, with the seed (of the separation), and with the seed and the patient.

**A yes or no**: the signal is the label, so that areas and accuracies are known in closed form. **Five grades**: the
signal is the severity of an eye, cut into grades at the quantiles 0.5, 0.7, 0.85 and 0.95; a grader gives each grade
its probability given what it sees, and answers with the likeliest one. Quadratic kappa and macro AUROC are then
integrals over what is seen. The severities of a patient's two eyes correlate by 0.8.

An effect is designed for 90 % power by the judge's own test: the gain whose noncentral t, with the variances of the
design (over seeds in closed form, over patients by the influence of each of 3,000, or of 1,000 for grades) and
Satterthwaite's degrees of freedom, exceeds Student's quantile with that chance. A design in which no gain does is
refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import nct, norm, rankdata, t

from semiretina.scoring.comparisons import Score

POWER, LEVEL = 0.9, 0.95
EYES_AGREE = 0.8  # correlation of the latent severities of a patient's two eyes
POPULATION, OF_GRADES = 3000, 1000  # patients drawn to measure the variances of a design
CUTS = norm.ppf([0.5, 0.7, 0.85, 0.95])
LEAST = 0.02  # of a separation from severity: a grader that sees nothing answers as one that sees next to nothing
NODES = np.polynomial.hermite_e.hermegauss(31)  # to average over seeds
BEST = 0.97  # area, or correlation of what is seen with severity: no gain beyond it is planted


@dataclass(frozen=True)
class Design:
    """What a study is drawn from. Variances of what is seen of a photograph sum to 1 beside the seed's."""

    photographs: int
    two_eyes: float  # share of patients with both eyes
    seeds: int
    prevalence: float  # of a yes
    separation: float  # of the positives from the negatives, or of severities one apart, in standard deviations
    seed_spread: float  # standard deviation of the separation over seeds
    own_seed: float  # share of that variance which the methods do not share
    method_share: float  # of a score's variance: the method's own view of a photograph, equal for all its seeds
    training_share: float  # of a score's variance: differs with every training
    gain: float = 0.0  # of separation, of ours over theirs
    grades: bool = False

    @property
    def patients(self) -> int:
        return round(self.photographs / (1 + self.two_eyes))


@dataclass(frozen=True)
class Study:
    labels: np.ndarray  # [n]
    groups: np.ndarray  # [n] patients
    ours: np.ndarray  # [s, n], or [s, n, 5] probabilities of grades
    theirs: np.ndarray  # as ours


def draw_design(random: np.random.Generator, grades: bool = False) -> Design:
    design = Design(
        photographs=round(np.exp(random.uniform(log(40), log(600)))),
        two_eyes=random.uniform(0.6, 1.0),
        seeds=int(random.integers(3, 11)),
        prevalence=random.uniform(0.2, 0.5),
        separation=sqrt(2) * norm.ppf(random.uniform(0.70, 0.88)),
        seed_spread=np.exp(random.uniform(log(0.03), log(0.4))),
        own_seed=random.uniform(0.3, 1.0),
        method_share=random.uniform(0.02, 0.2),
        training_share=random.uniform(0.05, 0.3),
    )
    return replace(design, separation=slope(random.uniform(0.6, 0.85)), grades=True) if grades else design


def few_seeds(design: Design) -> Design:
    """The hardest for an interval: many photographs, and three seeds a method, of which most of the variance comes."""
    return replace(design, photographs=600, seeds=3, seed_spread=0.4, own_seed=1.0, training_share=0.05)


def slope(correlation: float) -> float:
    """The separation at which what is seen correlates so with severity."""
    return correlation / sqrt(1 - correlation**2)


def draw_study(design: Design, random: np.random.Generator) -> Study:
    """Labels and answers; a patient's two eyes share their latent severity and half of every variance."""
    count, d = design.patients, design
    groups = np.sort(np.concatenate([np.arange(count), np.flatnonzero(random.random(count) < d.two_eyes)]))
    n = len(groups)

    def clustered(*before: int, agree: float = 0.5) -> np.ndarray:
        """Standard normal [*before, n], correlated by `agree` between the eyes of a patient."""
        shared, own = random.normal(size=(*before, count))[..., groups], random.normal(size=(*before, n))
        return sqrt(agree) * shared + sqrt(1 - agree) * own

    severity = clustered(agree=EYES_AGREE)
    labels = np.searchsorted(CUTS, severity) if d.grades else (severity > norm.isf(d.prevalence)).astype(np.int64)
    separations = d.separation + np.array([d.gain, 0.0])[:, None] + seed_effects(d, d.seeds, random)
    if d.grades:
        separations = np.maximum(separations, LEAST)
    seen = separations[:, :, None] * (severity if d.grades else labels)  # [method, seed, photograph]
    seen = seen + sqrt(1 - d.method_share - d.training_share) * clustered()
    seen = seen + sqrt(d.method_share) * clustered(2)[:, None] + sqrt(d.training_share) * clustered(2, d.seeds)
    if d.grades:
        seen = probabilities(seen / np.sqrt(1 + separations**2)[:, :, None], separations[:, :, None])
    return Study(labels, groups, seen[0], seen[1])


def seed_effects(design: Design, seeds: int, random: np.random.Generator) -> np.ndarray:
    """[method, seed] what a seed adds to the separation: a part that both methods share, and their own."""
    own = sqrt(design.own_seed) * random.normal(size=(2, seeds))
    return design.seed_spread * (own + sqrt(1 - design.own_seed) * random.normal(size=seeds))


def probabilities(seen: np.ndarray, separations: np.ndarray) -> np.ndarray:
    """[..., 5] of each grade, given the standardized `seen`: severity is then normal around correlation x seen."""
    length = np.sqrt(1 + separations**2)
    below = ndtr(CUTS * length[..., None] - (separations * seen)[..., None])
    return np.diff(below, axis=-1, prepend=0, append=1)


def of_share(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """[n] what each photograph adds to the share of right answers, about its mean; so for the scores below."""
    hits = answers == labels
    return (hits - hits.mean()) / len(labels)


def of_area(positive: np.ndarray, values: np.ndarray) -> np.ndarray:
    parts, m, n = np.zeros(len(positive)), positive.sum(), (~positive).sum()
    ranks = rankdata(values)
    over = (ranks[positive] - rankdata(values[positive])) / n
    parts[positive] = (over - over.mean()) / m
    parts[~positive] = (1 - (ranks[~positive] - rankdata(values[~positive])) / m - over.mean()) / n
    return parts


def of_areas(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.mean([of_area(labels == k, values[:, k]) for k in range(5)], axis=0)


def of_kappa(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """By the delta method: kappa is 1 - the mean squared distance / that of labels and answers paired at random."""
    distances = np.square(labels - answers)
    by_label = np.square(labels[:, None] - np.arange(5)) @ np.bincount(answers, minlength=5) / len(labels)
    by_answer = np.square(answers[:, None] - np.arange(5)) @ np.bincount(labels, minlength=5) / len(labels)
    found, chance = distances.mean(), by_label.mean()
    return ((by_label + by_answer - 2 * chance) * found / chance - (distances - found)) / (chance * len(labels))


@dataclass(frozen=True)
class Task:
    """What is judged: the score, whether of five grades or of a yes or no, and what a photograph adds to it."""

    score: Score
    grades: bool
    influence: Callable[[np.ndarray, np.ndarray], np.ndarray]


TASKS: Mapping[str, Task] = {
    "auroc": Task("auroc", False, lambda labels, values: of_area(labels == 1, values)),
    "accuracy": Task("accuracy", False, of_share),
    "quadratic_kappa": Task("quadratic_kappa", True, of_kappa),
    "macro_auroc": Task("auroc", True, of_areas),
}


def answered(task: Task, design: Design, seen: np.ndarray) -> np.ndarray:
    """Answers as the comparison wants them: as they are, the likeliest grade, or cut between the two classes."""
    if task.score == "auroc":
        return seen
    return seen.argmax(axis=-1) if task.grades else (seen >= design.separation / 2).astype(np.int64)


@cache
def graded(score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Separations from severity, and the score over all patients of a grader that sees so much."""
    separations = np.geomspace(LEAST, 20, 120)
    seen = np.linspace(-7, 7, 14_001)
    density = norm.pdf(seen) * (seen[1] - seen[0])
    values = []
    for separation in separations:
        p = probabilities(seen, np.full(1, separation))
        joint = p * density[:, None]
        if score == "auroc":
            values.append(np.mean([area(p[:, k], joint[:, k], density - joint[:, k]) for k in range(5)]))
        else:
            answers = p.argmax(axis=1)
            table = np.array([joint[answers == k].sum(axis=0) for k in range(5)])
            distance = np.square(np.subtract.outer(np.arange(5), np.arange(5)))
            chance = np.outer(table.sum(axis=1), table.sum(axis=0))
            values.append(1 - (distance * table).sum() / (distance * chance).sum())
    return separations, np.array(values)


def area(values: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> float:
    """Under the ROC curve of so much mass of either class at each value."""
    order = np.argsort(values)
    ours, theirs = positives[order], negatives[order]
    return float(ours @ (np.cumsum(theirs) - theirs / 2) / (ours.sum() * theirs.sum()))


def expected(task: Task, design: Design, separation: float | np.ndarray, spread: float) -> float | np.ndarray:
    """The score of a method of this separation, over all patients and over seeds of this spread."""
    if task.grades:
        nodes, weights = NODES if spread else (np.zeros(1), np.ones(1))
        separations, values = graded(task.score)
        found = np.interp(
            np.log(np.maximum(np.add.outer(separation, spread * nodes), LEAST)), np.log(separations), values
        )
        return found @ (weights / weights.sum())
    if task.score == "auroc":
        return norm.cdf(separation / sqrt(2 + spread**2))
    hits = norm.cdf((separation - design.separation / 2) / sqrt(1 + spread**2))
    return design.prevalence * hits + (1 - design.prevalence) * norm.cdf(design.separation / 2)


def true_difference(task: Task, design: Design) -> float:
    theirs = expected(task, design, design.separation, design.seed_spread)
    return float(expected(task, design, design.separation + design.gain, design.seed_spread) - theirs)


def influences(task: Task, study: Study, answers: np.ndarray) -> np.ndarray:
    """[s, patients] what each patient adds to the score, about its mean and times the number of patients."""
    count = study.groups.max() + 1
    rows = [np.bincount(study.groups, task.influence(study.labels, values), count) for values in answers]
    return count * np.array(rows)


@dataclass(frozen=True)
class Parts:
    """The variance of a study's difference, and its parts: over seeds, over patients, of both together."""

    seeds: float
    patients: float
    both: float

    @property
    def whole(self) -> float:
        return self.seeds + self.patients + self.both


def parts_of(task: Task, design: Design, random: np.random.Generator) -> Parts:
    """Seeds by the closed form, patients by a large population that few trainings answer."""
    gains = np.array([[design.gain], [0.0]])
    effects = design.separation + gains + seed_effects(design, 20_000, random)
    of_seeds = np.var(np.subtract(*expected(task, design, effects, 0.0)))
    count = OF_GRADES if task.grades else POPULATION
    large = draw_study(replace(design, photographs=round(count * (1 + design.two_eyes)), seeds=6), random)
    ours, theirs = (influences(task, large, answered(task, design, x)) for x in (large.ours, large.theirs))
    apart = ours - theirs
    both = np.square(apart - apart.mean(axis=0)).sum() / (5 * count)
    of_patients = max(0.0, apart.mean(axis=0).var() - both / 6)
    s, patients = design.seeds, design.patients
    return Parts(of_seeds / s, of_patients / patients, both / (s * patients))


def designed(task: Task, design: Design, random: np.random.Generator) -> Design | None:
    """The design with the gain that gives `POWER`, or None where no gain up to `BEST` does."""
    most = (slope(BEST) if task.grades else sqrt(2) * norm.ppf(BEST)) - design.separation
    of_yes_and_no = task.score == "auroc" and not task.grades
    rarer = 1 + design.patients * min(1.0, 1.2 * design.prevalence) if of_yes_and_no else design.patients
    for _ in range(3):  # the variances depend on the gain
        parts = parts_of(task, design, random)
        over_seeds, over_patients = parts.seeds + parts.both, parts.patients + parts.both
        df = parts.whole**2 / (over_seeds**2 / (design.seeds - 1) + over_patients**2 / (rarer - 1))
        needed = sqrt(parts.whole) * steps(df)
        if true_difference(task, replace(design, gain=most)) < needed:
            return None
        low, high = 0.0, most
        for _ in range(40):
            middle = (low + high) / 2
            short = true_difference(task, replace(design, gain=middle)) < needed
            low, high = (middle, high) if short else (low, middle)
        design = replace(design, gain=high)
    return design


def steps(df: float) -> float:
    """How many standard errors off nothing a difference must be to be shown with a chance of `POWER`."""
    critical = t.isf((1 - LEVEL) / 2, df)
    return brentq(lambda mean: nct.sf(critical, df, mean) - POWER, 0.1, 60)
