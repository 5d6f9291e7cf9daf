"""Where scores are undefined, and where their intervals were seen to hold the truth too rarely, in plain sentences.

The numbers are those of `docs/results/coverage.md`, measured by `benchmarks/coverage.py`.
"""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from semiretina.scoring.intervals import Ints, group_numbers
from semiretina.wording import counted

FEWEST = 10  # photographs of a kind
FEW_PATIENTS = 25
FEW_PHOTOGRAPHS = 200
HIGH = 0.92  # of AUROC
KINDS: Mapping[str, int] = {"positive": 1, "negative": 0}


def caution(
    labels: npt.ArrayLike,
    groups: Sequence[str] | npt.NDArray[np.str_] | Ints,
    area: float = nan,
    kinds: Mapping[str, int] = KINDS,
) -> list[str]:
    """Sentences to print beside the scores of these photographs, where intervals hold less often than they should.

    Without any, each score's interval of 95 % held the truth in at least 92 % of simulated samples, that of the
    calibration error in 88 %; the latter's of grades never does, which is always said.

    `labels` [n] as in `binary_scores` or `class_scores`, `groups` [n] name the patients, `area` is the AUROC that was
    found, `kinds` names the values of a label.
    """
    y, given = np.asarray(labels, np.float64), np.asarray(groups)
    assert len(y) == len(given), "one group a photograph"
    known = y >= 0
    n, patients = int(known.sum()), len(np.unique(group_numbers(given[known])))
    if n == 0:
        return ["No photograph has a known label: there is no score."]
    counts = {kind: int((y == value).sum()) for kind, value in kinds.items()}
    told = []
    if missing := [kind for kind, count in counts.items() if count == 0]:
        told.append(f"No photograph is {_either(missing)}: scores that need one are undefined or leave it out.")
    if few := [f"{count} {kind}" for kind, count in counts.items() if 0 < count < FEWEST]:
        told.append(
            f"Of {counted(n, 'photograph')}, {' and '.join(few)}: with about five positives of 50 or 100, intervals "
            "of 95 % held the AUROC in 92 to 97 % of simulated samples; 5 to 8 % of average precisions and 7 to 9 % of "
            "Brier's scores had none."
        )
    if patients < FEW_PATIENTS:
        told.append(
            f"Of {counted(patients, 'patient')}: with 12, intervals of 95 % held the AUROC in 96 to 99 % of simulated "
            "samples and the kappa of five grades in 92 to 96 %; with fewer, none was measured."
        )
    if len(kinds) > 2:
        told.append(
            "Chance lifts the calibration error: of five grades on 50 to 500 photographs, its intervals of 95 % held "
            "the truth in 38 to 68 % of simulated samples."
        )
    elif n < FEW_PHOTOGRAPHS:
        told.append(
            f"Chance lifts the calibration error of {counted(n, 'photograph')}: with 50 to 100, its intervals of 95 % "
            "held the truth in 59 to 95 % of simulated samples."
        )
    if n < FEW_PHOTOGRAPHS and area > HIGH:
        told.append(
            f"An AUROC above {HIGH} of fewer than {FEW_PHOTOGRAPHS} photographs: with 50 to 100, intervals of 95 % "
            "held it in 93 to 98 % of simulated samples."
        )
    return told


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
