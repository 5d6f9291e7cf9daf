"""The paper's "AE-CL combined training": autoencoder and classifier at once, over minibatches of either kind."""

from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.losses.reconstruction import Reduction, squared_error
from semiretina.methods.method import (
    GRADIENT_NORMS_EVERY,
    Method,
    by_task,
    check_tasks,
    classification_losses,
    gradient_norm,
    side,
)
from semiretina.models.network import Network


class Combined(Method):
    """Equation 3: L = L_ae + sum over tasks of lambda_task L_task with labels, and L = L_ae without.

    A minibatch is wholly labelled or wholly unlabelled.
    """

    stream = "alternate"
    reconstructs = True

    def __init__(
        self,
        network: Network,
        *,
        lambda_cl: float | dict[str, float] = 1.0,
        alpha: float | dict[str, float] = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        """`lambda_cl`: one lambda for each classifier loss; `alpha`: equation 2; `reduction`: equation 1's n."""
        super().__init__(network)
        check_tasks(lambda_cl, network, "lambda_cl")
        check_tasks(alpha, network, "alpha")
        self.lambda_cl, self.alpha = lambda_cl, alpha
        self.reduction: Reduction = reduction

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Equation 3 for the side that this step has; now and then also the norms of both encoder gradients."""
        images = side(batch.labeled or batch.unlabeled).views["weak"]
        features = self.network.encode(images)
        loss_ae = squared_error(self.network.decode(features), images, self.reduction)
        if batch.labeled is None:
            return {"loss": loss_ae, "loss_ae": loss_ae.detach()}
        losses = classification_losses(self.network, features, batch.labeled.targets, self.alpha)
        loss_cl = sum((by_task(self.lambda_cl, task) * value for task, value in losses.items()), features.new_zeros(()))
        logs = {"loss_ae": loss_ae.detach(), **{f"loss_{task}": value.detach() for task, value in losses.items()}}
        if self.training and progress.labeled_updates % GRADIENT_NORMS_EVERY == 0:
            # lambda is in loss_cl: the two norms are those that compete for the encoder (section 4.4).
            logs["grad_norm_ae"] = gradient_norm(loss_ae, self.network.encoder)
            logs["grad_norm_cl"] = gradient_norm(loss_cl, self.network.encoder)
        return {"loss": loss_ae + loss_cl, **logs}
