"""Where the network looked: heat maps of single answers, and the worst mistakes of a run that a report shows with them.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391, equations 1 and 2) over a map A [c, h, w] of the encoder: the
score y of the answer in question, its gradient averaged over places as the weight of each channel, and what of the
weighted sum speaks for the answer:

    a_k = mean over i, j of dy / dA_k[i, j],    L[i, j] = max(0, sum over k of a_k A_k[i, j])

A is the encoder's last map, 8 x 8 of a photograph of 256 pixels that is halved five times. Small photographs end in
fewer places, AECL1's of 64 pixels in a single one, which cannot say where; then A is the last of the encoder's levels
that has `LEAST` places a side. A heat map says what moved the answer, not why.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.data.views import to_float
from semiretina.files import write_text
from semiretina.models.network import Network
from semiretina.tasks import Task, classes_of

MISTAKES = 6  # of a task
LEAST = 4  # places a side of a map that is worth showing
INDEX = "mistakes.json"
# Five colours of viridis (matplotlib), dark blue to yellow: colour-blind readers tell them apart, and from grey.
HEAT = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float32)
MOST_HEAT = 0.6  # the colour's share where a heat map is at its highest


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: `label` is the true one, `probability` that of the wrong `answer`; pictures are file names."""

    path: str
    task: str
    output: str
    label: str
    answer: str
    probability: float
    photograph: str
    heat_map: str  # "" where the network has no map to show


@dataclass(frozen=True)
class _Wrong:
    """A mistake before it is drawn: which of the role's photographs, which output, and how sure of which answer."""

    place: int
    output: int  # of the task; 0 for a choice among classes
    answer: int  # 0 or 1, or the class
    label: int
    probability: float


