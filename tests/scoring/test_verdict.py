from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from semiretina.scoring.comparisons import Difference
from semiretina.scoring.verdict import Judgement

Z = norm.isf(0.025)
NO_GAIN = "a difference is not shown, and a gain of 2.0 points or more is excluded"


def difference(low, high, seeds=5, groups=119):
    """With this 95 % interval, in points, by the normal distribution."""
    value, error = (low + high) / 200, (high - low) / 200 / Z
    return Difference(value, low / 100, high / 100, 2 * norm.sf(abs(value) / error), error, inf, seeds, groups)


def said(low, high, margin=None, **more):
    return Judgement(difference(low, high), margin, **more).sentence("AE-CL combined", "the baseline")


def test_the_sentence_that_was_asked_for():
    assert said(-1.3, 5.5) == (
        "AE-CL combined measured 2.1 points higher than the baseline (95 % CI -1.3 to 5.5; 5 seeds, 119 patients): a "
        "difference is not shown."
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict", "ending"),
    [
        (0.4, 5.4, "shown", "shown"),
        (2.1, 5.4, "shown and relevant", "shown and relevant, beyond the 2.0 points stated beforehand"),
        (0.2, 1.8, "shown, gain excluded", "shown, but a gain of 2.0 points or more is excluded"),
        (-1.3, 5.4, "not shown", "a difference is not shown"),
        (
            -1.3,
            1.8,
            "not shown, gain excluded",
            "a difference is not shown, and a gain of 2.0 points or more is excluded",
        ),
        (-5.4, -0.3, "worse, shown", "shown"),
    ],
)
def test_verdicts(low, high, verdict, ending):
    assert Judgement(difference(low, high), 0.02).verdict == verdict
    assert said(low, high, 0.02).endswith(f" 119 patients): {ending}.")


@pytest.mark.parametrize(("low", "high", "verdict"), [(2.1, 5.4, "shown"), (-1, 1, "not shown")])
def test_without_a_margin_nothing_is_said_of_one(low, high, verdict):
    assert Judgement(difference(low, high)).verdict == verdict
    assert said(low, high).endswith("): shown." if verdict == "shown" else "): a difference is not shown.")


def test_a_loss_is_reported_as_how_much_lower_and_is_worse_only_where_it_is_shown():
    start = "AE-CL combined measured 2.1 points lower than the baseline (95 % CI -1.2 to 5.4;"
    assert said(-5.4, 1.2).startswith(start)
    assert said(-5.4, -0.2) == (
        "AE-CL combined is worse than the baseline by 2.8 points (95 % CI 0.2 to 5.4; 5 seeds, 119 patients): shown."
    )


@pytest.mark.parametrize(
    ("low", "high", "start"),
    [
        (-2, 2, "AE-CL combined and the baseline score alike (95 % CI -2.0 to 2.0;"),
        (-2, 2.004, "AE-CL combined and the baseline score alike (95 % CI -2.0 to 2.0;"),
        (-2, 1.96, "AE-CL combined measured 0.02 points lower than the baseline (95 % CI -2.0 to 2.0;"),
        (0.001, 0.003, "AE-CL combined is better than the baseline by less than 0.01 points (95 % CI 0.00 to 0.00;"),
        (0.02, 1.98, "AE-CL combined is better than the baseline by 1.0 points (95 % CI 0.02 to 2.0;"),
        (-0.04, 1.98, "AE-CL combined measured 1.0 points higher than the baseline (95 % CI -0.04 to 2.0;"),
    ],
)
def test_small_numbers(low, high, start):
    assert said(low, high).startswith(start)


def test_one_of_anything_is_singular_and_a_name_may_begin_the_sentence():
    text = Judgement(difference(-1, 2, seeds=2, groups=1)).sentence("the baseline", "theirs", "photograph")
    assert text.startswith("The baseline measured 0.5 points higher than theirs")
    assert "2 seeds, 1 photograph)" in text


def test_one_seed_shows_nothing_of_a_method():
    clear = difference(3, 5, seeds=1)
    assert Judgement(clear, 0.02).verdict == "not shown"
    assert Judgement(difference(-5, -3, seeds=1), 0.02).verdict == "not shown"
    assert Judgement(clear, 0.02).sentence("a", "b") == (
        "a measured 4.0 points higher than b (95 % CI 3.0 to 5.0; 1 seed, 119 patients): a difference is not shown, "
        "since one seed tells of these two graders alone and not of the methods."
    )


def test_among_several_the_verdict_is_stricter_than_the_interval_and_says_so():
    clear = difference(0.3, 4.1)
    assert Judgement(clear).verdict == "shown"
    assert Judgement(clear, adjusted=0.12, comparisons=4).verdict == "not shown"
    text = Judgement(clear, adjusted=0.12, comparisons=4).sentence("a", "b")
    assert text.endswith(
        "(95 % CI 0.3 to 4.1; 5 seeds, 119 patients): a difference is not shown (Holm's p = 0.120 over 4 comparisons)."
    )
    assert (
        Judgement(difference(9, 12), adjusted=1e-9, comparisons=4)
        .sentence("a", "b")
        .endswith("): shown (Holm's p < 0.001 over 4 comparisons).")
    )


def test_among_several_a_margin_must_be_passed_by_the_wider_interval():
    just = difference(2.1, 5.4)
    assert Judgement(just, 0.02).verdict == "shown and relevant"
    assert Judgement(just, 0.02, adjusted=0.001, comparisons=4).verdict == "shown"
    barely = difference(-3, 1.9)
    assert Judgement(barely, 0.02).verdict == "not shown, gain excluded"
    assert Judgement(barely, 0.02, adjusted=1.0, comparisons=4).verdict == "not shown"


def test_where_nothing_varies_there_is_no_interval_and_no_verdict():
    same = Difference(0.0, nan, nan, nan, nan, nan, 5, 119)
    assert Judgement(same, 0.02, adjusted=1.0, comparisons=3).sentence("a", "b") == (
        "a and b score alike (no interval: too little varies; 5 seeds, 119 patients): a difference is not shown."
    )
    undefined = Difference(nan, nan, nan, nan, nan, nan, 5, 119)
    assert Judgement(undefined).sentence("a", "b") == (
        "a and b cannot be compared (the score is undefined; 5 seeds, 119 patients)."
    )


@given(st.floats(-40, 40), st.floats(0.01, 30), st.sampled_from([None, 0.01, 0.05]), st.integers(1, 12))
def test_every_sentence_is_one_plain_line(middle, half, margin, seeds):
    found = difference(middle - half, middle + half, seeds=seeds)
    judgement = Judgement(found, margin)
    text = judgement.sentence("ours", "theirs")
    assert text.endswith(".")
    assert "-0.0 " not in text
    assert "nan" not in text
    assert "None" not in text
    assert text.count("(") == text.count(")") == 1
    verdict = judgement.verdict
    assert (verdict.startswith("shown") or verdict == "worse, shown") == (seeds > 1 and found.p <= 0.05)
    assert ("): a difference is not shown" in text) == verdict.startswith("not shown")
    assert (" is better than " in text or " is worse than " in text) == ("): shown" in text)
