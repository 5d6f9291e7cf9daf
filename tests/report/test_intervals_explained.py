"""What the intervals of a report are said to hold: never the chance of a training that was made once."""

import json
import re

import pytest
from fake_runs import make_run

from semiretina.report.findings import findings
from semiretina.report.method_comparisons import compare
from semiretina.report.run_set import RunSet
from semiretina.report.runs import read_runs


def explained(folder, seeds):
    """The notes of a report of methods with these seeds: name -> seeds."""
    runs = [
        make_run(folder / f"{name}-seed{seed}", seed=seed, epochs=1, decoder=False, size=8, strength=1.5 + len(name))
        for name, own in seeds.items()
        for seed in own
    ]
    sentences, notes, *_ = findings(RunSet(read_runs(runs))).blocks
    return notes.words, [item.words for item in sentences.items]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_of_one_method_they_are_over_patients_alone(tmp_path, seeds):
    notes, sentences = explained(tmp_path, {"a": seeds})
    assert "over patients alone" in notes
    assert "of one training each" in notes
    assert "another seed is not in them" in notes
    assert not any("seeds and over" in text for text in (notes, *sentences))
    assert len(sentences) == len(seeds)
    assert all(re.fullmatch(r"a.*: AUROC 0\.\d+ \[.*\]; accuracy .*; 80 test photographs\.", one) for one in sentences)


def test_of_two_methods_with_a_seed_each_too(tmp_path):
    notes, _ = explained(tmp_path, {"a": (0,), "bb": (0,)})
    assert "Intervals are 95 %, over patients alone, since there is one training of each method" in notes
    assert "too narrow for methods" in notes
    assert "over seeds and" not in notes


def test_with_several_seeds_they_are_over_both(tmp_path):
    notes, _ = explained(tmp_path, {"a": (0, 1), "bb": (0, 1)})
    assert notes.endswith("Intervals are 95 %, over seeds and over patients.")


def test_where_one_comparison_has_one_seed_both_are_said(tmp_path):
    notes, _ = explained(tmp_path, {"a": (0, 1), "bb": (0, 1), "cccc": (0,)})
    assert "Intervals are 95 %, over seeds and over patients; those of one seed over patients alone: " in notes


def test_the_unit_is_the_photograph_where_no_patient_is_known(tmp_path):
    runs = [make_run(tmp_path / name, epochs=1, decoder=False, size=8) for name in ("a", "b")]
    for run in runs:
        file = run / "predictions-test.csv"
        file.write_text(re.sub(r"\.jpg,p\d+,", ".jpg,,", file.read_text()))
    assert "over photographs alone, since" in compare(RunSet(read_runs(runs))).notes[-1]


def test_an_accuracy_without_an_interval_is_said_without_a_gap(tmp_path):
    run = make_run(tmp_path / "a", epochs=1, decoder=False, size=8)
    file = run / "result.json"
    result = json.loads(file.read_text())
    result["test"]["dr"]["accuracy"] |= {"low": None, "high": None}
    file.write_text(json.dumps(result))
    [sentence] = findings(RunSet(read_runs([run]))).blocks[0].items
    assert re.search(r"; accuracy \d+\.\d %, where the majority vote", sentence.words)
