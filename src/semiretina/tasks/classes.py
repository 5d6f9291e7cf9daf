"""One of several classes, by a softmax over them; classes are grades, 0 the mildest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from semiretina.records import Record
from semiretina.scoring.calibration import fit_temperature
from semiretina.scoring.intervals import Groups, Ints
from semiretina.scoring.levels import class_level, class_part
from semiretina.scoring.quick import mean_of_defined, quick_auroc, quick_share
from semiretina.scoring.scores import Scores, class_scores
from semiretina.scoring.thresholds import LEAST as LEAST_LABELS
from semiretina.tasks.binary import LEAST
from semiretina.tasks.task import Doubles, Floats, Targets, Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Classes(Task):
    """Targets int64 [n], -1 where unknown; soft ones [n, classes] that sum to 1, NaN where unknown."""

    loss = "cross_entropy"
    compared = ("auroc", "accuracy", "quadratic_kappa")

    @property
    def num_logits(self) -> int:
        """One for each class."""
        return len(self.outputs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The task's name."""
        return (self.name,)

    @property
    def threshold_keys(self) -> tuple[str, ...]:
        """None: the likeliest class is the answer."""
        return ()

    def targets(self, records: Sequence[Record]) -> Targets:
        """int64 [n], -1 where unknown."""
        return self.classes(records)

    def classes(self, records: Sequence[Record]) -> Ints:
        """[n] the class that each record states, -1 where unknown."""
        stated = [self.target(record)[0] if self.reads(record) else None for record in records]
        return np.array([-1 if value is None else value for value in stated], np.float64).astype(np.int64)

    def known(self, targets: Targets) -> npt.NDArray[np.bool_]:
        """[n] whether the class is known."""
        return np.asarray(self.labels(targets)[self.name] >= 0, np.bool_)

    def labels(self, targets: Targets) -> dict[str, Ints]:
        """NAME -> [n] classes."""
        return {self.name: targets.astype(np.int64)}

    def cells(self, targets: Targets) -> Floats:
        """[n, classes] 1 in the place of the class, a row of NaN where it is unknown."""
        classes = self.labels(targets)[self.name]
        one_hot = np.eye(len(self.outputs), dtype=np.float32)[classes]
        return np.where(classes[:, np.newaxis] < 0, np.float32(np.nan), one_hot)

    def targets_of_cells(self, cells: Floats) -> Targets:
        """int64 [n]."""
        return np.where(np.isnan(cells[:, 0]), -1, cells.argmax(axis=1)).astype(np.int64)

    def probabilities(self, logits: npt.ArrayLike, temperature: float | Sequence[float] = 1.0) -> Floats:
        """[n, classes] the softmax."""
        scaled = np.asarray(logits, np.float64) / np.asarray(temperature, np.float64)
        return np.asarray(softmax(scaled, axis=1), np.float32)

    def logits_of(self, probabilities: Floats) -> Doubles:
        """[n, classes] the logarithms, whose softmax they are; the network's differ by a constant a photograph."""
        return np.asarray(np.log(np.maximum(probabilities.astype(np.float64), LEAST)))

    def by_key(self, probabilities: npt.NDArray[np.floating]) -> dict[str, Doubles]:
        """NAME -> [n, classes]."""
        return {self.name: probabilities.astype(np.float64)}

    def decide(self, probabilities: npt.NDArray[np.floating], threshold: float = 0.5) -> Ints:
        """[n] the likeliest class; no threshold moves it."""
        return np.asarray(probabilities.argmax(axis=1), np.int64)

    def word(self, answer: int) -> str:
        """The output's name."""
        return self.outputs[answer]

    def quick_scores(self, probabilities: Floats, targets: Targets, threshold: float) -> dict[str, float]:
        """The AUROC is the mean over the classes there are of one against the rest."""
        classes = self.labels(targets)[self.name]
        p, y = probabilities[classes >= 0], classes[classes >= 0]
        areas = [quick_auroc(y == k, p[:, k]) for k in range(p.shape[1]) if (y == k).any()]
        return {"accuracy": quick_share(p.argmax(axis=1) == y), "auroc": mean_of_defined(areas)}

    def scores(self, labels: Ints, p: Doubles, groups: Groups, threshold: float, prevalence: float | None) -> Scores:
        """`class_scores`, which know neither threshold nor prevalence."""
        return class_scores(labels, p, groups)

    def level_scores(self, labels: Ints, p: Doubles, members: Ints, groups: Ints, threshold: float) -> Scores:
        """`class_level`."""
        answers = np.where(np.isnan(p[:, 0]), np.nan, self.decide(p))
        return class_level(labels, answers, p.shape[1], members, groups)

    def part_scores(self, labels: Ints, p: Doubles, groups: Ints, threshold: float) -> Scores:
        """`class_part`."""
        return class_part(labels, self.decide(p), groups)

    @property
    def label_names(self) -> Mapping[str, int]:
        """The classes."""
        return {output: number for number, output in enumerate(self.outputs)}

    def lacking(self, labels: Ints) -> str:
        """100 labels are needed."""
        return f"{len(labels)} labels" if len(labels) < 2 * LEAST_LABELS else ""

    def fit_temperatures(self, logits: npt.ArrayLike, targets: Targets) -> dict[str, float]:
        """One for all logits."""
        return {self.name: fit_temperature(logits, targets)}

    def confidence(self, logits: "Tensor") -> "Tensor":
        """[n] the largest probability."""
        return logits.detach().softmax(dim=1).amax(dim=1)

    def soft_targets(self, logits: "Tensor") -> "Tensor":
        """[n, classes] the softmax."""
        return logits.detach().softmax(dim=1)

    def hard_targets(self, logits: "Tensor", least: float = 0.0) -> "Tensor":
        """[n] the likeliest class, or -1."""
        return logits.detach().argmax(dim=1).masked_fill(self.confidence(logits) < least, -1)

    def sharpen(self, targets: "Tensor", temperature: float) -> "Tensor":
        """[n, classes]."""
        return (self.soft(targets).log() / temperature).softmax(dim=1)

    def divergence(self, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """[n] sum over classes of t log(t / p)."""
        t = self.soft(targets).detach().nan_to_num()
        return (t.xlogy(t) - t * logits.log_softmax(dim=1)).sum(dim=1)

    def soft(self, targets: "Tensor") -> "Tensor":
        """Soft targets [n, classes] as they are; of whole classes [n] the one-hot rows, NaN where unknown."""
        if targets.is_floating_point():
            return targets
        rows = targets.new_zeros((len(targets), len(self.outputs))).float()
        rows = rows.scatter(1, targets.clamp(min=0).unsqueeze(1), 1.0)
        return rows.masked_fill((targets < 0).unsqueeze(1), float("nan"))

    def evidence(self, logits: "Tensor", outputs: "Tensor", answers: "Tensor") -> "Tensor":
        """[n] the logit of the class."""
        return logits.gather(1, answers.unsqueeze(1))[:, 0]
