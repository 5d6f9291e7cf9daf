"""The paper's claims with our numbers, each worked out by hand from runs whose numbers are known."""

import json

import pytest
from fake_study import add_run, set_answers, set_curve, set_result

from semiretina.report.paper.claims import HOLE, claims, discordant, mcnemar, paper_gains
from semiretina.report.runs import read_runs


def claim(found, start):
    [one] = [c for c in found if c.sentence.startswith(start)]
    return one


def runs_of(tmp_path, seeds, **more):
    """Cell -> runs, as a report reads them."""
    found = {}
    for name, own in seeds.items():
        folders = [add_run(tmp_path / f"{name}-seed{seed}", name, seed, "paper", **more) for seed in own]
        found[name] = folders
    return found


def read(folders):
    return {name: read_runs(own) for name, own in folders.items()}


def test_every_claim_is_a_marked_hole_without_runs():
    found = claims({}, "test")
    assert len(found) == 14
    assert all("—" in c.ours for c in found)
    assert all(c.sentence and c.section and c.paper for c in found)


def test_a_gain_is_the_mean_over_shared_seeds_with_mcnemar_of_the_first(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-ae-then-cl": (1, 2)})
    for run, accuracy in zip(folders["aecl1-baseline"], (0.5, 0.6), strict=True):
        set_result(run, accuracy, maximum=accuracy, mean=accuracy, n=10)
    for run, accuracy in zip(folders["aecl1-ae-then-cl"], (0.8, 0.9), strict=True):
        set_result(run, accuracy, maximum=accuracy, mean=accuracy, n=10)
    set_answers(folders["aecl1-baseline"][1], [1, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    set_answers(folders["aecl1-ae-then-cl"][0], [0, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    found = claim(claims(read(folders), "test"), "AE then CL1 is 1.68 % above")
    # Seed 1 alone is shared: 80 - 60; three gained, one lost, p = 2 * (1 + 4) / 16.
    assert found.ours == (
        "+20.00 points; at the last look, 3 photographs gained and 1 lost of 10, exact McNemar p = 0.62"
    )
    assert mcnemar(3, 1) == pytest.approx(0.625)


def test_several_shared_seeds_give_a_range(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-combined": (0, 1)})
    for name, accuracies in {"aecl1-baseline": (0.5, 0.6), "aecl1-combined": (0.45, 0.5)}.items():
        for run, accuracy in zip(folders[name], accuracies, strict=True):
            set_result(run, accuracy, maximum=accuracy, mean=accuracy)
            set_answers(run, [1] * 10)
    found = claim(claims(read(folders), "test"), "the combined model's maximum")
    assert found.ours.startswith("-7.50 (-10.00 to -5.00) points; at the last look, seed 0, 0 photographs gained")
    assert found.ours.endswith("p = 1")
    assert claim(claims(read(folders), "test"), "a small amount").ours == (
        f"AE then CL and combined: AECL1 {HOLE} and -7.50 points, AERes18 {HOLE} and {HOLE}"
    )


def test_runs_on_different_photographs_are_not_compared(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0,)})
    folders |= runs_of(tmp_path, {"aecl1-combined": (0,)}, test_list="b" * 64)
    found = claims(read(folders), "test")
    assert claim(found, "the combined model's maximum").ours == "— (tested on different photographs)"
    assert claim(found, "a small amount").ours.count(HOLE) == 4


def test_discordant_counts_what_one_alone_gets_right(tmp_path):
    one, other = (add_run(tmp_path / name, "aecl1-baseline", 0, "paper") for name in ("one", "other"))
    set_answers(one, [1, 1, 1, 0, 0, 1])
    set_answers(other, [0, 1, 0, 1, 0, 0])
    assert discordant(*read_runs([one, other])) == (3, 1)


def test_speed_start_and_steadiness_come_from_the_curves(tmp_path):
    folders = runs_of(
        tmp_path, {"aecl1-baseline": (0,), "aecl1-ae-then-cl": (0,), "resnet18-scratch": (0,), "aecl1-combined": (0,)}
    )
    set_curve(folders["aecl1-baseline"][0], [0.50, 0.60, 0.68, 0.70])  # 95 % of the rise is 69
    set_curve(folders["aecl1-ae-then-cl"][0], [0.55, 0.60, 0.749, 0.75])  # 74
    set_curve(folders["aecl1-combined"][0], [0.50, 0.70, 0.60, 0.65])  # 69
    set_curve(folders["resnet18-scratch"][0], [0.10, 0.90, 0.60, 0.70])
    found = claims(read(folders), "test")
    assert claim(found, "the combined loss converges").ours == (
        "epochs to 95 % of its own rise: combined 2, AE then CL 3, baseline 4"
    )
    assert "55.0 against 50.0 %" in claim(found, "pre-training on unlabelled data helps").ours
    # The later half of the scratch run deviates by 5 points; the pretrained one is a hole, so nothing is compared.
    assert claim(found, "the variance of the accuracy").ours.count(HOLE) == 2
    folders |= runs_of(tmp_path, {"resnet18-pretrained": (0,)})
    set_curve(folders["resnet18-pretrained"][0], [0.80, 0.80, 0.81, 0.83])
    assert "ResNet18 1.0 against 5.0 points, InceptionV3 —" in (
        claim(claims(read(folders), "test"), "the variance of the accuracy").ours
    )


def test_accuracy_and_area_are_compared_over_all_runs(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-combined": (0,)})
    every = [run for own in folders.values() for run in own]
    for run, accuracy, area in zip(every, (0.6, 0.7, 0.8), (0.7, 0.9, 0.8), strict=True):
        set_result(run, accuracy, maximum=accuracy, mean=accuracy)
        result = json.loads((run / "result.json").read_text())
        result["test"]["dr"]["auroc"] = {"value": area, "low": area, "high": area}
        (run / "result.json").write_text(json.dumps(result))
    # Differences 10, 20 and 0 points; ranks 1 2 3 against 1 3 2: 1 - 6 * 2 / (3 * 8) = 0.5.
    assert claim(claims(read(folders), "test"), "accuracy and area").ours == (
        "over 3 runs they differ by 10.0 points on average; their ranks correlate with 0.50"
    )


def test_equal_accuracies_have_no_ranks(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1, 2)})
    for run in folders["aecl1-baseline"]:
        set_result(run, 0.6, maximum=0.6, mean=0.6)
    assert claim(claims(read(folders), "test"), "accuracy and area").ours.endswith("they have no ranks to compare")
    assert claim(claims({}, "test"), "accuracy and area").ours == "— (fewer than three runs)"


def test_the_papers_gains_cannot_be_significant():
    assert paper_gains() == [
        ("AECL1, AE then CL", 4, 238, 2 * 0.5**4),
        ("AERes18, AE then CL", 5, 238, 2 * 0.5**5),
        ("AERes18, AE-CL combined", 5, 238, 2 * 0.5**5),
    ]
