"""A grader: what a run hands over. Weights, tasks, how a photograph is read, and where the threshold lies."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semiretina import checkpoint
from semiretina.data.image import read_photograph
from semiretina.data.views import to_float
from semiretina.errors import BadConfig, BadData, MissingInput
from semiretina.judging.inference import Floats, infer, probabilities
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.records import SCALES
from semiretina.tasks import Task, keys_of, make_task

SCHEMA = 1


@dataclass(frozen=True)
class Grader:
    """Turns photographs into probabilities and features. `network` is in evaluation mode, on `device`.

    Logits are divided by their output's temperature, or 1; a probability at or above an output's own threshold, or
    `threshold`, is a yes. `temperatures` and `own_thresholds` were fixed on validation, by KEY (`tasks.keys_of`).
    """

    network: Network
    tasks: Mapping[str, Task]
    size: int
    crop: str
    threshold: float
    device: torch.device
    batch: int = 32
    temperatures: Mapping[str, float] = field(default_factory=dict)
    own_thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def thresholds(self) -> dict[str, float]:
        """KEY -> the threshold of each yes-or-no output."""
        keys = [key for task in self.tasks.values() if task.kind == "binary" for key in keys_of(task)]
        return {key: self.own_thresholds.get(key, self.threshold) for key in keys}

    def probabilities(self, name: str, logits: Tensor) -> Floats:
        """[n, outputs], the calibrated probabilities of a task from its logits."""
        task = self.tasks[name]
        return probabilities(task, logits, [self.temperatures.get(key, 1.0) for key in keys_of(task)])

    def read(self, file: Path) -> npt.NDArray[np.uint8]:
        """One photograph as this grader sees it, uint8 [size, size, 3]. Raises UnreadablePhotograph."""
        return read_photograph(file, self.size, self.crop)[0]

    def grade(self, photographs: npt.NDArray[np.uint8]) -> dict[str, Floats]:
        """Probabilities, task -> [n, outputs], of photographs as `read` gives them, uint8 [n, size, size, 3].

        The same photograph gets the same probability whatever the others are.
        """
        parts = [
            infer(self.network, torch.from_numpy(photographs[i : i + self.batch]).to(self.device), self.batch)
            for i in range(0, len(photographs), self.batch)
        ]
        return {name: np.concatenate([self.probabilities(name, part[name]) for part in parts]) for name in self.tasks}

    @torch.no_grad()
    def features(self, photographs: npt.NDArray[np.uint8]) -> Floats:
        """The encoder's pooled features, float32 [n, channels]."""
        floats = to_float(torch.from_numpy(photographs).to(self.device))
        parts = [self.network.embed(part).float().cpu() for part in torch.split(floats, self.batch)]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def save(self, file: Path) -> None:
        """Writes `file`.safetensors and `file`.json."""
        facts = {
            "schema": SCHEMA,
            "network": self.network.facts,
            "tasks": {name: list(task.outputs) for name, task in self.tasks.items()},
            "size": self.size,
            "crop": self.crop,
            "threshold": self.threshold,
            "temperatures": dict(self.temperatures),
            "thresholds": dict(self.own_thresholds),
        }
        checkpoint.save(file, self.network.state_dict(), facts)


def load_grader(run: Path, device: torch.device | None = None, batch: int = 32) -> Grader:
    """The grader of a finished run folder. Raises MissingInput when there is none, BadData when it is damaged."""
    if (run / "fold-0").is_dir():
        raise MissingInput(
            f"{run}: the folds of a cross-validation, each with a grader of its own; name one, such as {run / 'fold-0'}"
        )
    if not (run / "grader.json").exists():
        raise MissingInput(f"{run}: no grader here (grader.json); give the folder of a finished run")
    try:
        tensors, facts = checkpoint.load(run / "grader")
    except (BadData, MissingInput) as error:
        raise type(error)(f"{error}; copy the run folder again, or train anew") from None
    if facts.get("schema") != SCHEMA:
        raise BadData(
            f"{run / 'grader.json'}: schema {facts.get('schema')}, this program reads {SCHEMA}; use its own version"
        )
    network = build_network(**facts["network"])
    network.load_state_dict(tensors)
    place = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tasks = {name: task_of(name, outputs) for name, outputs in facts["tasks"].items()}
    return Grader(
        network.to(place).eval(),
        tasks,
        facts["size"],
        facts["crop"],
        facts["threshold"],
        place,
        batch,
        # Graders of before the operating point have neither.
        facts.get("temperatures", {}),
        facts.get("thresholds", {}),
    )


def task_of(name: str, outputs: Sequence[str]) -> Task:
    """The task with these outputs: a severity that names no scale finds it by their number."""
    with suppress(BadConfig):
        for scale in SCALES:
            task = make_task(name, scale)
            if task.outputs == tuple(outputs):
                return task
    raise BadData(f"grader: task '{name}' with the outputs {', '.join(outputs)} is unknown to this version")
