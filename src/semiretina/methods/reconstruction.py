"""The first half of "AE then CL": the autoencoder alone, on photographs without their labels."""

from collections.abc import Mapping

from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.losses.reconstruction import Reduction, check_reconstruction, reconstruction_loss
from semiretina.methods.method import Method, side
from semiretina.models.network import Network
from semiretina.tasks import Task


class Reconstruction(Method):
    """L = L_ae (equation 1): E and D learn, C does not. The target is the augmented photograph itself, in [0, 1]."""

    stream = "unlabeled"
    reconstructs = True

    def __init__(
        self,
        network: Network,
        tasks: Mapping[str, Task],
        *,
        reconstruction: str = "mse",
        reduction: Reduction = "mean",
    ) -> None:
        """`reconstruction`: a name in `losses.reconstruction`; `reduction`: what equation 1's n counts, see there."""
        super().__init__(network, tasks)
        check_reconstruction(reconstruction, reduction)
        self.reconstruction = reconstruction
        self.reduction: Reduction = reduction

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The reconstruction loss of the unlabelled side."""
        photographs = side(batch.unlabeled)
        images = photographs.views["weak"]
        decoded = self.network.decode(self.network.encode(images))
        loss = reconstruction_loss(decoded, images, self.reconstruction, self.reduction)
        return {"loss": batch.part(len(photographs), "unlabeled") * loss, "loss_ae": loss.detach()}
