"""The control that every table carries: frozen features and a logistic regression."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, distributed, nn

from semiretina.batch import Batch, Progress, Views
from semiretina.errors import BadConfig
from semiretina.methods.method import Method, side
from semiretina.models.network import Network
from semiretina.tasks import Task

Floats = npt.NDArray[np.float64]
NEVER = -30.0  # logit of a class that no training photograph has


class LinearProbe(Method):
    """Frozen features and scikit-learn's logistic regression on them.

    The pooled features of each labelled photograph are read once, as stored; the fitted weights become the heads of the
    classifier, so that a probe is evaluated and used like any other grader. Nothing in the encoder moves. Give it one
    epoch.
    """

    stream = "labeled"
    views = Views(labeled=("plain",))

    def __init__(self, network: Network, tasks: Mapping[str, Task], *, C: float = 1.0) -> None:
        """`C`: inverse strength of the L2 penalty on standardised features, as in scikit-learn."""
        super().__init__(network, tasks)
        if len(network.classifier.trunk):
            raise BadConfig(
                "method: linear_probe puts its weights on the pooled features; set hidden = 0 under [model]"
            )
        self.C = C
        self._features: list[Floats] = []
        self._targets: dict[str, list[Floats]] = {task: [] for task in tasks}

    def train(self, mode: bool = True) -> "LinearProbe":
        """The network stays in evaluation mode: its batch statistics are frozen too."""
        super().train(False)
        self.training = mode
        return self

    @torch.no_grad()
    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Keeps the features; there is no loss to follow, and it is reported as 0 without a gradient."""
        labeled = side(batch.labeled)
        features = self.network.embed(labeled.views["plain"])
        self._features.append(_of_all_processes(features).double().cpu().numpy())
        for task, targets in labeled.targets.items():
            self._targets[task].append(_of_all_processes(targets).double().cpu().numpy())
        return {"loss": features.new_zeros(())}

    def end_epoch(self) -> None:
        """Fits the heads to the features of the epoch."""
        features = np.concatenate(self._features)
        for name, head in self.network.classifier.heads.items():
            assert isinstance(head, nn.Linear)
            fit = HEADS[self.tasks[name].loss]
            weight, bias = fit(features, np.concatenate(self._targets[name]), head.out_features, self.C)
            with torch.no_grad():
                head.weight.copy_(torch.from_numpy(weight))
                head.bias.copy_(torch.from_numpy(bias))
        self._features.clear()
        for targets_read in self._targets.values():
            targets_read.clear()


def _of_all_processes(values: Tensor) -> Tensor:
    """The rows that all processes hold of this step, for each of them; shards differ in length by one at most."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    counts = [torch.zeros(1, dtype=torch.long, device=values.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, torch.tensor([len(values)], device=values.device))
    longest = max(int(count) for count in counts)
    padded = torch.cat([values, values.new_zeros((longest - len(values), *values.shape[1:]))])
    gathered = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(gathered, padded)
    return torch.cat([shard[: int(count)] for shard, count in zip(gathered, counts, strict=True)])


def fit_questions(features: Floats, targets: Floats, outputs: int, C: float) -> tuple[Floats, Floats]:
    """Weight [outputs, features] and bias [outputs] of a linear head with a sigmoid each, in the features' own units.

    `targets` [n, outputs] are 0 or 1, NaN where unknown. An output of which every known target is the same always says
    that one; one without any stays undecided.
    """
    scaled, mean, std = _standardised(features)
    weight, bias = np.zeros((outputs, features.shape[1])), np.zeros(outputs)
    for output in range(outputs):
        known = ~np.isnan(targets[:, output])
        labels = targets[known, output]
        if len(np.unique(labels)) < 2:
            bias[output] = 0.0 if not len(labels) else -NEVER if labels.any() else NEVER
            continue
        model = LogisticRegression(C=C, max_iter=2000).fit(scaled[known], labels)
        weight[output], bias[output] = model.coef_[0], model.intercept_[0]
    return weight / std, bias - (weight / std) @ mean


def fit_choice(features: Floats, targets: Floats, outputs: int, C: float) -> tuple[Floats, Floats]:
    """As `fit_questions`, of one softmax over the outputs; `targets` [n] are classes, -1 where unknown."""
    scaled, mean, std = _standardised(features)
    weight, bias = np.zeros((outputs, features.shape[1])), np.full(outputs, NEVER)
    known = targets >= 0
    classes = np.unique(targets[known]).astype(int)
    if len(classes) > 1:
        model = LogisticRegression(C=C, max_iter=2000).fit(scaled[known], targets[known])
        # With two classes scikit-learn gives the one logit between them; as a softmax that is half for, half against.
        two = len(classes) == 2
        weight[classes] = np.concatenate([-model.coef_, model.coef_]) / 2 if two else model.coef_
        bias[classes] = np.concatenate([-model.intercept_, model.intercept_]) / 2 if two else model.intercept_
    else:
        bias[classes] = 0.0
    return weight / std, bias - (weight / std) @ mean


def _standardised(features: Floats) -> tuple[Floats, Floats, Floats]:
    """[n, c] of mean 0 and standard deviation 1, with the means and deviations [c] that they had."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-8
    return (features - mean) / std, mean, std


# a task's loss -> the fit of a head that makes it small
HEADS: Mapping[str, Callable[[Floats, Floats, int, float], tuple[Floats, Floats]]] = {
    "binary_cross_entropy": fit_questions,
    "cross_entropy": fit_choice,
}
