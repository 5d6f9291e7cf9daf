"""The paper's claims with our numbers, each worked out by hand from runs whose numbers are known."""

import json

import pytest
from fake_study import add_run, set_answers, set_curve, set_losses, set_result

from semiretina.report.paper.claims import CLAIMS, paper_gains
from semiretina.report.paper.evidence import HOLE, Evidence, discordant, mcnemar
from semiretina.report.runs import read_runs


def ours(runs, start, role="test"):
    """What stands beside the claim that begins so."""
    [claim] = [c for c in CLAIMS if c.sentence.startswith(start)]
    return claim.ours(Evidence(runs, role))


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
    assert len({claim.sentence for claim in CLAIMS}) == len(CLAIMS) == 18
    assert all("—" in claim.ours(Evidence({}, "test")) for claim in CLAIMS)
    assert all(claim.sentence and claim.section and claim.paper for claim in CLAIMS)


def test_a_gain_is_the_mean_over_shared_seeds_with_mcnemar_of_the_first(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-ae-then-cl": (1, 2)})
    for run, accuracy in zip(folders["aecl1-baseline"], (0.5, 0.6), strict=True):
        set_result(run, accuracy, maximum=accuracy, mean=accuracy, n=10)
    for run, accuracy in zip(folders["aecl1-ae-then-cl"], (0.8, 0.9), strict=True):
        set_result(run, accuracy, maximum=accuracy, mean=accuracy, n=10)
    set_answers(folders["aecl1-baseline"][1], [1, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    set_answers(folders["aecl1-ae-then-cl"][0], [0, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    # Seed 1 alone is shared: 80 - 60; three gained, one lost, p = 2 * (1 + 4) / 16.
    assert ours(read(folders), "AE then CL1 is 1.68 % above") == (
        "+20.00 points; at the last look, 3 photographs gained and 1 lost of 10, exact McNemar p = 0.62"
    )
    assert mcnemar(3, 1) == pytest.approx(0.625)


def test_several_shared_seeds_give_a_range(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-combined": (0, 1)})
    for name, accuracies in {"aecl1-baseline": (0.5, 0.6), "aecl1-combined": (0.45, 0.5)}.items():
        for run, accuracy in zip(folders[name], accuracies, strict=True):
            set_result(run, accuracy, maximum=accuracy, mean=accuracy)
            set_answers(run, [1] * 10)
    said = ours(read(folders), "the combined model's maximum")
    assert said.startswith("-7.50 (-10.00 to -5.00) points; at the last look, seed 0, 0 photographs gained")
    assert said.endswith("p = 1")
    assert ours(read(folders), "a small amount") == (
        f"AE then CL and combined: AECL1 {HOLE} and -7.50 points, AERes18 {HOLE} and {HOLE}"
    )


def test_runs_on_different_photographs_are_not_compared(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0,)})
    folders |= runs_of(tmp_path, {"aecl1-combined": (0,)}, test_list="b" * 64)
    assert ours(read(folders), "the combined model's maximum") == "— (tested on different photographs)"
    assert ours(read(folders), "a small amount").count(HOLE) == 4


def test_discordant_counts_what_one_alone_gets_right(tmp_path):
    one, other = (add_run(tmp_path / name, "aecl1-baseline", 0, "paper") for name in ("one", "other"))
    set_answers(one, [1, 1, 1, 0, 0, 1])
    set_answers(other, [0, 1, 0, 1, 0, 0])
    assert discordant(*read_runs([one, other])) == (3, 1)


def test_a_model_that_stays_at_chance_never_converges(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1), "aecl1-ae-then-cl": (0,), "aecl1-combined": (0,)})
    for own in folders.values():
        for run in own:
            set_result(run, 0.6, majority=0.5, maximum=0.6, mean=0.6)
    # The best of all is 80 %: nine tenths of the way from 50 % are 77 %.
    set_curve(folders["aecl1-baseline"][0], [0.50, 0.60, 0.78, 0.80])
    set_curve(folders["aecl1-baseline"][1], [0.50, 0.60, 0.70, 0.76])
    set_curve(folders["aecl1-ae-then-cl"][0], [0.55, 0.77, 0.70, 0.75])
    set_curve(folders["aecl1-combined"][0], [0.50, 0.49, 0.50, 0.50])
    assert ours(read(folders), "the combined loss converges") == (
        "epochs to 77.0 %, 90 % of the way from the majority vote to the best of them: combined never; AE then CL 2; "
        "baseline 3, never in 1 of 2 seeds"
    )
    for own in folders.values():
        for run in own:
            set_curve(run, [0.48, 0.5, 0.5, 0.49])
    assert ours(read(folders), "the combined loss converges") == "none of them rises above the majority vote, 50.0 %"
    del folders["aecl1-combined"]
    set_curve(folders["aecl1-baseline"][0], [0.50, 0.60, 0.78, 0.80])
    assert f"combined {HOLE}; AE then CL never" in ours(read(folders), "the combined loss converges")


def test_start_and_steadiness_come_from_the_curves(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0,), "aecl1-ae-then-cl": (0,), "resnet18-scratch": (0,)})
    set_curve(folders["aecl1-baseline"][0], [0.50, 0.60, 0.68, 0.70])
    set_curve(folders["aecl1-ae-then-cl"][0], [0.55, 0.60, 0.749, 0.75])
    set_curve(folders["resnet18-scratch"][0], [0.10, 0.90, 0.60, 0.70])
    assert "55.0 against 50.0 %" in ours(read(folders), "pre-training on unlabelled data helps")
    # The later half of the scratch run deviates by 5 points; the pretrained one is a hole, so nothing is compared.
    assert ours(read(folders), "the variance of the accuracy").count(HOLE) == 2
    folders |= runs_of(tmp_path, {"resnet18-pretrained": (0,)})
    set_curve(folders["resnet18-pretrained"][0], [0.80, 0.80, 0.81, 0.83])
    said = ours(read(folders), "the variance of the accuracy")
    assert "ResNet18 1.0 against 5.0 points, InceptionV3 —" in said


