"""What a comparison shows, in one plain sentence.

The interval in the sentence is always the plain 95 % one. Where several comparisons are judged together, the verdict
behind the colon is stricter than that interval: it goes by Holm's adjusted p, and what it says of the margin goes by
the interval at 1 - 5 % / comparisons. The sentence then names that p and the number of comparisons.
"""

from dataclasses import dataclass
from math import isnan
from typing import Literal

from semiretina.scoring.comparisons import Difference
from semiretina.wording import counted

ALPHA = 0.05

# "excluded": a gain of the margin or more is.
Verdict = Literal[
    "shown and relevant", "shown", "shown, gain excluded", "not shown", "not shown, gain excluded", "worse, shown"
]


@dataclass(frozen=True)
class Judgement:
    """What a difference shows, as one of so many `comparisons`; `adjusted` is its p adjusted for all of them.

    `margin`, in units of the score, is the least gain that matters, stated beforehand. With one seed nothing is ever
    shown of methods: no gain, no loss, and no absence of either.
    """

    difference: Difference
    margin: float | None = None
    adjusted: float = 0.0
    comparisons: int = 1

    @property
    def verdict(self) -> Verdict:
        """The verdict in the fewest words."""
        difference, margin = self.difference, self.margin
        if difference.seeds == 1 or isnan(difference.p):
            return "not shown"
        low, high = difference.interval(1 - ALPHA / self.comparisons)
        excluded = margin is not None and high < margin
        if max(difference.p, self.adjusted) > ALPHA:
            return "not shown, gain excluded" if excluded else "not shown"
        if difference.value < 0:
            return "worse, shown"
        if margin is not None and low > margin:
            return "shown and relevant"
        return "shown, gain excluded" if excluded else "shown"

    def sentence(self, ours: str, theirs: str, unit: str = "patient") -> str:
        """The verdict in words, with the difference in points, which are 0.01 of the score.

        "AE-CL combined measured 2.1 points higher than the baseline (95 % CI -1.3 to 5.4; 5 seeds, 119 patients): a
        difference is not shown." Where ours is lower, the interval is of how much lower. `unit` is what was drawn at
        random: the patient, or the photograph where no patient is known.
        """
        difference = self.difference
        counts = f"{counted(difference.seeds, 'seed')}, {counted(difference.groups, unit)}"
        subject = "The" + ours[3:] if ours.startswith("the ") else ours
        if isnan(difference.value):
            return f"{subject} and {theirs} cannot be compared (the score is undefined; {counts})."
        low, high = sorted(
            [difference.low, difference.high] if difference.value >= 0 else [-difference.high, -difference.low]
        )
        interval = (
            "no interval: too little varies" if isnan(difference.p) else f"95 % CI {_points(low)} to {_points(high)}"
        )
        return f"{self._measured(subject, theirs)} ({interval}; {counts}): {self._ending()}."

    def _measured(self, subject: str, theirs: str) -> str:
        """What was measured; only what is shown *is* better or worse."""
        gain, shown = self.difference.value >= 0, not self.verdict.startswith("not shown")
        amount = _points(abs(self.difference.value))
        if float(amount) == 0 and not shown:
            return f"{subject} and {theirs} score alike"
        points = f"{'less than 0.01' if float(amount) == 0 else amount} points"
        if shown:
            return f"{subject} is {'better' if gain else 'worse'} than {theirs} by {points}"
        return f"{subject} measured {points} {'higher' if gain else 'lower'} than {theirs}"

    def _ending(self) -> str:
        least = "" if self.margin is None else f"{_points(self.margin)} points"
        words = {
            "shown and relevant": f"shown and relevant, beyond the {least} stated beforehand",
            "shown, gain excluded": f"shown, but a gain of {least} or more is excluded",
            "not shown": "a difference is not shown",
            "not shown, gain excluded": f"a difference is not shown, and a gain of {least} or more is excluded",
            "worse, shown": "shown",
        }.get(self.verdict, self.verdict)
        if self.difference.seeds == 1:
            return f"{words}, since one seed tells of these two graders alone and not of the methods"
        if self.comparisons == 1 or isnan(self.difference.p):
            return words
        p = "< 0.001" if self.adjusted < 0.001 else f"= {self.adjusted:.3f}"
        return f"{words} (Holm's p {p} over {self.comparisons} comparisons)"


def _points(value: float) -> str:
    """With one decimal, or two where the first says nothing."""
    return f"{100 * value:z.{1 if abs(100 * value) >= 0.05 else 2}f}"
