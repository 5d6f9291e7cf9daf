"""Shortcuts: what tells a label without a look at the retina."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semiretina.audit.finding import Place, Sighting
from semiretina.audit.pictures import STATISTICS, Pictures
from semiretina.audit.probe import cross_validated
from semiretina.records import Record
from semiretina.scoring.intervals import Estimate, Floats, auroc, group_numbers
from semiretina.tasks import TASKS

# What the whole interval of an area lies above when something is called a shortcut. Chance is 0.5; weak links are
# everywhere (one hospital's camera, one hospital's patients), and this is what a network would clearly gain from.
SHORTCUT = 0.65
BINS = 16  # of an order: blocks of one class show up wherever they lie
LABELS = ("dr", "referable")


@dataclass(frozen=True)
class Probe:
    """How well `features` tell `label`: the area under the ROC curve over `n` photographs."""

    label: str
    features: str
    n: int
    auroc: Estimate

    @property
    def above(self) -> bool:
        """Whether it is a shortcut."""
        return bool(self.auroc.low > SHORTCUT)


def find_shortcuts(records: Sequence[Record], groups: Sequence[str], pictures: Pictures) -> list[Probe]:
    """A probe for each label that has two classes and each of its possible shortcuts; none where there are too few."""
    features = _features(records, pictures)
    probes = []
    for name in LABELS:
        task = TASKS[name]("icdr")
        targets = task.targets(records)
        chosen = np.flatnonzero(task.known(targets) & pictures.readable)
        labels = targets[chosen, 0].astype(np.int64)
        patients = group_numbers(np.array(groups)[chosen])
        for what, values in features.items():
            answers = cross_validated(values[chosen], labels, patients)
            if answers is not None:
                probes.append(Probe(name, what, len(chosen), auroc(labels, answers, patients)))
    return probes


def shortcut_findings(probes: Sequence[Probe]) -> Iterator[Sighting]:
    """Those whose whole interval is above the limit, the strongest first."""
    for probe in sorted(probes, key=lambda probe: -probe.auroc.low):
        if probe.above:
            detail = f"{probe.features} alone tells '{probe.label}': AUROC {spoken(probe.auroc)}, {probe.n} photographs"
            yield "shortcut", Place(detail=detail)


def spoken(estimate: Estimate) -> str:
    """An area with its interval, as in "0.71 [0.66, 0.76]"."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _features(records: Sequence[Record], pictures: Pictures) -> dict[str, Floats]:
    """What may be a shortcut -> its numbers [n, k]; without what is the same for all."""
    n = len(records)
    names = np.argsort(np.argsort([record.path.name for record in records], kind="stable"), kind="stable")
    color = [STATISTICS.index(name) for name in ("red", "green", "blue")]
    features = {
        "mean colour": np.nan_to_num(pictures.numbers[:, color]),
        "size in pixels": _one_hot([f"{width}x{height}" for width, height in pictures.sizes]),
        "size of the file": np.log1p(np.array(pictures.weights, np.float64))[:, None],
        "place in the manifest": _bins(np.arange(n)),
        "place among the file names": _bins(names),
        "site": _one_hot([record.site for record in records]),
        "camera": _one_hot([record.camera for record in records]),
    }
    return {name: values for name, values in features.items() if n and np.ptp(values, axis=0).any()}


def _bins(order: npt.NDArray[np.integer]) -> Floats:
    return np.asarray(np.eye(BINS)[order * BINS // max(len(order), 1)], np.float64)


def _one_hot(words: Sequence[str], most: int = 20) -> Floats:
    kept = [word for word, _ in Counter(words).most_common(most)]
    return np.array([[float(word == name) for name in kept] for word in words]).reshape(len(words), len(kept))
