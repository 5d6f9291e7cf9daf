"""The configurations of docs/getting-started.md are read as they stand, and train on a few small photographs."""

import csv
import re
import tomllib
from pathlib import Path

import pytest

import semiretina
from semiretina.checks import check_config
from semiretina.config import load_config
from semiretina.data.split import read_split
from semiretina.methods import METHODS

GUIDE = Path(__file__).parents[1] / "docs" / "getting-started.md"
BLOCKS = [
    tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.fixture
def manifest(photographs, tmp_path):
    """The drawn photographs, the first sixteen as one data set and the others, some without labels, as another."""
    with photographs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row |= {"path": str(photographs.parent / row["path"]), "dataset": "eyepacs" if number < 16 else "idrid"}
    with (tmp_path / "both.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "both.csv"


def small(raw, manifest, cache):
    """The same experiment on a tiny network and for an epoch or two."""
    data = {"manifest": str(manifest), "size": 32, "crop": "none", "cache": str(cache)}
    length = {"epochs": 2, "updates": 3}
    stages = [{key: length.get(key, value) for key, value in stage.items()} | {"batch": 8} for stage in raw["stages"]]
    model = {"name": "aecl1", "widths": [4, 6, 8]}
    return raw | {"data": raw["data"] | data, "model": model, "stages": stages, "engine": {"device": "cpu"}}


def test_there_are_two():
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("raw", BLOCKS, ids=["one set", "several sets"])
def test_a_configuration_of_the_guide_is_right_as_it_stands(raw):
    check_config(load_config(raw), METHODS)


@pytest.mark.parametrize("raw", BLOCKS, ids=["one set", "several sets"])
def test_a_configuration_of_the_guide_trains(raw, manifest, pixel_cache, tmp_path):
    result = semiretina.train(small(raw, manifest, pixel_cache), tmp_path / "run")
    split = read_split(tmp_path / "run" / "split.csv")
    judged = {split.records[row].dataset for row in split.rows("val", "test")}
    assert judged == set(raw["data"].get("evaluate", ["eyepacs", "idrid"]))
    held_out = {"mse", "mse_unlabeled"} if raw["data"].get("split_unlabeled") else {"mse"}
    assert result["reconstruction"].keys() == held_out
    assert {name.partition(".")[0] for name in result["test"]} == set(raw["tasks"])
