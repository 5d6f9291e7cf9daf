"""How each training's settings were chosen on validation, and which training failed all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from semiretina.report.paper.cells import CELLS, TABLE_2
from semiretina.report.paper.numbers import TASK, balance_in_words, spread
from semiretina.report.paper.study import Study, Trained
from semiretina.report.paper.table1 import TITLES, Point, best_point, number_text
from semiretina.report.runs import Run


@dataclass(frozen=True)
class Search:
    """The trials of one training: each in words, its score on validation, whether it was chosen."""

    title: str
    chosen: str
    accuracy: str
    trials: Sequence[tuple[str, str, bool]]
    waiting: int  # trials that have no result yet


def searches(study: Study) -> list[Search]:
    """Of every cell that has trials, in the order of the cells."""
    return [_search(CELLS[name].title, points) for name, points in study.searches.items() if points]


def _search(title: str, points: Sequence[Point]) -> Search:
    best = best_point(points)
    trials = [
        (_settings(p), p.status if p.accuracy is None else _accuracy(p), p is best)
        for p in points
        if p.status != "open"
    ]
    return Search(
        title,
        _settings(best) if best else "none: every trial diverged" if trials else "not searched yet",
        _accuracy(best) if best else "–",
        trials,
        sum(point.status == "open" for point in points),
    )


def _accuracy(point: Point) -> str:
    return f"{100 * (point.accuracy or 0.0):.1f}" + ("" if point.auroc is None else f", AUROC {point.auroc:.3f}")


def _settings(point: Point) -> str:
    return ", ".join(
        balance_in_words(value) if key.endswith(".balance") else f"{_name(key)} {number_text(value)}"
        for key, value in point.parameters.items()
    )


def _name(key: str) -> str:
    """A dotted key in words: "learning rate", and "first stage: learning rate"."""
    _, _, last = key.rpartition(".")
    words = TITLES.get(last, last)
    return f"first stage: {words}" if key.startswith("stages.0.") else words


def chance_findings(study: Study) -> list[str]:
    """A sentence for every training that ends no better than the majority vote where its baseline learns."""
    sentences = []
    for name, baseline in _compared():
        trained, reference = study.cells[name], study.cells[baseline]
        failed = [run for run in trained.runs if _at_chance(run)]
        if failed and reference.runs and not any(map(_at_chance, reference.runs)):
            seeds = f" in {len(failed)} of {len(trained.runs)} seeds" if len(trained.runs) > 1 else ""
            trials = len(study.searches.get(name, ()))
            tuned = f"after {trials} trials for either" if trials else "without a search for its settings"
            sentences.append(
                f"{trained.cell.title} ends at chance{seeds}: {_accuracies(trained)} %, no better than the majority "
                f"vote, {_majority(failed[0]):.1f} %, where {reference.cell.title} learns: {_accuracies(reference)} %. "
                f"That is so {tuned}: here these settings are no fair picture of this training."
            )
    return sentences


def _compared() -> list[tuple[str, str]]:
    return [(name, baseline) for baseline, *others in TABLE_2.values() for name in others]


def _at_chance(run: Run) -> bool:
    """Whether the accuracy's interval holds the majority vote, or what is below."""
    accuracy = run.result["test"][TASK]["accuracy"]
    low = accuracy["value"] if accuracy.get("low") is None else accuracy["low"]
    return 100 * float(low) <= _majority(run)


def _majority(run: Run) -> float:
    return 100 * float(run.result["test"][TASK]["majority"])


def _accuracies(trained: Trained) -> str:
    return spread([100 * run.result["test"][TASK]["accuracy"]["value"] for run in trained.runs], 1)
