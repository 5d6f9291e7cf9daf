"""The page of a reproduction, whole or with holes: every table, figure and claim, and nothing under a wrong name."""

import json
import re

import pytest
from fake_study import add_grid, add_search, make_study, read, set_result, write_study
from pages import Page, check_is_built_for_readers, check_pictures, check_stands_alone

from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.claims import CLAIMS
from semiretina.report.paper.page import write_paper_report

FIGURES = ("1", "2", "3", "4", "5a", "5b", "6a", "6b")
ABSENT = "weights absent: resnet18.safetensors in the folder --weights"


def page_of(out):
    return Page(write_paper_report(out, share=False))


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Preset `paper` in small, without weights: two seeds, one of which diverged, and half of a grid."""
    out = tmp_path_factory.mktemp("paper") / "out"
    make_study(
        out,
        preset="paper",
        seeds=2,
        quick=True,
        trained={"aecl1-baseline": (0, 1), "aecl1-ae-then-cl": (0, 1), "aecl1-combined": (0,), "res18-scratch": (0, 1)},
        failed={"aecl1-combined": {1: f"{out}/runs/aecl1-combined-seed1: the loss became nan in phase train"}},
    )
    for seed, (maximum, last, mean) in enumerate([(0.8, 0.7, 0.65), (0.9, 0.75, 0.7)]):
        run = out / "runs" / f"aecl1-baseline-seed{seed}"
        set_result(run, last, maximum=maximum, mean=mean, majority=0.567, n=238)
    add_grid(out, "aecl1-ae-then-cl", [0.5, 0.6, 0.7, 0.8, None, "open"])
    return out, page_of(out)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """Preset `corrected`, whole, all cells trained, with lesion masks."""
    out = tmp_path_factory.mktemp("corrected") / "out"
    make_study(out, trained=dict.fromkeys(CELLS, (0,)), weights=True, masks=True, nearer=True)
    add_grid(out, "aeres18-ae-then-cl", [0.5, 0.6, 0.7, 0.8])
    add_grid(out, "aeres18-combined", [0.5, 0.6, 0.7, 0.8])
    set_result(out / "runs" / "aeres18-combined-seed0", 0.71, majority=0.6, n=90)
    return out, page_of(out)


@pytest.fixture(params=["paper", "corrected"])
def either(request):
    return request.getfixturevalue(request.param)


TITLES = (
    "Table 2: accuracy on the test photographs",
    "The baselines of figure 5",
    "The paper's claims",
    "Table 1: the grid search",
    *(f"Figure {number}: " for number in FIGURES),
    "The split",
    "Parameters and pixels",
    "Settings and environment",
)


def section(page, title):
    """The text from a title to the next."""
    after = [page.text.index(part, page.text.index(TITLES[0])) for part in TITLES]
    number = TITLES.index(title)
    return page.text[after[number] : after[number + 1]]


def test_the_page_is_whole_and_for_all_readers(either):
    _, page = either
    check_stands_alone(page)
    check_pictures(page, least=11)
    check_is_built_for_readers(page)


def test_every_table_figure_and_claim_has_its_place_in_order(either):
    _, page = either
    places = [page.text.index(title, page.text.index(TITLES[0])) for title in TITLES]
    assert places == sorted(places)
    assert [a["id"] for a in page.all("section") if a["id"].startswith("figure")] == [f"figure-{n}" for n in FIGURES]
    for claim in CLAIMS:
        assert claim.sentence in page.text


def test_in_small_and_selected_on_test_are_said_first(paper, corrected):
    _, page = paper
    head = page.text[: page.text.index("Table 2:")]
    assert "In small." in head
    assert "nothing about the paper's claims" in head
    assert "Selected on the test set." in head
    for fact in ("Preset paper", "Extent quick: in small", "Seeds 2", "Trainings that stand 7 of 26", "Diverged 1"):
        assert fact in head
    assert "Points of the grid search 4 of 6" in head
    assert "messidor_extension=" not in page.text  # a folder on somebody's disk
    _, page = corrected
    head = page.text[: page.text.index("Table 2:")]
    assert "In small." not in head
    assert "Selected on the test set." not in head
    assert "Trainings that stand 13 of 13" in head
    assert "Cells without a number 0 of 13" in head


def test_holes_say_why(paper):
    out, page = paper
    head = page.text[: page.text.index("Table 2:")]
    assert "10 of 13 cells are holes, or lack a seed" in head
    assert "AECL1, AE-CL combined: diverged: seed 1 (runs/aecl1-combined-seed1: the loss became nan" in head
    assert str(out) not in head
    table = section(page, TITLES[0])
    assert table.count(ABSENT) == 3
    rows = section(page, "The baselines of figure 5")
    assert rows.count("weights absent: ") == 2
    assert rows.count("not trained yet") == 3
    assert rows.count("no photographs to pretrain on: name a source that has labels by --nearer SOURCE=FOLDER") == 1


def test_table_two_holds_the_headline_and_what_belongs_beside_it(paper):
    _, page = paper
    table = section(page, TITLES[0])
    expected = (
        r"AECL1 aecl1-small, 128 px 74\.79 85\.00 \(80\.00 to 90\.00\) 72\.50 \(70\.00 to 75\.00\) "
        r"67\.50 \(65\.00 to 70\.00\) 60\.0 to 75\.0 56\.7 238 2 – "
    )
    assert re.search(expected, table)
    assert re.search(
        r"AECL1, AE-CL combined aecl1-small, 128 px 73\.53 [\d.]+ diverged: seed 1 .* fixed λ = 400", table
    )


def test_corrected_there_is_one_look_and_no_maximum(corrected):
    table = section(corrected[1], TITLES[0])
    assert "max over epochs" not in table
    found = "AERes18, pretrained, AE-CL combined aeres18, 128 px 89.08 71.00 61.0 to 76.0 60.0 90 1 balanced"
    assert found in table


def test_what_the_papers_gains_can_show_is_computed(either):
    _, page = either
    assert "AECL1, AE then CL: +1.68 points are 4 photographs of 238." in page.text
    assert "AERes18, AE-CL combined: +2.10 points are 5 photographs of 238." in page.text
    assert "McNemar's exact p is 0.125." in page.text
    assert "McNemar's exact p is 0.0625." in page.text


def test_table_one_stands_beside_the_papers(paper, corrected):
    part = section(paper[1], "Table 1: the grid search")
    assert "Searched around: AECL1, AE then CL." in part
    assert "AE then CL: 1 of 6 points are not trained yet." in part
    assert "AE-CL combined: not searched yet." in part
    for _, page in (paper, corrected):
        printed = section(page, "Table 1: the grid search")
        assert "0.90 4e-3, 5e-3 0.9 0.0 1e-5 5e-3 0.9 0.0 1.0" in printed
        assert "0.95 4e-3 0.5, 0.9 0.0 1e-5 4e-3 0.9 1.0 1.0" in printed
    assert "not searched yet" not in section(corrected[1], "Table 1: the grid search")


def test_the_split_is_told_by_hospital_beside_the_papers(corrected):
    part = section(corrected[1], "The split")
    assert "messidor, Paris 4 2 healthy 1 1 healthy 1 0 healthy 0 0 0 0" in part
    assert "the paper's, of Messidor and its Extension 712 237 238 414 138 138 –" in part
    for fact in (
        "Labelled photographs 12",
        "of them healthy 6 (50.0 %)",
        "Unlabelled photographs 4",
        "Whose record tells of a duplicate 1",
        "Grade changed by the errata 1",
    ):
        assert fact in part


def test_parameters_and_pixels_stand_beside_the_papers(corrected):
    part = section(corrected[1], "Parameters and pixels")
    # 40 training photographs of 128 x 128 x 3; ResNet18 has 11,177,025 parameters with one output.
    assert "ResNet18 resnet18, 128 px 513 11,177,025 no decoder 11,689,512 40 1,966,080 0.2 63.9 17,254" in part
    # C of Res18: 512 x 4 + 4 and 4 + 1.
    assert "Res18 res18, 128 px 2,057 11,178,569 no decoder – 40 1,966,080 0.2 – –" in part
    assert part.count("27,161,264") == 1
    assert "747,110,400" in part


def test_settings_are_folded_away(paper):
    _, page = paper
    assert page.text.count("seed = 1") == 3
    assert len(page.all("details")) == 7 + 1  # and the holes


def test_a_study_that_has_only_begun_gives_a_page_of_holes(tmp_path):
    out = make_study(tmp_path / "out", preset="paper")
    begun = {key: value for key, value in read(out).items() if key not in ("seeds", "cells", "grids")}
    write_study(out, begun)
    page = page_of(out)
    assert "13 of 13 cells are holes, or lack a seed" in page.text
    assert not page.all("img")
    for hole in ("No training has drawn a split yet.", "No network has been built yet.", "No training stands yet."):
        assert hole in page.text
    assert all(f"figure-{number}" in page.source for number in FIGURES)


def test_how_the_settings_were_chosen_is_told(tmp_path):
    out = make_study(tmp_path / "out", trained={"aecl1-baseline": (0,)})
    add_search(out, "aecl1-baseline", [(0.7, 0.9), (0.8, 0.6), (0.8, 0.7), None, "open"])
    add_search(out, "aecl1-combined", [None])
    page = page_of(out)
    assert "Trials for settings 3 of 6" in page.text
    part = page.text[page.text.index("How the settings were chosen", page.text.index("Table 2:")) :]
    # The highest accuracy, and of two such the one of the higher AUROC.
    assert "AECL1 4 1 not trained yet learning rate 3e-3, balanced, ρ = 0.5 80.0, AUROC 0.700" in part
    assert "learning rate 1e-3, balanced, ρ = 0.5: 70.0, AUROC 0.900 " in part
    assert "learning rate 3e-3, balanced, ρ = 0.5: 80.0, AUROC 0.700 (chosen)" in part
    assert "learning rate 4e-3, balanced, ρ = 0.5: diverged" in part
    assert "AECL1, AE-CL combined 1 none: every trial diverged –" in part


def test_a_training_that_ends_at_chance_where_its_baseline_learns_is_a_finding(tmp_path):
    trained = {"aecl1-baseline": (0,), "aecl1-combined": (0,), "aecl1-ae-then-cl": (0,)}
    out = make_study(tmp_path / "out", trained=trained)
    for cell, accuracy in {"aecl1-baseline": 0.9, "aecl1-ae-then-cl": 0.75, "aecl1-combined": 0.6}.items():
        set_result(out / "runs" / f"{cell}-seed0", accuracy, majority=0.55)  # intervals begin 0.1 below
    add_search(out, "aecl1-combined", [(0.6, 0.5), (0.6, 0.5)])
    page = page_of(out)
    said = (
        "At chance. AECL1, AE-CL combined ends at chance: 60.0 %, no better than the majority vote, 55.0 %, where "
        "AECL1 learns: 90.0 %. That is so after 2 trials for either: "
    )
    assert said in page.text
    assert page.text.count("At chance.") == 1
    set_result(out / "runs" / "aecl1-baseline-seed0", 0.6, majority=0.55)
    assert "At chance." not in page_of(out).text


def test_held_out_reconstruction_errors_stand_beside_figure_4(tmp_path):
    out = make_study(tmp_path / "out", seeds=2, trained={"aecl1-combined": (0, 1), "aecl1-baseline": (0,)})
    for seed, error in enumerate((0.001, 0.002)):
        file = out / "runs" / f"aecl1-combined-seed{seed}" / "result.json"
        result = json.loads(file.read_text())
        file.write_text(json.dumps(result | {"reconstruction": {"mse": error, "mse_unlabeled": 2 * error}}))
    part = section(page_of(out), "Figure 4: ")
    row = "AECL1, AE-CL combined 0.00150 (0.00100 to 0.00200) 0.00300 (0.00200 to 0.00400)"
    assert row in part


def test_different_test_lists_are_warned_of(tmp_path):
    out = make_study(tmp_path / "out", trained={"aecl1-baseline": (0,), "aecl1-combined": (0,)})
    file = out / "runs" / "aecl1-combined-seed0" / "result.json"
    file.write_text(file.read_text().replace("a" * 64, "b" * 64))
    page = page_of(out)
    assert "Not one comparison. The trainings were tested on 2 different lists" in page.text
    assert "— (tested on different photographs)" in page.text


def test_the_same_study_gives_the_same_bytes(paper):
    out, page = paper
    assert write_paper_report(out, share=False).read_text("utf-8") == page.source
