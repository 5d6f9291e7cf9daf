"""The judge judged: planted studies with a known difference between two methods, put to the verdict.

    python benchmarks/judge.py [--studies 100] [--task auroc] [--resamples 2000] [--seeds 2] [--others] [--hard]
    python benchmarks/judge.py --every [--studies 10]       # all tasks with 2, 3 and 5 seeds a method: one row each

Half of the studies are nulls, in which both methods are equally good; the others have the effect that gives a
90 % chance of "shown" by the judge's own test, had one known all variances beforehand. What is drawn, and how, is told
in `planted.py`. 3 to 10 seeds a method, or as many as `--seeds`. `--others` puts the same studies to four simpler
ways of judging; `--hard` draws nulls of three seeds (or `--seeds`) that vary more than patients do.

A study goes the way of a report's: `paired_difference`, `Judgement`.

Prints Markdown: the counts, by seeds and photographs, and the tables of docs/results/judge.md.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
from planted import (
    LEVEL,
    TASKS,
    Design,
    Study,
    Task,
    answered,
    designed,
    draw_design,
    draw_study,
    few_seeds,
    parts_of,
    true_difference,
)
from scipy.stats import t

from semiretina.draws import generator
from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.comparisons import SCORES, Difference, paired_difference
from semiretina.scoring.intervals import wilson
from semiretina.scoring.verdict import Judgement

SEEDS = (2, 3, 5)
Row = dict[str, object]


def studies(name: str, count: int, effect: bool, hard: bool, seeds: int | None) -> Iterator[tuple[int, Design, Study]]:
    """`count` studies of designs drawn anew, each with how many designs were refused before it (no gain would do).

    Studies in which the score is undefined, or a grade is missing, are drawn again.
    """
    task = TASKS[name]
    random = generator("judge", name, int(effect), *([seeds] if seeds else []))
    refused = 0
    while count:
        design = draw_design(random, task.grades)
        design = few_seeds(design) if hard else design
        design = replace(design, seeds=seeds or design.seeds)
        found = designed(task, design, random) if effect else design
        if found is None:
            refused += 1
            continue
        study = draw_study(found, random)
        fewest, kinds = (1, 5) if task.grades else (5, 2)
        if min(np.bincount(study.labels, minlength=kinds)) < fewest:
            continue
        yield refused, found, study
        count, refused = count - 1, 0


def by_satterthwaite(found: Difference, observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower end of ours without the precaution for few seeds."""
    return found.value - t.isf((1 - LEVEL) / 2, found.df) * found.error


