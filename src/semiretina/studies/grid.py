"""A grid of hyper-parameters as a list of experiments, all of them checked before the first one starts.

A grid is a TOML file of dotted keys, as `-o` takes them, each with the list of its values.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from semiretina.checks import check_config
from semiretina.config import Config, load_config
from semiretina.data.split import Split
from semiretina.errors import BadConfig, summary
from semiretina.files import read_text, sha256_of
from semiretina.methods import METHODS
from semiretina.preparation import draw
from semiretina.records import RARE_COLUMNS
from semiretina.report.paper.table1 import short_names
from semiretina.report.runs import SCHEMA
from semiretina.run_folder import FREE_KEYS
from semiretina.studies.first_stages import FirstStages, beginnings, find_first_stages

# A search selects on validation photographs: they must stay out of training, and the test set stays closed.
SEARCH = ("open_test=false", "track_test=false", "refit=none")
EXAMPLE = '"stages.-1.optimizer.momentum" = [0.1, 0.5, 0.9]'


@dataclass(frozen=True)
class GridPoint:
    """One experiment of a grid; `key` is the name of its run folder."""

    key: str
    parameters: Mapping[str, Any]  # dotted key -> value
    config: Config
    first: FirstStages | None = None  # what it starts from

    def __str__(self) -> str:
        names = short_names(self.parameters)
        return ", ".join(f"{names[key]} = {shown(value)}" for key, value in self.parameters.items())


def grid_points(config: Path, grid: Path, overrides: Sequence[str] = ()) -> list[GridPoint]:
    """The points of a grid around a configuration, in the order of scikit-learn's ParameterGrid.

    Everything that `train` checks before it begins is checked for all points, and raises what it raises there. Raises
    BadConfig that names every wrong key (and the nearest right one), empty list and wrong value.
    """
    axes = read_grid(grid)
    _check_keys(config, grid, axes, overrides)
    settings: list[dict[str, Any]] = []
    configs: list[Config] = []
    defects: dict[str, None] = {}  # an ordered set: one wrong value is in many points
    checked: set[str] = set()
    for parameters in combinations(axes):
        try:
            resolved = load_config(config, [*overrides, *parameters.items(), *SEARCH])
            if _without_optimizers(resolved) not in checked:
                checked.add(_without_optimizers(resolved))
                check_config(resolved, METHODS)
        except BadConfig as error:
            defects[str(error).removeprefix(f"{config}: ")] = None
        else:
            settings.append(parameters)
            configs.append(resolved)
    if defects:
        raise BadConfig(summary(f"{grid} with {config}", list(defects), "correct these and start again"))
    hashes: dict[str, str] = {}
    for resolved in configs:
        drawn = _without_optimizers(resolved)
        if drawn not in hashes:
            split = draw(resolved, METHODS).split
            if not len(split.rows("val")):
                raise BadConfig(f"{config}: data.val: a grid is searched on validation photographs, and there are none")
            hashes[drawn] = split_hash(split)
    splits = [hashes[_without_optimizers(resolved)] for resolved in configs]
    keys = [
        [point_key(first, s) for first in beginnings(resolved)] for resolved, s in zip(configs, splits, strict=True)
    ]
    firsts = find_first_stages(keys, configs)
    points: dict[str, GridPoint] = {}
    for parameters, resolved, split_sha256, first in zip(settings, configs, splits, firsts, strict=True):
        point = GridPoint(point_key(resolved, split_sha256), parameters, resolved, first)
        if point.key in points:
            raise BadConfig(f"{grid}: '{points[point.key]}' and '{point}' are the same experiment; take one out")
        points[point.key] = point
    return list(points.values())


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value from each axis, in the order of scikit-learn's ParameterGrid."""
    from sklearn.model_selection import ParameterGrid  # noqa: PLC0415  (slow to import)

    return [{key: values[key] for key in axes} for values in ParameterGrid(dict(axes))]


