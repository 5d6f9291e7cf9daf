"""The judge judged: planted studies with a known difference between two methods, put to the verdict.

    python benchmarks/judge.py [--studies 100] [--score auroc] [--resamples 2000] [--others] [--hard]

Half of the studies are nulls, in which both methods are equally good; the others have the effect that gives a
90 % chance of "shown" by the judge's own test, had one known all variances beforehand. No photograph is needed: a study
draws labels and scores of 40 to 600 photographs, mostly two eyes a patient, from 3 to 10 seeds a method. Scores are
Gaussian, so that the true difference of the areas, or of the accuracies, is known in closed form. They vary with the
patient and the photograph (shared by the methods), with the method and the patient, with the seed, and with the seed
and the patient. `--others` puts the same studies to three simpler ways of judging; `--hard` draws nulls of three seeds
that vary more than patients do.

Prints Markdown: the counts, by seeds and photographs, and the table of docs/results/judge.md.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm, rankdata, t

from semiretina.draws import generator
from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.comparisons import SCORES, Score, paired_difference
from semiretina.scoring.verdict import judge

POWER, LEVEL = 0.9, 0.95
EYES_AGREE = 0.8  # correlation of the latent severities of a patient's two eyes
POPULATION = 3000  # patients drawn to measure the variances of a design


@dataclass(frozen=True)
class Design:
    """What a study is drawn from. Variances of a photograph's score sum to 1 beside the seed's."""

    photographs: int
    two_eyes: float  # share of patients with both eyes
    seeds: int
    prevalence: float
    separation: float  # of the positives' scores from the negatives', in standard deviations
    seed_spread: float  # standard deviation of the separation over seeds
    own_seed: float  # share of that variance which the methods do not share
    method_share: float  # of a score's variance: the method's own view of a photograph, equal for all its seeds
    training_share: float  # of a score's variance: differs with every training
    gain: float = 0.0  # of separation, of ours over theirs

    @property
    def patients(self) -> int:
        return round(self.photographs / (1 + self.two_eyes))


@dataclass(frozen=True)
class Study:
    labels: np.ndarray  # [n]
    groups: np.ndarray  # [n] patients
    ours: np.ndarray  # [s, n]
    theirs: np.ndarray  # [s, n]


def draw_design(random: np.random.Generator) -> Design:
    return Design(
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


def few_seeds(design: Design) -> Design:
    """The hardest for an interval: many photographs, and three seeds a method, of which most of the variance comes."""
    return replace(design, photographs=600, seeds=3, seed_spread=0.4, own_seed=1.0, training_share=0.05)


def draw_study(design: Design, random: np.random.Generator) -> Study:
    """Labels and scores; a patient's two eyes share their latent severity and half of every variance."""
    count, d = design.patients, design
    groups = np.sort(np.concatenate([np.arange(count), np.flatnonzero(random.random(count) < d.two_eyes)]))
    n = len(groups)

    def clustered(*before: int, agree: float = 0.5) -> np.ndarray:
        """Standard normal [*before, n], correlated by `agree` between the eyes of a patient."""
        shared, own = random.normal(size=(*before, count))[..., groups], random.normal(size=(*before, n))
        return sqrt(agree) * shared + sqrt(1 - agree) * own

    labels = (clustered(agree=EYES_AGREE) > norm.isf(d.prevalence)).astype(np.int64)
    gains = np.array([d.gain, 0.0])[:, None]
    seeds = seed_effects(d, d.seeds, random)
    scores = (d.separation + gains + seeds)[:, :, None] * labels  # [method, seed, photograph]
    scores = scores + sqrt(1 - d.method_share - d.training_share) * clustered()
    scores = scores + sqrt(d.method_share) * clustered(2)[:, None] + sqrt(d.training_share) * clustered(2, d.seeds)
    return Study(labels, groups, scores[0], scores[1])


def seed_effects(design: Design, seeds: int, random: np.random.Generator) -> np.ndarray:
    """[method, seed] what a seed adds to the separation: a part that both methods share, and their own."""
    own = sqrt(design.own_seed) * random.normal(size=(2, seeds))
    return design.seed_spread * (own + sqrt(1 - design.own_seed) * random.normal(size=seeds))


def expected(score: Score, design: Design, separation: float | np.ndarray, spread: float) -> float | np.ndarray:
    """The score of a method of this separation, over all patients and over seeds of this spread."""
    if score == "auroc":
        return norm.cdf(separation / sqrt(2 + spread**2))
    hits = norm.cdf((separation - design.separation / 2) / sqrt(1 + spread**2))
    return design.prevalence * hits + (1 - design.prevalence) * norm.cdf(design.separation / 2)


