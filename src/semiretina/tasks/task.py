"""What every kind of task knows of itself: targets, probabilities, decisions, scores, and semi-supervised answers.

A kind of task is one file with one class (`binary`, `classes`, `ordinal`), and stands in the table `TASKS`. Nothing
here imports torch, so that a runtime without it can turn logits into decisions: the questions that training asks take
tensors, and use their methods alone.

A task asks one or several *questions*. Each has a key, the name that its scores go by: `dr` and `severity` ask one,
`lesions` four, from `lesions.MA` on. By question, labels are [n] whole numbers, negative where unknown, and
probabilities are [n] of a yes, or [n, classes].
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from semiretina.records import Record
from semiretina.scoring.intervals import Groups, Ints
from semiretina.scoring.scores import Scores

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task(ABC):
    """What a head predicts: its outputs, and the targets that the records of `scale` state ("": of all scales)."""

    name: str
    outputs: tuple[str, ...]
    target: Callable[[Record], Sequence[float | None]]  # one value an output of yes or no, or one class
    scale: str = ""

    loss: ClassVar[str]  # the default one of `losses.classification`
    compared: ClassVar[tuple[Literal["auroc", "accuracy", "quadratic_kappa"], ...]]  # scores that a claim may be about

    # Records and tables

    @property
    @abstractmethod
    def num_logits(self) -> int:
        """How many logits the task's head gives."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The names that the task's scores go by, one for each question."""

    @property
    @abstractmethod
    def threshold_keys(self) -> tuple[str, ...]:
        """The keys of the questions that a threshold decides."""

    @abstractmethod
    def targets(self, records: Sequence[Record]) -> Targets:
        """What the loss takes, [n, ...]; NaN or -1 where unknown."""

    @abstractmethod
    def known(self, targets: Targets) -> npt.NDArray[np.bool_]:
        """[n] whether at least one of a record's targets is known."""

    @abstractmethod
    def labels(self, targets: Targets) -> dict[str, Ints]:
        """KEY -> [n] labels from targets: 0 or 1, or the class; -1 where unknown."""

    @abstractmethod
    def cells(self, targets: Targets) -> Floats:
        """[n, outputs] the labels of a table of predictions: 1 where the output is true, 0, or NaN where unknown."""

    @abstractmethod
    def targets_of_cells(self, cells: Floats) -> Targets:
        """`cells` undone."""

    # Answers

    @abstractmethod
    def probabilities(self, logits: npt.ArrayLike, temperature: float | Sequence[float] = 1.0) -> Floats:
        """[n, outputs] of logits / temperature; several questions may have a temperature each."""

    @abstractmethod
    def logits_of(self, probabilities: Floats) -> Doubles:
        """Logits that give these probabilities [n, outputs]: the network's own up to what a table keeps of them."""

    @abstractmethod
    def by_key(self, probabilities: npt.NDArray[np.floating]) -> dict[str, Doubles]:
        """KEY -> [n] probabilities of a yes, or [n, classes]."""

    @abstractmethod
    def decide(self, probabilities: npt.NDArray[np.floating], threshold: float = 0.5) -> Ints:
        """[n] the answers to one question, as its labels are: at the threshold, or the likeliest class."""

    @abstractmethod
    def word(self, answer: int) -> str:
        """An answer, or a label, in words."""

    # Scores: of one question each

    @abstractmethod
    def quick_scores(self, probabilities: Floats, targets: Targets, threshold: float) -> dict[str, float]:
        """Accuracy and AUROC without intervals, on average over questions, for the log; NaN where undefined."""

    @abstractmethod
    def scores(self, labels: Ints, p: Doubles, groups: Groups, threshold: float, prevalence: float | None) -> Scores:
        """All scores of one question, from its labels and probabilities `p` as of `labels` and `by_key`."""

    @abstractmethod
    def level_scores(self, labels: Ints, p: Doubles, members: Ints, groups: Ints, threshold: float) -> Scores:
        """Scores of eyes or patients, to which `members` [n] number the photographs; NaN where one is ungradable."""

    @abstractmethod
    def part_scores(self, labels: Ints, p: Doubles, groups: Ints, threshold: float) -> Scores:
        """The few scores that a part of a test set is judged by."""

    @property
    @abstractmethod
    def label_names(self) -> Mapping[str, int]:
        """What a label may be, in words -> the label."""

    @abstractmethod
    def lacking(self, labels: Ints) -> str:
        """What known labels [n] of one question lack to fix an operating point on, in words; "" where they suffice."""

    @abstractmethod
    def fit_temperatures(self, logits: npt.ArrayLike, targets: Targets) -> dict[str, float]:
        """KEY -> the temperature that its logits are to be divided by (`scoring.calibration`)."""

    # What semi-supervised methods ask. A *photograph's* share of a result is one number for each question that stands
    # by itself: [n, outputs] of yes or no, [n] of a choice.

    @abstractmethod
    def confidence(self, logits: "Tensor") -> "Tensor":
        """The probability of the likeliest answer, without a gradient."""

    @abstractmethod
    def soft_targets(self, logits: "Tensor") -> "Tensor":
        """What the network answers, as targets that its loss takes: probabilities, without a gradient."""

    @abstractmethod
    def hard_targets(self, logits: "Tensor", least: float = 0.0) -> "Tensor":
        """The likeliest answers as targets, without a gradient; unknown where the confidence is below `least`."""

    @abstractmethod
    def sharpen(self, targets: "Tensor", temperature: float) -> "Tensor":
        """Soft targets that are surer (temperature < 1), p^(1/T) / sum p^(1/T): MixMatch, arXiv:1905.02249, eq. 7."""

    @abstractmethod
    def divergence(self, logits: "Tensor", targets: "Tensor") -> "Tensor":
        """KL(targets || answers) in nats, 0 where they are equal and where the target is unknown.

        Of two answers it is `divergence(ours, soft_targets(theirs))`. The gradient is that of the logits alone.
        """

    def mix(self, first: "Tensor", second: "Tensor", share: "float | Tensor") -> "Tensor":
        """share * first + (1 - share) * second, as soft targets; known with unknown is unknown, whatever the share.

        `share` is a number or one for each photograph, [n].
        """
        weight = share if isinstance(share, float | int) else share.unsqueeze(1)
        return weight * self.soft(first) + (1 - weight) * self.soft(second)

    def soft(self, targets: "Tensor") -> "Tensor":
        """Targets as probabilities, NaN where unknown."""
        return targets

    @abstractmethod
    def evidence(self, logits: "Tensor", outputs: "Tensor", answers: "Tensor") -> "Tensor":
        """[n] what speaks for the answers [n], with its gradient: what a heat map is of.

        `outputs` [n] number the outputs in question, where there are several questions.
        """

    def reads(self, record: Record) -> bool:
        """Whether the task takes anything from the record: it is gradable and of the task's scale."""
        return record.quality != "ungradable" and self.scale in ("", record.scale)
