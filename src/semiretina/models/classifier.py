"""The classifier C of figure 2: what turns the encoder's map into one answer a task."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["linear", "relu"]
Hidden = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


def pool(features: Tensor) -> Tensor:
    """The mean over a map's places: [n, c, h, w] -> [n, c], whatever h and w (section 4.2)."""
    return F.adaptive_avg_pool2d(features, 1).flatten(1)


class Classifier(nn.Module):
    """Average pool, a trunk that all tasks share, and one linear head a task (section 4.2).

    The trunk has `hidden` units, in the paper four. With `activation = "relu"`, as figure 2 draws it, a unit that dies
    is lost for good, and with four of them that happens; "linear" has no such trap. `hidden = 0` leaves the trunk
    away, so that the heads read the pooled features. `dropout` is the share of pooled features that training drops.
    `outputs` is the number of each head's logits: of K grades K, or K - 1 where they are learned in their order.
    """

    def __init__(
        self,
        channels: int,
        outputs: Mapping[str, int],
        *,
        hidden: int = 4,
        activation: Activation = "linear",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.trunk = nn.Sequential()
        if hidden:
            self.trunk.append(nn.Linear(channels, hidden))
        if hidden and activation == "relu":
            self.trunk.append(nn.ReLU())
        self.heads = nn.ModuleDict({task: nn.Linear(hidden or channels, number) for task, number in outputs.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """The encoder's map [n, c, h, w] -> task -> logits [n, outputs[task]]."""
        shared = self.trunk(self.dropout(pool(features)))
        return {task: head(shared) for task, head in self.heads.items()}
