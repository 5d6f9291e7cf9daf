"""The paper's "AE-CL combined training": autoencoder and classifier at once, over minibatches of either kind."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.errors import BadConfig
from semiretina.losses.reconstruction import Reduction, check_reconstruction, reconstruction_loss
from semiretina.methods.balance import Balance, Balanced, Equation4, GradNorm
from semiretina.methods.method import (
    GRADIENT_NORMS_EVERY,
    Method,
    by_task,
    check_tasks,
    classification_losses,
    gradient_norm,
    gradients,
    norm_of,
    side,
    weighted_sum,
    with_gradients,
)
from semiretina.models.network import Network

RHO, ASYMMETRY, WEIGHT_RATE = 1.0, 0.12, 0.025
TAKES = {"rho": "balanced", "asymmetry": "gradnorm", "weight_rate": "gradnorm"}  # parameter -> its balance


class Combined(Method):
    """Equation 3: L = L_ae + sum over tasks of lambda_task L_task with labels, and L = L_ae without.

    A minibatch is wholly labelled or wholly unlabelled. With a `balance` other than "fixed" the weights of the terms
    move (section 4.4); the gradient of each term is then taken once and serves both the balance and the update.
    """

    stream = "alternate"
    reconstructs = True

    def __init__(
        self,
        network: Network,
        *,
        lambda_cl: float | dict[str, float] | None = None,
        balance: Literal["fixed", "eq4", "balanced", "gradnorm"] | None = None,
        rho: float = RHO,
        asymmetry: float = ASYMMETRY,
        weight_rate: float = WEIGHT_RATE,
        alpha: float | dict[str, float] = 1.0,
        reconstruction: str = "mse",
        reduction: Reduction = "mean",
    ) -> None:
        """Without `balance`, a `lambda_cl` that is given is a fixed one, and without either the terms are "balanced".

        `lambda_cl`: one lambda for each classifier loss. "fixed": equation 3 as it stands. "eq4" and "gradnorm": where
        the weights start. "balanced", L = sum lambda_task L_task + mu L_ae: the tasks among each other, while the
        reconstruction pulls the encoder `rho` times as strongly as they do together. `asymmetry` and `weight_rate`: of
        "gradnorm". All are defined in docs/gradnorm.md. `alpha`: equation 2. `reconstruction`: its loss, by name;
        `reduction`: equation 1's n.
        """
        super().__init__(network)
        self.lambda_cl = 1.0 if lambda_cl is None else lambda_cl
        chosen = meant(lambda_cl, balance)
        check_tasks(self.lambda_cl, network, "lambda_cl")
        check_tasks(alpha, network, "alpha")
        check_reconstruction(reconstruction, reduction)
        for name, value, default, least in (
            ("rho", rho, RHO, "above"),
            ("asymmetry", asymmetry, ASYMMETRY, "at least"),
            ("weight_rate", weight_rate, WEIGHT_RATE, "above"),
        ):
            if not 0 <= value < math.inf or (value == 0 and least == "above"):
                raise BadConfig(f"method.{name}: must be {least} 0, not {value}; the default is {default}")
            if value != default and chosen != TAKES[name]:
                raise BadConfig(f'method.{name}: belongs to balance = "{TAKES[name]}", and this one is "{chosen}"')
        self.alpha, self.reconstruction = alpha, reconstruction
        self.reduction: Reduction = reduction
        self.balance = self._balance(chosen, rho, asymmetry, weight_rate)

    def _balance(self, chosen: str, rho: float, asymmetry: float, weight_rate: float) -> Balance | None:
        if chosen == "fixed":
            return None
        lambdas = {task: by_task(self.lambda_cl, task) for task in self.network.classifier.heads}
        for task, value in lambdas.items():
            if not 0 < value < math.inf:
                raise BadConfig(f'method.lambda_cl: {value} for {task} must be above 0 with balance = "{chosen}"')
        if chosen == "balanced":
            return Balanced(rho)
        return Equation4(lambdas) if chosen == "eq4" else GradNorm(lambdas, asymmetry, weight_rate)

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Equation 3 for the side that this step has; the weights and both encoder gradients' norms where known."""
        images = side(batch.labeled or batch.unlabeled).views["weak"]
        features = self.network.encode(images)
        loss_ae = reconstruction_loss(self.network.decode(features), images, self.reconstruction, self.reduction)
        logs = {"loss_ae": loss_ae.detach()}
        if batch.labeled is None:
            loss = loss_ae if self.balance is None else self._balanced(self.balance, loss_ae, None, progress)["loss"]
            return {"loss": loss, **logs}
        losses = classification_losses(self.network, features, batch.labeled.targets, self.alpha)
        logs |= {f"loss_{task}": value.detach() for task, value in losses.items()}
        loss_cl = weighted_sum(losses, self.lambda_cl, features)
        if self.balance is not None:
            together = isinstance(self.balance, Balanced)
            return self._balanced(self.balance, loss_ae, {"cl": loss_cl} if together else losses, progress) | logs
        if self.training and progress.labeled_updates % GRADIENT_NORMS_EVERY == 0:
            # lambda is in loss_cl: the two norms are those that compete for the encoder (section 4.4).
            norm_ae = gradient_norm(loss_ae, self.network.encoder, progress.loss_scale)
            norm_cl = gradient_norm(loss_cl, self.network.encoder, progress.loss_scale)
            logs |= _norms(norm_ae, norm_cl)
            logs |= {f"lambda_{task}": loss_cl.new_tensor(by_task(self.lambda_cl, task)) for task in losses}
        return {"loss": loss_ae + loss_cl, **logs}

    def _balanced(
        self, balance: Balance, loss_ae: Tensor, losses: Mapping[str, Tensor] | None, progress: Progress
    ) -> dict[str, Tensor]:
        """The weighted sum of a step's terms (None: unlabelled); each one's gradient is taken once and serves for all.

        It is noted for the next weights, and weighted and added up for the update.
        """
        terms = {"ae": loss_ae, **(losses or {})}
        weights = {term: balance.weight(term) for term in terms}
        value = sum((weights[term] * loss for term, loss in terms.items()), loss_ae.new_zeros(()))
        if not self.training:
            return {"loss": value, **balance.logs()}
        encoder = [p for p in self.network.encoder.parameters() if p.requires_grad]
        known = set(encoder)
        parameters = [*encoder, *(p for p in self.network.parameters() if p.requires_grad and p not in known)]
        found = {term: gradients(loss, parameters, progress.loss_scale) for term, loss in terms.items()}
        for term, loss in terms.items():
            own = [torch.zeros_like(p) if g is None else g for p, g in zip(encoder, found[term], strict=False)]
            balance.note(term, loss, progress.weight, own if losses is not None else ())
            inside, outside = weights[term], balance.weight_outside(term)
            factors = [inside] * len(encoder) + [outside] * (len(parameters) - len(encoder))
            found[term] = [None if g is None else w * g for w, g in zip(factors, found[term], strict=True)]
        classifier: list[Tensor | None] = [None] * len(parameters)
        for term in losses or ():
            classifier = _plus(classifier, found[term])
        loss = with_gradients(value, parameters, _plus(classifier, found["ae"]))
        if losses is None:
            return {"loss": loss}
        norms = _norms(norm_of(found["ae"][: len(encoder)]), norm_of(classifier[: len(encoder)]))
        return {"loss": loss, **balance.logs(), **norms}

    def after_step(self, progress: Progress) -> None:
        """Moves the weights by what this update's steps saw."""
        if self.balance is not None:
            self.balance.move()


def meant(lambda_cl: object, balance: str | None) -> str:
    """The balance of a configuration: a `lambda_cl` that is given alone is a fixed one; without either, "balanced"."""
    return balance or ("balanced" if lambda_cl is None else "fixed")


def _plus(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The sum of two terms' gradients, parameter by parameter; None where neither reaches."""
    return [b if a is None else a if b is None else a + b for a, b in zip(left, right, strict=True)]


def _norms(norm_ae: Tensor, norm_cl: Tensor) -> dict[str, Tensor]:
    """Both norms for the log; none where half precision overflowed, which skips the update."""
    both = {"grad_norm_ae": norm_ae, "grad_norm_cl": norm_cl}
    return both if all(bool(torch.isfinite(norm)) for norm in both.values()) else {}
