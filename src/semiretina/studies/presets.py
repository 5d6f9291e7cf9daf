"""The paper's configurations by preset, as they stand in `configs/paper`, and their small copies for `--quick`."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from semiretina.config import Config, load_config
from semiretina.errors import MissingInput
from semiretina.files import read_text
from semiretina.report.paper.cells import CELLS
from semiretina.studies.grid import SEARCH

PRESETS = ("paper", "corrected")
GRID_VAL = 0.2  # the grid search of section 5.1 chooses on validation, which preset `paper` joins to train


@dataclass(frozen=True)
class Plan:
    """Where a reproduction takes its settings from: a preset, whole or in small."""

    preset: str
    quick: bool
    manifest: Path
    cache: Path
    weights: Path | None  # the folder of pretrained weights
    unlabeled: bool  # whether the manifest has unlabelled photographs

    @cached_property
    def small(self) -> Mapping[str, Any]:
        """What `--quick` changes: `configs/paper/quick.toml`, or nothing."""
        return tomllib.loads(read_text(folder() / "quick.toml")) if self.quick else {}

    @property
    def grid(self) -> Path:
        """The grid of the search."""
        return folder() / str(self.small.get("grid", "grid.toml"))

    @property
    def grid_cells(self) -> tuple[str, str]:
        """The cells whose last stage the grid search varies: one for either half of table 1."""
        first, second = self.small.get("grid_cells", ("aeres18-ae-then-cl", "aeres18-combined"))
        return first, second

    def hole(self, name: str) -> str:
        """Why the cell cannot be trained, or ""; a scratch run never stands in for a pretrained one."""
        needed = CELLS[name].weights
        if not needed or (self.weights is not None and (self.weights / f"{needed}.safetensors").is_file()):
            return ""
        return f"weights absent: {needed}.safetensors in the folder --weights"

    def config(self, name: str, seed: int, *, grid: bool = False) -> Config:
        """The configuration of a cell; with `grid` as the search of section 5.1 starts from it."""
        raw = tomllib.loads(read_text(folder() / self.preset / f"{name}.toml"))
        raw["seed"] = seed
        raw["data"] |= {"manifest": str(self.manifest), "cache": str(self.cache)}
        model = str(raw["model"]["name"])
        if CELLS[name].weights:
            assert self.weights is not None, "a hole is not configured"
            raw["model"]["weights"] = str(self.weights / f"{CELLS[name].weights}.safetensors")
        if not self.unlabeled:
            for stage in raw["stages"]:
                stage["images"] = "all"  # the autoencoder then learns from the labelled photographs
            raw["data"]["split_unlabeled"] = False
        if self.quick:
            _shrink(raw, self.small, self.small["models"].get(model, {}))
        if grid:
            raw["data"]["val"] = GRID_VAL
        return load_config(raw, SEARCH if grid else ())


def _shrink(raw: dict[str, Any], small: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Makes a configuration small, as `quick.toml` says for all and for its model."""
    raw["data"] |= small["data"]
    raw["model"] |= own.get("model", {})
    for stage in raw["stages"]:
        stage["epochs"] = math.ceil(stage["epochs"] * float(own.get("epochs", small["epochs"])))
        stage["optimizer"] |= own.get("optimizer", {})


def folder() -> Path:
    """`configs/paper`: in the installed package, or in the checkout that an editable installation points to."""
    for place in (Path(__file__).parent / "paper", Path(__file__).parents[3] / "configs" / "paper"):
        if place.is_dir():
            return place
    raise MissingInput("configs/paper: the paper's configurations are not installed; install semiretina anew")
