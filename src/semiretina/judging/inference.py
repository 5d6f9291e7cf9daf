"""From a network to probabilities, and from probabilities to the numbers of a log row or a result.

Photographs are always seen as they are stored: no augmentation, so the same numbers at every call.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from semiretina.data.pixels import Pixels, Rows
from semiretina.data.split import Split
from semiretina.data.views import to_float
from semiretina.errors import NonFiniteLoss
from semiretina.files import write_text
from semiretina.judging.test_set import make_tested, unnamed, untested
from semiretina.losses.classification import classification_loss
from semiretina.losses.reconstruction import squared_error
from semiretina.models.network import Network
from semiretina.records import Record
from semiretina.scoring.caution import caution
from semiretina.scoring.intervals import Estimate
from semiretina.tasks import Targets, Task, classes_of, count_derived, keys_of

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


def probabilities(task: Task, logits: Tensor, temperature: float | Sequence[float] = 1.0) -> Floats:
    """[n, outputs]: a sigmoid each, or probabilities of classes or grades that sum to 1, of logits / temperature.

    Several outputs may have a temperature each.

    P(grade = k) is P(grade > k - 1) - P(grade > k), where P(grade > k) is the least of the sigmoids of the questions 0
    to k: an eye that is not above a grade is not above a later one either.
    """
    # In double: torch's float kernels round a tensor's tail otherwise than its body, so that a photograph's last bit
    # would depend on its place in the batch.
    scaled = logits.double() / torch.tensor(temperature, dtype=torch.float64)
    if task.kind == "classes":
        values = scaled.softmax(dim=1)
    elif task.kind == "binary":
        values = scaled.sigmoid()
    else:
        above = scaled.sigmoid().cummin(dim=1).values
        ends = above.new_ones(len(above), 1)
        values = torch.cat([ends, above], dim=1) - torch.cat([above, 0 * ends], dim=1)
    return np.asarray(values.numpy(), np.float32)


def quick_scores(task: Task, logits: Tensor, targets: Tensor, threshold: float) -> dict[str, float]:
    """Loss, accuracy and AUROC without intervals, for the log; NaN where undefined. Several outputs are averaged."""
    values = probabilities(task, logits)
    known_targets = targets.cpu().numpy()
    loss = float(classification_loss(logits, targets.cpu()))
    if task.kind != "binary":
        classes = classes_of(task, known_targets)
        known = classes >= 0
        accuracy = _mean(values[known].argmax(axis=1) == classes[known])
        curves = [_auroc(classes[known] == k, values[known, k]) for k in range(values.shape[1]) if (classes == k).any()]
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
    records: Sequence[Record],
    groups: Sequence[str],
    threshold: float | Mapping[str, float],
    *,
    ungradable: Sequence[tuple[Record, str]] = (),
    trained: Sequence[Record] = (),
    prevalence: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The scores of `result.json`, with intervals that respect groups and patients.

    Keys are those of `tasks.keys_of`; `threshold` and `prevalence` (for PPV and NPV, the sample's own where absent) go
    by them. `derived` counts, among the n labels of an output, those that follow from the grade's definition
    (`tasks.IMPLIED_LESIONS`).

    `levels`: scores by photograph, eye and patient, in which the `ungradable` photographs, each with its group, count
    as referred; a grade that was stated for one is its label here. `strata`: scores by site, camera and grade.
    `caution`: sentences; `trained` are the photographs whose sites should have been tested.

    Raises NonFiniteLoss that names the photographs whose values are not numbers.
    """
    check_answers(tasks, values, records)
    blind = [replace(record, quality="") for record, _ in ungradable]
    tested = make_tested(records, blind, [*groups, *(group for _, group in ungradable)])
    lacking = unnamed([*records, *blind])
    scores: dict[str, Any] = {}
    for name, task in tasks.items():
        truth = np.concatenate([targets[name].cpu().numpy(), task.targets(blind)])
        derived = count_derived(task, records)
        for number, key in enumerate(keys_of(task)):
            if task.kind == "binary":
                labels = truth[:, number]
                limit = threshold[key] if isinstance(threshold, Mapping) else threshold
                found = tested.score_binary(labels, values[name][:, number], limit, (prevalence or {}).get(key))
                kinds = {"positive": 1, "negative": 0}
            else:
                labels = classes_of(task, truth)
                found = tested.score_classes(labels, values[name])
                kinds = {output: place for place, output in enumerate(task.outputs)}
            known = labels[: len(records)]
            labeled = [record for record, label in zip(records, known, strict=True) if label >= 0]
            told = caution(known, tested.patients[: len(records)], found, kinds)
            scores[key] = _as_json(found) | {"caution": [*told, *untested(labeled, trained), *lacking]}
            if derived:
                scores[key]["derived"] = derived[task.outputs[number]]
    return scores


def check_answers(tasks: Mapping[str, Task], values: Mapping[str, Floats], records: Sequence[Record]) -> None:
    """Raises NonFiniteLoss that names the photographs whose values are not all numbers."""
    whole = np.all([np.isfinite(values[name]).all(axis=1) for name in tasks], axis=0)
    broken = [record.path.name for record, good in zip(records, whole, strict=True) if not good]
    if broken:
        more = f" and {len(broken) - 8} more" if len(broken) > 8 else ""
        raise NonFiniteLoss(
            f"the grader's answers to {len(broken)} of {len(records)} photographs are infinite or NaN: "
            f"{', '.join(broken[:8])}{more}; its weights overflow or are damaged: train it again, with a lower "
            "optimizer.lr or with optimizer.clip, or copy its run folder again"
        )


def write_predictions(
    file: Path,
    split: Split,
    rows: Rows,
    tasks: Mapping[str, Task],
    values: Mapping[str, Floats],
    targets: Mapping[str, Tensor],
    **more: Sequence[object],
) -> None:
    """Writes a table with a row for each photograph and output; the label is empty where unknown.

    `more` adds columns, a value for each of `rows`.

    Raises NonFiniteLoss as `full_scores` does, and then writes nothing.
    """
    check_answers(tasks, values, [split.records[row] for row in rows])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("path", "patient", "site", "eye", "camera", "grade", "group", "task", "output", "label", "probability")
    writer.writerow([*columns, *more])
    for name, task in tasks.items():
        labels = _labels(task, targets[name].cpu().numpy())
        for number, row in enumerate(rows):
            r = split.records[row]
            grade = "" if r.grade is None else r.grade
            of = (r.path, r.patient, r.site, r.eye, r.camera, grade, split.groups[row], name)
            for place, output in enumerate(task.outputs):
                label = labels[number][place]
                probability = f"{values[name][number, place]:.9g}"
                writer.writerow([*of, output, label, probability, *(values_of[number] for values_of in more.values())])
    write_text(file, text.getvalue())


def _labels(task: Task, targets: Targets) -> list[list[str]]:
    """[n][outputs] "1", "0", or "" where unknown."""
    if task.kind == "binary":
        return [["" if np.isnan(value) else str(int(value)) for value in row] for row in targets]
    places = range(len(task.outputs))
    return [["" if right < 0 else str(int(right == place)) for place in places] for right in classes_of(task, targets)]


def _as_json(value: Any) -> Any:
    """Estimates, in any depth, as {"value", "low", "high"}."""
    if isinstance(value, Mapping):
        return {name: _as_json(inner) for name, inner in value.items()}
    return asdict(value) if isinstance(value, Estimate) else value


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _nanmean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else float("nan")


def _auroc(labels: npt.NDArray[Any], values: Floats) -> float:
    return float(roc_auc_score(labels, values)) if 0 < labels.sum() < len(labels) else float("nan")
