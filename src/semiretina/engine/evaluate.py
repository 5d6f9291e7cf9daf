"""From a network to probabilities, and from probabilities to the numbers of a log row or a result.

Photographs are always seen as they are stored: no augmentation, so the same numbers at every call.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from semiretina.data.augment import to_float
from semiretina.data.split import Split
from semiretina.data.stream import Pixels, Rows
from semiretina.files import write_text
from semiretina.losses.classification import classification_loss
from semiretina.losses.reconstruction import squared_error
from semiretina.models.network import Network
from semiretina.scoring.intervals import Estimate
from semiretina.scoring.scores import Scores, binary_scores, class_scores
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


def probabilities(task: Task, logits: Tensor, temperature: float = 1.0) -> Floats:
    """[n, outputs]: a sigmoid each, or a softmax over classes, of logits / temperature."""
    # In double: torch's float kernels round a tensor's tail otherwise than its body, so that a photograph's last bit
    # would depend on its place in the batch.
    scaled = logits.double() / temperature
    values = scaled.sigmoid() if task.kind == "binary" else scaled.softmax(dim=1)
    return np.asarray(values.numpy(), np.float32)


def quick_scores(task: Task, logits: Tensor, targets: Tensor, threshold: float) -> dict[str, float]:
    """Loss, accuracy and AUROC without intervals, for the log; NaN where undefined. Several outputs are averaged."""
    values = probabilities(task, logits)
    known_targets = targets.cpu().numpy()
    loss = float(classification_loss(logits, targets.cpu()))
    if task.kind == "classes":
        known = known_targets >= 0
        accuracy = _mean(values[known].argmax(axis=1) == known_targets[known])
        curves = [
            _auroc(known_targets[known] == k, values[known, k])
            for k in range(values.shape[1])
            if (known_targets == k).any()
        ]
        return {"loss": loss, "accuracy": accuracy, "auroc": _nanmean(curves)}
    accuracies, curves = [], []
    for output in range(values.shape[1]):
        known = ~np.isnan(known_targets[:, output])
        labels = known_targets[known, output]
        accuracies.append(_mean((values[known, output] >= threshold) == labels))
        curves.append(_auroc(labels, values[known, output]))
    return {"loss": loss, "accuracy": _nanmean(accuracies), "auroc": _nanmean(curves)}


def full_scores(
    tasks: Mapping[str, Task],
    values: Mapping[str, Floats],
    targets: Mapping[str, Tensor],
    groups: Sequence[str],
    threshold: float,
) -> dict[str, Any]:
    """The scores of `result.json`, with intervals that respect groups.

    Keys are the tasks, or `task.output` for a task of several outputs.
    """
    scores: dict[str, Any] = {}
    for name, task in tasks.items():
        known_targets, names = targets[name].cpu().numpy(), np.array(groups)
        if task.kind == "classes":
            known = known_targets >= 0
            scores[name] = _as_json(class_scores(known_targets[known], values[name][known], names[known]))
            continue
        for number, output in enumerate(task.outputs):
            known = ~np.isnan(known_targets[:, number])
            key = name if len(task.outputs) == 1 else f"{name}.{output}"
            labels = known_targets[known, number].astype(np.int64)
            scores[key] = _as_json(binary_scores(labels, values[name][known, number], names[known], threshold))
    return scores


def write_predictions(
    file: Path,
    split: Split,
    rows: Rows,
    tasks: Mapping[str, Task],
    values: Mapping[str, Floats],
    targets: Mapping[str, Tensor],
) -> None:
    """Writes a table with a row for each photograph and output; the label is empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "patient", "site", "task", "output", "label", "probability"])
    for name, task in tasks.items():
        known_targets = targets[name].cpu().numpy()
        for number, row in enumerate(rows):
            record = split.records[row]
            for place, output in enumerate(task.outputs):
                label = _label(task, known_targets[number], place)
                probability = f"{values[name][number, place]:.9g}"
                writer.writerow([record.path, record.patient, record.site, name, output, label, probability])
    write_text(file, text.getvalue())


def _label(task: Task, target: Any, output: int) -> str:
    if task.kind == "classes":
        return "" if target < 0 else str(int(target == output))
    return "" if np.isnan(target[output]) else str(int(target[output]))


def _as_json(scores: Scores) -> dict[str, Any]:
    """Estimates as {"value", "low", "high"}; counts stay numbers."""
    return {name: asdict(score) if isinstance(score, Estimate) else score for name, score in scores.items()}


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _nanmean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else float("nan")


def _auroc(labels: npt.NDArray[Any], values: Floats) -> float:
    return float(roc_auc_score(labels, values)) if 0 < labels.sum() < len(labels) else float("nan")
