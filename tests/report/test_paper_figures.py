"""The paper's figures: the networks' shapes against its drawing, lesions against masks, curves against logs."""

import base64
import io
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from fake_study import make_split, make_study, set_curve, set_losses
from PIL import Image

from semiretina.report.paper import curve_figures as curve_figures_module
from semiretina.report.paper.curve_figures import curve_figures, loss_pictures
from semiretina.report.paper.figures import (
    LESION_COLORS,
    lesion_figure,
    network_figures,
    reconstruction_figure,
    schedule_figure,
)
from semiretina.report.paper.network_figure import Level, built, network_picture
from semiretina.report.paper.study import read_study
from semiretina.report.pictures import Picture

# Figure 2 of the paper (readings, row 11).
ENCODER = ["128@256²", "256@128²", "512@64²", "512@32²", "1024@16²", "1024@8²", "2048@4²", "4096@2²"]
DECODER = ["2048@4²", "1024@8²", "1024@16²", "512@32²", "512@64²", "256@128²", "128@256²", "3@512²"]


def network(name, size, **parameters):
    return built({"tasks": ["dr"], "data": {"size": size}, "model": {"name": name, **parameters}})


def svg(picture):
    return base64.b64decode(picture.src.split(",")[1]).decode()


@pytest.fixture(scope="module")
def aecl1():
    return network("aecl1", 512, kernel="k2s2", activation="relu", weights="/absent.safetensors")


def test_aecl1_has_the_shapes_of_the_papers_figure(aecl1):
    assert [str(level) for level in aecl1.encoder] == ENCODER
    assert [str(level) for level in aecl1.decoder] == DECODER
    assert aecl1.classifier == ["average pool: 4096", "fc 4, ReLU", "fc 1: dr"]
    assert aecl1.transposed == 8


def test_aecl1_has_the_parameters_that_its_shapes_ask_for(aecl1):
    widths = [3, *(int(level.split("@")[0]) for level in ENCODER)]
    encoder = sum(9 * a * b + b + 2 * b for a, b in pairwise(widths))  # 3x3 kernels, biases, batch norms
    back = [4096, *(int(level.split("@")[0]) for level in DECODER)]
    decoder = sum(4 * a * b + b for a, b in pairwise(back)) + 2 * sum(back[1:-1])  # the last layer is bare
    assert aecl1.without_decoder == encoder + 4 * 4096 + 4 + 4 + 1
    assert aecl1.parameters == aecl1.without_decoder + decoder


def test_aeres18_pooled_and_spatial():
    pooled = network("aeres18", 512, bottleneck="pooled", kernel="k2s2")
    assert [str(level) for level in pooled.encoder] == ["64@256²", "64@128²", "128@64²", "256@32²", "512@16²"]
    assert (pooled.decoder[0], pooled.decoder[-1]) == (Level(512, 1), Level(3, 512))
    assert [level.side for level in pooled.decoder] == [2**n for n in range(10)]
    assert pooled.transposed == 9
    assert pooled.without_decoder == 11_178_569
    spatial = network("aeres18", 512)
    assert [level.side for level in spatial.decoder] == [32, 64, 128, 256, 512]
    assert spatial.transposed == 9


def test_a_tied_decoder_adds_no_kernels():
    tied, own = (network("aecl1-small", 64, tied=tied) for tied in (True, False))
    assert [str(level) for level in tied.decoder] == [str(level) for level in own.decoder]
    assert (tied.tied, tied.transposed) == (True, 6)
    biases = 128 + 64 + 64 + 32 + 16 + 3
    assert tied.parameters - tied.without_decoder == biases + 2 * (biases - 3)


def test_networks_without_decoder():
    plain, heads = network("res18", 64), network("resnet18", 64)
    assert plain.decoder == heads.decoder == []
    assert plain.without_decoder == plain.parameters == 11_178_569
    assert heads.classifier == ["average pool: 512", "fc 1: dr"]
    assert network_picture("Res18", plain).caption.endswith("11,178,569 parameters, no decoder.")


