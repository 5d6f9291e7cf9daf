"""What a comparison shows, in one plain sentence.

The interval in the sentence is always the plain 95 % one. Where several comparisons are judged together, the verdict
behind the colon is stricter than that interval: it goes by Holm's adjusted p, and what it says of the margin goes by
the interval at 1 - 5 % / comparisons. The sentence then names that p and the number of comparisons.
"""

from math import isnan
from typing import Literal

from semiretina.scoring.comparisons import Difference
from semiretina.wording import counted

ALPHA = 0.05

# "excluded": a gain of the margin or more is.
Verdict = Literal[
    "shown and relevant", "shown", "shown, gain excluded", "not shown", "not shown, gain excluded", "worse, shown"
]


def judge(difference: Difference, margin: float | None = None, adjusted: float = 0.0, comparisons: int = 1) -> Verdict:
    """The verdict on one of so many `comparisons`; `adjusted` is its p adjusted for all of them.

    `margin`, in units of the score, is the least gain that matters, stated beforehand. With one seed nothing is ever
    shown of methods: no gain, no loss, and no absence of either.
    """
    if difference.seeds == 1 or isnan(difference.p):
        return "not shown"
    low, high = difference.interval(1 - ALPHA / comparisons)
    excluded = margin is not None and high < margin
    if max(difference.p, adjusted) > ALPHA:
        return "not shown, gain excluded" if excluded else "not shown"
    if difference.value < 0:
        return "worse, shown"
    if margin is not None and low > margin:
        return "shown and relevant"
    return "shown, gain excluded" if excluded else "shown"


def sentence(
    ours: str,
    theirs: str,
    difference: Difference,
    margin: float | None = None,
    adjusted: float = 0.0,
    comparisons: int = 1,
    unit: str = "patient",
) -> str:
    """`judge`'s verdict in words, with the difference in points, which are 0.01 of the score.

    "AE-CL combined is better than the baseline by 2.1 points (95 % CI -1.3 to 5.4; 5 seeds, 119 patients): not shown."
    Where ours is worse, the interval is of how much worse. `unit` is what was drawn at random: the patient, or the
    photograph where no patient is known.
    """
    verdict = judge(difference, margin, adjusted, comparisons)
    counts = f"{counted(difference.seeds, 'seed')}, {counted(difference.groups, unit)}"
    subject = "The" + ours[3:] if ours.startswith("the ") else ours
    if isnan(difference.value):
        return f"{subject} and {theirs} cannot be compared (the score is undefined; {counts}): not shown."
    low, high = sorted(
        [difference.low, difference.high] if difference.value >= 0 else [-difference.high, -difference.low]
    )
    interval = "no interval: too little varies" if isnan(difference.p) else f"95 % CI {_points(low)} to {_points(high)}"
    amount = _points(abs(difference.value))
    if float(amount) == 0 and verdict.startswith("not shown"):
        found = f"{subject} and {theirs} score alike"
    else:
        more = "less than 0.01" if float(amount) == 0 else amount
        found = f"{subject} is {'better' if difference.value > 0 else 'worse'} than {theirs} by {more} points"
    return f"{found} ({interval}; {counts}): {_ending(verdict, difference, margin, adjusted, comparisons)}."


def _ending(verdict: Verdict, difference: Difference, margin: float | None, adjusted: float, comparisons: int) -> str:
    least = "" if margin is None else f"{_points(margin)} points"
    words = {
        "shown and relevant": f"shown and relevant, beyond the {least} stated beforehand",
        "shown, gain excluded": f"shown, but a gain of {least} or more is excluded",
        "not shown, gain excluded": f"not shown, and a gain of {least} or more is excluded",
    }.get(verdict, verdict)
    if difference.seeds == 1:
        return f"{words}, since one seed tells of these two graders alone and not of the methods"
    if comparisons == 1 or isnan(difference.p):
        return words
    p = "< 0.001" if adjusted < 0.001 else f"= {adjusted:.3f}"
    return f"{words} (Holm's p {p} over {comparisons} comparisons)"


def _points(value: float) -> str:
    """With one decimal, or two where the first says nothing."""
    return f"{100 * value:z.{1 if abs(100 * value) >= 0.05 else 2}f}"
