"""Yes or no for each output, by a sigmoid of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from semiretina.records import Record
from semiretina.scoring import thresholds
from semiretina.scoring.calibration import fit_temperature
from semiretina.scoring.intervals import Groups, Ints
from semiretina.scoring.levels import binary_level, binary_part
from semiretina.scoring.quick import mean_of_defined, quick_auroc, quick_share
from semiretina.scoring.scores import Scores, binary_scores
from semiretina.tasks.task import Doubles, Floats, Targets, Task

if TYPE_CHECKING:
    from torch import Tensor

# Beyond these a probability was rounded to 0 or 1 in float32; the logits stay finite, from -103 to 17.
LEAST, MOST = 2.0**-149, 1 - 2.0**-25


@dataclass(frozen=True)
class Binary(Task):
    """Targets float32 [n, outputs]: 1, 0, or NaN where unknown; soft ones anything between."""

    loss = "binary_cross_entropy"
    compared = ("auroc", "accuracy")

    @property
    def num_logits(self) -> int:
        """One for each output."""
        return len(self.outputs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The task's name, or `task.output` where there are several outputs."""
        return tuple(f"{self.name}.{output}" for output in self.outputs) if len(self.outputs) > 1 else (self.name,)

    @property
    def threshold_keys(self) -> tuple[str, ...]:
        """All of them."""
        return self.keys

    def targets(self, records: Sequence[Record]) -> Targets:
        """float32 [n, outputs], NaN where unknown."""
        empty = [None] * len(self.outputs)
        rows = [self.target(record) if self.reads(record) else empty for record in records]
        return np.array(rows, np.float32).reshape(len(rows), len(empty))  # None becomes NaN

    def known(self, targets: Targets) -> npt.NDArray[np.bool_]:
        """[n] whether one of the outputs is known."""
        return np.asarray((~np.isnan(targets)).any(axis=1), np.bool_)

    def labels(self, targets: Targets) -> dict[str, Ints]:
        """KEY -> [n] 1, 0, or -1 where unknown."""
        whole = np.nan_to_num(targets, nan=-1).astype(np.int64)
        return {key: whole[:, number] for number, key in enumerate(self.keys)}

    def cells(self, targets: Targets) -> Floats:
        """They are the targets."""
        return targets.astype(np.float32)

    def targets_of_cells(self, cells: Floats) -> Targets:
        """They are the targets."""
        return cells

    def probabilities(self, logits: npt.ArrayLike, temperature: float | Sequence[float] = 1.0) -> Floats:
        """[n, outputs] a sigmoid each."""
        return np.asarray(expit(np.asarray(logits, np.float64) / np.asarray(temperature, np.float64)), np.float32)

    def logits_of(self, probabilities: Floats) -> Doubles:
        """[n, outputs] log(p / (1 - p)), finite also where p was rounded to 0 or 1."""
        p = np.clip(probabilities.astype(np.float64), LEAST, MOST)
        return np.asarray(np.log(p) - np.log1p(-p))

    def by_key(self, probabilities: npt.NDArray[np.floating]) -> dict[str, Doubles]:
        """KEY -> [n] of a yes."""
        return {key: probabilities[:, number].astype(np.float64) for number, key in enumerate(self.keys)}

    def decide(self, probabilities: npt.NDArray[np.floating], threshold: float = 0.5) -> Ints:
        """[n] 1 at or above the threshold, else 0."""
        return (probabilities.astype(np.float64) >= threshold).astype(np.int64)

    def word(self, answer: int) -> str:
        """Yes or no."""
        return ("no", "yes")[answer]

    def quick_scores(self, probabilities: Floats, targets: Targets, threshold: float) -> dict[str, float]:
        """On average over the outputs."""
        accuracies, areas = [], []
        for output in range(len(self.outputs)):
            known = ~np.isnan(targets[:, output])
            labels, p = targets[known, output], probabilities[known, output]
            accuracies.append(quick_share((p >= threshold) == labels))
            areas.append(quick_auroc(labels, p))
        return {"accuracy": mean_of_defined(accuracies), "auroc": mean_of_defined(areas)}

    def scores(self, labels: Ints, p: Doubles, groups: Groups, threshold: float, prevalence: float | None) -> Scores:
        """`binary_scores`; PPV and NPV at the `prevalence`, or else the sample's."""
        return binary_scores(labels, p, groups, threshold, prevalence=prevalence)

    def level_scores(self, labels: Ints, p: Doubles, members: Ints, groups: Ints, threshold: float) -> Scores:
        """`binary_level`."""
        return binary_level(labels, p, members, groups, threshold)

    def part_scores(self, labels: Ints, p: Doubles, groups: Ints, threshold: float) -> Scores:
        """`binary_part`."""
        return binary_part(labels, p, groups, threshold)

    @property
    def label_names(self) -> Mapping[str, int]:
        """Positive and negative."""
        return {"positive": 1, "negative": 0}

    def lacking(self, labels: Ints) -> str:
        """`thresholds.lacking`: 50 positives and 50 negatives are needed."""
        return thresholds.lacking(labels)

    def fit_temperatures(self, logits: npt.ArrayLike, targets: Targets) -> dict[str, float]:
        """One for each output."""
        z = np.asarray(logits)
        return {key: fit_temperature(z[:, number], targets[:, number]) for number, key in enumerate(self.keys)}

    def confidence(self, logits: "Tensor") -> "Tensor":
        """[n, outputs] max(p, 1 - p)."""
        return logits.detach().abs().sigmoid()

    def soft_targets(self, logits: "Tensor") -> "Tensor":
        """[n, outputs] sigmoids."""
        return logits.detach().sigmoid()

    def hard_targets(self, logits: "Tensor", least: float = 0.0) -> "Tensor":
        """[n, outputs] 1, 0, or NaN."""
        answers = (logits.detach() >= 0).to(logits.dtype)
        return answers.masked_fill(self.confidence(logits) < least, float("nan"))

    def sharpen(self, targets: "Tensor", temperature: float) -> "Tensor":
        """Each output by itself: p^(1/T) / (p^(1/T) + (1 - p)^(1/T))."""
        return (targets.logit() / temperature).sigmoid()

    def divergence(self, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """[n, outputs] t log(t / p) + (1 - t) log((1 - t) / (1 - p))."""
        return yes_no_divergence(logits, targets)

    def evidence(self, logits: "Tensor", outputs: "Tensor", answers: "Tensor") -> "Tensor":
        """[n] the logit of a yes, and less it of a no."""
        return logits.gather(1, outputs.unsqueeze(1))[:, 0] * (2 * answers - 1)


def yes_no_divergence(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """KL of each yes or no, of the logits' shape; 0 where the target is NaN."""
    known = ~targets.isnan()
    t = targets.detach().nan_to_num()
    # log sigmoid(z) and log sigmoid(-z), as the softmax of two logits that are z apart.
    yes, no = (logits.unsqueeze(-1) * logits.new_tensor([0.5, -0.5])).log_softmax(dim=-1).unbind(dim=-1)
    return (t.xlogy(t) + (1 - t).xlogy(1 - t) - t * yes - (1 - t) * no) * known
