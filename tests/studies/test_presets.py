"""The paper's configurations: every file loads and says what the paper says; its small copy keeps the protocol."""

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from semiretina.errors import MissingInput
from semiretina.models import configured_network
from semiretina.report.paper.cells import BASELINES, CELLS, TABLE_2, TRAININGS
from semiretina.studies import presets
from semiretina.studies.presets import PRESETS, Preset, folder

folder_of_all = folder()
ALL = [(preset, name) for preset in PRESETS for name in CELLS]


def make_preset(tmp_path, name="corrected", *, quick=False, unlabeled=True, weights=True):
    for file in ("resnet18", "inceptionv3") if weights else ():
        (tmp_path / f"{file}.safetensors").touch()
    folders = (tmp_path / "manifest.csv", tmp_path / "cache", tmp_path if weights else None)
    return Preset(name, quick, *folders, unlabeled, datasets=("messidor",), nearer=("eyepacs",))


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
    assert (float(number[1]) if number else None) == CELLS[name].paper
    assert number or "# The paper: no number; " in head
    assert "# Ours: " in head
    assert ("IMAGENET1K_V1" in text) == bool(CELLS[name].weights)


@pytest.mark.parametrize(("preset", "name"), ALL)
def test_the_settings_of_section_5_2(tmp_path, preset, name):
    config = make_preset(tmp_path, preset).config(name, seed=3)
    assert config.seed == 3
    assert config.data.size == 512
    assert config.data.split_unlabeled
    assert (config.augment.rotation, config.augment.scale, config.augment.flip) == (15.0, (0.9, 1.0), True)
    for stage in config.stages:
        o = stage.optimizer
        told = {
            "aecl1": (6, "adam", 5e-6, 0.0, (0.95, 0.999), 1e-6),
            "inceptionv3": (2, "adam", 2e-4, 0.01, (0.9, 0.999), 1e-8 if "epsilon" in name else 0.1),
            "resnet18": (48, "sgd", 0.001, 0.01, 0.9, True),
        }.get(config.model["name"], (48, "sgd", 0.004, 1e-5, 0.9, False))
        last = (o.betas, o.eps) if o.name == "adam" else (o.momentum, o.nesterov)
        assert (stage.batch, o.name, o.lr, o.weight_decay, *last) == told
    methods = [stage.method["name"] for stage in config.stages]
    assert (
        methods
        == {
            "baseline": ["supervised"] * (2 if CELLS[name].nearer else 1),
            "AE then CL": ["reconstruction", "supervised"],
            "AE-CL combined": ["combined" if preset == "paper" else "balanced"],
        }[CELLS[name].training]
    )


def test_what_the_presets_choose(tmp_path):
    paper, corrected = (make_preset(tmp_path, preset) for preset in PRESETS)
    for name in CELLS:
        then, now = paper.config(name, 0), corrected.config(name, 0)
        assert (then.data.by, then.data.val, then.track_test, then.refit) == ("photograph", 0.0, True, "none")
        assert (now.data.by, now.data.val, now.track_test, now.refit) == ("patient", 0.2, False, "train+val")
        # What chooses the epoch is what the page's headline is.
        assert (then.select, now.select) == ("auroc", "accuracy")
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
    config = make_preset(tmp_path, preset, quick=quick).config(name, 0)
    import torch

    with torch.device("meta"):
        network = configured_network(config.model, {"dr": 1}, config.data.size, weights=False)
    assert (network.decoder is not None) == (CELLS[name].training != "baseline" or CELLS[name].model == "AECL1")


@pytest.mark.parametrize(("preset", "name"), ALL)
def test_the_small_copy_keeps_the_protocol(tmp_path, preset, name):
    whole, small = (make_preset(tmp_path, preset, quick=quick).config(name, 0) for quick in (False, True))
    assert small.data.size >= 80
    assert small.data.model_copy(update={"size": whole.data.size}) == whole.data
    kept = ("refit", "track_test", "tasks", "augment", "threshold", "open_test")
    assert all(getattr(small, key) == getattr(whole, key) for key in kept)
    for before, after in zip(whole.stages, small.stages, strict=True):
        assert after.method == before.method
        assert after.images == before.images
        assert 1 <= (after.epochs or after.updates) < (before.epochs or before.updates)
    if CELLS[name].model == "AECL1":
        assert small.model["name"] == "aecl1-small"