def configs_of(config: Config, grid: Path) -> list[Config]:
    """The configurations of a grid's points around a resolved one, unchecked."""
    raw = config.model_dump(mode="json")
    return [load_config(raw, [*parameters.items(), *SEARCH]) for parameters in combinations(read_grid(grid))]


def read_grid(file: Path) -> dict[str, list[Any]]:
    """The axes of a grid: dotted key -> its values. Quoted or bare dotted keys and tables are all read.

    Raises BadConfig that names every key without a list of different values, or that a search sets itself.
    """
    try:
        axes = _flat(tomllib.loads(read_text(file)))
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{file}: not valid TOML: {error}") from None
    defects = [] if axes else [f"it names no hyper-parameter; write a line such as {EXAMPLE}"]
    for key, values in axes.items():
        if not isinstance(values, list):
            defects.append(f"{key}: {shown(values)} is not a list of values; write [{shown(values)}]")
            continue
        if not values:
            defects.append(f"{key}: the list is empty; give it a value, or take the key out")
        texts = [shown(value) for value in values]
        defects += [f"{key}: {text} stands there twice" for text in dict.fromkeys(texts) if texts.count(text) > 1]
        if any(key == setting.partition("=")[0] for setting in SEARCH):
            defects.append(f"{key}: is set by the search itself ({', '.join(SEARCH)})")
    if defects:
        raise BadConfig(summary(str(file), defects, "correct these and start again"))
    return axes


def point_key(config: Config, split_sha256: str) -> str:
    """The name of a point's run folder: a hash of all that decides its result, wherever and on whatever it runs.

    That is the configuration without `FREE_KEYS` and without paths, for which the content stands: the manifest's in
    `split_sha256` (see `split_hash`), and the SHA-256 of a file of weights.
    """
    settings = config.model_dump(mode="json")
    for name in (*FREE_KEYS, "data.manifest"):
        section, _, setting = name.partition(".")
        del settings[section][setting]
    weights = settings["model"].get("weights")
    if isinstance(weights, str) and Path(weights).is_file():
        settings["model"]["weights"] = _hash_once(weights, Path(weights).stat().st_mtime_ns)
    text = json.dumps({"schema": SCHEMA, "split": split_sha256, "config": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_hash(split: Split) -> str:
    """Hash of photographs, groups, roles and all that the manifest says of them, in its order; not of their paths.

    Clusters are not hashed either: the groups hold what follows from them.
    """
    lines = []
    for record, *drawn in zip(split.records, split.sha256, split.groups, split.roles, strict=True):
        facts = {name: value for name, value in asdict(record).items() if name not in ("path", *RARE_COLUMNS)}
        lines.append(json.dumps([facts, *drawn], sort_keys=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_keys(config: Path, grid: Path, axes: Mapping[str, Sequence[Any]], overrides: Sequence[str]) -> None:
    """Raises BadConfig for every key that the configuration cannot take, named once and not with each of its values."""
    load_config(config, [*overrides, *SEARCH])
    defects = []
    for key, values in axes.items():
        try:
            load_config(config, [*overrides, *SEARCH, (key, values[0])])
        except BadConfig as error:
            text = str(error).removeprefix(f"{config}: ")
            # What stands in the grid was not given with -o.
            nowhere = f"{key}: the configuration has no such place"
            text = nowhere if text.startswith("-o ") else text
            if "unknown key" in text or text == nowhere:
                defects.append(text)
    if defects:
        raise BadConfig(summary(f"{grid} with {config}", defects, "correct these keys and start again"))


def shown(value: Any) -> str:
    """A value of a grid as a person reads it, on one line; 1 and 1.0 differ."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _without_optimizers(config: Config) -> str:
    """All but the optimisers, which most grids vary: what was checked, or drawn, once needs no second look."""
    settings = config.model_dump(mode="json")
    for stage in settings["stages"]:
        del stage["optimizer"]
    return json.dumps(settings, sort_keys=True)


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{path}.{name}" if path else name
        flat |= _flat(value, key) if isinstance(value, Mapping) else {key: value}
    return flat


@cache
def _hash_once(file: str, changed: int) -> str:
    return sha256_of(Path(file))