def test_the_drawing_tells_every_map_in_words(aecl1):
    picture = network_picture("AECL1", aecl1)
    assert f"encoder {', '.join(ENCODER)}; classifier average pool: 4096" in picture.alt
    assert f"decoder {', '.join(DECODER)}." in picture.alt
    assert f"{aecl1.parameters:,} parameters" in picture.caption
    drawn = svg(picture)
    # The photograph, 16 maps; matplotlib writes text as comments above its shapes.
    assert len(re.findall(r"<!-- \d+@\d+² -->", drawn)) == 17


def test_lesions_are_outlined_and_counted(tmp_path):
    figure = lesion_figure(make_split(tmp_path / "photographs", masks=True))
    [picture] = figure.pictures
    assert "eye3.png, grade 3 (messidor)" in picture.alt  # the only one with three kinds
    assert [words for _, words in figure.legend] == [
        "MA, microaneurysms: 2",
        "HE, haemorrhages: 2",
        "EX, hard exudates: 1",
    ]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.src.split(",")[1]))), np.int64)
    assert pixels.shape == (800, 800, 3)
    for lesion in ("MA", "EX"):
        color = [int(LESION_COLORS[lesion][at : at + 2], 16) for at in (1, 3, 5)]
        assert (abs(pixels - color).max(axis=2) < 40).sum() > 20
    assert not (abs(pixels - 255).max(axis=2) < 20).any()  # no soft exudates


def test_without_outlines_the_highest_grade_is_shown(tmp_path):
    figure = lesion_figure(make_split(tmp_path / "photographs", masks=False))
    assert figure.pictures[0].caption == (
        "eye3.png, grade 3 (messidor), a photograph of the highest grade: this data set has no outlines of lesions."
    )
    assert figure.legend == ()


def test_a_photograph_that_is_gone_or_broken_is_a_hole(tmp_path):
    split = make_split(tmp_path / "photographs", masks=False)
    (tmp_path / "photographs" / "eye3.png").write_bytes(b"no picture")
    assert lesion_figure(split).holes == [
        "eye3.png or its masks cannot be read any more: not a JPEG, PNG or TIFF file."
    ]
    (tmp_path / "photographs" / "eye3.png").unlink()
    assert lesion_figure(split).holes == ["eye3.png or its masks cannot be read any more: No such file or directory."]
    assert lesion_figure(None).holes == ["No run has a labelled photograph yet."]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = make_study(
        tmp_path_factory.mktemp("study") / "out",
        preset="paper",
        seeds=2,
        trained={"aecl1-baseline": (0, 1), "aecl1-ae-then-cl": (0,), "aecl1-combined": (0, 1), "res18-scratch": (0,)},
    )
    set_curve(out / "runs" / "aecl1-baseline-seed0", [0.5, 0.6, 0.7, 0.8])
    set_curve(out / "runs" / "aecl1-baseline-seed1", [0.5, 0.6, 0.7, 0.6])
    set_curve(out / "runs" / "aecl1-ae-then-cl-seed0", [0.51, 0.52, 0.53, 0.54])
    return read_study(out)


def test_curves_are_means_over_seeds_from_the_classifiers_first_epoch(study):
    figures = {figure.number: figure for figure in curve_figures(study)}
    assert list(figures) == ["5a", "5b", "6a", "6b"]
    [picture] = figures["6a"].pictures
    assert picture.alt.startswith("Figure 6a: accuracy on test, by epoch. At the last epoch: AECL1 0.7; ")
    assert "AECL1, AE then CL 0.54;" in picture.alt
    assert picture.caption == (
        "The paper's, in %: AECL1 74.79 (table 2); AECL1, AE then CL 76.47 (table 2); "
        "AECL1, AE-CL combined 73.53 (table 2)."
    )
    assert "PolyCollection" in svg(picture)  # the band of two seeds
    assert list(figures["6a"].look) == ["AECL1", "AECL1, AE then CL", "AECL1, AE-CL combined"]
    assert figures["6a"].holes == ["AECL1, AE then CL: not trained yet: 1 of 2."]
    assert "60 epochs on the same axis" in figures["6a"].reading


