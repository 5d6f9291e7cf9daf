"""What a method is: a network with an objective around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from semiretina.batch import Batch, Photographs, Progress, StreamKind
from semiretina.errors import BadConfig
from semiretina.losses.classification import classification_loss
from semiretina.models.network import Network

GRADIENT_NORMS_EVERY = 50  # labelled updates


class Method(nn.Module, ABC):
    """A network with an objective around it.

    `forward(batch, progress)` returns {"loss": scalar to minimise, ...further logs, detached}. Parts of the network
    that a method does not use keep `grad = None`, so that neither momentum nor weight decay moves them.
    """

    stream: ClassVar[StreamKind]
    views: ClassVar[tuple[str, ...]] = ("weak",)
    reconstructs: ClassVar[bool] = False

    def __init__(self, network: Network) -> None:
        super().__init__()
        if self.reconstructs and network.decoder is None:
            raise BadConfig(
                f"method: {type(self).__name__.lower()} needs a decoder, and the model '{network.facts['name']}' has "
                "none; choose an autoencoder such as aecl1, aeres18 or timm"
            )
        self.network = network

    @abstractmethod
    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The objective of one step."""

    def after_step(self, progress: Progress) -> None:
        """Called after every optimiser update; a teacher that follows the network moves here."""

    @property
    def evaluated(self) -> Network:
        """The network that scores are computed from: the student, or a teacher."""
        return self.network

    def finish(self) -> Network:
        """What the next stage starts from, and what the run hands over after the last."""
        return self.evaluated


def classification_losses(
    network: Network, features: Tensor, targets: Mapping[str, Tensor], alpha: float | Mapping[str, float]
) -> dict[str, Tensor]:
    """One loss for each task of the batch, from the encoder's features."""
    logits = network.classify(features)
    return {task: classification_loss(logits[task], targets[task], by_task(alpha, task)) for task in targets}


def by_task(value: float | Mapping[str, float], task: str) -> float:
    """A number for all tasks, or one for each; a task that is not named counts 1."""
    return value.get(task, 1.0) if isinstance(value, Mapping) else value


def check_tasks(value: float | Mapping[str, float], network: Network, name: str) -> None:
    """Refuses a number for a task that the network does not have."""
    for task in value if isinstance(value, Mapping) else ():
        if task not in network.classifier.heads:
            raise BadConfig(
                f"method.{name}: no task '{task}'; this experiment has {', '.join(network.classifier.heads)}"
            )


def gradient_norm(loss: Tensor, encoder: nn.Module) -> Tensor:
    """||d loss / d E|| over the encoder's parameters; the graph stays for the backward pass."""
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    norms = [gradient.detach().float().norm() for gradient in gradients if gradient is not None]
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total


def side(photographs: Photographs | None) -> Photographs:
    """The side of a batch that the method's stream promises."""
    assert photographs is not None, "the stream gave a step without the side that the method asked for"
    return photographs
