"""From a network to its answers, and to the numbers of a log row.

Photographs are always seen as they are stored: no augmentation, so the same numbers at every call.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semiretina.data.pixels import Pixels, Rows
from semiretina.data.views import to_float
from semiretina.losses.classification import CLASSIFICATION_LOSSES
from semiretina.losses.reconstruction import squared_error
from semiretina.models.network import Network
from semiretina.tasks import Task

Floats = npt.NDArray[np.float32]


@torch.no_grad()
def infer(network: Network, images: Tensor, batch: int) -> dict[str, Tensor]:
    """Logits of stored photographs (uint8 [n, h, w, 3], n <= batch) on the CPU, task -> [n, outputs].

    A batch is always filled up to its full size, so that a photograph meets the same kernels, and gets the same bits,
    whatever else stands in its batch.
    """
    count = len(images)
    padded = torch.cat([images, images.new_zeros((batch - count, *images.shape[1:]))]) if count < batch else images
    return {task: logits[:count].float().cpu() for task, logits in network(to_float(padded)).items()}


def infer_rows(network: Network, pixels: Pixels, rows: Rows, batch: int) -> dict[str, Tensor]:
    """Logits of these split rows, task -> [n, outputs]; the network is put into evaluation mode and back."""
    training = network.training
    network.eval()
    parts = [infer(network, pixels.take(rows[i : i + batch]), batch) for i in range(0, len(rows), batch)]
    network.train(training)
    return {task: torch.cat([part[task] for part in parts]) for task in parts[0]} if parts else {}


@torch.no_grad()
def reconstruct_rows(network: Network, pixels: Pixels, rows: Rows, batch: int) -> tuple[float, Tensor]:
    """Mean squared error (equation 1) over these rows, and the first batch's reconstructions [n, 3, h, w]."""
    training = network.training
    network.eval()
    total, first = 0.0, torch.empty(0)
    for start in range(0, len(rows), batch):
        images = to_float(pixels.take(rows[start : start + batch]))
        decoded = network.decode(network.encode(images))
        total += float(squared_error(decoded, images)) * len(images)
        first = decoded.cpu() if start == 0 else first
    network.train(training)
    return total / max(1, len(rows)), first


def quick_scores(task: Task, logits: Tensor, targets: Tensor, threshold: float) -> dict[str, float]:
    """Loss, accuracy and AUROC without intervals, for the log; NaN where undefined. Several outputs are averaged."""
    loss = float(CLASSIFICATION_LOSSES[task.loss](logits, targets.cpu(), 1.0))
    return {"loss": loss} | task.quick_scores(task.probabilities(logits), targets.cpu().numpy(), threshold)
