"""Reading run folders: what is missing or broken is named, and runs of one name are told apart."""

import json

import numpy as np
import pytest
from fake_runs import make_run

from semiretina.errors import BadData, MissingInput
from semiretina.report.runs import check_complete, read_runs


def edit(folder, **changes):
    result = json.loads((folder / "result.json").read_text()) | changes
    (folder / "result.json").write_text(json.dumps({k: v for k, v in result.items() if v is not ...}))


def test_every_unfinished_run_is_named_with_what_it_lacks(tmp_path):
    whole, unfinished, empty = (tmp_path / name for name in ("whole", "unfinished", "empty"))
    make_run(whole)
    make_run(unfinished)
    (unfinished / "result.json").unlink()
    empty.mkdir()
    with pytest.raises(MissingInput) as error:
        read_runs([whole, unfinished, empty, tmp_path / "nowhere"])
    message = str(error.value)
    assert f"{unfinished} has no result.json" in message
    assert f"{empty} has no config.toml, result.json" in message
    assert f"{tmp_path / 'nowhere'} is no folder" in message
    assert str(whole) not in message
    assert "\n" not in message


def test_no_run_at_all_is_an_error():
    with pytest.raises(MissingInput, match="at least one run folder"):
        read_runs([])


@pytest.mark.parametrize(
    "lost",
    ["log.jsonl", "environment.json", "predictions-test.csv", "samples/samples.json", "samples/reconstruction-02.png"],
)
def test_a_finished_run_that_lost_a_file_is_named(tmp_path, lost):
    (make_run(tmp_path / "run") / lost).unlink()
    with pytest.raises(MissingInput, match=f"run has no {lost}"):
        check_complete(read_runs([tmp_path / "run"]))


def test_a_run_without_test_photographs_needs_no_predictions(tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "predictions-test.csv").unlink()
    edit(folder, test={})
    check_complete(read_runs([folder]))


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("result.json", "{", "not valid JSON"),
        ("result.json", '{"schema": 2}', "not a result of schema 1"),
        ("result.json", '{"schema": 1, "seed": 0}', "has no split_sha256, trained_on, selected_epoch, test"),
        ("config.toml", "seed = = 1", "not valid TOML"),
    ],
)
def test_a_broken_file_is_named(tmp_path, file, text, said):
    (make_run(tmp_path / "run") / file).write_text(text)
    with pytest.raises(BadData, match=said) as error:
        read_runs([tmp_path / "run"])
    assert str(tmp_path / "run" / file) in str(error.value)


def test_a_broken_line_of_the_log_is_numbered(tmp_path):
    folder = make_run(tmp_path / "run", epochs=3)
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"kind": "epo')
    [run] = read_runs([folder])
    with pytest.raises(BadData, match=r"log\.jsonl: line 7 is not JSON"):
        run.epochs()


def test_a_table_without_probabilities_is_refused(tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "predictions-test.csv").write_text("path,task,output,label,probability\na.jpg,dr,dr,1,high\n")
    [run] = read_runs([folder])
    with pytest.raises(BadData, match="not a table of predictions"):
        run.predictions()


def test_predictions_keep_unknown_labels_apart_from_negative_ones(tmp_path):
    folder = make_run(tmp_path / "run", tasks=("lesions",))
    [run] = read_runs([folder])
    table = run.predictions()
    assert table.outputs == {"lesions": ("MA", "HE", "EX", "SE")}
    labels = table.labels["lesions"]
    assert {0.0, 1.0} == set(labels[~np.isnan(labels)])
    assert np.isnan(labels[:, 0]).any()
    assert len(labels) == 80


def test_seeds_of_one_experiment_share_a_name_and_have_labels(tmp_path):
    paths = [make_run(tmp_path / f"seed{seed}" / "baseline", seed=seed) for seed in (0, 1)]
    paths += [make_run(tmp_path / f"combined-seed{seed}", seed=seed, stages=("combined",)) for seed in (0, 1)]
    runs = read_runs(paths)
    assert [run.name for run in runs] == ["baseline", "baseline", "combined", "combined"]
    assert [run.label for run in runs] == [
        "baseline, seed 0",
        "baseline, seed 1",
        "combined, seed 0",
        "combined, seed 1",
    ]


def test_another_experiment_of_the_same_name_is_not_taken_for_a_seed(tmp_path):
    paths = [
        make_run(tmp_path / "short" / "baseline", epochs=4),
        make_run(tmp_path / "long" / "baseline", epochs=5, seed=1),
    ]
    assert [run.name for run in read_runs(paths)] == ["short/baseline", "long/baseline"]


def test_the_same_folder_twice_is_one_run_and_a_copy_is_told_apart(tmp_path):
    path, copy = make_run(tmp_path / "a" / "run"), make_run(tmp_path / "b" / "run")
    assert len(read_runs([path, tmp_path / "a" / ".." / "a" / "run"])) == 1
    assert [run.label for run in read_runs([path, copy])] == [str(path), str(copy)]
