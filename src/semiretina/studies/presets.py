"""The paper's configurations by preset, as they stand in `configs/paper`, and their small copies for `--quick`."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from semiretina.config import Config, load_config
from semiretina.errors import MissingInput
from semiretina.files import read_text
from semiretina.models.architectures import INCEPTIONV3, RESNET18
from semiretina.models.weights import download
from semiretina.report.paper.cells import CELLS
from semiretina.studies.grid import SEARCH

PRESETS = ("paper", "corrected")
SEARCH_VAL = 0.2  # a search chooses on validation photographs, which preset `paper` joins to train
IMAGENET = {"resnet18": RESNET18, "inceptionv3": INCEPTIONV3}  # file of weights -> architecture


@dataclass(frozen=True)
class Preset:
    """Where a reproduction takes its settings from, whole or in small."""

    name: str
    quick: bool
    manifest: Path
    cache: Path
    weights: Path | None  # the folder of pretrained weights; None: torchvision downloads them
    unlabeled: bool = True  # whether the manifest has unlabelled photographs
    datasets: Sequence[str] = ()  # of the labelled photographs
    nearer: Sequence[str] = ()  # of those to pretrain on, which stand in a manifest of their own

    @cached_property
    def small(self) -> Mapping[str, Any]:
        """What `--quick` changes: `configs/paper/quick.toml`, or nothing."""
        return tomllib.loads(read_text(folder() / "quick.toml")) if self.quick else {}

    @property
    def nearer_manifest(self) -> Path:
        """The manifest that holds the photographs to pretrain on as well."""
        return self.manifest.with_name("manifest-nearer.csv")

    @property
    def grid(self) -> Path:
        """The grid of table 1."""
        return folder() / str(self.small.get("grid", "grid.toml"))

    @property
    def grid_cells(self) -> tuple[str, str]:
        """The cells whose last stage table 1's grid varies: one for either half."""
        first, second = self.small.get("grid_cells", ("aeres18-ae-then-cl", "aeres18-combined"))
        return first, second

    def hole(self, name: str) -> str:
        """Why the cell cannot be trained, or ""; a scratch run never stands in for a pretrained one."""
        cell = CELLS[name]
        if cell.nearer and not self.nearer:
            return "no photographs to pretrain on: name a source that has labels by --nearer SOURCE=FOLDER"
        if not cell.weights:
            return ""
        file = f"{cell.weights}.safetensors"
        if self.weights is not None:
            there = (self.weights / file).is_file()
            return "" if there else f"weights absent: {file} in the folder --weights"
        problem = download_problem(cell.weights)
        return problem and f"weights absent: there is no folder --weights with {file}, and {problem}"

    def config(self, name: str, seed: int, chosen: Mapping[str, Any] | None = None, *, search: bool = False) -> Config:
        """The configuration of a cell, with the settings that its search chose; with `search` as a search starts."""
        cell = CELLS[name]
        raw = tomllib.loads(read_text(folder() / self.name / f"{name}.toml"))
        raw["seed"] = seed
        raw["data"] |= {"manifest": str(self.nearer_manifest if cell.nearer else self.manifest)}
        raw["data"]["cache"] = str(self.cache)
        if cell.weights and self.weights is not None:
            raw["model"]["weights"] = str(self.weights / f"{cell.weights}.safetensors")
        if cell.nearer:
            raw["data"]["evaluate"] = list(self.datasets)
            for stage, datasets in zip(raw["stages"], (self.nearer, self.datasets), strict=True):
                stage["datasets"] = list(datasets)
        if not self.unlabeled:
            for stage in raw["stages"]:
                stage["images"] = "all"  # the autoencoder then learns from the labelled photographs
            raw["data"]["split_unlabeled"] = False
        if self.quick:
            _shrink(raw, self.small)
        if search:
            raw["data"]["val"] = SEARCH_VAL
        return load_config(raw, [*(chosen or {}).items(), *(SEARCH if search else ())])

    def search_axes(self, name: str) -> dict[str, list[Any]]:
        """What is tried for a cell before it is trained: dotted key -> values; nothing where the preset has no search.

        The trials are as many for every cell. `times` multiplies the cell's own value.
        """
        file = folder() / f"search-{self.name}.toml"
        if not file.exists():
            return {}
        spaces = tomllib.loads(read_text(file)) | self.small.get("search", {})
        settings = self.config(name, 0, search=True).model_dump()
        methods = [stage["method"]["name"] for stage in settings["stages"]]
        kind = "two-stages" if len(methods) > 1 else methods[0]
        return {
            key: [_times(settings, key, factor) for factor in values["times"]] if isinstance(values, dict) else values
            for key, values in spaces[kind].items()
        }


def _times(settings: Any, key: str, factor: float) -> float:
    for name in key.split("."):
        settings = settings[int(name) if isinstance(settings, (list, tuple)) else name]
    return float(f"{settings * factor:.6g}")  # 1.5e-06, not 1.4999999999999998e-06


@cache
def download_problem(weights: str) -> str:
    """Why torchvision's weights for ImageNet are neither in its cache nor can be downloaded there, or ""."""
    try:
        download(IMAGENET[weights], "IMAGENET1K_V1")
    except MissingInput as error:
        return str(error).partition(";")[0].removeprefix("model.weights: ")
    return ""


def _shrink(raw: dict[str, Any], small: Mapping[str, Any]) -> None:
    """Makes a configuration small, as `quick.toml` says for all and for its model."""
    model = small["models"].get(str(raw["model"]["name"]), {})
    raw["data"] |= small["data"]
    raw["model"] |= model.get("model", {})
    for stage in raw["stages"]:
        length = "epochs" if "epochs" in stage else "updates"
        stage[length] = math.ceil(stage[length] * float(model.get("epochs", small["epochs"])))
        stage["batch"] = model.get("batch", stage["batch"])
        stage["optimizer"] |= model.get("optimizer", {})


def folder() -> Path:
    """`configs/paper`: in the installed package, or in the checkout that an editable installation points to."""
    for place in (Path(__file__).parent / "paper", Path(__file__).parents[3] / "configs" / "paper"):
        if place.is_dir():
            return place
    raise MissingInput("configs/paper: the paper's configurations are not installed; install semiretina anew")
