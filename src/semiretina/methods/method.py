"""What a method is: a network with an objective around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semiretina.batch import Batch, Photographs, Progress, StreamKind
from semiretina.errors import BadConfig
from semiretina.losses.classification import classification_loss, has_known
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
    """One loss for each task that has a known target in the batch, from the encoder's features.

    A task without one is absent, so that its head keeps `grad = None`. A loss is the mean over the known targets of
    this batch, few or many: over several processes their means are averaged by photographs, over accumulated batches
    evenly.
    """
    answers, present = network.answers(features), [task for task in targets if has_known(targets[task])]

    def loss(task: str, logits: Tensor) -> Tensor:
        return classification_loss(logits, targets[task], by_task(alpha, task))

    (_, first), *further = answers
    losses = {task: loss(task, first[task]) for task in present}
    return {
        task: value + sum(weight * loss(task, logits[task]) for weight, logits in further)
        for task, value in losses.items()
    }


def weighted_sum(losses: Mapping[str, Tensor], weights: float | Mapping[str, float], features: Tensor) -> Tensor:
    """Sum over tasks of weight_task L_task; without any, a zero that still hangs on the features."""
    return sum((by_task(weights, task) * loss for task, loss in losses.items()), features[:0].sum())


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


def gradients(loss: Tensor, parameters: Sequence[nn.Parameter], loss_scale: float = 1.0) -> list[Tensor | None]:
    """d loss / d p of each parameter, None where the loss does not reach it; the graph stays for a further pass.

    Taken of the loss times `loss_scale`, which is divided out again, so that half-precision gradients do not underflow.
    """
    # A backward pass runs in the precisions of its forward pass; torch advises against autocast around it.
    with torch.autocast(loss.device.type, enabled=False):
        found = torch.autograd.grad(loss * loss_scale, parameters, retain_graph=True, allow_unused=True)
    return [None if gradient is None else gradient.float() / loss_scale for gradient in found]


def norm_of(gradients: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean norm of all of them together; 0 without any."""
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
    return total


def gradient_norm(loss: Tensor, encoder: nn.Module, loss_scale: float = 1.0) -> Tensor:
    """||d loss / d E|| over the encoder's parameters; the graph stays for the backward pass."""
    return norm_of(gradients(loss, [p for p in encoder.parameters() if p.requires_grad], loss_scale))


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


def side(photographs: Photographs | None) -> Photographs:
    """The side of a batch that the method's stream promises."""
    assert photographs is not None, "the stream gave a step without the side that the method asked for"
    return photographs
