"""A reproduction as its report reads it: `study.json`, and the run folders that it names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from semiretina.errors import BadData
from semiretina.files import read_text
from semiretina.report.paper.cells import CELLS, Cell
from semiretina.report.paper.table1 import INDEX, PAPER, Point, read_points
from semiretina.report.runs import Run, check_complete, read_runs

SCHEMA = 1


@dataclass(frozen=True)
class Trained:
    """One cell of the paper and the runs that stand for it, a seed each."""

    cell: Cell
    runs: Sequence[Run]
    failed: Mapping[int, str]  # seed -> why its training ended without a result
    seeds: int  # how many were asked for; 0 where that is not known yet
    absent: str  # why it cannot be trained at all, or ""

    @property
    def hole(self) -> str:
        """Why there is no number, or ""."""
        if self.runs:
            return ""
        if self.absent:
            return self.absent
        return f"diverged: {'; '.join(dict.fromkeys(self.failed.values()))}" if self.failed else "not trained yet"

    @property
    def note(self) -> str:
        """Which seeds the number lacks, or ""."""
        if not self.runs:
            return ""
        diverged = f"diverged: seed {', '.join(map(str, sorted(self.failed)))}" if self.failed else ""
        waiting = self.seeds - len(self.runs) - len(self.failed)
        return "; ".join(filter(None, [diverged, f"not trained yet: {waiting} of {self.seeds}" if waiting > 0 else ""]))


@dataclass(frozen=True)
class Grid:
    """One half of table 1."""

    training: str
    cell: str  # the name of the cell around which it was searched
    points: Sequence[Point]
    absent: str

    @property
    def hole(self) -> str:
        """Why there is no table, or ""."""
        if self.absent or any(point.accuracy is not None for point in self.points):
            return self.absent
        diverged = bool(self.points) and all(point.status == "diverged" for point in self.points)
        return "every point diverged" if diverged else "not searched yet"

    @property
    def note(self) -> str:
        """How many points are missing, or ""."""
        waiting = sum(point.status == "open" for point in self.points)
        return f"{waiting} of {len(self.points)} points are not trained yet" if waiting and not self.hole else ""


@dataclass(frozen=True)
class Study:
    """What `semiretina reproduce` has done so far."""

    source: str
    root: str
    unlabeled: Sequence[str]
    nearer: str  # the source to pretrain on, or ""
    preset: str
    quick: bool
    seeds: int
    cells: Mapping[str, Trained]  # all of `CELLS`, in their order
    searches: Mapping[str, Sequence[Point]]  # the trials of each cell whose settings were chosen, as far as they stand
    grids: Sequence[Grid]  # both halves of table 1, in their order

    @property
    def runs(self) -> list[Run]:
        """The finished runs of all cells."""
        return [run for trained in self.cells.values() for run in trained.runs]

    @property
    def role(self) -> str:
        """Whose accuracy is known after every epoch: the paper tracks that of the test set."""
        return "test" if self.preset == "paper" else "val"


def read_study(out: Path) -> Study:
    """The study in the folder `out`, whether it is finished or not.

    Raises MissingInput where there is none or a run that it names is gone, and BadData for a broken file and for a run
    that stands under the wrong name.
    """
    file = out / "study.json"
    try:
        raw = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise BadData(f"{file}: not valid JSON ({error}); reproduce again in another folder") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise BadData(f"{file}: not a reproduction of schema {SCHEMA}; reproduce again with this version")
    seeds = int(raw.get("seeds", 0))
    cells = {name: _trained(name, raw.get("cells", {}).get(name, {}), out, seeds) for name in CELLS}
    check_complete([run for trained in cells.values() for run in trained.runs])
    return Study(
        source=raw["source"],
        root=raw["root"],
        unlabeled=raw["unlabeled"],
        nearer=raw.get("nearer", ""),
        preset=raw["preset"],
        quick=raw["quick"],
        seeds=seeds,
        cells=cells,
        searches={name: read_points(out / folder / INDEX) for name, folder in raw.get("searches", {}).items()},
        grids=_grids(raw.get("grids", {}), out),
    )


def _trained(name: str, raw: Mapping[str, Any], out: Path, seeds: int) -> Trained:
    cell = CELLS[name]
    runs = read_runs([out / run for run in raw["runs"]]) if raw.get("runs") else []
    for run in runs:
        if bool(cell.weights) != bool(run.config["model"].get("weights")):
            what = "without" if cell.weights else "with"
            raise BadData(f"{run.folder.path}: trained {what} pretrained weights, which is not {cell.title}; remove it")
    title = cell.title
    named = [
        replace(run, name=title, label=title if len(runs) == 1 else f"{title}, seed {run.seed}")
        for run in sorted(runs, key=lambda run: run.seed)
    ]
    # The absolute folder says nothing to whoever reads the page elsewhere.
    failed = {int(seed): text.replace(f"{out.absolute()}/", "") for seed, text in raw.get("failed", {}).items()}
    return Trained(cell, named, failed, seeds, raw.get("hole", ""))


def _grids(raw: Mapping[str, Mapping[str, str]], out: Path) -> list[Grid]:
    grids = []
    stated = list(raw.items())
    for number, training in enumerate(PAPER):
        name, grid = stated[number] if number < len(stated) else ("", {})
        points = read_points(out / grid["folder"] / INDEX) if grid else []
        grids.append(Grid(training, name, points, grid.get("hole", "")))
    return grids
