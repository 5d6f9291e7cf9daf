"""Several data sets in one run: a first stage on another set, held-out unlabelled photographs, an unopened test set."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import semiretina
from semiretina.data.sources.synthetic import records as synthetic_records
from semiretina.data.split import read_split
from semiretina.data.views import to_float
from semiretina.errors import BadConfig
from semiretina.methods import METHODS
from semiretina.records import write_manifest


def epochs(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "epoch"]


@pytest.fixture(scope="module")
def two_sets(photographs, tmp_path_factory):
    """The photographs' manifest with the first twenty in the set `near` and the others in `own`."""
    manifest = tmp_path_factory.mktemp("sets") / "manifest.csv"
    rows = list(csv.DictReader(photographs.open()))
    for number, row in enumerate(rows):
        row |= {"path": str(photographs.parent / row["path"]), "dataset": "near" if number < 20 else "own"}
    with manifest.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(manifest)


def watch(seen):
    class Watched(METHODS["supervised"]):
        def forward(self, batch, progress):
            seen.setdefault(progress.stage, set()).update(batch.labeled.rows.tolist())
            return super().forward(batch, progress)

    return {"supervised": Watched}


def test_a_first_stage_on_a_nearer_data_set(make_config, make_stage, two_sets, tmp_path):
    first = make_stage("supervised", epochs=2) | {"datasets": ["near"]}
    second = make_stage("supervised", epochs=1) | {"datasets": ["own"]}
    seen = {}
    config = make_config(first, second, data={"manifest": two_sets, "evaluate": ["own"]})
    result = semiretina.train(config, tmp_path, methods=watch(seen))
    split = read_split(tmp_path / "split.csv")
    sets = [record.dataset for record in split.records]
    assert {sets[row] for row in seen[0]} == {"near"}
    assert len(seen[0]) == 20
    assert seen[1] == {row for row in split.rows("train").tolist() if sets[row] == "own"}
    assert {sets[row] for row in split.rows("val", "test")} == {"own"}
    assert result["test"]["dr"]["n"] == len(split.rows("test"))


def test_without_names_a_stage_takes_all_sets(make_config, make_stage, two_sets, tmp_path):
    seen = {}
    data = {"manifest": two_sets, "evaluate": ["own"]}
    semiretina.train(make_config(make_stage("supervised", epochs=1), data=data), tmp_path, methods=watch(seen))
    assert seen[0] == set(read_split(tmp_path / "split.csv").rows("train").tolist())


@pytest.mark.parametrize("misspelt", ["data", "stage"])
def test_a_misspelt_data_set_lists_those_that_are_there(make_config, make_stage, two_sets, tmp_path, misspelt):
    stage = make_stage("supervised") | {"datasets": ["nearr"] if misspelt == "stage" else []}
    data = {"manifest": two_sets, "evaluate": ["owm"] if misspelt == "data" else []}
    with pytest.raises(BadConfig, match=r"(data\.evaluate|stages\.0\.datasets): .*'(owm|nearr)'.* near, own"):
        semiretina.train(make_config(stage, data=data), tmp_path)
    assert not (tmp_path / "split.csv").exists()


def test_a_stage_whose_sets_have_no_photograph_it_needs(make_config, make_stage, two_sets, tmp_path):
    stage = make_stage("reconstruction", images="unlabeled") | {"datasets": ["near"]}
    with pytest.raises(BadConfig, match="no unlabelled photograph of near"):
        semiretina.train(make_config(stage, make_stage("supervised"), data={"manifest": two_sets}), tmp_path)


def test_held_out_unlabelled_photographs_are_reconstructed_and_not_trained_on(make_config, make_stage, tmp_path):
    stages = [make_stage("reconstruction", epochs=2), make_stage("supervised", epochs=1)]
    used = set()

    class Watched(METHODS["reconstruction"]):
        def forward(self, batch, progress):
            used.update(batch.unlabeled.rows.tolist())
            return super().forward(batch, progress)

    config = make_config(*stages, data={"split_unlabeled": True, "val": 0.25, "test": 0.25})
    result = semiretina.train(config, tmp_path, methods={"reconstruction": Watched})
    split = read_split(tmp_path / "split.csv")
    assert split.counts["unlabeled-val"] == split.counts["unlabeled-test"] == 2
    assert used == set(split.rows("train", "unlabeled").tolist())
    first = epochs(tmp_path)[0]["val"]["reconstruction"]
    assert first.keys() == {"mse", "mse_unlabeled"}
    assert result["reconstruction"].keys() == {"mse", "mse_unlabeled"}
    assert 0 < result["reconstruction"]["mse_unlabeled"] < first["mse_unlabeled"]


def test_the_reported_error_is_that_of_the_held_out_photographs(make_config, make_stage, tmp_path):
    config = make_config(make_stage("reconstruction", epochs=1), data={"split_unlabeled": True})
    kept = []

    class Kept(METHODS["reconstruction"]):
        def finish(self):
            kept.append(self.network)
            return self.network

    result = semiretina.train(config, tmp_path, methods={"reconstruction": Kept})
    split = read_split(tmp_path / "split.csv")
    for name, role in (("mse", "test"), ("mse_unlabeled", "unlabeled-test")):
        files = [split.records[row].path for row in split.rows(role)]
        images = np.stack([np.asarray(Image.open(f).convert("RGB").resize((32, 32), Image.LANCZOS)) for f in files])
        network = kept[0].eval()
        with torch.no_grad():
            shown = to_float(torch.from_numpy(images))
            error = (network.decode(network.encode(shown)) - shown).square().mean()
        assert result["reconstruction"][name] == pytest.approx(float(error), rel=0.05)


def test_an_unopened_test_set_is_never_looked_at(make_config, make_stage, tmp_path):
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=1)]
    result = semiretina.train(make_config(*stages, open_test=False), tmp_path)
    split = read_split(tmp_path / "split.csv")
    assert result["test"] == {}
    assert result["val"]["dr"]["n"] == len(split.rows("val"))
    assert not (tmp_path / "predictions-test.csv").exists()
    shown = {sample["path"] for sample in json.loads((tmp_path / "samples" / "samples.json").read_text())}
    assert shown
    assert shown <= {str(split.records[row].path) for row in split.rows("val")}


@pytest.mark.parametrize(("key", "value"), [("track_test", True), ("refit", "train+val")])
def test_an_unopened_test_set_excludes_what_would_open_it(make_config, make_stage, tmp_path, key, value):
    with pytest.raises(BadConfig, match=f"{key}: .*open_test = false"):
        semiretina.train(make_config(make_stage("supervised"), open_test=False, **{key: value}), tmp_path)


def test_lesions_that_survive_reconstruction_are_written_where_there_are_masks(make_config, make_stage, tmp_path):
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    records = synthetic_records(drawn, photographs=24, unlabeled=0, size=64, difficulty="easy", masks=True)
    write_manifest(records, tmp_path / "manifest.csv")
    stages = [make_stage("reconstruction", epochs=1), make_stage("supervised", epochs=1)]
    data = {"manifest": str(tmp_path / "manifest.csv"), "cache": str(tmp_path / "cache"), "test": 0.5}
    semiretina.train(make_config(*stages, data=data), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "survival.json").read_text())
    assert found["photographs"]
