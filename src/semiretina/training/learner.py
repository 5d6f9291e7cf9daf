"""A stage's method with what moves it: precision, optimiser, loss scale, processes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from semiretina import checkpoint
from semiretina.batch import Batch, Progress
from semiretina.config import Optimizer
from semiretina.methods import Method
from semiretina.training.optimizers import learning_rate, make_optimizer
from semiretina.training.ranks import Place

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """Takes the steps and updates of one stage."""

    def __init__(
        self, method: Method, settings: Optimizer, precision: str, place: Place, tensors: Mapping[str, Tensor]
    ) -> None:
        """`tensors` is the `state` to go on from, empty at the stage's beginning."""
        self.method, self.settings, self.precision, self.place = method, settings, precision, place
        self.rate = settings.lr
        self._optimizer = make_optimizer([p for p in method.parameters() if p.requires_grad], settings)
        self._scaler = torch.amp.GradScaler(place.device.type, enabled=precision == "fp16")
        if tensors:
            self._restore(tensors)
        # Unlabelled steps leave the classifier without gradients, so DDP must look for what was used.
        wrap = place.ranks > 1
        self._forward = DistributedDataParallel(method, find_unused_parameters=True) if wrap else method
        self._learned = False

    def set_rate(self, fraction: float) -> None:
        """The learning rate of an update before which `fraction` of the stage is done."""
        self.rate = learning_rate(self.settings, fraction)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate

    def step(self, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Adds the gradients of a step to those of its update; what the method returned."""
        kind = PRECISIONS[self.precision]
        with torch.autocast(self.place.device.type, kind, enabled=self.precision != "fp32"):
            logs: dict[str, Tensor] = self._forward(batch, replace(at, loss_scale=self._scaler.get_scale()))
        if logs["loss"].requires_grad:
            self._scaler.scale(logs["loss"]).backward()  # type: ignore[no-untyped-call]
            self._learned = True
        return logs

    def update(self, at: Progress) -> None:
        """Moves the weights by the gradients at hand, at most `clip` long (0: as they are), which are then cleared."""
        if not self._learned:
            return
        if self.settings.clip:
            self._scaler.unscale_(self._optimizer)
            parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._learned = False
        self.method.after_step(at)

    def state(self) -> dict[str, Tensor]:
        """Everything that going on needs, as named tensors."""
        scale: dict[str, Any] = self._scaler.state_dict()
        return {
            **{f"method.{name}": value for name, value in self.method.state_dict().items()},
            **checkpoint.optimizer_tensors(self._optimizer),
            **{f"scaler.{name}": torch.tensor(value, dtype=torch.float64) for name, value in scale.items()},
        }

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        of_method = {k.removeprefix("method."): v for k, v in tensors.items() if k.startswith("method.")}
        self.method.load_state_dict(of_method)
        checkpoint.load_optimizer(self._optimizer, tensors)
        scale = {k.removeprefix("scaler."): v.item() for k, v in tensors.items() if k.startswith("scaler.")}
        if scale:
            whole = ("growth_interval", "_growth_tracker")
            self._scaler.load_state_dict({k: int(v) if k in whole else v for k, v in scale.items()})
