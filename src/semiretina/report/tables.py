"""The table of results: a row for each run and output, as plain text, as Markdown, and as cells for a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from semiretina.report.markdown_text import plain
from semiretina.report.markdown_text import row as markdown_row
from semiretina.report.runs import Run, read_runs

CONTROL = "control: shuffled labels"
NOT_ABOVE = "† The interval of the accuracy reaches down to the majority vote, or below it."


class Score(NamedTuple):
    """A number with its 95 % interval; None where undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


UNDEFINED = Score()


@dataclass(frozen=True)
class Row:
    """What one run reaches on one output of a task on its test photographs."""

    run: str
    name: str
    seed: int
    control: bool
    task: str
    n: int
    positives: int | None  # None for a choice among classes
    majority: float | None
    accuracy: Score
    auroc: Score
    sensitivity: Score
    specificity: Score
    quadratic_kappa: Score
    labeled_photographs: int | None  # that the network trained on
    labeled_updates: int | None
    selected_epoch: int | None
    trained_on: str
    test_list: str
    derived: int | None = None  # of the n labels, those that follow from a grade's definition
    prevalence: float | None = None  # of which ppv and npv hold
    balanced_accuracy: Score = UNDEFINED
    average_precision: Score = UNDEFINED
    ppv: Score = UNDEFINED
    npv: Score = UNDEFINED
    brier: Score = UNDEFINED
    ece: Score = UNDEFINED

    @property
    def above_majority(self) -> bool:
        """Whether the whole interval of the accuracy lies above the majority vote."""
        low = self.accuracy.low
        return low is not None and self.majority is not None and low > self.majority


