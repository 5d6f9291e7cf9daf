"""What a method is: a network with an objective around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semiretina.batch import Batch, Photographs, Progress, StreamKind, Views
from semiretina.errors import BadConfig
from semiretina.losses.classification import CLASSIFICATION_LOSSES, num_known
from semiretina.models.network import Network
from semiretina.tasks import Task

GRADIENT_NORMS_EVERY = 50  # labelled updates


class Method(nn.Module, ABC):
    """A network with an objective around it, and the tasks that the network's heads answer.

    `forward(batch, progress)` returns {"loss": scalar to minimise, ...further logs, detached}. The loss is this step's
    part of its update's (`Batch.part`), so that each term weighs photographs, however they are divided into steps and
    over processes; the logs are means over the step. Parts of the network that a method does not use keep `grad =
    None`, so that neither momentum nor weight decay moves them.
    """

    stream: ClassVar[StreamKind]
    views: ClassVar[Views] = Views(("weak",), ("weak",))
    reconstructs: ClassVar[bool] = False

    def __init__(self, network: Network, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        if self.reconstructs and network.decoder is None:
            raise BadConfig(
                f"method: {type(self).__name__.lower()} needs a decoder, and the model '{network.facts['name']}' has "
                "none; choose an autoencoder such as aecl1, aeres18 or timm"
            )
        self.network, self.tasks = network, tasks

    @abstractmethod
    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The objective of one step."""

    def after_step(self, progress: Progress) -> None:
        """Called after every optimiser update; a teacher that follows the network moves here."""

    def end_epoch(self) -> None:
        """Called after every epoch, before its weights are scored and saved."""

    @property
    def evaluated(self) -> Network:
        """The network that scores are computed from: the student, or a teacher."""
        return self.network

    def finish(self) -> Network:
        """What the next stage starts from, and what the run hands over after the last."""
        return self.evaluated

    def classification_losses(
        self, features: Tensor, labeled: Photographs, alpha: float | Mapping[str, float] = 1.0
    ) -> dict[str, Tensor]:
        """The mean loss over the known targets of each task that has one in the step, from the encoder's features.

        A task without one is absent, so that its head keeps `grad = None`.
        """
        losses: dict[str, Tensor] = {}
        for weight, logits in self.network.answers(features):
            for name, targets in labeled.targets.items():
                if num_known(targets):
                    loss_of = CLASSIFICATION_LOSSES[self.tasks[name].loss]
                    loss = weight * loss_of(logits[name], targets, by_task(alpha, name))
                    losses[name] = losses[name] + loss if name in losses else loss
        return losses

    def parts_of_update(self, batch: Batch, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each task's mean over the step's known targets, as its part of the mean over all that the update sees."""
        targets = side(batch.labeled).targets if losses else {}
        known = {name: num_known(targets[name], self.tasks[name].loss) for name in losses}
        return {name: batch.part(known[name], name) * loss for name, loss in losses.items()}

    def check_tasks(self, **numbers: float | Mapping[str, float]) -> None:
        """Refuses a parameter's number for a task that the experiment does not have."""
        for parameter, number in numbers.items():
            for task in number if isinstance(number, Mapping) else ():
                if task not in self.tasks:
                    raise BadConfig(
                        f"method.{parameter}: no task '{task}'; this experiment has {', '.join(self.tasks)}"
                    )


def weighted_sum(losses: Mapping[str, Tensor], weights: float | Mapping[str, float], features: Tensor) -> Tensor:
    """Sum over tasks of weight_task L_task; without any, a zero that still hangs on the features."""
    return sum((by_task(weights, task) * loss for task, loss in losses.items()), features[:0].sum())


def by_task(value: float | Mapping[str, float], task: str) -> float:
    """A number for all tasks, or one for each; a task that is not named counts 1."""
    return value.get(task, 1.0) if isinstance(value, Mapping) else value


def gradients(loss: Tensor, parameters: Sequence[nn.Parameter], loss_scale: float = 1.0) -> list[Tensor | None]:
    """d loss / d p of each parameter, None where the loss does not reach it; the graph stays for a further pass.

    Taken of the loss times `loss_scale`, which is divided out again, so that half-precision gradients do not underflow.
    """
    # A backward pass runs in the precisions of its forward pass; torch advises against autocast around it.
    with torch.autocast(loss.device.type, enabled=False):
        scaled = torch.autograd.grad(loss * loss_scale, parameters, retain_graph=True, allow_unused=True)
    return [None if gradient is None else gradient.float() / loss_scale for gradient in scaled]


def norm_of(gradients: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean norm of all of them together; 0 without any."""
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
    return total


def gradient_norm(loss: Tensor, encoder: nn.Module, loss_scale: float = 1.0) -> Tensor:
    """||d loss / d E|| over the encoder's parameters; the graph stays for the backward pass."""
    return norm_of(gradients(loss, [p for p in encoder.parameters() if p.requires_grad], loss_scale))


def side(photographs: Photographs | None) -> Photographs:
    """The side of a batch that the method's stream promises."""
    assert photographs is not None, "the stream gave a step without the side that the method asked for"
    return photographs
