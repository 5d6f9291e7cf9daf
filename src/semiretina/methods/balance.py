"""How the terms of a loss are weighed against each other: rules from the sizes of their gradients to the next weights.

A norm is that of g = dL/dE, the gradient of a term, without its weight, with respect to the encoder's parameters.
Section 4.4: "the loss with larger gradients will dominate the weight updates". A weight moves once an update, after
it, by what all its steps and all processes saw, so that accumulated steps, several processes and one large batch give
the same weights.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributed, nn

from semiretina.errors import BadConfig

MEMORY = 0.7  # of the rule "norm_ratio": how much of the running means of both norms stays at each update
LEAST = 1e-4  # of its first value: what a norm counts at least, once it has all but vanished


def equation_4(weight: float, norm_ae: float, norm_cl: float) -> float:
    """lambda' = || g_ae / (g_cl lambda) ||, equation 4 as printed, read as ||g_ae|| / (||g_cl|| lambda).

    A constant ratio r = ||g_ae|| / ||g_cl|| gives r / lambda: lambda jumps to and fro with period 2 around the fixed
    point sqrt(r), at which lambda g_cl is still sqrt(r) times as small as g_ae. Without a gradient on either side, or
    where the new value would not be finite, lambda stays.
    """
    divisor = norm_cl * weight
    moved = norm_ae / divisor if divisor > 0 else math.inf
    return moved if 0 < moved < math.inf else weight


def running_mean(mean: float, norm: float, first: float) -> float:
    """The next running mean of a gradient's norm: mean' = 0.7 mean + 0.3 max(norm, first / 10000).

    The rule "norm_ratio", L_cl + mu L_ae, has mu = rho M_cl / M_ae of two such means, which begin at 0: started
    together, they lack the same factor 1 - 0.7^n of their due after n updates, so their ratio is right from the first
    on. A mean over few updates follows norms that fall a hundredfold within a stage. `first` is the norm's first value:
    held to a part of it, mu stays finite and above 0 when either loss has converged.
    """
    return MEMORY * mean + (1 - MEMORY) * max(norm, LEAST * first)


def gradnorm(
    weights: Mapping[str, float],
    norms: Mapping[str, float],
    ratios: Mapping[str, float],
    asymmetry: float,
    rate: float,
) -> dict[str, float]:
    """One step of GradNorm (Chen et al., 2018) over the terms that an update had; the others are not given.

    With G_i = w_i ||g_i||, its mean G over these terms, `ratios` L_i / L_i(0) and r_i = ratio_i / mean ratio, the aim
    of term i is A_i = G r_i^asymmetry, held constant in L_grad = sum |G_i - A_i|. A step of length `rate` / G down
    L_grad, taken in log w so that no weight can turn negative and no unit matters, is

        w_i <- w_i exp(-rate sign(G_i - A_i) G_i / G),

    after which these weights are scaled so that their sum stays what it was. One term alone stays, and so do all where
    none has a gradient.
    """
    sizes = {term: weights[term] * norms[term] for term in norms}
    mean = sum(sizes.values()) / len(sizes) if sizes else 0.0
    if len(sizes) < 2 or mean == 0:
        return {term: weights[term] for term in norms}
    slowness = sum(ratios[term] for term in norms) / len(norms)
    moved = {}
    for term, size in sizes.items():
        aim = mean * (ratios[term] / slowness) ** asymmetry
        moved[term] = weights[term] * math.exp(-rate * ((size > aim) - (size < aim)) * size / mean)
    scale = sum(weights[term] for term in norms) / sum(moved.values())
    return {term: value * scale for term, value in moved.items()}


class Balance(nn.Module, ABC):
    """Weights of the terms "ae" and of the classifier's: one each for equation 4 and GradNorm, "cl" for all together.

    The two buffers are all the state there is between updates, so that checkpoints carry it.
    """

    weights: Tensor  # [terms], float64
    first: Tensor  # [terms], float64: what a rule compares with later, 0 until it is known

    together: ClassVar[bool] = False  # whether the tasks are one term, "cl"

    def __init__(self, start: Mapping[str, float]) -> None:
        super().__init__()
        self.terms = tuple(start)
        self.register_buffer("weights", torch.tensor(list(start.values()), dtype=torch.float64))
        self.register_buffer("first", torch.zeros(len(start), dtype=torch.float64))
        self._losses: dict[str, Tensor] = {}  # term -> its loss in this update so far
        self._gradients: dict[str, Tensor] = {}  # term -> [encoder's parameters], its gradient so far

    def weight(self, term: str) -> Tensor:
        """The weight of a term in this update, float32."""
        return self.weights[self.terms.index(term)].float()

    def weight_outside(self, term: str) -> Tensor:
        """The weight of a term's gradient for what is not the encoder: decoder and classifier."""
        return self.weight(term)

    def note_losses(self, parts: Mapping[str, Tensor]) -> None:
        """What a step of this update saw: each term's part of the update's loss."""
        for term, part in parts.items():
            _add(self._losses, term, part.detach().double())

    def note_gradients(self, encoder: Sequence[Tensor], parts: Mapping[str, Sequence[Tensor | None]]) -> None:
        """Of an update that sees labels: the gradients of these parts, the encoder's parameters first."""
        for term, gradients in parts.items():
            known = [torch.zeros_like(p) if g is None else g for p, g in zip(encoder, gradients, strict=False)]
            _add(self._gradients, term, torch.cat([gradient.flatten() for gradient in known]))

    def move(self) -> None:
        """After an update: the weights of the next one. Nothing moves where a gradient or a loss is not finite."""
        losses, gradients = self._losses, self._gradients
        self._losses, self._gradients = {}, {}
        if not losses:
            return
        # All processes see the same kind of update at a time, but each may have noted other tasks.
        sums = _over_processes(_stacked(losses, self.terms)).tolist()
        # A task without a known target is a term that the update did not have; its loss is 0.
        present = {term: loss for term, loss in zip(self.terms, sums, strict=True) if loss}
        norms = {}
        if gradients:
            sizes = torch.linalg.vector_norm(_over_processes(_stacked(gradients, self.terms)), dim=1)
            norms = dict(zip(self.terms, sizes.tolist(), strict=True))
        if all(math.isfinite(value) for value in (*sums, *norms.values())):
            self.next(present, {term: norm for term, norm in norms.items() if term in present})

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


