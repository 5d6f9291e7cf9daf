"""What a reproduction says of itself: which cells stand, and why the others do not."""

import json

import pytest
from fake_study import add_grid, make_study, read, write_study

from semiretina.errors import BadData, MissingInput
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.study import read_study

SEED_1 = "runs/aecl1-combined-seed1: the loss became nan in phase train"


def test_every_cell_says_what_it_lacks(tmp_path):
    out = make_study(
        tmp_path / "out",
        seeds=3,
        trained={"aecl1-baseline": (0, 1, 2), "aecl1-combined": (0,), "res18-scratch": (0, 1)},
        failed={
            "aecl1-combined": {1: f"{tmp_path}/out/{SEED_1}"},
            "aecl1-ae-then-cl": {0: "the loss became inf", 1: "the loss became inf"},
        },
    )
    study = read_study(out)
    said = {name: (len(t.runs), t.hole, t.note) for name, t in study.cells.items()}
    assert list(said) == list(CELLS)
    assert said["aecl1-baseline"] == (3, "", "")
    assert said["aecl1-combined"] == (1, "", "diverged: seed 1; not trained yet: 1 of 3")
    assert study.cells["aecl1-combined"].failed == {1: SEED_1}
    assert said["aecl1-ae-then-cl"] == (0, "diverged: the loss became inf", "")
    assert said["res18-scratch"] == (2, "", "not trained yet: 1 of 3")
    assert said["resnet18-scratch"] == (0, "not trained yet", "")
    assert said["resnet18-pretrained"] == (0, "weights absent: resnet18.safetensors in the folder --weights", "")


def test_runs_bear_the_name_of_their_cell(tmp_path):
    out = make_study(tmp_path / "out", seeds=2, trained={"aecl1-baseline": (1, 0), "res18-scratch": (0,)})
    study = read_study(out)
    assert [run.label for run in study.cells["aecl1-baseline"].runs] == ["AECL1, seed 0", "AECL1, seed 1"]
    assert [run.label for run in study.cells["res18-scratch"].runs] == ["Res18, not pretrained"]


@pytest.mark.parametrize(("preset", "role"), [("paper", "test"), ("corrected", "val")])
def test_curves_are_those_of_the_presets_protocol(tmp_path, preset, role):
    assert read_study(make_study(tmp_path / "out", preset=preset)).role == role


def test_a_study_that_has_only_begun_is_all_holes(tmp_path):
    out = make_study(tmp_path / "out")
    begun = {key: value for key, value in read(out).items() if key not in ("seeds", "cells", "grids")}
    write_study(out, begun)
    study = read_study(out)
    assert (study.seeds, study.runs) == (0, [])
    assert {t.hole for t in study.cells.values()} == {"not trained yet"}
    assert [(grid.training, grid.hole) for grid in study.grids] == [
        ("AE then CL", "not searched yet"),
        ("AE-CL combined", "not searched yet"),
    ]


def test_grids_say_how_far_they_are(tmp_path):
    out = make_study(tmp_path / "out")
    add_grid(out, "aeres18-ae-then-cl", [0.5, None, "open"])
    add_grid(out, "aeres18-combined", [None, None])
    first, second = read_study(out).grids
    assert (first.training, first.cell, first.hole) == ("AE then CL", "aeres18-ae-then-cl", "")
    assert first.note == "1 of 3 points are not trained yet"
    assert (second.hole, second.note) == ("every point diverged", "")


def test_a_grid_without_weights_is_a_hole_even_where_points_lie(tmp_path):
    out = make_study(tmp_path / "out")
    add_grid(out, "aeres18-ae-then-cl", [0.5], hole="weights absent: resnet18.safetensors")
    assert read_study(out).grids[0].hole == "weights absent: resnet18.safetensors"


@pytest.mark.parametrize(
    ("name", "other"), [("resnet18-pretrained", "resnet18-scratch"), ("resnet18-scratch", "resnet18-pretrained")]
)
def test_a_run_under_the_wrong_name_is_refused(tmp_path, name, other):
    out = make_study(tmp_path / "out", trained={other: (0,)}, weights=True)
    study = read(out)
    study["cells"][name]["runs"] = study["cells"][other]["runs"]
    write_study(out, study)
    with pytest.raises(BadData, match=r"pretrained weights, which is not ResNet18, (not )?pretrained"):
        read_study(out)


def test_what_is_no_study_is_named(tmp_path):
    with pytest.raises(MissingInput, match=r"study\.json: no such file"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(BadData, match=r"study\.json: not valid JSON"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"schema": 2}))
    with pytest.raises(BadData, match="schema 1"):
        read_study(tmp_path)


def test_a_run_that_is_gone_is_named(tmp_path):
    out = make_study(tmp_path / "out", trained={"res18-scratch": (0,)})
    (out / "runs" / "res18-scratch-seed0" / "log.jsonl").unlink()
    with pytest.raises(MissingInput, match=r"res18-scratch-seed0 has no log\.jsonl"):
        read_study(out)
