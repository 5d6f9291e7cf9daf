"""Table 1 on made-up points whose rows can be counted by hand, and against scipy's percentile rank."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore

from semiretina.errors import BadData
from semiretina.report.paper.table1 import (
    PAPER,
    PERCENTILES,
    Point,
    modes,
    number_text,
    read_points,
    short_names,
    table_one,
    to_html,
    to_text,
    write_page,
)

LR, NESTEROV = "stages.-1.optimizer.lr", "stages.-1.optimizer.nesterov"


def point(accuracy, status="done", **parameters):
    return Point("k", parameters, status, accuracy)


def test_twenty_different_accuracies_fill_the_rows_one_by_one():
    points = [point(number / 100, lr=number) for number in range(1, 21)]
    random.Random(3).shuffle(points)
    rows = table_one(points)
    assert [row.percentile for row in rows] == [75, 80, 85, 90, 95]
    # Number 15 of 20 has the rank 0.75; the last row reaches from 0.95 (number 19) to 1 (number 20).
    assert [row.modes["lr"] for row in rows] == [(15,), (16,), (17,), (18,), (19, 20)]
    assert [row.runs for row in rows] == [1, 1, 1, 1, 2]


def test_the_24_best_of_96_runs_are_shared_out_without_a_gap():
    rows = table_one([point(number / 96, lr=0.1) for number in range(96)])
    # Ranks k/96: 72..76 lie in [0.75, 0.80), 77..81, 82..86, 87..91, and 92..96 in the last row.
    assert [row.runs for row in rows] == [5, 5, 5, 5, 5]


def test_equal_accuracies_share_a_rank_and_the_best_stand_in_the_last_row():
    points = [point(0.5, lr=1) for _ in range(4)] + [point(0.7, lr=lr) for lr in (2, 2, 3, 4)]
    rows = table_one(points)
    assert [row.runs for row in rows] == [0, 0, 0, 0, 4]
    assert rows[-1].modes["lr"] == (2,)
    assert rows[0].modes["lr"] == ()


def test_all_tied_values_are_shown_smallest_first():
    points = [point(0.9, lr=lr, nesterov=n) for lr, n in [(5e-3, True), (4e-3, False), (4e-3, True), (5e-3, False)]]
    assert table_one(points)[-1].modes == {"lr": (4e-3, 5e-3), "nesterov": (False, True)}


def test_runs_that_diverged_have_no_rank():
    points = [point(number / 100, lr=number) for number in range(1, 21)]
    lost = [point(None, "diverged", lr=0) for _ in range(60)]
    assert table_one(points + lost) == table_one(points)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.75, 0.8]), min_size=1, max_size=60), st.randoms())
def test_rows_agree_with_scipy_and_do_not_depend_on_the_order(accuracies, order):
    points = [point(accuracy, lr=number) for number, accuracy in enumerate(accuracies)]
    rows = table_one(points)
    order.shuffle(points)
    assert table_one(points) == rows
    ranks = [percentileofscore(accuracies, accuracy, kind="weak") for accuracy in accuracies]
    for row, end in zip(rows, (*PERCENTILES[1:], 101), strict=True):
        # Every run has another rate, so that the modes are the numbers of all runs of the row.
        expected = tuple(n for n, rank in enumerate(ranks) if row.percentile - 1e-9 <= rank < end - 1e-9)
        assert row.modes["lr"] == expected
        assert row.runs == len(expected)
    best = {number for number, accuracy in enumerate(accuracies) if accuracy == max(accuracies)}
    assert best <= set(rows[-1].modes["lr"])


@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1))
def test_a_mode_is_no_rarer_than_any_value(values):
    found = modes(values)
    assert found
    assert all(values.count(mode) >= values.count(value) for mode in found for value in values)
    assert list(found) == sorted(set(found))


def test_modes_tell_apart_what_python_calls_equal():
    assert modes([True, 1, 1]) == (1,)
    assert modes(["b", "a"]) == ("a", "b")
    assert modes([[0.9, 1.0], [0.8, 1.0], [0.9, 1.0]]) == ([0.9, 1.0],)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.004, "4e-3"),
        (1e-7, "1e-7"),
        (0.01, "1e-2"),
        (0.0125, "1.25e-2"),
        (0.1, "0.1"),
        (0.9, "0.9"),
        (1.0, "1.0"),
        (0.0, "0.0"),
        (True, "1.0"),
        (False, "0.0"),
        (48, "48"),
        ("adam", "adam"),
    ],
)
def test_values_are_printed_as_in_the_paper(value, text):
    assert number_text(value) == text


def test_the_papers_table_is_printed_beside_ours():
    # Table 1, last row: 4e-3 | 0.5, 0.9 | 0.0 | 1e-5 | 4e-3 | 0.9 | 1.0 | 1.0
    ours = {"a.lr": 5e-3, "a.momentum": 0.9, "a.nesterov": True, "a.weight_decay": 0.1}
    points = [Point("k", ours, "done", 0.8)]
    text = to_text({"AE then CL": points, "AE-CL combined": points}).splitlines()
    last = [line.split("  ") for line in text if line.startswith("0.95")]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in last]
    assert cells == [
        ["0.95", "1", "5e-3 (4e-3)", "0.9 (0.5, 0.9)", "1.0 (0.0)", "0.1 (1e-5)"],
        ["0.95", "1", "5e-3 (4e-3)", "0.9 (0.9)", "1.0 (1.0)", "0.1 (1.0)"],
    ]
    assert "outside its own grid" in text[-1]
    first = next(line for line in text if line.startswith("0.75"))
    assert "– (0.0, 1.0)" in first  # no run of ours has this rank


def test_the_paper_has_forty_cells():
    for rows in PAPER.values():
        assert list(rows) == list(PERCENTILES)
        assert all(list(row) == ["lr", "momentum", "nesterov", "weight_decay"] for row in rows.values())


def test_another_training_stands_alone():
    text = to_text({"my own <b>": [point(0.8, **{LR: 0.1, NESTEROV: True}), point(None, "diverged", **{LR: 9.0})]})
    assert "my own <b>: 1 run, 1 diverged and have no rank" in text
    assert "paper" not in text
    page = to_html({"my own <b>": [point(0.8, **{LR: 0.1})]})
    assert "my own &lt;b&gt;" in page
    assert page.count("<tr>") == 2 + len(PERCENTILES)


def test_a_grid_without_any_accuracy_has_an_empty_table():
    assert "0.95" in to_text({"AE then CL": [point(None, "diverged", lr=1.0)]})


def test_the_page_needs_nothing_else(tmp_path):
    write_page({"AE then CL": [point(0.8, **{LR: 5e-3})]}, tmp_path / "table1.html")
    page = (tmp_path / "table1.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "<td>5e-3 <span" in page


def test_names_are_short_where_they_stay_different():
    assert short_names([LR, NESTEROV]) == {LR: "lr", NESTEROV: "nesterov"}
    assert short_names(["stages.0.optimizer.lr", "seed", "stages.1.optimizer.lr"]) == {
        "stages.0.optimizer.lr": "stages.0.optimizer.lr",
        "seed": "seed",
        "stages.1.optimizer.lr": "stages.1.optimizer.lr",
    }


def test_points_are_read_and_a_broken_line_is_named(tmp_path):
    file = tmp_path / "points.jsonl"
    assert read_points(file) == []
    file.write_text(json.dumps({"key": "a", "parameters": {LR: 0.1}, "status": "open"}) + "\n")
    assert read_points(file) == [Point("a", {LR: 0.1}, "open")]
    file.write_text(file.read_text() + '{"key": "b"}\n')
    with pytest.raises(BadData, match="line 2 is no point of a grid"):
        read_points(file)
