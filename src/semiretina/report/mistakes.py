"""The worst mistakes of a run: what it was surest of and wrong about, with where it looked."""

from collections.abc import Mapping, Sequence
from typing import Any

from semiretina.report.pictures import Picture, photograph
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Pictures, Section, Table, Text, section, table

NO_MAP = "No heat map: the encoder's map of this network is smaller than 4 x 4 and would say nothing about where."
HEAT_MAPS = (
    "Heat maps are Grad-CAM over the encoder's last map of at least 4 x 4 places, for the wrong answer that was given: "
    "yellow spoke for it most. They tell where the network looked and not why, and are as coarse as that map."
)


def mistakes(runs: RunSet) -> Section | None:
    """A gallery for each method, its first-named run's, and a table of all; what is shared has the table alone."""
    wrong = [run for run in runs.runs if run.mistakes()]
    if not wrong:
        return None
    if runs.shared:
        return section("", _table(wrong, "; photographs and their names are left out"))
    first_named = list({run.name: run for run in reversed(wrong)}.values())[::-1]
    galleries = [_gallery(run, opened=number == 0) for number, run in enumerate(first_named)]
    mapped = any(row["heat_map"] for run in first_named for row in run.mistakes())
    note = Text(f"Test photographs. {HEAT_MAPS}" if mapped else "Test photographs.")
    return section("", *galleries, note, section("All of them as a table", _table(wrong), folded=True))


def _gallery(run: Run, opened: bool) -> Section | None:
    rows = run.mistakes()
    count = "its surest wrong answer" if len(rows) == 1 else f"its {len(rows)} surest wrong answers"
    no_map = None if all(row["heat_map"] for row in rows) else Text(NO_MAP)
    pictures = Pictures(f"Mistakes of {run.label}", [_picture(run, row) for row in rows], kind="mistakes")
    return section(f"{run.label}: {count}", no_map, pictures, opened=opened, folded=True)


def _picture(run: Run, row: Mapping[str, Any]) -> Picture:
    name = str(row["path"]).replace("\\", "/").rsplit("/", 1)[-1]
    samples, beside = run.folder.samples, []
    if row["heat_map"]:
        words = f"Heat map of {name} for the answer of {run.label}"
        beside.append(Picture(photograph(samples / row["heat_map"]), words))
    answer = f"{_asked(row)}: {row['answer']} ({100 * row['probability']:.1f} %), labelled {row['label']}"
    shown = photograph(samples / row["photograph"])
    return Picture(shown, f"Photograph {name}", caption=name, title=answer, beside=beside)


def _table(runs: Sequence[Run], more: str = "") -> Table:
    rows = [
        [run.label, _asked(row), str(row["label"]), str(row["answer"]), f"{100 * row['probability']:.1f}"]
        for run in runs
        for row in run.mistakes()
    ]
    note = f"The wrong answers that each run was surest of{more}."
    return table(note, ["run", "asked", "labelled", "answered", "probability %"], rows, "Worst mistakes")


def _asked(row: Mapping[str, Any]) -> str:
    return f"{row['task']}.{row['output']}" if row["output"] not in ("", row["task"]) else str(row["task"])
