"""A method of one's own: supervised training that also asks for confident answers on unlabelled photographs.

    python examples/own_method.py [FOLDER]

Entropy minimisation (Grandvalet & Bengio, Semi-supervised learning by entropy minimization, NIPS 2004): on a labelled
minibatch the classification loss, on an unlabelled one

    L = weight * mean over photographs and tasks of H(p),  p the predicted probabilities.

The script draws synthetic photographs, trains the baseline and this method on the same few labels, and prints both
results. It takes seconds, and so shows how a method is written; whether one helps takes `configs/` and more seeds.
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor

import semiretina
from semiretina.batch import Batch, Progress
from semiretina.data.sources import import_source
from semiretina.methods.method import side
from semiretina.models.network import Network
from semiretina.tasks import Task


class EntropyMinimization(semiretina.Method):
    """L = L_cl on a labelled minibatch, L = weight * H(p) on an unlabelled one. The decoder does not learn."""

    # Minibatches wholly labelled or wholly unlabelled, mixed: the paper's sampler.
    stream = "alternate"

    def __init__(self, network: Network, tasks: Mapping[str, Task], *, weight: float = 0.1, ramp: float = 0.5) -> None:
        """`weight` of the entropy, reached after the share `ramp` of the stage: early answers are not to be trusted."""
        super().__init__(network, tasks)
        self.weight, self.ramp = weight, ramp

    def forward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """The loss of the side that this step has."""
        if batch.labeled is not None:
            features = self.network.encode(batch.labeled.views["weak"])
            losses = self.classification_losses(features, batch.labeled)
            loss = torch.stack(list(losses.values())).sum()
            return {"loss": loss, "loss_cl": loss.detach()}
        logits = self.network(side(batch.unlabeled).views["weak"])  # task -> [n, outputs]
        entropy = torch.stack([binary_entropy(values) for values in logits.values()]).mean()
        # sin^2 rises from 0 to 1 without a corner, as a function of progress alone.
        rise = math.sin(math.pi / 2 * min(1.0, progress.fraction / self.ramp)) ** 2
        return {"loss": self.weight * rise * entropy, "entropy": entropy.detach()}


def binary_entropy(logits: Tensor) -> Tensor:
    """Mean of -p log p - (1 - p) log(1 - p), with p = sigmoid(logit), in nats."""
    p = logits.sigmoid()
    return -(p * torch.nn.functional.logsigmoid(logits) + (1 - p) * torch.nn.functional.logsigmoid(-logits)).mean()


def main(folder: Path) -> dict[str, dict[str, Any]]:
    """Trains both methods in `folder`; their results, as in `result.json`."""
    manifest = folder / "manifest.csv"
    drawn = ("photographs=120", "unlabeled=60", "size=64")
    import_source("synthetic", folder / "photographs", manifest, drawn)
    results = {}
    for name, method in {"supervised": {"name": "supervised"}, "entropy": {"name": "entropy", "weight": 0.2}}.items():
        config = {
            "data": {"manifest": str(manifest), "size": 32, "labels": 40, "cache": str(folder / "cache")},
            "model": {"name": "aecl1", "widths": [8, 12, 16]},
            "stages": [
                # Equal numbers of updates that see labels.
                {"method": method, "updates": 30, "batch": 8, "optimizer": {"name": "adam", "lr": 3e-3}},
            ],
        }
        results[name] = semiretina.train(config, folder / name, methods={"entropy": EntropyMinimization})
    return results


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="own-method-")).absolute()
    for name, result in main(place).items():
        auroc = result["test"]["dr"]["auroc"]
        print(f"{name}: test AUROC {auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]")
    print(f"run folders: {place}")
