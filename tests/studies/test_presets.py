"""The paper's configurations: every file loads and says what the paper says; its small copy keeps the protocol."""

import re
from pathlib import Path

import pytest

from semiretina.errors import MissingInput
from semiretina.models import configured_network
from semiretina.report.paper.cells import BASELINES, CELLS, TABLE_2, TRAININGS
from semiretina.studies import presets
from semiretina.studies.presets import PRESETS, Plan, folder

ALL = [(preset, name) for preset in PRESETS for name in CELLS]


def plan(tmp_path, preset="corrected", *, quick=False, unlabeled=True, weights=True):
    for file in ("resnet18", "inceptionv3") if weights else ():
        (tmp_path / f"{file}.safetensors").touch()
    return Plan(preset, quick, tmp_path / "manifest.csv", tmp_path / "cache", tmp_path if weights else None, unlabeled)


def test_there_is_a_file_for_every_cell_and_no_other():
    for preset in PRESETS:
        assert {file.stem for file in (folder() / preset).glob("*.toml")} == set(CELLS)
    assert {name for row in TABLE_2.values() for name in row} | set(BASELINES) == set(CELLS)


@pytest.mark.parametrize(("preset", "name"), ALL)
def test_a_file_opens_with_its_command_and_the_papers_number(preset, name):
    text = (folder() / preset / f"{name}.toml").read_text()
    head = text[: text.index("\ntasks")]
    assert f"semiretina train configs/paper/{preset}/{name}.toml" in head
    number = re.search(r"# The paper: ([\d.]+) %", head)
    assert number
    assert float(number[1]) == CELLS[name].paper
    assert "# Ours: " in head
    assert ("IMAGENET1K_V1" in text) == bool(CELLS[name].weights)


@pytest.mark.parametrize(("preset", "name"), ALL)
def test_the_settings_of_section_5_2(tmp_path, preset, name):
    config = plan(tmp_path, preset).config(name, seed=3)
    assert config.seed == 3
    assert config.data.size == 512
    assert config.data.split_unlabeled
    assert (config.augment.rotation, config.augment.scale, config.augment.flip) == (15.0, (0.9, 1.0), True)
    for stage in config.stages:
        o = stage.optimizer
        told = {
            "aecl1": (6, "adam", 5e-6, 0.0, (0.95, 0.999), 1e-6),
            "inceptionv3": (2, "adam", 2e-4, 0.01, (0.9, 0.999), 0.1),
            "resnet18": (48, "sgd", 0.001, 0.01, 0.9, True),
        }.get(config.model["name"], (48, "sgd", 0.004, 1e-5, 0.9, False))
        last = (o.betas, o.eps) if o.name == "adam" else (o.momentum, o.nesterov)
        assert (stage.batch, o.name, o.lr, o.weight_decay, *last) == told
    methods = [stage.method["name"] for stage in config.stages]
    assert (
        methods
        == {
            "baseline": ["supervised"],
            "AE then CL": ["reconstruction", "supervised"],
            "AE-CL combined": ["combined"],
        }[CELLS[name].training]
    )


