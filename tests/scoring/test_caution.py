"""The sentences beside scores of few photographs."""

import math

import numpy as np
import pytest

from semiretina.scoring import Estimate, binary_scores, caution
from semiretina.scoring.caution import within_chance


def scores(area=math.nan, error=0.2):
    """With a calibration error of `error`, where chance gives one of 0.05 to 0.1."""
    return {"auroc": Estimate(area), "ece": Estimate(error), "ece_by_chance": Estimate(0.07, 0.05, 0.1)}


def named(n, photographs=2):
    return [f"p{i // photographs}" for i in range(n)]


def test_enough_photographs_need_no_caution():
    assert caution(np.arange(200) % 2, named(200), scores(0.99)) == []


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
    sentences = caution(labels, groups, scores(area))
    assert len(sentences) == len(said)
    for sentence, words in zip(sentences, said, strict=True):
        assert words in sentence
        assert sentence.endswith(".")


def test_classes_are_named():
    kinds = {f"grade {k}": k for k in range(4)}
    (few, *_) = caution([0] * 150 + [1] * 60 + [2] * 3, named(213), scores(), kinds)[1:]
    assert "3 grade 2" in few
    assert caution([0] * 150 + [1] * 60, named(210), scores(), kinds)[0].startswith(
        "No photograph is grade 2 or grade 3"
    )


def test_the_calibration_error_of_grades_is_never_to_be_trusted():
    kinds = {f"grade {k}": k for k in range(4)}
    (sentence,) = caution(np.arange(800) % 4, named(800), scores(0.9), kinds)
    assert "calibration error" in sentence


def test_unknown_labels_count_for_nothing():
    labels = np.where(np.arange(400) % 2, -1, np.arange(400) // 2 % 2)
    assert caution(labels, named(400, 4), scores()) == []


@pytest.mark.parametrize("n", [60, 400, 4000])
def test_a_calibration_error_that_chance_gives_is_warned_of_at_every_number(n):
    labels = np.arange(n) % 2
    (sentence,) = caution(labels, named(n), scores(0.8, 0.1))
    assert "error of 0.100 is no larger than chance" in sentence
    assert f"0.070 on average on these {n} photographs, and 0.050 to 0.100 in 95 % of draws" in sentence
    assert not any("no larger than chance" in sentence for sentence in caution(labels, named(n), scores(0.8, 0.101)))


def test_graders_that_are_right_are_warned_of_and_those_that_are_not_are_not():
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, 3000)
    labels = draw.random(3000) < 1 / (1 + np.exp(-logits))
    for factor, expected in ((1, True), (2, False)):
        found = binary_scores(labels, 1 / (1 + np.exp(-factor * logits)), np.arange(3000))
        assert within_chance(found) == expected


def test_certainty_that_is_always_right_is_no_chance():
    labels = np.arange(200) % 2
    found = binary_scores(labels, labels, np.arange(200))
    assert found["ece"].value == found["ece_by_chance"].high == 0
    assert not within_chance(found)