class NormRatio(Balance):
    """L_cl + mu L_ae with ||mu g_ae|| = rho ||g_cl||; mu is 1 until the first labelled update has been seen.

    mu weighs where the two compete, in the encoder. The decoder has L_ae alone to follow, with weight 1: times a mu of
    some hundreds, as a mean over pixels asks for, plain SGD at the usual rates makes it diverge.
    """

    together = True
    means: Tensor  # [terms], float64: running means of both norms, which begin at 0

    def __init__(self, lambdas: Mapping[str, float], *, rho: float = 1.0) -> None:
        """`rho`: how many times as strongly as all tasks together the reconstruction pulls the encoder."""
        super().__init__({"ae": 1.0, "cl": 1.0})
        self.rho = _above("rho", rho)
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
        means = {term: running_mean(mean, norms[term], first[term]) for term, mean in self._get(self.means).items()}
        self._set(self.means, means)
        self._set(self.weights, {"ae": self.rho * means["cl"] / means["ae"]})

    def logs(self) -> dict[str, Tensor]:
        """mu alone."""
        return {"mu": self.weight("ae")}


class GradNorm(Balance):
    """w_ae L_ae + sum over tasks of w_task L_task, by GradNorm over the terms that an update had: docs/gradnorm.md."""

    def __init__(self, lambdas: Mapping[str, float], *, asymmetry: float = 0.12, weight_rate: float = 0.025) -> None:
        """`lambdas`: the first weight of each task, against 1 for the reconstruction.

        `asymmetry`: how much more a term that lags may pull; `weight_rate`: how far a weight moves in an update.
        """
        super().__init__({"ae": 1.0, **lambdas})
        self.asymmetry = _above("asymmetry", asymmetry, zero=True)
        self.rate = _above("weight_rate", weight_rate)

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


# name -> the rule that moves the weights
BALANCES: Mapping[str, type[Balance]] = {"norm_ratio": NormRatio, "gradnorm": GradNorm, "eq4": Equation4}


def _above(name: str, value: float, *, zero: bool = False) -> float:
    if not 0 <= value < math.inf or (value == 0 and not zero):
        raise BadConfig(f"method.balance.{name}: must be {'at least' if zero else 'above'} 0, not {value}")
    return value


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