def test_epsilon_is_judged_by_the_steadiness_of_both(tmp_path):
    folders = runs_of(tmp_path, {"inceptionv3-scratch": (0,), "inceptionv3-small-epsilon": (0,)})
    set_curve(folders["inceptionv3-scratch"][0], [0.5, 0.6, 0.60, 0.64])
    set_curve(folders["inceptionv3-small-epsilon"][0], [0.5, 0.9, 0.50, 0.70])
    said = ours(read(folders), "an epsilon of 0.1")
    assert said.endswith("with Adam's ε = 0.1 and 1e-8: InceptionV3 2.0 against 10.0 points")
    few = {"inceptionv3-scratch": (0,), "inceptionv3-small-epsilon": (0,)}
    folders = runs_of(tmp_path / "few", few, epochs=2)
    assert ours(read(folders), "an epsilon of 0.1").endswith("InceptionV3 — (too few epochs)")


def test_imagenets_ratio_is_that_of_its_photographs_at_the_usual_side(tmp_path):
    folders = runs_of(tmp_path, {"resnet18-scratch": (0,)})
    # 1,281,167 x 224 x 224 x 3 / 11,177,025 parameters with one output; 40 photographs of 128 px here.
    assert ours(read(folders), "the ratio of pixels") == (
        f"of ImageNet's 1,281,167 photographs: InceptionV3 {HOLE}; ResNet18 17,254 at 224 px against 0.2 here"
    )


def test_overfitting_is_the_loss_in_training_beside_that_of_held_out_photographs(tmp_path):
    folders = runs_of(tmp_path, {"resnet18-scratch": (0,)})
    set_losses(folders["resnet18-scratch"][0], [0.7, 0.4, 0.2, 0.05], [0.7, 0.5, 0.6, 0.9])
    assert ours(read(folders), "overfitting becomes an issue") == (
        f"loss at the last epoch in training against test, not pretrained: InceptionV3 {HOLE}; "
        "ResNet18 0.05 against 0.90, which was lowest at epoch 2 of 4: 0.50"
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
    assert ours(read(folders), "accuracy and area") == (
        "over 3 runs they differ by 10.0 points on average; their ranks correlate with 0.50"
    )


def test_equal_accuracies_have_no_ranks(tmp_path):
    folders = runs_of(tmp_path, {"aecl1-baseline": (0, 1, 2)})
    for run in folders["aecl1-baseline"]:
        set_result(run, 0.6, maximum=0.6, mean=0.6)
    assert ours(read(folders), "accuracy and area").endswith("they have no ranks to compare")
    assert ours({}, "accuracy and area") == "— (fewer than three runs)"


def test_the_papers_gains_cannot_be_significant():
    assert paper_gains() == [
        ("AECL1, AE then CL", 4, 238, 2 * 0.5**4),
        ("AERes18, AE then CL", 5, 238, 2 * 0.5**5),
        ("AERes18, AE-CL combined", 5, 238, 2 * 0.5**5),
    ]
