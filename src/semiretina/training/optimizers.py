"""torch's optimisers by name, and schedules as pure functions of progress."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from semiretina.config import Optimizer


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    s = settings
    if s.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=s.lr, momentum=s.momentum, nesterov=s.nesterov, weight_decay=s.weight_decay
        )
    kind = torch.optim.Adam if s.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=s.lr, betas=s.betas, eps=s.eps, weight_decay=s.weight_decay)


def learning_rate(settings: Optimizer, fraction: float) -> float:
    """The learning rate when `fraction` in [0, 1) of the stage is done: a linear warm-up, then the schedule."""
    if fraction < settings.warmup:
        return settings.lr * fraction / settings.warmup
    rest = (fraction - settings.warmup) / (1.0 - settings.warmup)
    factor = {"constant": 1.0, "linear": 1.0 - rest, "cosine": 0.5 * (1.0 + math.cos(math.pi * rest))}
    return settings.lr * factor[settings.schedule]