def test_weights_that_cannot_be_had_are_holes_with_the_reason_and_no_others(tmp_path, monkeypatch):
    asked = []

    def download(architecture, weights):
        asked.append((architecture, weights))
        raise MissingInput("model.weights: IMAGENET1K_V1 could not be downloaded (no route); fetch it elsewhere")

    monkeypatch.setattr(presets, "download", download)
    presets.download_problem.cache_clear()
    bare = make_preset(tmp_path, weights=False)
    pretrained = {name for name, cell in CELLS.items() if cell.weights}
    assert {name for name in CELLS if bare.hole(name)} == pretrained
    assert bare.hole("aeres18-combined") == (
        "weights absent: there is no folder --weights with resnet18.safetensors, and IMAGENET1K_V1 could not be "
        "downloaded (no route)"
    )
    # Each file is asked for once, however many trainings want it.
    assert sorted(asked) == [("torchvision/inception_v3", "IMAGENET1K_V1"), ("torchvision/resnet18", "IMAGENET1K_V1")]
    (tmp_path / "some").mkdir()
    some = replace(bare, weights=tmp_path / "some")
    assert some.hole("resnet18-pretrained") == "weights absent: resnet18.safetensors in the folder --weights"
    presets.download_problem.cache_clear()


def test_weights_that_torchvision_has_or_fetches_leave_no_hole(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "download", lambda *given: {})
    presets.download_problem.cache_clear()
    bare = make_preset(tmp_path, weights=False)
    assert not any(bare.hole(name) for name in CELLS)
    for name, cell in CELLS.items():
        assert bare.config(name, 0).model.get("weights", "") == ("IMAGENET1K_V1" if cell.weights else "")
    presets.download_problem.cache_clear()
    with_weights = make_preset(tmp_path)
    assert not any(with_weights.hole(name) for name in CELLS)
    assert with_weights.config("resnet18-pretrained", 0).model["weights"] == str(tmp_path / "resnet18.safetensors")
    assert "weights" not in with_weights.config("resnet18-scratch", 0).model


def test_a_nearer_data_set_trains_first_and_is_never_judged(tmp_path):
    own = make_preset(tmp_path)
    config = own.config("resnet18-nearer", 0)
    assert config.data.manifest == str(tmp_path / "manifest-nearer.csv")
    assert config.data.evaluate == ["messidor"]
    assert [stage.datasets for stage in config.stages] == [["eyepacs"], ["messidor"]]
    assert replace(own, nearer=()).hole("resnet18-nearer").startswith("no photographs to pretrain on")
    others = [own.config(name, 0).data.manifest for name in CELLS if name != "resnet18-nearer"]
    assert set(others) == {str(tmp_path / "manifest.csv")}


@pytest.mark.parametrize("quick", [False, True])
def test_every_training_has_as_many_trials(tmp_path, quick):
    own = make_preset(tmp_path, quick=quick)
    axes = {name: own.search_axes(name) for name in CELLS}
    counts = {name: math.prod(map(len, found.values())) for name, found in axes.items()}
    assert len(set(counts.values())) == 1
    assert min(counts.values()) >= 4
    assert all("stages.-1.optimizer.lr" in found for found in axes.values())
    assert "stages.0.optimizer.lr" in axes["aecl1-ae-then-cl"]
    for name, found in axes.items():
        for key, values in found.items():
            own.config(name, 0, {key: values[0]}, search=True)  # is a setting of this training
    assert make_preset(tmp_path, "paper").search_axes("aecl1-combined") == {}  # trains as the paper says


def test_a_factor_multiplies_the_trainings_own_value(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "folder", lambda: tmp_path)
    shutil.copytree(folder_of_all / "corrected", tmp_path / "corrected")
    (tmp_path / "search-corrected.toml").write_text(
        '[supervised]\n"stages.-1.optimizer.lr" = { times = [0.3, 1] }\n"stages.-1.batch" = [4, 6]\n'
    )
    axes = make_preset(tmp_path).search_axes("aecl1-baseline")
    assert axes == {"stages.-1.optimizer.lr": [1.5e-6, 5e-6], "stages.-1.batch": [4, 6]}


def test_what_a_search_chose_enters_the_training_and_nothing_else(tmp_path):
    own = make_preset(tmp_path)
    before, after = (own.config("aecl1-baseline", 1, chosen) for chosen in ({}, {"stages.-1.optimizer.lr": 1e-5}))
    assert after.stages[0].optimizer.lr == 1e-5
    stage = after.stages[0].model_copy(update={"optimizer": before.stages[0].optimizer})
    assert after.model_copy(update={"stages": [stage]}) == before


def test_without_unlabelled_photographs_the_autoencoder_takes_all(tmp_path):
    config = make_preset(tmp_path, unlabeled=False).config("aecl1-ae-then-cl", 0)
    assert {stage.images for stage in config.stages} == {"all"}
    assert not config.data.split_unlabeled


@pytest.mark.parametrize("preset", PRESETS)
def test_the_grid_search_chooses_on_validation_and_opens_no_test_set(tmp_path, preset):
    own = make_preset(tmp_path, preset)
    assert [CELLS[name].training for name in own.grid_cells] == list(TRAININGS[1:])
    for name in own.grid_cells:
        config = own.config(name, 0, search=True)
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
