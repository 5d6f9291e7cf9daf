"""The first half of "AE then CL": the autoencoder alone, on photographs without their labels."""

from torch import Tensor

from semiretina.batch import Batch, Progress
from semiretina.losses.reconstruction import Reduction, squared_error
from semiretina.methods.method import Method, side
from semiretina.models.network import Network


class Reconstruction(Method):
    """L = L_ae (equation 1): E and D learn, C does not. The target is the augmented photograph itself, in [0, 1]."""

    stream = "unlabeled"
    reconstructs = True

    def __init__(self, network: Network, *, reduction: Reduction = "mean") -> None:
        """`reduction`: what equation 1's n counts; see `losses.reconstruction.squared_error`."""
        super().__init__(network)
        self.reduction: Reduction = reduction

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The reconstruction loss of the unlabelled side."""
        images = side(batch.unlabeled).views["weak"]
        loss = squared_error(self.network.decode(self.network.encode(images)), images, self.reduction)
        return {"loss": loss, "loss_ae": loss.detach()}
