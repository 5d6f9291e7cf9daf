"""The numbers beside the paper's, recomputed by hand, and the facts that stand for the paper."""

import json

import pytest
import torch
import torchvision
from fake_study import add_run, make_split, set_result

from semiretina.report.paper.cells import CELLS, TABLE_2
from semiretina.report.paper.numbers import (
    PAPER_HEALTHY,
    PAPER_PARAMETERS,
    PAPER_PHOTOGRAPHS,
    PAPER_SIZE,
    PAPER_SPLIT,
    PAPER_TEST,
    Count,
    baselines,
    curves,
    healthy,
    number,
    pixels,
    split_counts,
    spread,
    table_two,
    training_photographs,
)
from semiretina.report.runs import read_runs


def test_under_the_papers_protocol_the_headline_is_the_maximum_over_epochs(tmp_path):
    folders = [add_run(tmp_path / f"aecl1-combined-seed{seed}", "aecl1-combined", seed, "paper") for seed in (0, 1)]
    set_result(folders[0], 0.70, maximum=0.80, mean=0.65, majority=0.567, n=238)
    set_result(folders[1], 0.75, maximum=0.90, mean=0.70, majority=0.567, n=238)
    found = number("aecl1-combined", read_runs(folders))
    assert (found.name, found.paper, found.read_off) == ("AECL1, AE-CL combined", 73.53, "table 2")
    assert found.values == pytest.approx([80, 90])
    assert found.last == pytest.approx([70, 75])
    assert found.mean_last_ten == pytest.approx([65, 70])
    assert found.interval == pytest.approx((60, 75))  # of the first seed's last look
    assert (found.majority, found.n) == (pytest.approx(56.7), 238)
    assert (found.network, found.balance) == ("aecl1-small, 128 px", "fixed λ = 400")


def test_corrected_the_headline_is_the_one_look(tmp_path):
    run = add_run(tmp_path / "aecl1-combined-seed0", "aecl1-combined", 0, "corrected")
    set_result(run, 0.71)
    found = number("aecl1-combined", read_runs([run]))
    assert found.values == found.last == pytest.approx([71])
    assert found.mean_last_ten == []
    assert found.balance == "balanced"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('name = "balanced"', "balanced"),
        ('name = "balanced", balance = { name = "norm_ratio", rho = 0.1 }', "balanced, ρ = 0.1"),
        ('name = "combined", lambda_cl = 3.0', "fixed λ = 3"),
        ('name = "balanced", balance = {name = "eq4"}', "eq4"),
    ],
)
def test_the_weighting_is_told_as_the_method_reads_it(tmp_path, written, said):
    run = add_run(tmp_path / "run", "aecl1-combined", 0, "corrected", combined=written)
    assert number("aecl1-combined", read_runs([run])).balance == said


def test_a_hole_has_no_number():
    found = number("aeres18-combined", (), "weights absent: resnet18.safetensors")
    assert (found.values, found.interval, found.majority, found.n) == ([], None, None, 0)
    assert found.hole == "weights absent: resnet18.safetensors"


def test_table_two_and_the_baselines_hold_every_cell_once():
    numbers = {name: number(name, ()) for name in CELLS}
    rows = table_two(numbers)
    assert [title for title, _ in rows] == list(TABLE_2)
    assert [[n.paper for n in row] for _, row in rows] == [[74.79, 76.47, 73.53], [86.97, 89.08, 89.08]]
    assert [n.paper for n in baselines(numbers)] == [91.2, 72.6, 90.3, 61.3, 62.0, None, None]
    assert sum(len(row) for _, row in rows) + len(baselines(numbers)) == len(CELLS)


def test_curves_are_those_of_the_last_stage_in_percent(tmp_path):
    run = add_run(tmp_path / "run", "aecl1-ae-then-cl", 0, "paper")
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    expected = [100 * row["test"]["dr"]["accuracy"] for row in logged if row["kind"] == "epoch" and row["stage"] == 1]
    [curve] = curves(read_runs([run]), "test")
    assert curve == pytest.approx(expected)
    assert len(curve) == 4


def test_a_spread_is_a_mean_and_a_range():
    assert spread([], 2) == "—"
    assert spread([73.529], 2) == "73.53"
    assert spread([70.0, 75.0, 71.0], 1) == "72.0 (70.0 to 75.0)"


def test_the_split_is_counted_by_hospital(tmp_path):
    split = make_split(tmp_path / "photographs", masks=False)
    roles, rows = split_counts(split)
    assert roles == ["train", "val", "test", "unlabeled", "unlabeled-val", "unlabeled-test", "unused"]
    none = Count(0, 0, 0)
    assert rows == [
        ("messidor, Paris", [Count(4, 4, 2), Count(1, 1, 1), Count(1, 1, 0), none, none, none, none]),
        (
            "messidor, Brest",
            [Count(4, 4, 1), Count(1, 1, 1), Count(1, 1, 1), Count(2, 0, 0), Count(1, 0, 0), Count(1, 0, 0), none],
        ),
        (
            "all",
            [Count(8, 8, 3), Count(2, 2, 2), Count(2, 2, 1), Count(2, 0, 0), Count(1, 0, 0), Count(1, 0, 0), none],
        ),
    ]
    assert healthy(split) == (6, 12)


def test_training_photographs_include_validation_after_a_refit(tmp_path):
    run = add_run(tmp_path / "run", "aecl1-baseline", 0, "corrected")  # 40 train, 60 val
    assert training_photographs(read_runs([run])[0]) == 40
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"trained_on": "train+val"}))
    assert training_photographs(read_runs([run])[0]) == 100


def test_the_papers_parameters_are_those_of_torchvisions_networks_for_1000_classes():
    with torch.device("meta"):
        networks = {
            "InceptionV3": torchvision.models.inception_v3(weights=None, init_weights=False),
            "ResNet18": torchvision.models.resnet18(weights=None),
        }
    counted = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counted == PAPER_PARAMETERS == {"InceptionV3": 27_161_264, "ResNet18": 11_689_512}


def test_the_papers_pixels_and_ratios():
    count = pixels(PAPER_PHOTOGRAPHS, PAPER_SIZE)
    assert count == 950 * 512 * 512 * 3 == 747_110_400
    assert round(count / PAPER_PARAMETERS["InceptionV3"], 1) == 27.5
    assert round(count / PAPER_PARAMETERS["ResNet18"], 1) == 63.9


def test_the_papers_split_adds_up():
    labeled = [PAPER_SPLIT[role] for role in ("train", "val", "test")]
    assert sum(labeled) == PAPER_HEALTHY[1] == 1187
    assert PAPER_SPLIT["test"] == PAPER_TEST == -(-1187 // 5)  # 20 %, rounded up
    assert sum(labeled[:2]) + 1 == PAPER_PHOTOGRAPHS  # of 1187 - 238 = 949 the paper says 950
    assert sum(count for role, count in PAPER_SPLIT.items() if role.startswith("unlabeled")) == 690