def by_seeds_alone(found: Difference, observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower end of a paired t interval over seeds, the test photographs taken for the whole world."""
    count = len(observed)
    return observed.mean() - t.isf((1 - LEVEL) / 2, count - 1) * observed.std(ddof=1) / sqrt(count)


def by_patients_alone(found: Difference, observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower percentile over resampled patients, the trainings taken for the only ones."""
    return np.nanquantile(drawn.mean(axis=1), (1 - LEVEL) / 2)


def by_percentiles(found: Difference, observed: np.ndarray, drawn: np.ndarray) -> float:
    """Lower percentile of the plain crossed bootstrap."""
    seeds = len(observed)
    times = generator("judge seeds", seeds).multinomial(seeds, np.full(seeds, 1 / seeds), size=len(drawn))
    return np.nanquantile((drawn * times).sum(axis=1) / seeds, (1 - LEVEL) / 2)


def per_seed(task: Task, study: Study, ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    value = SCORES[task.score]
    pairs = zip(ours, theirs, strict=True)
    return np.stack([value(study.labels, a, weights) - value(study.labels, b, weights) for a, b in pairs], axis=1)


OTHERS: dict[str, Callable[[Difference, np.ndarray, np.ndarray], float]] = {
    "ours at Satterthwaite's degrees of freedom alone": by_satterthwaite,
    "paired t over seeds": by_seeds_alone,
    "bootstrap of patients": by_patients_alone,
    "percentiles of the crossed bootstrap": by_percentiles,
}


def put_to_the_judge(
    name: str,
    count: int,
    effect: bool,
    draws: int,
    others: bool = False,
    hard: bool = False,
    seeds: int | None = None,
) -> list[Row]:
    """One row a study: its design's numbers, the verdict, whether the interval holds the truth."""
    task, rows = TASKS[name], []
    for refused, design, study in studies(name, count, effect, hard, seeds):
        ours, theirs = (answered(task, design, seen) for seen in (study.ours, study.theirs))
        found = paired_difference(task.score, study.labels, ours, theirs, study.groups, count=draws)
        judgement, truth = Judgement(found), true_difference(task, design)
        verdict = judgement.verdict
        said = {"not shown": "a difference is not shown", "worse, shown": "shown"}.get(verdict, verdict)
        assert judgement.sentence("ours", "theirs").endswith(f" patients): {said}."), "the sentence says the verdict"
        row: Row = {
            "refused": refused,
            "seeds": design.seeds,
            "photographs": len(study.labels),
            "better": verdict == "shown",
            "worse": verdict == "worse, shown",
            "covered": found.low <= truth <= found.high,
            "gain": truth,
        }
        if others:
            parts = parts_of(task, design, generator("parts", len(rows)))
            row["by seeds"] = parts.seeds + parts.both > parts.patients
            observed = per_seed(task, study, ours, theirs, np.ones((1, len(study.labels))))[0]
            weights = resamples(study.groups, "judge", count=draws)
            drawn = np.concatenate([per_seed(task, study, ours, theirs, block) for block in weights])
            row |= {way: lower(found, observed, drawn) > 0 for way, lower in OTHERS.items()}
        rows.append(row)
    return rows


BANDS: dict[str, Callable[[dict[str, object]], bool]] = {
    "all": lambda row: True,
    "4 seeds or fewer": lambda row: row["seeds"] <= 4,
    "5 seeds or more": lambda row: row["seeds"] > 4,
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


TITLES = (
    "| task | seeds | nulls: better or worse, shown % | better, shown % | interval holds 0, % | designs that some gain "
    "would do for, % | gain, points | effects: better, shown % | interval holds the gain, % |"
)


def share(rows: Sequence[Row], *keys: str) -> str:
    """In % with Wilson's interval."""
    found = wilson(float(np.mean([any(row[key] for key in keys) for row in rows])), len(rows))
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def every(count: int, draws: int) -> None:
    """Prints a row for each task and number of seeds."""
    print(TITLES + "\n|---|" + "--:|" * 8)
    for name in TASKS:
        for seeds in SEEDS:
            nulls, effects = (put_to_the_judge(name, count, effect, draws, seeds=seeds) for effect in (False, True))
            feasible = 100 * count / (count + sum(int(row["refused"]) for row in effects))
            gain = f"{100 * np.median([row['gain'] for row in effects]):.1f}"
            cells = [name, str(seeds), share(nulls, "better", "worse"), share(nulls, "better"), share(nulls, "covered")]
            cells += [f"{feasible:.0f}", gain, share(effects, "better"), share(effects, "covered")]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=100, help="of each kind")
    parser.add_argument("--task", choices=TASKS, default="auroc")
    parser.add_argument("--seeds", type=int, help="a method; 3 to 10 without it")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--every", action="store_true", help="every task, with 2, 3 and 5 seeds")
    parser.add_argument("--others", action="store_true", help="also judge in four simpler ways")
    parser.add_argument("--hard", action="store_true", help="nulls alone, of seeds that vary more than patients")
    args = parser.parse_args()
    if args.every:
        every(args.studies, args.resamples)
        return
    nulls, effects = (
        put_to_the_judge(args.task, count, effect, args.resamples, args.others, args.hard, args.seeds)
        for effect, count in ((False, args.studies), (True, 0 if args.hard else args.studies))
    )
    wrong, right = sum(bool(row["better"]) for row in nulls), sum(bool(row["better"]) for row in effects)
    print(f"{wrong} of {len(nulls)} nulls shown; {right} of {len(effects)} effects shown ({args.task})\n")
    print(table(nulls, effects))


if __name__ == "__main__":
    main()
