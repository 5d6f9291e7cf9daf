"""The sentences beside scores of few photographs."""

import math

import numpy as np
import pytest

from semiretina.scoring import caution


def named(n, photographs=2):
    return [f"p{i // photographs}" for i in range(n)]


def test_enough_photographs_need_no_caution():
    assert caution(np.arange(200) % 2, named(200), 0.99) == []


@pytest.mark.parametrize(
    ("labels", "groups", "area", "said"),
    [
        ([0] * 191 + [1] * 9, named(200), 0.8, ["9 positive"]),
        ([1] * 192 + [0] * 8, named(200), 0.8, ["8 negative"]),
        ([0] * 200, named(200), math.nan, ["No photograph is positive"]),
        ([0, 1] * 48, named(96, 4), 0.8, ["Of 24 patients", "calibration error of 96"]),
        ([0, 1] * 50, named(100, 4), 0.8, ["calibration error of 100"]),
        ([0, 1] * 50, named(100), 0.93, ["calibration error of 100", "AUROC above 0.92"]),
        ([0, 1] * 50, named(100), 0.92, ["calibration error of 100"]),
        ([1], ["a"], math.nan, ["is negative", "1 photograph, 1 positive", "1 patient:", "of 1 photograph"]),
        ([-1, math.nan], ["a", "b"], math.nan, ["No photograph has a known label"]),
    ],
)
def test_each_caution_where_it_belongs(labels, groups, area, said):
    told = caution(labels, groups, area)
    assert len(told) == len(said)
    for sentence, words in zip(told, said, strict=True):
        assert words in sentence
        assert sentence.endswith(".")


def test_classes_are_named():
    kinds = {f"grade {k}": k for k in range(4)}
    (few, *_) = caution([0] * 150 + [1] * 60 + [2] * 3, named(213), kinds=kinds)[1:]
    assert "3 grade 2" in few
    assert caution([0] * 150 + [1] * 60, named(210), kinds=kinds)[0].startswith("No photograph is grade 2 or grade 3")


def test_the_calibration_error_of_grades_is_never_to_be_trusted():
    kinds = {f"grade {k}": k for k in range(4)}
    (told,) = caution(np.arange(800) % 4, named(800), 0.9, kinds)
    assert "calibration error" in told


def test_unknown_labels_count_for_nothing():
    labels = np.where(np.arange(400) % 2, -1, np.arange(400) // 2 % 2)
    assert caution(labels, named(400, 4)) == []
