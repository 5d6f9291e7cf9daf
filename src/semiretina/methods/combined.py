"""The paper's "AE-CL combined training": autoencoder and classifier at once, over minibatches of either kind."""

from collections.abc import Mapping

import torch
from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.losses.reconstruction import Reduction, check_reconstruction, reconstruction_loss
from semiretina.methods.method import (
    GRADIENT_NORMS_EVERY,
    Method,
    by_task,
    gradient_norm,
    side,
    weighted_sum,
)
from semiretina.models.network import Network
from semiretina.tasks import Task


class Combined(Method):
    """Equation 3: L = L_ae + sum over tasks of lambda_task L_task with labels, and L = L_ae without.

    A minibatch is wholly labelled or wholly unlabelled.
    """

    stream = "alternate"
    reconstructs = True

    def __init__(
        self,
        network: Network,
        tasks: Mapping[str, Task],
        *,
        lambda_cl: float | dict[str, float],
        alpha: float | dict[str, float] = 1.0,
        reconstruction: str = "mse",
        reduction: Reduction = "mean",
    ) -> None:
        """`lambda_cl`: one lambda for each classifier loss. `alpha`: equation 2.

        `reconstruction`: its loss, by name; `reduction`: equation 1's n.
        """
        super().__init__(network, tasks)
        self.check_tasks(lambda_cl=lambda_cl, alpha=alpha)
        check_reconstruction(reconstruction, reduction)
        self.lambda_cl, self.alpha, self.reconstruction = lambda_cl, alpha, reconstruction
        self.reduction: Reduction = reduction

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Equation 3 for the side that this step has."""
        photographs = side(batch.labeled or batch.unlabeled)
        images = photographs.views["weak"]
        features = self.network.encode(images)
        loss_ae = reconstruction_loss(self.network.decode(features), images, self.reconstruction, self.reduction)
        part_ae = batch.part(len(photographs), "labeled", "unlabeled") * loss_ae
        logs = {"loss_ae": loss_ae.detach()}
        losses = {}
        if batch.labeled is not None:
            losses = self.classification_losses(features, batch.labeled, self.alpha)
        logs |= {f"loss_{task}": value.detach() for task, value in losses.items()}
        return self.total(part_ae, self.parts_of_update(batch, losses), features, batch, progress) | logs

    def total(
        self, loss_ae: Tensor, losses: Mapping[str, Tensor], features: Tensor, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """L_ae + sum lambda_task L_task; now and then the norms of both gradients for the encoder."""
        if batch.labeled is None:
            return {"loss": loss_ae}
        loss_cl, logs = weighted_sum(losses, self.lambda_cl, features), {}
        if self.training and progress.labeled_updates % GRADIENT_NORMS_EVERY == 0:
            # lambda is in loss_cl: the two norms are those that compete for the encoder (section 4.4).
            norms = (gradient_norm(loss, self.network.encoder, progress.loss_scale) for loss in (loss_ae, loss_cl))
            logs = finite_norms(*norms)
            logs |= {f"lambda_{task}": loss_cl.new_tensor(by_task(self.lambda_cl, task)) for task in losses}
        return {"loss": loss_ae + loss_cl, **logs}


def finite_norms(norm_ae: Tensor, norm_cl: Tensor) -> dict[str, Tensor]:
    """Both norms for the log; none where half precision overflowed, which skips the update."""
    both = {"grad_norm_ae": norm_ae, "grad_norm_cl": norm_cl}
    return both if all(bool(torch.isfinite(norm)) for norm in both.values()) else {}
