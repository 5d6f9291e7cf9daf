"""Combined training whose terms are weighed against each other while it runs (section 4.4)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semiretina.batch import Batch, Progress
from semiretina.errors import BadConfig
from semiretina.lookup import arguments, lookup
from semiretina.losses.reconstruction import Reduction
from semiretina.methods.balance import BALANCES, Balance
from semiretina.methods.combined import Combined, finite_norms
from semiretina.methods.method import by_task, gradients, norm_of, weighted_sum
from semiretina.models.network import Network
from semiretina.tasks import Task


class Balanced(Combined):
    """Equation 3 with weights that move: the gradient of each term is taken once, for the balance and the update."""

    def __init__(
        self,
        network: Network,
        tasks: Mapping[str, Task],
        *,
        balance: dict[str, Any] | None = None,
        lambda_cl: float | dict[str, float] = 1.0,
        alpha: float | dict[str, float] = 1.0,
        reconstruction: str = "mse",
        reduction: Reduction = "mean",
    ) -> None:
        """`balance`: a name in `methods.balance.BALANCES` and its parameters, {name = "norm_ratio", rho = 1.0}.

        docs/gradnorm.md defines them. `lambda_cl` is where the weights of "eq4" and "gradnorm" start, and what weighs
        the tasks against each other under "norm_ratio". The others as in `Combined`.
        """
        super().__init__(
            network, tasks, lambda_cl=lambda_cl, alpha=alpha, reconstruction=reconstruction, reduction=reduction
        )
        lambdas = {task: by_task(lambda_cl, task) for task in tasks}
        for task, value in lambdas.items():
            if not 0 < value < math.inf:
                raise BadConfig(f"method.lambda_cl: {value} for {task} must be above 0 where weights move")
        self.balance = make_balance(balance or {"name": "norm_ratio"}, lambdas)

    def total(
        self, loss_ae: Tensor, losses: Mapping[str, Tensor], features: Tensor, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """The weighted sum of a step's terms, whose gradients are noted for the next weights."""
        terms, logs = {"ae": loss_ae}, {}
        if batch.labeled is not None:
            together = {"cl": weighted_sum(losses, self.lambda_cl, features)}
            terms |= together if self.balance.together else losses
            logs = self.balance.logs()
        weights = {term: self.balance.weight(term) for term in terms}
        value = sum((weights[term] * loss for term, loss in terms.items()), loss_ae.new_zeros(()))
        if not self.training:
            return {"loss": value, **logs}
        encoder = [p for p in self.network.encoder.parameters() if p.requires_grad]
        known = set(encoder)
        parameters = [*encoder, *(p for p in self.network.parameters() if p.requires_grad and p not in known)]
        pulls = {term: gradients(loss, parameters, progress.loss_scale) for term, loss in terms.items()}
        self.balance.note_losses(terms)
        if batch.labeled is not None or batch.planned.get("labeled"):
            self.balance.note_gradients(encoder, pulls)
        for term in terms:
            inside, outside = weights[term], self.balance.weight_outside(term)
            factors = [inside] * len(encoder) + [outside] * (len(parameters) - len(encoder))
            pulls[term] = [None if g is None else w * g for w, g in zip(factors, pulls[term], strict=True)]
        classifier: list[Tensor | None] = [None] * len(parameters)
        for term, pull in pulls.items():
            classifier = _plus(classifier, pull) if term != "ae" else classifier
        if batch.labeled is not None:
            logs |= finite_norms(norm_of(pulls["ae"][: len(encoder)]), norm_of(classifier[: len(encoder)]))
        return {"loss": with_gradients(value, parameters, _plus(classifier, pulls["ae"])), **logs}

    def after_step(self, progress: Progress) -> None:
        """Moves the weights by what this update's steps saw."""
        self.balance.move()


def make_balance(settings: Mapping[str, Any], lambdas: Mapping[str, float]) -> Balance:
    """The rule that the settings name, with their parameters. Raises BadConfig."""
    kind = lookup(BALANCES, settings.get("name"), "method.balance")
    given = {name: value for name, value in settings.items() if name != "name"}
    return kind(lambdas, **arguments(kind.__init__, given, "method.balance", skip=("lambdas",)))


def _plus(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The sum of two terms' gradients, parameter by parameter; None where neither reaches."""
    return [b if a is None else a if b is None else a + b for a, b in zip(left, right, strict=True)]


def with_gradients(value: Tensor, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """A scalar of this value whose gradient is already known; where that is None, a parameter keeps `grad = None`.

    Its backward pass costs nothing, and reaches the parameters as any other does: accumulated, scaled, averaged over
    processes.
    """
    reached = [(p, gradient) for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    # Detached, or the backward pass would walk through the value's graph once more.
    loss: Tensor = _Known.apply(value.detach(), [gradient for _, gradient in reached], *(p for p, _ in reached))
    return loss


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(upstream * gradient for gradient in ctx.gradients))