def true_difference(score: Score, design: Design) -> float:
    theirs = expected(score, design, design.separation, design.seed_spread)
    return expected(score, design, design.separation + design.gain, design.seed_spread) - theirs


def answered(score: Score, design: Design, scores: np.ndarray) -> np.ndarray:
    """Scores as the comparison wants them: as they are, or cut between the two classes."""
    return scores if score == "auroc" else (scores >= design.separation / 2).astype(np.int64)


def influences(score: Score, study: Study, answers: np.ndarray) -> np.ndarray:
    """[s, patients] what each patient adds to the score, about its mean and times the number of patients."""
    y, count, rows = study.labels, study.groups.max() + 1, []
    for values in answers:
        if score == "accuracy":
            hits = values == y
            parts = (hits - hits.mean()) / len(y)
        else:
            positive, parts = y == 1, np.zeros(len(y))
            ranks, m, n = rankdata(values), (y == 1).sum(), (y == 0).sum()
            over = (ranks[positive] - rankdata(values[positive])) / n
            parts[positive] = (over - over.mean()) / m
            parts[~positive] = (1 - (ranks[~positive] - rankdata(values[~positive])) / m - over.mean()) / n
        rows.append(count * np.bincount(study.groups, weights=parts, minlength=count))
    return np.array(rows)


@dataclass(frozen=True)
class Parts:
    """The variance of a study's difference, and its parts: over seeds, over patients, of both together."""

    seeds: float
    patients: float
    both: float

    @property
    def whole(self) -> float:
        return self.seeds + self.patients + self.both


def parts_of(score: Score, design: Design, random: np.random.Generator) -> Parts:
    """Seeds by the closed form, patients by a large population that few trainings answer."""
    gains = np.array([[design.gain], [0.0]])
    effects = design.separation + gains + seed_effects(design, 20_000, random)
    of_seeds = np.var(np.subtract(*expected(score, design, effects, 0.0)))
    large = draw_study(replace(design, photographs=round(POPULATION * (1 + design.two_eyes)), seeds=6), random)
    ours, theirs = (influences(score, large, answered(score, design, x)) for x in (large.ours, large.theirs))
    apart = ours - theirs
    both = np.square(apart - apart.mean(axis=0)).sum() / (5 * POPULATION)
    of_patients = max(0.0, apart.mean(axis=0).var() - both / 6)
    s, patients = design.seeds, design.patients
    return Parts(of_seeds / s, of_patients / patients, both / (s * patients))


def designed(score: Score, design: Design, random: np.random.Generator) -> Design | None:
    """The design with the gain that gives `POWER`, or None where no gain below an area of 0.97 does."""
    most = sqrt(2) * norm.ppf(0.97) - design.separation
    rarer = design.patients if score == "accuracy" else 1 + design.patients * min(1.0, 1.2 * design.prevalence)
    for _ in range(3):  # the variances depend on the gain
        parts = parts_of(score, design, random)
        over_seeds, over_patients = parts.seeds + parts.both, parts.patients + parts.both
        df = parts.whole**2 / (over_seeds**2 / (design.seeds - 1) + over_patients**2 / (rarer - 1))
        needed = sqrt(parts.whole) * steps(df)
        if true_difference(score, replace(design, gain=most)) < needed:
            return None
        low, high = 0.0, most
        for _ in range(40):
            middle = (low + high) / 2
            short = true_difference(score, replace(design, gain=middle)) < needed
            low, high = (middle, high) if short else (low, middle)
        design = replace(design, gain=high)
    return design


def steps(df: float) -> float:
    """How many standard errors off nothing a difference must be to be shown with a chance of `POWER`."""
    critical = t.isf((1 - LEVEL) / 2, df)
    return brentq(lambda mean: nct.sf(critical, df, mean) - POWER, 0.1, 60)


def studies(score: Score, count: int, effect: bool, hard: bool) -> Iterator[tuple[Design, Study]]:
    """`count` studies of designs drawn anew; those in which the score is undefined are drawn again."""
    random = generator("judge", score, int(effect))
    while count:
        design = few_seeds(draw_design(random)) if hard else draw_design(random)
        found = designed(score, design, random) if effect else design
        if found is None:
            continue
        study = draw_study(found, random)
        if min(np.bincount(study.labels, minlength=2)) < 5:
            continue
        count -= 1
        yield found, study


