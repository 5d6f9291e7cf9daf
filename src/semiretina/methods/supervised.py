"""The baseline, and the second half of "AE then CL": the classifier on labelled photographs alone."""

from collections.abc import Mapping

from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.methods.method import Method, side, weighted_sum
from semiretina.models.network import Network
from semiretina.tasks import Task


class Supervised(Method):
    """L = sum over tasks of lambda_task L_task (section 4.4): E and C learn, D does not."""

    stream = "labeled"

    def __init__(
        self,
        network: Network,
        tasks: Mapping[str, Task],
        *,
        lambda_cl: float | dict[str, float] = 1.0,
        alpha: float | dict[str, float] = 1.0,
    ) -> None:
        """`lambda_cl` weighs each task's loss, `alpha` (equation 2) the positive class."""
        super().__init__(network, tasks)
        self.check_tasks(lambda_cl=lambda_cl, alpha=alpha)
        self.lambda_cl, self.alpha = lambda_cl, alpha

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The weighted classification losses of the labelled side."""
        labeled = side(batch.labeled)
        features = self.network.encode(labeled.views["weak"])
        losses = self.classification_losses(features, labeled, self.alpha)
        loss = weighted_sum(self.parts_of_update(batch, losses), self.lambda_cl, features)
        return {"loss": loss, **{f"loss_{task}": value.detach() for task, value in losses.items()}}
