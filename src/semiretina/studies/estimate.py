"""How long trainings will take, from a few steps measured here and now."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from semiretina.batch import Batch, Photographs, Progress
from semiretina.config import Config
from semiretina.data.roles import make_split
from semiretina.data.split import Split
from semiretina.data.steps import StageSteps, steps_of
from semiretina.methods import METHODS, Method
from semiretina.models import configured_network
from semiretina.models.network import Network
from semiretina.records import Record
from semiretina.studies.first_stages import beginnings
from semiretina.tasks import Task, make_tasks
from semiretina.training.loop import make_method, sides
from semiretina.training.optimizers import make_optimizer
from semiretina.training.ranks import find_place

STEPS = 3  # measured, after one that warms up; their median counts


class Clock:
    """Estimates trainings; each kind of step is measured once."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def seconds(self, config: Config, records: Sequence[Record]) -> float:
        """About how long this training takes here, its scoring and its second phase included.

        Reading the photographs is left out: it is done once for all. A refit counts as long as the first phase.
        """
        return self.together([config], records)

    def together(self, configs: Sequence[Config], records: Sequence[Record]) -> float:
        """The same of all points of a sweep, which trains first stages that they have in common once."""
        total = 0.0
        counted = set()
        splits: dict[str, Split] = {}
        for config in configs:
            tasks = make_tasks(config.tasks, records)
            drawn_from = json.dumps([config.seed, config.tasks, config.data.model_dump(mode="json")])
            if drawn_from not in splits:
                # Its sizes, before any photograph is read: identical pictures are not yet known.
                splits[drawn_from] = make_split(records, [""] * len(records), tasks, config.data, config.seed)
            split = splits[drawn_from]
            common = [beginning.model_dump_json() for beginning in beginnings(config)]
            for number in range(len(config.stages)):
                if number < len(common) and common[number] in counted:
                    continue
                counted.update(common[number : number + 1])
                total += self._stage(config, number, tasks, split, "train")
            if config.refit != "none":
                total += sum(self._stage(config, number, tasks, split, "refit") for number in range(len(config.stages)))
        return total

    def _stage(self, config: Config, number: int, tasks: Mapping[str, Task], split: Split, phase: str) -> float:
        stage = config.stages[number]
        looked_at = len(split.rows("val")) * (phase == "train") + len(split.rows("test")) * config.track_test
        kind = METHODS[stage.method["name"]]
        labeled, unlabeled = sides(split, phase, stage, kind)
        # One epoch tells the length of the others.
        one = stage.model_copy(update={"epochs": 1, "updates": None})
        steps = steps_of(StageSteps(one, kind.stream, labeled, unlabeled, (config.seed, phase, number))[0])
        with_labels = sum(len(step.labeled) > 0 for step in steps)
        epochs = stage.epochs or (stage.updates or 0) / max(1, with_labels or len(steps))
        total = epochs * looked_at * self._look(config, tasks) / config.engine.eval_batch
        kinds = Counter((len(step.labeled) > 0, len(step.unlabeled) > 0) for step in steps)
        for kind_of_step, count in kinds.items():
            total += epochs * count * self._step(config, number, tasks, kind_of_step)
        return total

    def _step(self, config: Config, number: int, tasks: Mapping[str, Task], sides: tuple[bool, bool]) -> float:
        """Seconds for one step that has a labelled and an unlabelled side, as `sides` says."""
        stage = config.stages[number]
        sizes = [stage.batch * sides[0], (stage.unlabeled_batch or stage.batch) * sides[1]]
        key = json.dumps([config.model, config.data.size, stage.method, sizes], sort_keys=True)

        def prepare() -> Callable[[], None]:
            network = _network(config, tasks)
            method = make_method(stage, number, network, tasks, METHODS).to(find_place(config.engine.device).device)
            method.train()
            optimizer = make_optimizer(method.parameters(), stage.optimizer)
            batch = _batch(method, tasks, config.data.size, sizes)
            at = Progress(number, 0, 0, 1, 1, 2, 1)  # not the first update: gradient norms are taken now and then

            def step() -> None:
                loss = method(batch, at)["loss"]
                if loss.requires_grad:
                    loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

            return step

        return self._measured(key, prepare)

    def _look(self, config: Config, tasks: Mapping[str, Task]) -> float:
        """Seconds for one batch of scoring."""
        key = json.dumps([config.model, config.data.size, "look", config.engine.eval_batch], sort_keys=True)

        def prepare() -> Callable[[], None]:
            network = _network(config, tasks).eval()
            images = torch.rand(config.engine.eval_batch, 3, config.data.size, config.data.size).to(_device(network))

            def look() -> None:
                with torch.no_grad():
                    network(images)

            return look

        return self._measured(key, prepare)

    def _measured(self, key: str, prepare: Callable[[], Callable[[], None]]) -> float:
        if key not in self._seconds:
            step = prepare()
            step()
            _wait()
            taken = []
            for _ in range(STEPS):
                began = time.perf_counter()
                step()
                _wait()
                taken.append(time.perf_counter() - began)
            self._seconds[key] = median(taken)
        return self._seconds[key]


def _network(config: Config, tasks: Mapping[str, Task]) -> Network:
    outputs = {name: task.num_logits for name, task in tasks.items()}
    network = configured_network(config.model, outputs, config.data.size, weights=False)
    return network.to(find_place(config.engine.device).device)


def _batch(method: Method, tasks: Mapping[str, Task], size: int, sizes: Sequence[int]) -> Batch:
    device = _device(method.network)
    sides: list[Photographs | None] = []
    for count, views, with_targets in zip(sizes, method.views, (True, False), strict=True):
        images = {view: torch.rand(count, 3, size, size, device=device) for view in views}
        unknown = [Record(path=Path())] * count
        targets = {
            name: torch.zeros_like(torch.from_numpy(task.targets(unknown)), device=device)
            for name, task in (tasks.items() if with_targets else ())
        }
        sides.append(Photographs(images, np.arange(count), targets) if count else None)
    return Batch(sides[0], sides[1])


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
