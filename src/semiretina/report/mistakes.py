"""The worst mistakes of a run: what it was surest of and wrong about, with where it looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semiretina.report.pictures import photograph
from semiretina.report.runs import Run
from semiretina.report.sheet import Sheet, sheet


@dataclass(frozen=True)
class Shown:
    """One mistake with its pictures, as data URIs; `heat_map` is "" where the network has none to show."""

    name: str
    words: str
    photograph: str
    heat_map: str


@dataclass(frozen=True)
class Gallery:
    """A run's mistakes."""

    run: str
    mistakes: Sequence[Shown]

    @property
    def has_maps(self) -> bool:
        """Whether any of them has a heat map."""
        return any(mistake.heat_map for mistake in self.mistakes)


def galleries(runs: Sequence[Run]) -> list[Gallery]:
    """The mistakes of each run that has written some; of several seeds the first-named one's."""
    found: dict[str, Gallery] = {}
    for run in runs:
        if run.name in found or not run.mistakes():
            continue
        samples = run.folder.samples
        shown = [
            Shown(
                str(row["path"]).replace("\\", "/").rsplit("/", 1)[-1],
                f"{_asked(row)}: {row['answer']} ({100 * row['probability']:.1f} %), labelled {row['label']}",
                photograph(samples / row["photograph"]),
                photograph(samples / row["heat_map"]) if row["heat_map"] else "",
            )
            for row in run.mistakes()
        ]
        found[run.name] = Gallery(run.label, shown)
    return list(found.values())


def mistakes_sheet(runs: Sequence[Run]) -> Sheet | None:
    """The same without pictures and names; None where no run has written any."""
    rows = [
        [run.label, _asked(row), str(row["label"]), str(row["answer"]), f"{100 * row['probability']:.1f}"]
        for run in runs
        for row in run.mistakes()
    ]
    note = "The wrong answers that each run was surest of; photographs and their names are left out."
    columns = ("run", "asked", "labelled", "answered", "probability %")
    return sheet("Worst mistakes", note, columns, rows) if rows else None


def _asked(row: Mapping[str, object]) -> str:
    return f"{row['task']}.{row['output']}" if row["output"] not in ("", row["task"]) else str(row["task"])
