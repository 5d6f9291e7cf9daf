"""What a careful researcher does before a training: settings chosen on validation, by as many trials for each.

The trials of a cell are the points of a small sweep in the study's folder `searches/CELL`; none looks at the test set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from semiretina.config import dump_toml
from semiretina.files import write_text
from semiretina.progress import say
from semiretina.report.paper.table1 import INDEX, best_point, read_points
from semiretina.studies.grid import GridPoint, grid_points
from semiretina.studies.presets import Preset
from semiretina.studies.sweep import train_points


def search(preset: Preset, cell: str, out: Path) -> Mapping[str, Any] | None:
    """The settings by which a cell is trained: dotted key -> value, of the trial that was best on validation.

    Trains what is missing of its trials. None where every one diverged; nothing where the preset searches nothing.
    """
    if not preset.search_axes(cell):
        return {}
    say(f"reproduce: {cell}: its settings are chosen on validation")
    chosen = best_point(train_points(trials(preset, cell, out), folder_of(out, cell)))
    if chosen is None:
        return None
    say(f"reproduce: {cell}: accuracy {chosen.accuracy:.3f} on validation with {dict(chosen.parameters)}")
    return chosen.parameters


def trials(preset: Preset, cell: str, out: Path) -> list[GridPoint]:
    """The trials of a cell, checked; their configuration and their grid stand beside their folder."""
    base, grid = (folder_of(out, cell).with_name(f"{cell}{ending}.toml") for ending in ("", "-grid"))
    write_text(base, dump_toml(preset.config(cell, 0, search=True)))
    write_text(grid, tomli_w.dumps(preset.search_axes(cell)))
    return grid_points(base, grid)


def num_finished(folder: Path) -> int:
    """How many points of the sweep in a folder have ended."""
    return sum(point.status != "open" for point in read_points(folder / INDEX))


def folder_of(out: Path, cell: str) -> Path:
    """The folder of a cell's trials."""
    return out / "searches" / cell
