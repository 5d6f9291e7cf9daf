"""The results on the test photographs: a row for each run and output, and their tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from semiretina.report.columns import MORE, RESULTS, Cell, Column, Score, columns_of, score
from semiretina.report.interval_pictures import interval_picture
from semiretina.report.markdown import plain, table_markdown
from semiretina.report.pictures import Picture, Style
from semiretina.report.runs import Run, read_runs
from semiretina.report.section import Pictures, Section, Table, Text, section, table

if TYPE_CHECKING:
    from semiretina.report.run_set import RunSet

NO_TEST = "None of these runs has test photographs."
NOT_ABOVE = "† The interval of the accuracy reaches down to the majority vote, or below it."


@dataclass(frozen=True)
class Row:
    """What one run reaches on one output of a task on its test photographs; `scores` by their names in `COLUMNS`."""

    run: str
    name: str
    seed: int
    control: bool
    task: str
    n: int
    positives: int | None  # None for a choice among classes
    scores: Mapping[str, Score]
    labeled_photographs: int | None  # that the network trained on
    labeled_updates: int | None
    selected_epoch: int | None
    trained_on: str
    test_list: str

    def score(self, name: str) -> Score:
        """A score; all None where it is undefined."""
        return self.scores.get(name, Score())

    @property
    def above_majority(self) -> bool:
        """Whether the whole interval of the accuracy lies above the majority vote."""
        low, majority = self.score("accuracy").low, self.score("majority").value
        return low is not None and majority is not None and low > majority


def results_table(runs: Sequence[Path]) -> list[Row]:
    """The rows of these run folders in the given order, tasks together. Raises MissingInput for an unfinished run."""
    return rows_of(read_runs(runs))


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """The rows of these runs, tasks together."""
    tasks = list(dict.fromkeys(task for run in runs for task in run.result["test"]))
    return [_row(run, task) for task in tasks for run in runs if task in run.result["test"]]


def _row(run: Run, task: str) -> Row:
    result, stated = run.result, run.result["test"][task]
    counts = result.get("counts", {})
    roles = ("train", "val") if result["trained_on"] == "train+val" else ("train",)
    return Row(
        run=run.label,
        name=run.name,
        seed=run.seed,
        control=bool(run.config.get("data", {}).get("shuffle_labels")),
        task=task,
        n=stated["n"],
        positives=stated.get("positives"),
        scores={name: score(stated, name) for name in (columns_of(RESULTS) | columns_of(MORE))},
        labeled_photographs=sum(counts[role] for role in roles) if "train" in counts else None,
        labeled_updates=result.get("labeled_updates"),
        selected_epoch=result["selected_epoch"],
        trained_on=result["trained_on"],
        test_list=run.test_list,
    )


# What a row says after its scores.
FACTS: Mapping[str, Callable[[Row], object]] = {
    "labelled training photographs": lambda row: row.labeled_photographs,
    "labelled updates": lambda row: row.labeled_updates,
    "selected epoch": lambda row: row.selected_epoch,
    "trained on": lambda row: row.trained_on,
}


def table_of(rows: Sequence[Row], styles: Mapping[str, Style] | None = None, note: str = "") -> Table:
    """The main table of results; `styles` colour the runs by their names."""
    columns = columns_of(RESULTS)
    lines = []
    for row in rows:
        run = f"{row.run} (control: shuffled labels)" if row.control else row.run
        positive = "" if row.positives is None else f"{row.positives} of {row.n} positive"
        facts = [Cell("" if (fact := say(row)) is None else str(fact)) for say in FACTS.values()]
        head = [Cell(run, color=styles[row.name].color if styles else ""), Cell(row.task, aside=positive)]
        lines.append([*head, Cell(str(row.n)), *(_cell(row, name, one) for name, one in columns.items()), *facts])
    made = table(note, ["run", "task", "n", *(column.title for column in columns.values()), *FACTS], lines)
    return replace(made, title="Results", grouped_by="task")


def _cell(row: Row, name: str, column: Column) -> Cell:
    cell = column.show(row.score(name))
    if name == "auroc" and not cell.text and row.n:
        return Cell("one class only")
    marked = name == "accuracy" and cell.text and not row.above_majority
    return cell._replace(text=f"{cell.text}†") if marked else cell


def to_markdown(rows: Sequence[Row]) -> str:
    """Markdown tables with every column, one for each list of test photographs."""
    written = [
        (f"**{plain(title)}**\n\n" if title else "") + table_markdown(table_of(alike))
        for title, alike in by_test_list(rows).items()
    ]
    return "\n".join([*written, _note(rows)]).strip() + "\n"


def to_text(rows: Sequence[Row]) -> str:
    """Plain text for a terminal, one table for each list of test photographs; what all rows share stands above it."""
    written = []
    for title, alike in by_test_list(rows).items():
        made = table_of(alike)
        columns = {name: [str(cells[n]) for cells in made.rows] for n, name in enumerate(made.columns)}
        facts = ("n", "majority vote %", "labelled training photographs", "selected epoch", "task", "trained on")
        shared = [name for name in facts if name in columns and len(set(columns[name])) == 1]
        above = (f"{name.removesuffix(' %')} {columns[name][0]}{' %' if '%' in name else ''}" for name in shared)
        aligned = []
        for name in (name for name in columns if name not in shared):
            cells = [name, *(cell or "–" for cell in columns[name])]
            width = max(map(len, cells))
            aligned.append([cell.ljust(width) if name == "run" else cell.rjust(width) for cell in cells])
        lines = ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]
        written.append("\n".join(filter(None, [title, "; ".join(above), *lines])) + "\n")
    return "\n".join([*written, _note(rows)]).strip() + "\n"


def by_test_list(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows that may be compared, under a title; it is empty when all may be."""
    lists = list(dict.fromkeys(row.test_list for row in rows))
    if len(lists) < 2:
        return {"": list(rows)}
    return {list_title(n, sha): [r for r in rows if r.test_list == sha] for n, sha in enumerate(lists)}


