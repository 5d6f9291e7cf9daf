"""The table of results against numbers that stand in a hand-written result.json."""

import json

import pytest
from fake_runs import make_run

from semiretina.report import results_table, to_markdown, to_text
from semiretina.report.columns import Score
from semiretina.report.results import by_test_list

DR = {
    "n": 238,
    "positives": 135,
    "majority": 135 / 238,
    "accuracy": {"value": 207 / 238, "low": 0.82105, "high": 0.9067},
    "auroc": {"value": 0.9312, "low": 0.8954, "high": 0.9555},
    "sensitivity": {"value": 0.9, "low": 0.8378, "high": 0.94},
    "specificity": {"value": None, "low": None, "high": None},
}


def run_with(folder, test, **result):
    make_run(folder, **{key: result.pop(key) for key in ("shuffle", "seed") if key in result})
    stated = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(stated | {"test": test} | result))
    return folder


def test_a_row_says_what_the_result_says(tmp_path):
    run = run_with(tmp_path / "baseline", {"dr": DR}, selected_epoch=9, labeled_updates=60)
    [row] = results_table([run])
    assert (row.run, row.task, row.n, row.positives) == ("baseline", "dr", 238, 135)
    assert row.score("accuracy") == Score(207 / 238, 0.82105, 0.9067)
    assert row.score("specificity") == row.score("quadratic_kappa") == Score(None, None, None)
    assert (row.labeled_photographs, row.labeled_updates, row.selected_epoch) == (40, 60, 9)
    assert row.above_majority


def test_a_refit_trained_on_the_validation_labels_too(tmp_path):
    [row] = results_table([run_with(tmp_path / "run", {"dr": DR}, trained_on="train+val")])
    assert row.labeled_photographs == 100


def test_markdown_has_every_column_that_says_something(tmp_path):
    run = run_with(tmp_path / "a|b", {"dr": DR}, selected_epoch=9, labeled_updates=60)
    lines = to_markdown(results_table([run])).splitlines()
    assert lines[0] == (
        "| run | task | n | majority vote % | accuracy % | AUROC | sensitivity % | labelled training photographs "
        "| labelled updates | selected epoch | trained on |"
    )
    assert lines[1].count("---") == 11
    assert lines[2] == (
        r"| a\|b | dr | 238 | 56.7 | 87.0 [82.1, 90.7] | 0.931 [0.895, 0.956] | 90.0 [83.8, 94.0] "
        "| 40 | 60 | 9 | train |"
    )


def test_text_says_once_what_all_rows_share_and_lines_up_the_rest(tmp_path):
    runs = [
        run_with(tmp_path / name, {"dr": DR}, labeled_updates=n) for name, n in (("baseline", 60), ("combined", 600))
    ]
    shared, header, first, second, _, note = to_text(results_table(runs)).splitlines()
    assert (
        shared
        == "n 238; majority vote 56.7 %; labelled training photographs 40; selected epoch 9; task dr; trained on train"
    )
    assert header.split("  ")[0] == "run"
    assert header.index("labelled updates") + len("labelled updates") == len(first) == len(second)
    assert first.startswith("baseline  87.0 [82.1, 90.7]")
    assert note == "In brackets: 95 % intervals over patients, of one training each."


def test_an_accuracy_not_above_the_majority_vote_is_marked(tmp_path):
    weak = DR | {"accuracy": {"value": 0.6, "low": 0.5366, "high": 0.66}}
    rows = results_table([run_with(tmp_path / "weak", {"dr": weak}), run_with(tmp_path / "good", {"dr": DR})])
    text = to_text(rows)
    assert "60.0† [53.7, 66.0]" in text
    assert "87.0 [82.1, 90.7]" in text
    assert "† The interval of the accuracy reaches down to the majority vote" in text
    assert "†" not in to_text(rows[1:])


def test_the_control_is_called_one(tmp_path):
    assert "run (control: shuffled labels)" in to_text(
        results_table([run_with(tmp_path / "run", {"dr": DR}, shuffle=True)])
    )


def test_tasks_stand_together_and_an_undefined_score_is_a_dash_or_says_why(tmp_path):
    grades = {"n": 200, "majority": 0.4, "accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}
    grades |= {"quadratic_kappa": {"value": 0.75, "low": None, "high": None}, "auroc": None}
    runs = [run_with(tmp_path / name, {"dr": DR, "severity": grades}) for name in ("a", "b")]
    rows = results_table(runs)
    assert [(row.task, row.run) for row in rows] == [("dr", "a"), ("dr", "b"), ("severity", "a"), ("severity", "b")]
    severity = to_markdown(rows).splitlines()[4]
    assert "| 70.0 [60.0, 80.0] | one class only | – | 0.750 |" in severity


@pytest.mark.parametrize("render", [to_text, to_markdown])
def test_runs_of_different_test_lists_never_share_a_table(tmp_path, render):
    runs = [run_with(tmp_path / name, {"dr": DR}, split_sha256=name * 64) for name in ("a", "b")]
    rows = results_table(runs)
    assert [len(own) for own in by_test_list(rows).values()] == [1, 1]
    text = render(rows)
    assert "Test list 1 (aaaaaaaaaaaa): not comparable with the other lists" in text
    assert "Test list 2 (bbbbbbbbbbbb): not comparable with the other lists" in text
    assert text.count("AUROC") == 2
    assert "not comparable" not in render(rows[:1])