class Cell(NamedTuple):
    """A number and, in brackets, its interval (or "")."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


def results_table(runs: Sequence[Path]) -> list[Row]:
    """The rows of these run folders in the given order, tasks together. Raises MissingInput for an unfinished run."""
    return rows_of(read_runs(runs))


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """The rows of these runs, tasks together."""
    tasks = list(dict.fromkeys(task for run in runs for task in run.result["test"]))
    return [_row(run, task) for task in tasks for run in runs if task in run.result["test"]]


def _row(run: Run, task: str) -> Row:
    result, scores = run.result, run.result["test"][task]
    counts = result.get("counts", {})
    parts = ("train", "val") if result["trained_on"] == "train+val" else ("train",)
    return Row(
        run=run.label,
        name=run.name,
        seed=run.seed,
        control=bool(run.config.get("data", {}).get("shuffle_labels")),
        task=task,
        n=scores["n"],
        positives=scores.get("positives"),
        majority=scores["majority"],
        accuracy=score(scores, "accuracy"),
        auroc=score(scores, "auroc"),
        sensitivity=score(scores, "sensitivity"),
        specificity=score(scores, "specificity"),
        quadratic_kappa=score(scores, "quadratic_kappa"),
        labeled_photographs=sum(counts[part] for part in parts) if "train" in counts else None,
        labeled_updates=result.get("labeled_updates"),
        selected_epoch=result["selected_epoch"],
        trained_on=result["trained_on"],
        test_list=run.test_list,
        derived=scores.get("derived"),
        prevalence=scores.get("prevalence"),
        balanced_accuracy=score(scores, "balanced_accuracy"),
        average_precision=score(scores, "average_precision"),
        ppv=score(scores, "ppv"),
        npv=score(scores, "npv"),
        brier=score(scores, "brier"),
        ece=score(scores, "ece"),
    )


def score(scores: Mapping[str, Any], name: str) -> Score:
    """A score of `result.json`; all None where it does not stand there."""
    stated = scores.get(name) or {}
    return Score(stated.get("value"), stated.get("low"), stated.get("high"))


def percent(value: Score) -> Cell:
    """A share as a percentage with one decimal."""
    return _cell(value, 100, 1)


def ratio(value: Score) -> Cell:
    """An area or a kappa with three decimals."""
    return _cell(value, 1, 3)


def _cell(value: Score, factor: float, digits: int) -> Cell:
    if value.value is None:
        return Cell("")
    if value.low is None or value.high is None:
        return Cell(f"{value.value * factor:.{digits}f}")
    interval = f"[{value.low * factor:.{digits}f}, {value.high * factor:.{digits}f}]"
    return Cell(f"{value.value * factor:.{digits}f}", interval)


def _count(value: int | None) -> Cell:
    return Cell("" if value is None else str(value))


def _accuracy(row: Row) -> Cell:
    cell = percent(row.accuracy)
    return cell if row.above_majority or not cell.value else cell._replace(value=f"{cell.value}†")


def _area(row: Row) -> Cell:
    return Cell("one class only") if row.auroc.value is None and row.n else ratio(row.auroc)


Columns = Sequence[tuple[str, Callable[[Row], Cell]]]
# title, cell. A column that is empty in every row is left out.
COLUMNS: Columns = (
    ("run", lambda row: Cell(f"{row.run} ({CONTROL})" if row.control else row.run)),
    ("task", lambda row: Cell(row.task)),
    ("n", lambda row: Cell(str(row.n))),
    ("derived labels", lambda row: _count(row.derived)),
    ("majority vote %", lambda row: percent(Score(row.majority))),
    ("accuracy %", _accuracy),
    ("AUROC", _area),
    ("sensitivity %", lambda row: percent(row.sensitivity)),
    ("specificity %", lambda row: percent(row.specificity)),
    ("quadratic kappa", lambda row: ratio(row.quadratic_kappa)),
    ("labelled training photographs", lambda row: _count(row.labeled_photographs)),
    ("labelled updates", lambda row: _count(row.labeled_updates)),
    ("selected epoch", lambda row: _count(row.selected_epoch)),
    ("trained on", lambda row: Cell(row.trained_on)),
)


# What stands in a second table.
MORE: Columns = (
    ("run", lambda row: Cell(row.run)),
    ("task", lambda row: Cell(row.task)),
    ("balanced accuracy %", lambda row: percent(row.balanced_accuracy)),
    ("average precision", lambda row: ratio(row.average_precision)),
    ("PPV %", lambda row: percent(row.ppv)),
    ("NPV %", lambda row: percent(row.npv)),
    ("at a prevalence of %", lambda row: percent(Score(row.prevalence))),
    ("Brier score", lambda row: ratio(row.brier)),
    ("ECE", lambda row: ratio(row.ece)),
)


def cells(
    rows: Sequence[Row], skip: Sequence[str] = (), columns: Columns = COLUMNS
) -> tuple[list[str], list[list[Cell]]]:
    """Titles and cells of the columns that say something, without those in `skip`."""
    table = {title: [cell(row) for row in rows] for title, cell in columns if title not in skip}
    titles = [title for title, column in table.items() if any(cell.value for cell in column)]
    return titles, [[table[title][number] for title in titles] for number in range(len(rows))]


def to_markdown(rows: Sequence[Row]) -> str:
    """Markdown tables with every column, one for each list of test photographs."""
    parts = []
    for title, own in by_test_list(rows).items():
        titles, lines = cells(own)
        aligned = ["---" if t in ("run", "task", "trained on") else "---:" for t in titles]
        texts = [[str(cell) or "–" for cell in line] for line in lines]
        body = "".join(f"{markdown_row(line)}\n" for line in [titles, aligned, *texts])
        parts.append((f"**{plain(title)}**\n\n" if title else "") + body)
    return "\n".join([*parts, *_notes(rows)]).strip() + "\n"


def to_text(rows: Sequence[Row]) -> str:
    """Plain text for a terminal, one table for each list of test photographs; what all rows share stands above it."""
    parts = []
    for title, own in by_test_list(rows).items():
        titles, lines = cells(own)
        numbers = ("n", "majority vote %", "labelled training photographs", "selected epoch", "task", "trained on")
        columns = dict(zip(titles, zip(*lines, strict=True), strict=True))
        shared = {t: str(columns[t][0]) for t in numbers if t in columns and len(set(columns[t])) == 1}
        kept = [t for t in titles if t not in shared]
        widths = {t: max(len(t), *(len(str(cell)) for cell in columns[t])) for t in kept}
        above = "; ".join(f"{t.removesuffix(' %')} {value}{' %' if '%' in t else ''}" for t, value in shared.items())

        def line(values: Mapping[str, str], kept: Sequence[str] = kept, widths: Mapping[str, int] = widths) -> str:
            return "  ".join(f"{values[t]:{'<' if t == 'run' else '>'}{widths[t]}}" for t in kept).rstrip()

        body = [line({t: str(columns[t][number]) or "–" for t in kept}) for number in range(len(own))]
        parts.append("\n".join(filter(None, [title, above, line({t: t for t in kept}), *body])) + "\n")
    return "\n".join([*parts, *_notes(rows)]).strip() + "\n"


def by_test_list(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows that may be compared, under a title; it is empty when all may be."""
    lists = list(dict.fromkeys(row.test_list for row in rows))
    if len(lists) < 2:
        return {"": list(rows)}
    return {list_title(n, sha): [r for r in rows if r.test_list == sha] for n, sha in enumerate(lists)}


def list_title(number: int, sha: str) -> str:
    """What one of several lists of test photographs is called."""
    return f"Test list {number + 1} ({sha[:12]}): not comparable with the other lists"


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = ["In brackets: 95 % intervals over patients, of one training each."]
    if any(not row.above_majority and row.accuracy.value is not None for row in rows):
        notes.append(NOT_ABOVE)
    return [" ".join(notes)]
