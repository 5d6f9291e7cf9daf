"""Two methods' runs laid side by side: pairs of equal seed, tested on one list of photographs, against equal labels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from semiretina.report.labeled_answers import LabeledAnswers, Unfit
from semiretina.report.runs import Run

Read = Callable[[Run], LabeledAnswers]


@dataclass(frozen=True)
class Refused:
    """Two runs that were not compared, or one without a partner (`theirs` is ""), and why.

    `example` is the path of a photograph that shows it, or ""; a page to be shared leaves it out.
    """

    ours: str
    theirs: str
    reason: str
    example: str = ""


@dataclass(frozen=True)
class Pairs:
    """Both methods' answers to one list of photographs, in the order of `seeds`."""

    seeds: list[int]
    ours: list[LabeledAnswers]
    theirs: list[LabeledAnswers]


def pair(ours: Sequence[Run], theirs: Sequence[Run], read: Read) -> tuple[Pairs, list[Refused]]:
    """The pairs that may be compared, on the list of photographs that most of them share, and what was left out."""
    a_runs, refused = _by_seed(ours)
    b_runs, also_refused = _by_seed(theirs)
    refused += also_refused
    for runs, others, name in ((a_runs, b_runs, theirs[0].name), (b_runs, a_runs, ours[0].name)):
        alone = [run for seed, run in runs.items() if seed not in others]
        refused += [Refused(run.label, "", f"{name} has no run of seed {run.seed}") for run in alone]
    both = [(a_runs[seed], b_runs[seed]) for seed in sorted(a_runs) if seed in b_runs]
    lists = Counter(a.test_list for a, b in both if a.test_list == b.test_list)
    pairs = Pairs([], [], [])
    for a, b in both:
        try:
            _check_lists(a, b, lists.most_common(1)[0][0] if lists else "")
            one, other = read(a), read(b)
            _check_equal(one, other, b.label)
            if pairs.ours:
                _check_equal(pairs.ours[0], one, f"seed {pairs.seeds[0]}")
        except Unfit as reason:
            refused.append(Refused(a.label, b.label, str(reason), reason.example))
            continue
        pairs.seeds.append(a.seed)
        pairs.ours.append(one)
        pairs.theirs.append(other)
    return pairs, refused


def _by_seed(runs: Sequence[Run]) -> tuple[dict[int, Run], list[Refused]]:
    first: dict[int, Run] = {}
    refused = []
    for run in runs:
        if run.seed in first:
            refused.append(Refused(run.label, "", f"a second run of seed {run.seed}; the first-named one counts"))
        first.setdefault(run.seed, run)
    return first, refused


def _check_lists(a: Run, b: Run, usual: str) -> None:
    if a.test_list != b.test_list:
        raise Unfit(f"they were tested on different photographs (lists {a.test_list[:12]} and {b.test_list[:12]})")
    if a.test_list != usual:
        here, there = a.test_list[:12], usual[:12]
        raise Unfit(f"they were tested on other photographs than most seeds (lists {here} and {there})")


def _check_equal(a: LabeledAnswers, b: LabeledAnswers, whose: str) -> None:
    different = sorted(set(a.paths) ^ set(b.paths))
    if different:
        raise Unfit(f"the labelled test photographs are not those of {whose}: {len(different)} differ", different[0])
    if a.values.shape != b.values.shape:
        raise Unfit(f"the classes are not those of {whose}")
    wrong = [path for path, x, y in zip(a.paths, a.labels, b.labels, strict=True) if x != y]
    if wrong:
        raise Unfit(f"the labels are not those of {whose}: {len(wrong)} of {len(a.labels)} differ", wrong[0])