def list_title(number: int, sha: str) -> str:
    """What one of several lists of test photographs is called."""
    return f"Test list {number + 1} ({sha[:12]}): not comparable with the other lists"


def _note(rows: Sequence[Row]) -> str:
    note = "In brackets: 95 % intervals over patients, of one training each."
    weak = any(not row.above_majority and row.score("accuracy").value is not None for row in rows)
    return f"{note} {NOT_ABOVE}" if weak else note


def results(runs: "RunSet") -> Section | None:
    """The main table, more scores folded away, and the scores with their intervals as pictures."""
    if not runs.rows:
        return section("", Text(NO_TEST, kind=""))
    note = (
        "Each score with its 95 % interval over patients, of one training: what another seed would change is not in "
        "it. Differences smaller than the intervals are not shown by these photographs."
    )
    note += "" if all(row.above_majority for row in runs.rows) else f" {NOT_ABOVE}"
    pictures = [picture for rows in runs.outputs.values() for picture in _pictures(rows, runs.styles)]
    said = "Dot and bar: a run's score and its 95 % interval."
    return section(
        "",
        table_of(runs.rows, runs.styles, note),
        section("More scores", _more(runs.rows), folded=True),
        Pictures("Scores", pictures, runs.styles, [said]),
    )


def _more(rows: Sequence[Row]) -> Table | None:
    columns = columns_of(MORE)
    lines = [
        [Cell(row.run), Cell(row.task), *(one.show(row.score(name)) for name, one in columns.items())] for row in rows
    ]
    made = table("", ["run", "task", *(one.title for one in columns.values())], lines)
    notes = dict.fromkeys(one.note for one in columns.values() if one.note and one.title in made.columns)
    return replace(made, note=" ".join(notes)) if len(made.columns) > 2 else None


def _pictures(rows: Sequence[Row], styles: Mapping[str, Style]) -> list[Picture]:
    """Of one output: AUROC, accuracy and kappa of the runs with their intervals."""
    votes = {round(vote, 3) for row in rows if (vote := row.score("majority").value) is not None}
    shown = {
        "auroc": ("AUROC", ("chance", 0.5)),
        "accuracy": ("accuracy", ("majority vote", votes.pop()) if len(votes) == 1 else None),
    }
    if any(row.score("quadratic_kappa").value is not None for row in rows):
        shown["quadratic_kappa"] = ("quadratic kappa", ("chance", 0.0))
    return [
        interval_picture(
            f"{rows[0].task}: {title} on test", [(r.run, styles[r.name], r.score(name)) for r in rows], reference
        )
        for name, (title, reference) in shown.items()
    ]
