"""From run folders to comparisons: what pairs, what is refused, what was declared."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
from fake_runs import make_run

from semiretina.errors import BadData
from semiretina.report.method_comparisons import compare, single_runs
from semiretina.report.run_set import RunSet
from semiretina.report.runs import read_runs
from semiretina.scoring.comparisons import delong, holm, paired_difference

CLAIM = '\n[claim]\nagainst = "baseline"\nscore = "{score}"\nmargin = {margin}\n'


@pytest.fixture
def runs(tmp_path):
    """Makes runs of a method, one a seed, and returns their folders."""

    def make(name, seeds=(0, 1, 2), claim="", **more):
        folders = [make_run(tmp_path / f"{name}-seed{seed}", seed=seed, **more) for seed in seeds]
        for folder in folders:
            file = folder / "config.toml"
            file.write_text(file.read_text() + claim)
        return folders

    return make


def table(folder):
    with (folder / "predictions-test.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rewrite(folder, change):
    """The predictions of a run, each row as `change` returns it; None leaves it out."""
    rows = [row for row in map(change, table(folder)) if row is not None]
    with (folder / "predictions-test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def compared(*folders):
    return compare(RunSet(read_runs([folder for method in folders for folder in method])))


def probabilities(folders):
    return np.array([[float(row["probability"]) for row in table(folder)] for folder in folders])


def test_the_seeds_of_two_methods_are_paired(runs):
    baseline, combined = runs("baseline", strength=1.2), runs("combined", strength=2.0)
    found = compared(baseline, combined)
    (one,) = found.comparisons
    rows = table(baseline[0])
    expected = paired_difference(
        "auroc",
        [int(row["label"]) for row in rows],
        probabilities(combined),
        probabilities(baseline),
        [row["patient"] for row in rows],
    )
    assert one.difference == expected
    assert (one.ours, one.theirs, one.task, one.score) == ("combined", "baseline", "dr", "auroc")
    assert (one.seeds, one.photographs, one.unit) == ([0, 1, 2], 80, "patient")
    assert one.sentence.startswith("combined measured ")
    assert " points higher than the baseline (" in one.sentence
    assert "; 3 seeds, 40 patients): " in one.sentence
    assert found.refused == []
    assert one.single is None


def test_the_order_of_rows_and_of_runs_does_not_matter(runs):
    baseline, combined = runs("baseline", strength=1.2), runs("combined", strength=2.0)
    before = compared(baseline, combined).comparisons[0].difference
    rows = list(reversed(table(combined[1])))
    (combined[1] / "predictions-test.csv").write_text(
        "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n"
    )
    assert compared(baseline, combined[::-1]).comparisons[0].difference == before


def test_one_method_alone_is_compared_with_nothing(runs):
    found = compared(runs("baseline"))
    assert (found.comparisons, found.refused, found.notes) == ([], [], [])


# What is declared


def test_nothing_declared_is_said_and_every_method_meets_the_first_named(runs):
    found = compared(runs("baseline"), runs("b", strength=2.0), runs("c", strength=1.9))
    assert [(one.ours, one.theirs, one.primary) for one in found.comparisons] == [
        ("b", "baseline", False),
        ("c", "baseline", False),
    ]
    assert found.notes[0].startswith("No comparison was declared before training")
    adjusted = holm([one.difference.p for one in found.comparisons])
    assert [one.adjusted for one in found.comparisons] == adjusted
    assert all("over 2 comparisons" in one.sentence for one in found.comparisons)
    assert all(one.margin is None for one in found.comparisons)


def test_a_claim_is_the_primary_comparison_and_holm_takes_the_rest(runs):
    b = runs("b", strength=2.0)
    claimed = runs("c", strength=2.6, claim=CLAIM.format(score="accuracy", margin=0.02))
    baseline, d = runs("baseline", strength=1.2), runs("d", strength=2.2)
    found = compared(b, claimed, baseline, d)
    primary, *others = found.comparisons
    assert (primary.ours, primary.theirs, primary.primary, primary.score) == ("c", "baseline", True, "accuracy")
    assert primary.adjusted == primary.difference.p
    assert "comparisons" not in primary.sentence
    assert [(one.ours, one.theirs, one.score, one.margin) for one in others] == [
        ("b", "baseline", "accuracy", 0.02),
        ("d", "baseline", "accuracy", 0.02),
    ]
    assert [one.adjusted for one in others] == holm([one.difference.p for one in others])
    assert "in the configuration of c: the comparison with baseline on dr by accuracy" in found.notes[0]
    assert "2 points" in found.notes[0]
    assert "adjusted after Holm" in found.notes[1]


def test_several_claims_leave_none_primary(runs):
    claim = CLAIM.format(score="auroc", margin=0.02)
    found = compared(runs("baseline"), runs("b", strength=2, claim=claim), runs("c", strength=2.2, claim=claim))
    assert [one.primary for one in found.comparisons] == [False, False]
    assert found.notes[0].startswith("2 comparisons were declared before training")
    assert all("over 2 comparisons" in one.sentence for one in found.comparisons)


def test_a_claim_against_a_method_that_is_not_here_is_told(runs):
    claim = CLAIM.format(score="auroc", margin=0.02).replace("baseline", "elsewhere")
    found = compared(runs("baseline"), runs("b", strength=2, claim=claim))
    assert found.notes[0] == "b was declared to be compared with elsewhere, which is not among these runs."
    assert [one.primary for one in found.comparisons] == [False]


# What is refused


def test_other_test_photographs_are_refused_with_both_hashes(runs):
    found = compared(runs("baseline"), runs("b", strength=2, test_list="b" * 64))
    assert found.comparisons == []
    assert [(r.ours, r.theirs) for r in found.refused] == [(f"b, seed {s}", f"baseline, seed {s}") for s in (0, 1, 2)]
    assert all("aaaaaaaaaaaa" in r.reason and "bbbbbbbbbbbb" in r.reason for r in found.refused)


def test_a_seed_on_other_photographs_than_the_rest_is_left_out(runs):
    baseline = runs("baseline", seeds=(0,), test_list="c" * 64) + runs("baseline", seeds=(1, 2))
    ours = runs("b", seeds=(0,), strength=2, test_list="c" * 64) + runs("b", seeds=(1, 2), strength=2)
    found = compared(baseline, ours)
    assert found.comparisons[0].seeds == [1, 2]
    assert "other photographs than most seeds" in found.refused[0].reason


def test_a_seed_without_a_partner_is_left_out(runs):
    found = compared(runs("baseline", seeds=(0, 1, 5)), runs("b", seeds=(1, 0, 7), strength=2))
    assert found.comparisons[0].seeds == [0, 1]
    assert {(r.ours, r.reason) for r in found.refused} == {
        ("baseline, seed 5", "b has no run of seed 5"),
        ("b, seed 7", "baseline has no run of seed 7"),
    }


def test_labels_must_agree(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    first = table(ours[1])[0]
    rewrite(ours[1], lambda row: {**row, "label": 1 - int(row["label"])} if row == first else row)
    found = compared(baseline, ours)
    assert found.comparisons[0].seeds == [0, 2]
    assert found.refused[0].reason == "the labels are not those of baseline, seed 1: 1 of 80 differ"
    assert found.refused[0].example == first["path"]
    assert first["path"] not in found.refused[0].reason


def test_photographs_that_lost_their_label_are_told(runs):
    baseline, ours = runs("baseline", seeds=(0,)), runs("b", seeds=(0,), strength=2)
    first = table(ours[0])[0]
    rewrite(ours[0], lambda row: {**row, "label": ""} if row == first else row)
    found = compared(baseline, ours)
    assert found.comparisons == []
    assert found.refused[0].reason == "the labelled test photographs are not those of baseline: 1 differ"


def test_probabilities_that_are_no_numbers_are_refused(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    first = table(ours[0])[0]
    rewrite(ours[0], lambda row: {**row, "probability": "nan"} if row == first else row)
    found = compared(baseline, ours)
    assert found.comparisons[0].seeds == [1, 2]
    assert found.refused[0].reason == "b, seed 0 has probabilities that are not numbers"
    assert found.refused[0].example == first["path"]


def test_a_broken_table_is_named(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    (ours[0] / "predictions-test.csv").write_text("path,task\nx,dr\n")
    with pytest.raises(BadData, match=r"b-seed0.*not a table of predictions"):
        compared(baseline, ours)


def test_a_closed_test_set_is_told(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    for folder in ours:
        result = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps({**result, "test": {}}))
    found = compared(baseline, ours)
    assert found.comparisons == []
    assert "b, seed 0 has no test scores of dr: its test set is closed" in found.refused[0].reason


# Tasks, thresholds, groups


def test_lesions_are_compared_one_by_one_without_their_unknown_labels(runs):
    more = {"tasks": ("lesions",), "photographs": 120}
    found = compared(runs("baseline", **more), runs("b", strength=2, **more))
    assert [one.task for one in found.comparisons] == [f"lesions.{lesion}" for lesion in ("MA", "HE", "EX", "SE")]
    assert all(60 < one.photographs < 120 for one in found.comparisons)
    assert all("over 4 comparisons" in one.sentence for one in found.comparisons)


def test_grades_by_their_quadratic_kappa(runs):
    claim = CLAIM.format(score="quadratic_kappa", margin=0.05)
    baseline = runs("baseline", tasks=("severity",))
    ours = runs("b", strength=2.2, tasks=("severity",), claim=claim)
    (one,) = compared(baseline, ours).comparisons
    stated = [
        np.mean(
            [json.loads((f / "result.json").read_text())["test"]["severity"]["quadratic_kappa"]["value"] for f in side]
        )
        for side in (ours, baseline)
    ]
    assert one.difference.value == pytest.approx(stated[0] - stated[1], abs=1e-7)


@pytest.mark.parametrize("score", ["auroc", "accuracy"])
@pytest.mark.parametrize("task", ["dr", "severity"])
def test_the_difference_is_that_of_the_printed_scores(runs, task, score):
    claim = CLAIM.format(score=score, margin=0.02)
    baseline, ours = runs("baseline", tasks=(task,)), runs("b", strength=2.2, tasks=(task,), claim=claim)
    (one,) = compared(baseline, ours).comparisons
    stated = [
        np.mean([json.loads((f / "result.json").read_text())["test"][task][score]["value"] for f in side])
        for side in (ours, baseline)
    ]
    assert one.difference.value == pytest.approx(stated[0] - stated[1], abs=1e-7)


def test_accuracy_is_at_the_threshold_that_validation_fixed(runs):
    claim = CLAIM.format(score="accuracy", margin=0.02)
    baseline, ours = runs("baseline"), runs("b", strength=2, claim=claim)
    before = compared(baseline, ours).comparisons[0].difference.value
    for folder in ours:
        result = json.loads((folder / "result.json").read_text())
        result["operating"] = {"dr": {"threshold": 0.999}}
        (folder / "result.json").write_text(json.dumps(result))
    labels = np.array([int(row["label"]) for row in table(ours[0])])
    theirs = ((probabilities(baseline) >= 0.5) == labels).mean()
    now = compared(baseline, ours).comparisons[0].difference.value
    assert now == pytest.approx(((probabilities(ours) >= 0.999) == labels).mean() - theirs)
    assert now != pytest.approx(before)


def test_groups_of_the_split_go_before_names_of_patients(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    for folder in (*baseline, *ours):
        number = iter(range(80))
        rewrite(folder, lambda row: {**row, "group": f"g{next(number) // 4}"})  # noqa: B023
    (one,) = compared(baseline, ours).comparisons
    assert one.difference.groups == 20
    assert "20 patients" in one.sentence


def test_a_split_by_photograph_still_counts_patients(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    for folder in (*baseline, *ours):
        file = folder / "config.toml"
        file.write_text(file.read_text().replace("[data]\n", '[data]\nby = "photograph"\n'))
        number = iter(range(80))
        # Pictures 1 and 2 are equal, so that the patients of 0 and 1 and of 2 and 3 are one.
        rewrite(folder, lambda row: {**row, "group": f"g{(n := next(number)) - (n == 2)}"})  # noqa: B023
    (one,) = compared(baseline, ours).comparisons
    assert one.difference.groups == 39


def test_unknown_patients_make_photographs_the_unit(runs):
    baseline, ours = runs("baseline"), runs("b", strength=2)
    for folder in (*baseline, *ours):
        rewrite(folder, lambda row: {**row, "patient": ""})
    (one,) = compared(baseline, ours).comparisons
    assert "; 3 seeds, 80 photographs)" in one.sentence


# Two single runs


def test_two_single_runs_with_one_photograph_a_patient_have_the_exact_tests(runs):
    baseline, ours = runs("baseline", seeds=(4,)), runs("b", seeds=(4,), strength=2.2)
    for folder in (*baseline, *ours):
        rewrite(folder, lambda row: {**row, "patient": row["path"]})
    found = compared(baseline, ours)
    (one,) = found.comparisons
    assert one.verdict == "not shown"
    assert "one seed tells of these two graders alone" in one.sentence
    labels = np.array([int(row["label"]) for row in table(ours[0])])
    a, b = probabilities(ours)[0], probabilities(baseline)[0]
    assert one.single.delong == one.difference
    assert one.difference.value == pytest.approx(delong(labels, a, b, [""] * 80).value)
    assert one.single.mcnemar.gained == ((a >= 0.5) == labels)[(b >= 0.5) != labels].sum()
    text = single_runs(one.single)
    assert f"(exact McNemar p = {one.single.mcnemar.p:.3g})" in text
    assert f"(paired DeLong p = {one.difference.p:.3g})" in text


def test_two_eyes_of_a_patient_have_no_mcnemar(runs):
    (one,) = compared(runs("baseline", seeds=(4,)), runs("b", seeds=(4,), strength=2.2)).comparisons
    assert one.single is None


def test_everything_can_be_json(runs):
    found = compared(runs("baseline"), runs("b", strength=2))
    assert json.loads(json.dumps(asdict(found)))["comparisons"][0]["difference"]["seeds"] == 3


def test_a_claim_may_name_the_baseline_by_one_of_its_runs(runs):
    claim = CLAIM.format(score="auroc", margin=0.02).replace("baseline", "baseline-seed1")
    found = compared(runs("baseline"), runs("b", strength=2, claim=claim))
    assert [one.primary for one in found.comparisons] == [True]
