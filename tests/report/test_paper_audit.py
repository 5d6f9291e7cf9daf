"""The audit of the paper's own numbers in docs/paper.md, worked out again from what the paper prints."""

import math

import pytest
from scipy.stats import binomtest

from semiretina.report.paper.cells import CELLS, TABLE_2

PRINTED = sorted({CELLS[name].paper for row in TABLE_2.values() for name in row})


def fits(accuracy, n):
    """Whether some k of n photographs, as a percentage, is printed so: rounded or cut to two decimals."""
    k = round(accuracy / 100 * n)
    share = 100 * k / n
    return round(share, 2) == accuracy or math.floor(share * 100) / 100 == accuracy


def test_all_five_accuracies_are_shares_of_238_photographs_and_of_no_other_number():
    assert PRINTED == [73.53, 74.79, 76.47, 86.97, 89.08]
    assert [n for n in range(50, 476) if all(fits(accuracy, n) for accuracy in PRINTED)] == [238]
    assert [round(accuracy / 100 * 238) for accuracy in PRINTED] == [175, 178, 182, 207, 212]


@pytest.mark.parametrize(("gained", "points", "p"), [(182 - 178, 1.68, 0.125), (212 - 207, 2.1, 0.0625)])
def test_the_gains_cannot_be_significant_even_if_every_disagreement_went_one_way(gained, points, p):
    assert 100 * gained / 238 == pytest.approx(points, abs=0.005)
    assert binomtest(gained, gained).pvalue == p


@pytest.mark.parametrize(("correct", "low", "high"), [(207, 82.1, 90.7), (212, 84.5, 92.4)])
def test_wilson_intervals_of_the_headline(correct, low, high):
    interval = binomtest(correct, 238).proportion_ci(method="wilson")
    assert (100 * interval.low, 100 * interval.high) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.05))


def test_a_plain_resnet18_and_inceptionv3_stand_above_the_headline():
    headline = max(CELLS[name].paper for row in TABLE_2.values() for name in row)
    assert CELLS["resnet18-pretrained"].paper > CELLS["inceptionv3-pretrained"].paper > headline
