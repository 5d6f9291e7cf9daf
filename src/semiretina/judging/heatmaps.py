"""Where the network looked: heat maps of single answers.

Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391, equations 1 and 2) over a map A [c, h, w] of the encoder: the
score y of the answer in question, its gradient averaged over places as the weight of each channel, and what of the
weighted sum speaks for the answer:

    a_k = mean over i, j of dy / dA_k[i, j],    L[i, j] = max(0, sum over k of a_k A_k[i, j])

A is the encoder's last map, 8 x 8 of a photograph of 256 pixels that is halved five times. Small photographs end in
fewer places, AECL1's of 64 pixels in a single one, which cannot say where; then A is the last of the encoder's levels
that has `LEAST` places a side. A heat map says what moved the answer, not why.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semiretina.data.views import to_float
from semiretina.models.network import Network
from semiretina.tasks import Task

LEAST = 4  # places a side of a map that is worth showing
# Five colours of viridis (matplotlib), dark blue to yellow: colour-blind readers tell them apart, and from grey.
HEAT = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float32)
MOST_HEAT = 0.6  # how much of it is colour where a heat map is at its highest


def heat_maps(
    network: Network, images: Tensor, task: Task, outputs: Sequence[int], answers: Sequence[int]
) -> Tensor | None:
    """Grad-CAM of one answer a photograph: uint8 [n, h, w, 3] -> [n, h, w] from 0 to 1, each map's highest place 1.

    `outputs` [n] are the task's outputs in question and `answers` [n] 1 or 0, what speaks for a yes or for a no; of a
    task that chooses among classes `answers` are the classes, and `outputs` are not read. A map without anything that
    speaks for the answer is 0 everywhere. The network keeps its mode, its gradients and its running statistics.

    None where the encoder's map is too small and its levels cannot be taken apart (`timm`, small photographs).
    """
    training = network.training
    network.eval()
    maps: list[Tensor] = []
    # Only a chain's children are known to pass everything on.
    levels = list(network.encoder) if isinstance(network.encoder, nn.Sequential) else [network.encoder]
    hooks = [level.register_forward_hook(lambda _module, _given, output: maps.append(output)) for level in levels]
    try:
        with torch.enable_grad():
            # Asking for the photographs' gradient brings one to every map, also where all weights are frozen.
            logits = network(to_float(images).requires_grad_())[task.name]
            large = [level for level in maps if min(level.shape[2:]) >= LEAST]
            if not large:
                return None
            # Every photograph's score depends on its own map alone, so the gradient of the sum is that of each.
            chosen = (torch.tensor(list(numbers), device=logits.device) for numbers in (outputs, answers))
            [gradient] = torch.autograd.grad(task.evidence(logits, *chosen).sum(), large[-1])
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat = (weights * large[-1].detach()).sum(dim=1, keepdim=True).clamp(min=0)
    heat = F.interpolate(heat, size=images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    highest = heat.amax(dim=(1, 2), keepdim=True)
    return torch.where(highest > 0, heat / highest.clamp(min=torch.finfo(heat.dtype).tiny), heat)


def overlay(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A photograph [h, w, 3] in grey under its heat map [h, w] from 0 to 1 in colour; colourless where it is 0."""
    grey = (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    stops = np.linspace(0, 1, len(HEAT))
    colors = np.stack([np.interp(heat, stops, HEAT[:, channel]) for channel in range(3)], axis=-1)
    colored = MOST_HEAT * heat[..., None]
    return np.asarray(((1 - colored) * grey + colored * colors).round().clip(0, 255), np.uint8)