def by_seeds_alone(observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower end of a paired t interval over seeds, the test photographs taken for the whole world."""
    count = len(observed)
    return observed.mean() - t.isf((1 - LEVEL) / 2, count - 1) * observed.std(ddof=1) / sqrt(count)


def by_patients_alone(observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower percentile over resampled patients, the trainings taken for the only ones."""
    return np.nanquantile(drawn.mean(axis=1), (1 - LEVEL) / 2)


def by_percentiles(observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower percentile of the plain crossed bootstrap."""
    seeds = len(observed)
    times = generator("judge seeds", seeds).multinomial(seeds, np.full(seeds, 1 / seeds), size=len(drawn))
    return np.nanquantile((drawn * times).sum(axis=1) / seeds, (1 - LEVEL) / 2)


def per_seed(score: Score, study: Study, ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    value = SCORES[score]
    pairs = zip(ours, theirs, strict=True)
    return np.stack([value(study.labels, a, weights) - value(study.labels, b, weights) for a, b in pairs], axis=1)


OTHERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "paired t over seeds": by_seeds_alone,
    "bootstrap of patients": by_patients_alone,
    "percentiles of the crossed bootstrap": by_percentiles,
}


def put_to_the_judge(
    score: Score, count: int, effect: bool, draws: int, others: bool = False, hard: bool = False
) -> list[dict[str, object]]:
    """One row a study: its design's numbers, the verdict, whether the interval holds the truth."""
    rows: list[dict[str, object]] = []
    for design, study in studies(score, count, effect, hard):
        ours, theirs = (answered(score, design, scores) for scores in (study.ours, study.theirs))
        found = paired_difference(score, study.labels, ours, theirs, study.groups, count=draws)
        verdict, truth = judge(found), true_difference(score, design)
        row = {
            "seeds": design.seeds,
            "photographs": len(study.labels),
            "better": verdict == "shown",
            "worse": verdict == "worse, shown",
            "covered": found.low <= truth <= found.high,
            "gain": truth,
        }
        if others:
            parts = parts_of(score, design, generator("parts", len(rows)))
            row["by seeds"] = parts.seeds + parts.both > parts.patients
            observed = per_seed(score, study, ours, theirs, np.ones((1, len(study.labels))))[0]
            weights = resamples(study.groups, "judge", count=draws)
            drawn = np.concatenate([per_seed(score, study, ours, theirs, block) for block in weights])
            row |= {name: way(observed, drawn) > 0 for name, way in OTHERS.items()}
        rows.append(row)
    return rows


BANDS: dict[str, Callable[[dict[str, object]], bool]] = {
    "all": lambda row: True,
    "3 or 4 seeds": lambda row: row["seeds"] <= 4,
    "5 to 10 seeds": lambda row: row["seeds"] > 4,
    "40 to 99 photographs": lambda row: row["photographs"] < 100,
    "100 to 600 photographs": lambda row: row["photographs"] >= 100,
}


def table(nulls: list[dict[str, object]], effects: list[dict[str, object]]) -> str:
    def percent(rows: list[dict[str, object]], key: str) -> str:
        return f"{100 * np.mean([row[key] for row in rows]):.1f}" if rows else "–"

    lines = [
        "| studies | nulls | better, shown % | worse, shown % | interval holds 0, % | with an effect | gain, points "
        "| better, shown % | interval holds the gain, % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, chosen in BANDS.items():
        a, b = ([row for row in rows if chosen(row)] for rows in (nulls, effects))
        gain = f"{100 * np.median([row['gain'] for row in b]):.1f}" if b else "–"
        cells = [name, str(len(a)), percent(a, "better"), percent(a, "worse"), percent(a, "covered")]
        lines.append(f"| {' | '.join([*cells, str(len(b)), gain, percent(b, 'better'), percent(b, 'covered')])} |")
    if OTHERS.keys() <= nulls[0].keys():
        lines += [
            "",
            "| way of judging | better, shown: % of nulls | of these, where trainings vary more than patients "
            "| % of those with an effect |",
            "|---|--:|--:|--:|",
        ]
        varied = [row for row in nulls if row["by seeds"]]
        for title, key in {"ours": "better", **{name: name for name in OTHERS}}.items():
            of_these = f"{percent(varied, key)} (n = {len(varied)})"
            lines.append(f"| {title} | {percent(nulls, key)} | {of_these} | {percent(effects, key)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=100, help="of each kind")
    parser.add_argument("--score", choices=["auroc", "accuracy"], default="auroc")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--others", action="store_true", help="also judge in three simpler ways")
    parser.add_argument("--hard", action="store_true", help="nulls alone, of three seeds that vary more than patients")
    args = parser.parse_args()
    nulls, effects = (
        put_to_the_judge(args.score, count, effect, args.resamples, args.others, args.hard)
        for effect, count in ((False, args.studies), (True, 0 if args.hard else args.studies))
    )
    wrong, right = sum(bool(row["better"]) for row in nulls), sum(bool(row["better"]) for row in effects)
    print(f"{wrong} of {len(nulls)} nulls shown; {right} of {len(effects)} effects shown ({args.score})\n")
    print(table(nulls, effects))


if __name__ == "__main__":
    main()
