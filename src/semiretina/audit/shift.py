"""Shift: how the unlabelled photographs differ from the labelled ones, in pictures and in their likely mix of labels.

Both are weak instruments. The test sees what seven numbers of a photograph see; the mix rests on a probe that hardly
sees lesions, and on the belief that sick eyes look alike on both sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from semiretina.audit.finding import Place, Sighting
from semiretina.audit.pictures import STATISTICS, Pictures
from semiretina.audit.probe import cross_validated, fit
from semiretina.audit.shortcuts import spoken
from semiretina.draws import generator
from semiretina.records import Record
from semiretina.scoring.intervals import Estimate, Floats, Ints, auroc, group_numbers
from semiretina.tasks import TASKS

SHIFT = 0.65  # what the whole interval of the area for labelled against unlabelled lies above when it is told
WEAK = 0.7  # area of the probe of the label whose whole interval must lie above it, else no mix is told
RESAMPLES = 100  # of patients, for the interval of the mix


@dataclass(frozen=True)
class Shift:
    """Labelled against unlabelled photographs."""

    labeled: int
    unlabeled: int
    auroc: Estimate  # of telling the two apart
    most: str  # the statistic that differs most, in words
    probe: Estimate  # area of the probe that the mix rests on; NaN where there are too few labels
    fraction_labeled: float  # of the labelled photographs, that with retinopathy
    fraction_unlabeled: Estimate  # the same of the unlabelled ones; NaN where the probe is too weak to tell


def find_shift(records: Sequence[Record], groups: Sequence[str], pictures: Pictures) -> Shift | None:
    """A classifier two-sample test (Lopez-Paz, Oquab, ICLR 2017) on picture statistics, and the likely mix of labels.

    None where there are too few labelled or unlabelled photographs.
    """
    task = TASKS["dr"]("icdr")
    targets = task.targets(records)
    gradable = np.array([record.quality != "ungradable" for record in records], np.bool_)
    chosen = np.flatnonzero(pictures.readable & gradable)
    values = pictures.numbers[chosen]
    sides = task.known(targets)[chosen].astype(np.int64)
    patients = group_numbers(np.array(groups)[chosen])
    answers = cross_validated(values, sides, patients)
    if answers is None:
        return None
    singles = [auroc(sides, values[:, k], patients).value for k in range(values.shape[1])]
    most = int(np.argmax(np.abs(np.array(singles) - 0.5)))
    means = [float(values[sides == side, most].mean()) for side in (1, 0)]
    is_labeled = sides == 1
    labels = targets[chosen[is_labeled], 0].astype(np.int64)
    probe, fraction = _mix(values[is_labeled], labels, patients[is_labeled], values[~is_labeled])
    return Shift(
        labeled=int(is_labeled.sum()),
        unlabeled=int((~is_labeled).sum()),
        auroc=auroc(sides, answers, patients),
        most=f"{STATISTICS[most]}, {means[0]:.2f} on average where labelled and {means[1]:.2f} where not",
        probe=probe,
        fraction_labeled=float(labels.mean()),
        fraction_unlabeled=fraction,
    )


def shift_findings(shift: Shift | None) -> Iterator[Sighting]:
    """A shift whose whole interval is above the limit."""
    if shift is not None and shift.auroc.low > SHIFT:
        detail = f"picture statistics tell them apart with AUROC {spoken(shift.auroc)}; most of all {shift.most}"
        yield "shift", Place(detail=detail)


def spoken_mix(shift: Shift) -> str:
    """The likely mix of labels in a sentence, or why it cannot be told."""
    if np.isnan(shift.fraction_unlabeled.value):
        strength = "" if np.isnan(shift.probe.value) else f" (AUROC {spoken(shift.probe)})"
        return f"the fraction with retinopathy among the unlabelled cannot be told: the probe is too weak{strength}"
    fraction = shift.fraction_unlabeled
    return (
        f"with retinopathy: {shift.fraction_labeled:.0%} of the labelled; of the unlabelled about {fraction.value:.0%} "
        f"[{fraction.low:.0%}, {fraction.high:.0%}], by a weak probe (AUROC {spoken(shift.probe)})"
    )


def likely_fraction(probabilities: Floats, prior: float) -> float:
    """The fraction of positives under which probabilities that are calibrated at `prior` are likeliest, by EM.

    Saerens, Latinne, Decaestecker, Neural Computation 2002; 14(1):21, eq. 2.
    """
    fraction = prior
    for _ in range(1000):
        odds = probabilities / (1 - probabilities) * (fraction / (1 - fraction)) / (prior / (1 - prior))
        before, fraction = fraction, float(np.clip((odds / (1 + odds)).mean(), 1e-6, 1 - 1e-6))
        if abs(fraction - before) < 1e-7:
            break
    return fraction


def _mix(values: Floats, labels: Ints, groups: Ints, others: Floats) -> tuple[Estimate, Estimate]:
    """The probe's area, and the fraction of positives among `others` with its interval over resampled patients."""
    answers = cross_validated(values, labels, groups)
    if answers is None:
        return Estimate(nan), Estimate(nan)
    area = auroc(labels, answers, groups)
    if not area.low > WEAK:
        return area, Estimate(nan)
    random = generator("audit", "mix")
    names = np.unique(groups)
    members = [np.flatnonzero(groups == name) for name in names]
    fractions = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[i] for i in random.integers(0, len(names), len(names))])
        if len(np.unique(labels[drawn])) == 2:
            pool = others[random.integers(0, len(others), len(others))]
            fractions.append(likely_fraction(fit(values[drawn], labels[drawn])(pool), float(labels[drawn].mean())))
    low, high = np.quantile(fractions, [0.025, 0.975])
    return area, Estimate(likely_fraction(fit(values, labels)(others), float(labels.mean())), float(low), float(high))
