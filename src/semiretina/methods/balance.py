"""The weights of a loss's terms that move while training: their state, what is noted of each step, when they move.

A weight moves once an update, after it, by what all its steps and all processes saw. So accumulated steps, several
processes and one large batch give the same weights.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, distributed, nn

from semiretina.losses.balance import balanced, equation_4, gradnorm


class Balance(nn.Module, ABC):
    """Weights of the terms "ae" and of the classifier's: one each for equation 4 and GradNorm, "cl" for all together.

    The two buffers are all the state there is between updates, so that checkpoints carry it.
    """

    weights: Tensor  # [terms], float64
    first: Tensor  # [terms], float64: what a rule compares with later, 0 until it is known

    def __init__(self, start: Mapping[str, float]) -> None:
        super().__init__()
        self.terms = tuple(start)
        self.register_buffer("weights", torch.tensor(list(start.values()), dtype=torch.float64))
        self.register_buffer("first", torch.zeros(len(start), dtype=torch.float64))
        self._losses: dict[str, Tensor] = {}  # term -> [sum of share x loss, sum of the shares that had it]
        self._gradients: dict[str, Tensor] = {}  # term -> [encoder's parameters], sum of share x gradient

    def weight(self, term: str) -> Tensor:
        """The weight of a term in this update, float32."""
        return self.weights[self.terms.index(term)].float()

    def weight_outside(self, term: str) -> Tensor:
        """The weight of a term's gradient for what is not the encoder: decoder and classifier."""
        return self.weight(term)

    def note(self, term: str, loss: Tensor, share: float, gradients: Sequence[Tensor] = ()) -> None:
        """What a step of this update saw: a term's loss and, on a labelled step, its gradient for the encoder.

        A task without a known target is a term that the step did not have, and is not noted. `share` is the step's
        share of the update.
        """
        value = loss.detach().double()
        _add(self._losses, term, share * torch.stack([value, (value != 0).double()]))
        if gradients:
            _add(self._gradients, term, share * torch.cat([gradient.flatten() for gradient in gradients]))

    def move(self) -> None:
        """After an update: the weights of the next one. Nothing moves where a gradient or a loss is not finite."""
        losses, gradients = self._losses, self._gradients
        self._losses, self._gradients = {}, {}
        if not losses:
            return
        # All processes see the same kind of step at a time, but each may have noted other tasks.
        sums = _over_processes(_stacked(losses, self.terms)).tolist()
        means = {term: loss / had for term, (loss, had) in zip(self.terms, sums, strict=True) if had}
        norms = {}
        if gradients:
            found = _over_processes(_stacked(gradients, self.terms))
            norms = dict(zip(self.terms, torch.linalg.vector_norm(found, dim=1).tolist(), strict=True))
        if all(math.isfinite(value) for value in (*means.values(), *norms.values())):
            self.next(means, {term: norm for term, norm in norms.items() if term in means})

    @abstractmethod
    def next(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """Moves the weights by the terms that the update had; `norms` is empty where it saw no labels."""

    @abstractmethod
    def logs(self) -> dict[str, Tensor]:
        """The weights of this update by the names that they have in the log."""

    def _get(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.terms, values.tolist(), strict=True))

    def _set(self, values: Tensor, moved: Mapping[str, float]) -> None:
        for term, value in moved.items():
            values[self.terms.index(term)] = value


class Equation4(Balance):
    """L_ae + sum over tasks of lambda_task L_task, each lambda by equation 4 as printed."""

    def __init__(self, lambdas: Mapping[str, float]) -> None:
        """`lambdas`: the first value of each task's lambda."""
        super().__init__({"ae": 1.0, **lambdas})

    def next(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """One lambda for each task that the update had."""
        before = self._get(self.weights)
        tasks = [term for term in norms if term != "ae"]
        self._set(self.weights, {task: equation_4(before[task], norms.get("ae", 0.0), norms[task]) for task in tasks})

    def logs(self) -> dict[str, Tensor]:
        """lambda_TASK of each task."""
        return {f"lambda_{task}": self.weight(task) for task in self.terms if task != "ae"}


class Balanced(Balance):
    """L_cl + mu L_ae with ||mu g_ae|| = rho ||g_cl||; mu is 1 until the first labelled update has been seen.

    mu weighs where the two compete, in the encoder. The decoder has L_ae alone to follow, with weight 1: times a mu of
    some hundreds, as a mean over pixels asks for, plain SGD at the usual rates makes it diverge.
    """

    means: Tensor  # [terms], float64: running means of both norms, which begin at 0

    def __init__(self, rho: float) -> None:
        super().__init__({"ae": 1.0, "cl": 1.0})
        self.rho = rho
        self.register_buffer("means", torch.zeros(2, dtype=torch.float64))

    def weight_outside(self, term: str) -> Tensor:
        """1, for both terms."""
        return torch.ones_like(self.weight(term))

    def next(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """By the updates that saw labels; one without a gradient of the classifier moves nothing."""
        first = self._get(self.first)
        if not norms.get("cl") or not (norms["ae"] or first["ae"]):
            return
        if not first["ae"]:
            self._set(self.first, norms)
            first = dict(norms)
        means = {term: balanced(mean, norms[term], first[term]) for term, mean in self._get(self.means).items()}
        self._set(self.means, means)
        self._set(self.weights, {"ae": self.rho * means["cl"] / means["ae"]})

    def logs(self) -> dict[str, Tensor]:
        """mu alone."""
        return {"mu": self.weight("ae")}


class GradNorm(Balance):
    """w_ae L_ae + sum over tasks of w_task L_task, by GradNorm over the terms that an update had: docs/gradnorm.md."""

    def __init__(self, lambdas: Mapping[str, float], asymmetry: float, rate: float) -> None:
        """`lambdas`: the first weight of each task, against 1 for the reconstruction."""
        super().__init__({"ae": 1.0, **lambdas})
        self.asymmetry, self.rate = asymmetry, rate

    def next(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """The weights of the terms present; each term's loss is compared with the first that was seen of it.

        A loss that rounding made negative tells nothing of its progress: its term counts as absent.
        """
        losses = {term: loss for term, loss in losses.items() if loss > 0}
        first = self._get(self.first)
        self._set(self.first, {term: loss for term, loss in losses.items() if not first[term]})
        first = self._get(self.first)
        norms = {term: norm for term, norm in norms.items() if term in losses}
        ratios = {term: losses[term] / first[term] for term in norms}
        self._set(self.weights, gradnorm(self._get(self.weights), norms, ratios, self.asymmetry, self.rate))

    def logs(self) -> dict[str, Tensor]:
        """weight_ae and weight_TASK of each task."""
        return {f"weight_{term}": self.weight(term) for term in self.terms}


def _add(sums: dict[str, Tensor], term: str, value: Tensor) -> None:
    sums[term] = sums[term] + value if term in sums else value


def _stacked(sums: Mapping[str, Tensor], terms: Sequence[str]) -> Tensor:
    """[terms, ...]; zeros for a term that is not there."""
    nothing = torch.zeros_like(next(iter(sums.values())))
    return torch.stack([sums.get(term, nothing) for term in terms])


def _over_processes(values: Tensor) -> Tensor:
    """The mean over processes: what DDP makes of their gradients."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    distributed.all_reduce(values)
    return values / distributed.get_world_size()