def heat_maps(
    network: Network, images: Tensor, task: Task, outputs: Sequence[int], answers: Sequence[int]
) -> Tensor | None:
    """Grad-CAM of one answer a photograph: uint8 [n, h, w, 3] -> [n, h, w] from 0 to 1, each map's highest place 1.

    `outputs` [n] are the task's outputs in question and `answers` [n] 1 or 0, what speaks for a yes or for a no; of a
    task that chooses among classes `answers` are the classes, and `outputs` are not read. A map without anything that
    speaks for the answer is 0 everywhere. The network keeps its mode, its gradients and its running statistics.

    None where the encoder's map is too small and its levels are not to be told apart (`timm`'s of small photographs).
    """
    training = network.training
    network.eval()
    maps: list[Tensor] = []
    # Only a chain's children are known to pass everything on.
    levels = list(network.encoder) if isinstance(network.encoder, nn.Sequential) else [network.encoder]
    hooks = [level.register_forward_hook(lambda _module, _given, found: maps.append(found)) for level in levels]
    try:
        with torch.enable_grad():
            # Asking for the photographs' gradient brings one to every map, also where all weights are frozen.
            logits = network(to_float(images).requires_grad_())[task.name]
            large = [found for found in maps if min(found.shape[2:]) >= LEAST]
            if not large:
                return None
            # Every photograph's score depends on its own map alone, so the gradient of the sum is that of each.
            [gradient] = torch.autograd.grad(_scores(task, logits, outputs, answers).sum(), large[-1])
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat = (weights * large[-1].detach()).sum(dim=1, keepdim=True).clamp(min=0)
    heat = F.interpolate(heat, size=images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    highest = heat.amax(dim=(1, 2), keepdim=True)
    return torch.where(highest > 0, heat / highest.clamp(min=torch.finfo(heat.dtype).tiny), heat)


def _scores(task: Task, logits: Tensor, outputs: Sequence[int], answers: Sequence[int]) -> Tensor:
    """[n] the score of each answer.

    A yes's is its logit and a no's the logit's negative. A class's is its logit. A grade's is the logit of "above the
    grade before" less that of "above this grade".
    """
    rows = torch.arange(len(logits), device=logits.device)
    chosen = torch.tensor(list(answers), device=logits.device)
    if task.kind == "binary":
        return logits[rows, torch.tensor(list(outputs), device=logits.device)] * (2 * chosen - 1)
    if task.kind == "classes":
        return logits[rows, chosen]
    ends = logits.new_zeros(len(logits), 1)
    return torch.cat([ends, logits], dim=1)[rows, chosen] - torch.cat([logits, ends], dim=1)[rows, chosen]


def write_mistakes(
    folder: Path,
    split: Split,
    role: str,
    pixels: Pixels,
    network: Network,
    tasks: Mapping[str, Task],
    values: Mapping[str, npt.NDArray[np.float32]],
    truth: Mapping[str, Tensor],
    threshold: float | Mapping[str, float] = 0.5,
) -> None:
    """Writes each task's `MISTAKES` most confident wrong answers as photograph and heat map, and `mistakes.json`.

    `values` [n, outputs] and `truth` are the probabilities and targets of the role's photographs, in the split's order;
    `threshold` is that of the probability of a yes, or one for each output (`dr`, `lesions.MA`). Photographs without a
    known label are left out. Without any mistake the list is empty.
    """
    rows = split.rows(role)
    folder.mkdir(exist_ok=True)
    found: list[Mistake] = []
    for name, task in tasks.items():
        wrong = _wrong_answers(task, values[name], truth[name].cpu().numpy(), threshold)[:MISTAKES]
        if not wrong:
            continue
        images = pixels.take(rows[[one.place for one in wrong]])
        maps = heat_maps(network, images, task, [one.output for one in wrong], [one.answer for one in wrong])
        for number, (one, image) in enumerate(zip(wrong, images.cpu().numpy(), strict=True)):
            photograph, heat_map = f"mistake-{len(found):02d}.png", ""
            Image.fromarray(image).save(folder / photograph)
            if maps is not None:
                heat_map = f"mistake-{len(found):02d}-heat.png"
                Image.fromarray(overlay(image, maps[number].cpu().numpy())).save(folder / heat_map)
            label, answer = _words(task, one.label), _words(task, one.answer)
            path = str(split.records[rows[one.place]].path)
            output = task.outputs[one.output] if task.kind == "binary" else ""
            found.append(Mistake(path, name, output, label, answer, round(one.probability, 6), photograph, heat_map))
    write_text(folder / INDEX, json.dumps([asdict(mistake) for mistake in found], indent=1) + "\n")


def _wrong_answers(
    task: Task, values: npt.NDArray[np.float32], targets: Any, threshold: float | Mapping[str, float]
) -> list[_Wrong]:
    """All wrong answers, the surest first; of equally sure ones the first photograph first."""
    found = []
    if task.kind == "binary":
        for number, output in enumerate(task.outputs):
            key = task.name if len(task.outputs) == 1 else f"{task.name}.{output}"
            border = threshold if isinstance(threshold, float | int) else threshold.get(key, 0.5)
            for place, (label, yes) in enumerate(zip(targets[:, number], values[:, number], strict=True)):
                answer = int(yes >= border)
                if not np.isnan(label) and answer != label:
                    found.append(_Wrong(place, number, answer, int(label), float(yes if answer else 1 - yes)))
    else:
        for place, label in enumerate(classes_of(task, targets)):
            answer = int(values[place].argmax())
            if label >= 0 and answer != label:
                found.append(_Wrong(place, 0, answer, int(label), float(values[place, answer])))
    return sorted(found, key=lambda one: -one.probability)


def _words(task: Task, answer: int) -> str:
    return ("no", "yes")[answer] if task.kind == "binary" else task.outputs[answer]


def overlay(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A photograph [h, w, 3] in grey under its heat map [h, w] from 0 to 1 in colour; colourless where it is 0."""
    grey = (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    stops = np.linspace(0, 1, len(HEAT))
    colors = np.stack([np.interp(heat, stops, HEAT[:, channel]) for channel in range(3)], axis=-1)
    share = MOST_HEAT * heat[..., None]
    return np.asarray(((1 - share) * grey + share * colors).round().clip(0, 255), np.uint8)