def test_what_the_presets_choose(tmp_path):
    paper, corrected = (plan(tmp_path, preset) for preset in PRESETS)
    for name in CELLS:
        then, now = paper.config(name, 0), corrected.config(name, 0)
        assert (then.data.by, then.data.val, then.track_test, then.refit) == ("photograph", 0.0, True, "none")
        assert (now.data.by, now.data.val, now.track_test, now.refit) == ("patient", 0.2, False, "train+val")
    assert paper.config("aecl1-combined", 0).stages[0].method["lambda_cl"] == 400.0
    assert paper.config("aeres18-combined", 0).stages[0].method["lambda_cl"] == 3.0
    assert corrected.config("aecl1-combined", 0).stages[0].method == {"name": "balanced"}
    assert [s.epochs for s in paper.config("aecl1-ae-then-cl", 0).stages] == [60, 90]
    assert [s.epochs for s in corrected.config("aecl1-ae-then-cl", 0).stages] == [60, 150]
    assert paper.config("aeres18-combined", 0).stages[0].epochs == 130
    for name in ("aecl1-combined", "aeres18-combined"):
        assert paper.config(name, 0).model["kernel"] == "k2s2"
        assert paper.config(name, 0).model["activation"] == "relu"
        assert corrected.config(name, 0).model["activation"] == "linear"
    for name in (name for name, cell in CELLS.items() if cell.model in ("AECL1", "AERes18")):
        then, now = paper.config(name, 0).model, corrected.config(name, 0).model
        assert (then["activation"], now["activation"]) == ("relu", "linear")
        if name != "aeres18-baseline":  # built without its decoder
            assert (then["kernel"], now["kernel"]) == ("k2s2", "k4s2p1")
    assert corrected.config("aeres18-ae-then-cl", 0).model["bottleneck"] == "spatial"
    assert paper.config("aeres18-combined", 0).model["bottleneck"] == "pooled"


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(("preset", "name"), ALL)
def test_every_configuration_builds_its_network(tmp_path, preset, name, quick):
    config = plan(tmp_path, preset, quick=quick).config(name, 0)
    import torch

    with torch.device("meta"):
        network = configured_network(config.model, {"dr": 1}, config.data.size, weights=False)
    assert (network.decoder is not None) == (CELLS[name].training != "baseline" or CELLS[name].model == "AECL1")


@pytest.mark.parametrize(("preset", "name"), ALL)
def test_the_small_copy_keeps_the_protocol(tmp_path, preset, name):
    whole, small = (plan(tmp_path, preset, quick=quick).config(name, 0) for quick in (False, True))
    assert small.data.size >= 80
    assert small.data.model_copy(update={"size": whole.data.size}) == whole.data
    kept = ("refit", "track_test", "tasks", "augment", "threshold", "open_test")
    assert all(getattr(small, key) == getattr(whole, key) for key in kept)
    for before, after in zip(whole.stages, small.stages, strict=True):
        assert after.method == before.method
        assert after.images == before.images
        assert 1 <= after.epochs < before.epochs
    if CELLS[name].model == "AECL1":
        assert small.model["name"] == "aecl1-small"


def test_without_weights_the_pretrained_cells_are_holes_and_no_other(tmp_path):
    bare = plan(tmp_path, weights=False)
    assert {name for name in CELLS if bare.hole(name)} == {name for name, cell in CELLS.items() if cell.weights}
    assert "weights absent: resnet18.safetensors" in bare.hole("aeres18-combined")
    with_weights = plan(tmp_path)
    assert not any(with_weights.hole(name) for name in CELLS)
    assert with_weights.config("resnet18-pretrained", 0).model["weights"] == str(tmp_path / "resnet18.safetensors")
    assert "weights" not in with_weights.config("resnet18-scratch", 0).model


def test_without_unlabelled_photographs_the_autoencoder_takes_all(tmp_path):
    config = plan(tmp_path, unlabeled=False).config("aecl1-ae-then-cl", 0)
    assert {stage.images for stage in config.stages} == {"all"}
    assert not config.data.split_unlabeled


@pytest.mark.parametrize("preset", PRESETS)
def test_the_grid_search_chooses_on_validation_and_opens_no_test_set(tmp_path, preset):
    own = plan(tmp_path, preset)
    assert [CELLS[name].training for name in own.grid_cells] == list(TRAININGS[1:])
    for name in own.grid_cells:
        config = own.config(name, 0, grid=True)
        assert (config.data.val, config.open_test, config.track_test, config.refit) == (0.2, False, False, "none")


def test_a_package_without_its_configurations_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(presets, "__file__", str(tmp_path / "a" / "b" / "c" / "presets.py"))
    with pytest.raises(MissingInput, match=r"configs/paper: .*install semiretina anew"):
        folder()


def test_the_folder_lies_in_the_checkout_or_the_package():
    assert folder() in {
        Path(presets.__file__).parent / "paper",
        Path(presets.__file__).parents[3] / "configs" / "paper",
    }
