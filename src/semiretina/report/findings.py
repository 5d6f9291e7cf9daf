"""What the runs show, in sentences: which method is better, or how good the only one is; and what to beware of."""

from collections.abc import Sequence
from dataclasses import dataclass

from semiretina.report.comparisons import SCORE_NAMES, Comparisons, compare, single_runs
from semiretina.report.runs import Run
from semiretina.report.share import Hide
from semiretina.report.tables import Row, percent, ratio

ONE_TRAINING = (
    "Intervals are 95 %, over patients alone (over photographs where no patient is known), and of one training each: "
    "how differently the same training ends from another seed is not in them, so for the method they are too narrow."
)


@dataclass(frozen=True)
class Sentence:
    """One finding: what is asked (task and score), the sentence, and a further one about two single runs, or ""."""

    about: str
    text: str
    more: str
    verdict: str  # "" where nothing is compared
    primary: bool


@dataclass(frozen=True)
class Findings:
    """The sentences, the most important first; how they were chosen and judged; what was not compared, and why."""

    sentences: list[Sentence]
    notes: list[str]
    refused: list[str]


def findings(runs: Sequence[Run], rows: Sequence[Row], hide: Hide, share: bool) -> Findings:
    """Differences between methods; of one method alone its scores. `hide` takes names out of what is shared."""
    compared = compare(runs)
    if not compared.comparisons:
        sentences = [Sentence(row.task, hide(_alone(row)), "", "", False) for row in rows if row.n]
        notes = [*compared.notes, ONE_TRAINING] if sentences else compared.notes
        return Findings(sentences, [hide(note) for note in notes], _refused(compared, hide, share))
    sentences = [
        Sentence(
            f"{one.task}, {SCORE_NAMES[one.score]}",
            hide(one.sentence),
            single_runs(one.single) if one.single else "",
            str(one.verdict),
            one.primary,
        )
        for one in compared.comparisons
    ]
    return Findings(sentences, [hide(note) for note in compared.notes], _refused(compared, hide, share))


def _refused(compared: Comparisons, hide: Hide, share: bool) -> list[str]:
    found = []
    for one in compared.refused:
        example = f", such as {one.example}" if one.example and not share else ""
        found.append(hide(f"{' against '.join(filter(None, (one.ours, one.theirs)))}: {one.reason}{example}"))
    return found


def _alone(row: Row) -> str:
    """One run's scores on one output, beside what needs no network."""
    measure = ("AUROC", row.auroc) if row.auroc.value is not None else ("quadratic kappa", row.quadratic_kappa)
    parts = [f"{measure[0]} {ratio(measure[1])}"] if measure[1].value is not None else []
    if row.accuracy.value is not None:
        vote = f", where the majority vote has {100 * row.majority:.1f} %" if row.majority is not None else ""
        cell = percent(row.accuracy)
        parts.append(" ".join(filter(None, [f"accuracy {cell.value} %", cell.interval])) + vote)
    said = "; ".join(parts) or "no score is defined"
    return f"{row.run}: {said}; {row.n} test photographs."


def cautions(runs: Sequence[Run], wanting: Sequence[str], hide: Hide) -> list[str]:
    """What the runs' scores warn of, each sentence once with the outputs and runs that it holds for; then `wanting`."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for key, scores in run.result["test"].items():
            stated = scores.get("caution") or []
            for text in [stated] if isinstance(stated, str) else stated:
                found.setdefault(text, []).append(f"{key} of {run.label}")
    told = [f"{', '.join(dict.fromkeys(where))}: {text}" for text, where in found.items()]
    return [hide(text) for text in [*told, *dict.fromkeys(wanting)]]
