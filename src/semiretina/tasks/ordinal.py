"""Grades in their order: a sigmoid for each question "is the grade above k?" but the last grade's.

Extended binary classification (Li, Lin, NIPS 2006; in a network Niu et al., CVPR 2016). The answers may contradict each
other. Cao et al. (Pattern Recognition Letters 2020; 140:325) rule that out by weights that all questions share; here an
eye that is not above a grade is not above a later one either: P(grade > k) is the least of the sigmoids of the
questions 0 to k.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from semiretina.records import Record
from semiretina.scoring.intervals import Ints
from semiretina.tasks.binary import LEAST, yes_no_divergence
from semiretina.tasks.classes import Classes
from semiretina.tasks.task import Doubles, Floats, Targets

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Ordinal(Classes):
    """Targets float32 [n, grades - 1], y_k = 1[grade > k], a row of NaN where unknown; soft ones fall along the row."""

    loss = "binary_cross_entropy"

    @property
    def num_logits(self) -> int:
        """One for each grade but the last."""
        return len(self.outputs) - 1

    def targets(self, records: Sequence[Record]) -> Targets:
        """float32 [n, grades - 1], NaN where unknown."""
        return self._above(self.classes(records))

    def labels(self, targets: Targets) -> dict[str, Ints]:
        """NAME -> [n] grades: how many questions are answered by yes."""
        grades = np.where(np.isnan(targets).any(axis=1), -1, targets.sum(axis=1))
        return {self.name: grades.astype(np.int64)}

    def targets_of_cells(self, cells: Floats) -> Targets:
        """float32 [n, grades - 1]."""
        return self._above(np.where(np.isnan(cells[:, 0]), -1, cells.argmax(axis=1)).astype(np.int64))

    def _above(self, grades: Ints) -> Floats:
        above = grades[:, np.newaxis] > np.arange(self.num_logits)
        return np.where(grades[:, np.newaxis] < 0, np.nan, above).astype(np.float32)

    def probabilities(self, logits: npt.ArrayLike, temperature: float | Sequence[float] = 1.0) -> Floats:
        """[n, grades] P(grade > k - 1) - P(grade > k)."""
        questions = expit(np.asarray(logits, np.float64) / np.asarray(temperature, np.float64))
        above = np.minimum.accumulate(questions, axis=1)
        ends = np.ones((len(above), 1))
        return np.asarray(np.concatenate([ends, above], axis=1) - np.concatenate([above, 0 * ends], axis=1), np.float32)

    def logits_of(self, probabilities: Floats) -> Doubles:
        """[n, grades - 1].

        Where the sigmoid of a question was above that of one before it, the answers, and so these logits, are those of
        that one.
        """
        p = probabilities.astype(np.float64)
        # Sums of the grades up to each question and above it: 1 less one of them would lose the digits of a small
        # other.
        below = p.cumsum(axis=1)[:, :-1]
        above = p[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        return np.asarray(np.log(np.maximum(above, LEAST)) - np.log(np.maximum(below, LEAST)))

    def confidence(self, logits: "Tensor") -> "Tensor":
        """[n] the probability of the likeliest grade."""
        return grades_of(self.soft_targets(logits)).amax(dim=1)

    def soft_targets(self, logits: "Tensor") -> "Tensor":
        """[n, grades - 1] P(grade > k), which falls along the row."""
        return logits.detach().sigmoid().cummin(dim=1).values

    def hard_targets(self, logits: "Tensor", least: float = 0.0) -> "Tensor":
        """[n, grades - 1] 1 below the likeliest grade and 0 from it on, or a row of NaN."""
        grades = grades_of(self.soft_targets(logits))
        questions = logits.new_ones(self.num_logits).cumsum(dim=0) - 1
        above = (grades.argmax(dim=1, keepdim=True) > questions).to(logits.dtype)
        return above.masked_fill(grades.amax(dim=1, keepdim=True) < least, float("nan"))

    def sharpen(self, targets: "Tensor", temperature: float) -> "Tensor":
        """[n, grades - 1], by way of the grades' probabilities."""
        sharper = (grades_of(targets).log() / temperature).softmax(dim=1)
        return sharper.flip(1).cumsum(dim=1).flip(1)[:, 1:].clamp(max=1)

    def divergence(self, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """[n] the mean over the questions of that of yes and no, as the loss takes them."""
        return yes_no_divergence(logits, targets).mean(dim=1)

    def evidence(self, logits: "Tensor", outputs: "Tensor", answers: "Tensor") -> "Tensor":
        """[n] the logit of "above the grade before" less that of "above this grade"; 0 where there is no such grade."""
        padded, grade = _between(logits, 0.0), answers.unsqueeze(1)
        return (padded.gather(1, grade) - padded.gather(1, grade + 1))[:, 0]


def grades_of(above: "Tensor") -> "Tensor":
    """[n, grades] the probabilities of grades from P(grade > k) [n, grades - 1], which falls along the row."""
    ends = _between(above, 1.0)
    return (ends[:, :-1] - ends[:, 1:]).clamp(min=0)


def _between(questions: "Tensor", before: float) -> "Tensor":
    """[n, grades + 1] the questions' values between `before` and 0."""
    padded = questions.new_zeros((len(questions), questions.shape[1] + 2))
    padded[:, 0] = before
    padded[:, 1:-1] = questions
    return padded