def test_what_is_not_drawn_is_told(study):
    figures = {figure.number: figure for figure in curve_figures(study)}
    assert figures["6b"].pictures == []
    absent = "weights absent: resnet18.safetensors in the folder --weights"
    assert figures["6b"].holes == [
        f"AERes18, pretrained: {absent}.",
        f"AERes18, pretrained, AE then CL: {absent}.",
        f"AERes18, pretrained, AE-CL combined: {absent}.",
    ]
    assert list(figures["5b"].look) == ["Res18, not pretrained"]
    assert len(figures["5a"].holes) == 4


def test_corrected_curves_are_those_of_validation(tmp_path):
    out = make_study(tmp_path / "out", trained={"aecl1-baseline": (0,)})
    set_curve(out / "runs" / "aecl1-baseline-seed0", [0.5, 0.6, 0.65, 0.7], role="val")
    figure = curve_figures(read_study(out))[2]
    assert figure.pictures[0].alt == "Figure 6a: accuracy on validation, by epoch. At the last epoch: AECL1 0.7."
    assert "the test set is looked at once" in figure.reading


def test_the_majority_line_stays_where_a_refit_left_no_validation_scores(tmp_path, monkeypatch):
    out = make_study(tmp_path / "out", trained={"aecl1-baseline": (0,), "res18-scratch": (0,)})
    for run in (out / "runs").iterdir():
        result = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(result | {"val": {}, "trained_on": "train+val"}))
        # Of the validation photographs one is healthy and three are not.
        split = (run / "split.csv").read_text().splitlines(keepends=True)
        role, grade = (split[0].rstrip().split(",").index(name) for name in ("role", "grade"))
        rows = [line.rstrip("\n").split(",") for line in split[1:]]
        chosen = [row for row in rows if row[grade] == "0"][:1] + [
            row for row in rows if row[grade] in ("1", "2", "3")
        ][:3]
        for row in rows:
            row[role] = "val" if row in chosen else "train" if row[grade] else row[role]
        (run / "split.csv").write_text(split[0] + "".join(",".join(row) + "\n" for row in rows))
    seen = {}

    def panel(title, lines, unit, *, reference, **more):
        seen[title] = reference
        return Picture("data:", title, "")

    monkeypatch.setattr(curve_figures_module, "epoch_picture", panel)
    curve_figures(read_study(out))
    line = ("majority vote", 0.75)
    assert seen == {"Figure 5b: accuracy on validation": line, "Figure 6a: accuracy on validation": line}


def test_the_loss_is_drawn_in_training_and_on_held_out_photographs(tmp_path):
    out = make_study(tmp_path / "out", preset="paper", trained={"resnet18-scratch": (0,), "inceptionv3-scratch": (0,)})
    set_losses(out / "runs" / "resnet18-scratch-seed0", [0.7, 0.4, 0.2, 0.05], [0.7, 0.5, 0.6, 0.9])
    # The other run's log has no loss of training: half a comparison is none.
    assert [picture.alt for picture in loss_pictures(read_study(out))] == [
        "ResNet18, not pretrained: loss, by epoch. At the last epoch: training 0.05; test 0.9."
    ]


def test_figure_two_draws_what_the_runs_built(study):
    figure = network_figures(study)
    [picture] = figure.pictures
    assert "AECL1, aecl1-small at 128 pixels: photograph 3@128²; encoder 16@64², 32@32²" in picture.alt
    assert figure.holes == ["AERes18: weights absent: resnet18.safetensors in the folder --weights."]


def test_schedule_and_reconstructions_show_one_seed_of_each(study):
    schedule = schedule_figure(study)
    assert [p.alt for p in schedule.pictures] == [
        "Schedule of AECL1, AE-CL combined, seed 0: 20 of 220 minibatches in 4 epochs were labelled."
    ]
    [grid] = reconstruction_figure(study).grids
    assert [row[0].text for row in grid.rows] == ["original", "AECL1, AE then CL", "AECL1, AE-CL combined, seed 0"]
