"""Where scores are undefined, and where their intervals were seen to hold the truth too rarely, in plain sentences.

The numbers are those of `docs/results/coverage.md`, measured by `benchmarks/coverage.py`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from semiretina.scoring.intervals import Estimate, Groups, group_numbers
from semiretina.wording import counted

FEWEST = 10  # photographs of a kind
FEW_PATIENTS = 25
FEW_PHOTOGRAPHS = 200
HIGH = 0.92  # of AUROC
HELD_BY_CHANCE = "16 to 40 %"  # 50 to 3,000 photographs
KINDS: Mapping[str, int] = {"positive": 1, "negative": 0}


def caution(
    labels: npt.ArrayLike, groups: Groups, scores: Mapping[str, object], kinds: Mapping[str, int] = KINDS
) -> list[str]:
    """Sentences to print beside the scores of these photographs, where intervals hold less often than they should.

    Without any, each score's interval of 95 % held the truth in at least 92 % of simulated samples, that of the
    calibration error in 88 %; the latter's of grades never does, which is always said.

    `labels` [n] as in `binary_scores` or `class_scores`, whose result is `scores`; `groups` [n] name the patients,
    `kinds` names the values of a label.
    """
    y, given = np.asarray(labels, np.float64), np.asarray(groups)
    assert len(y) == len(given), "one group a photograph"
    known = y >= 0
    n, patients = int(known.sum()), len(np.unique(group_numbers(given[known])))
    if n == 0:
        return ["No photograph has a known label: there is no score."]
    counts = {kind: int((y == value).sum()) for kind, value in kinds.items()}
    sentences = []
    if missing := [kind for kind, count in counts.items() if count == 0]:
        sentences.append(f"No photograph is {_either(missing)}: scores that need one are undefined or leave it out.")
    if few := [f"{count} {kind}" for kind, count in counts.items() if 0 < count < FEWEST]:
        sentences.append(
            f"Of {counted(n, 'photograph')}, {' and '.join(few)}: with about five positives of 50 or 100, intervals "
            "of 95 % held the AUROC in 92 to 97 % of simulated samples; 5 to 8 % of average precisions and 7 to 9 % of "
            "Brier's scores had none."
        )
    if patients < FEW_PATIENTS:
        sentences.append(
            f"Of {counted(patients, 'patient')}: with 12, intervals of 95 % held the AUROC in 96 to 99 % of simulated "
            "samples and the kappa of five grades in 92 to 96 %; with fewer, none was measured."
        )
    sentences += _of_calibration(n, scores, grades=len(kinds) > 2)
    area = scores["auroc"]
    if n < FEW_PHOTOGRAPHS and isinstance(area, Estimate) and area.value > HIGH:
        sentences.append(
            f"An AUROC above {HIGH} of fewer than {FEW_PHOTOGRAPHS} photographs: with 50 to 100, intervals of 95 % "
            "held it in 93 to 98 % of simulated samples."
        )
    return sentences


def within_chance(scores: Mapping[str, object]) -> bool:
    """Whether the calibration error is no larger than chance makes that of a grader that is exactly right."""
    error, chance = scores["ece"], scores["ece_by_chance"]
    assert isinstance(error, Estimate)
    assert isinstance(chance, Estimate)
    return chance.high > 0 and error.value <= chance.high


def _of_calibration(n: int, scores: Mapping[str, object], grades: bool) -> list[str]:
    """What is to be said of the calibration error's interval, at most one sentence."""
    if within_chance(scores):
        error, chance = scores["ece"], scores["ece_by_chance"]
        assert isinstance(error, Estimate)
        assert isinstance(chance, Estimate)
        return [
            f"A calibration error of {error.value:.3f} is no larger than chance makes that of a grader whose "
            f"probabilities are exactly right: {chance.value:.3f} on average on these {counted(n, 'photograph')}, and "
            f"{chance.low:.3f} to {chance.high:.3f} in 95 % of draws. Intervals of 95 % of such errors held the truth "
            f"in only {HELD_BY_CHANCE} of simulated samples, with 50 as with 3,000 photographs."
        ]
    if grades:
        return [
            "Chance lifts the calibration error: of five grades on 50 to 500 photographs, its intervals of 95 % held "
            "the truth in 38 to 68 % of simulated samples."
        ]
    if n < FEW_PHOTOGRAPHS:
        return [
            f"Chance lifts the calibration error of {counted(n, 'photograph')}: with 50 to 100, its intervals of 95 % "
            "held the truth in 59 to 95 % of simulated samples."
        ]
    return []


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
