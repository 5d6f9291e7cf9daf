"""A grader: what a run hands over. Weights, tasks, how a photograph is read, and where the threshold lies."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from semiretina import checkpoint
from semiretina.data.image import UnreadablePhotograph, read_photograph
from semiretina.data.views import to_float
from semiretina.errors import BadConfig, BadData, MissingInput
from semiretina.judging.decisions import Decisions, rows_of
from semiretina.judging.heatmaps import heat_maps, overlay
from semiretina.judging.inference import Floats, infer
from semiretina.judging.inputs import WANTED, Images, Photograph, find_photographs
from semiretina.judging.predict import grade_files
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.records import SCALES
from semiretina.tasks import Task, make_task

SCHEMA = 1


@dataclass(frozen=True)
class Grader:
    """Turns photographs into probabilities and features. `network` is in evaluation mode, on `device`.

    Logits are divided by their output's temperature, or 1; a probability at or above an output's own threshold, or
    `threshold`, is a yes. `temperatures` and `own_thresholds` were fixed on validation, by KEY (`Task.keys`).
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
        keys = [key for task in self.tasks.values() for key in task.threshold_keys]
        return {key: self.own_thresholds.get(key, self.threshold) for key in keys}

    def probabilities(self, logits: Mapping[str, Tensor]) -> dict[str, Floats]:
        """Task -> [n, outputs], the calibrated probabilities of these logits."""
        return {
            name: task.probabilities(logits[name], [self.temperatures.get(key, 1.0) for key in task.keys])
            for name, task in self.tasks.items()
        }

    def predict(self, images: Images) -> Decisions:
        """Probabilities and answers, a row for each photograph and output (see `Decisions`).

        `images` are one or several of: paths, folders of photographs, manifests (.csv), PIL images, uint8 arrays in RGB
        (`judging.inputs`). All are cropped and resized as in training; a picture in memory gives what a PNG file of its
        pixels gives. A photograph that cannot be read has rows that say why.

        Raises MissingInput for a path that is not there, BadData for what is no photograph (an array of floats, say).
        """
        decisions = Decisions()
        for number, (photograph, graded, reason) in enumerate(grade_files(self, find_photographs(images))):
            about = {"photograph": number, "path": str(photograph) if isinstance(photograph, Path) else ""}
            decisions += [about | row for row in rows_of(self, graded, reason)]
        return decisions

    @torch.no_grad()
    def features(self, images: Images) -> Floats:
        """The encoder's pooled features of photographs as `predict` takes them, float32 [n, channels].

        Raises BadData also for a photograph that cannot be read, and for none at all.
        """
        if not (photographs := find_photographs(images)):
            raise BadData(f"features: no photograph; {WANTED}")
        parts = []
        for start in range(0, len(photographs), self.batch):
            pixels = np.stack([self._seen(photograph) for photograph in photographs[start : start + self.batch]])
            parts.append(self.network.embed(to_float(torch.from_numpy(pixels).to(self.device))).float().cpu())
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    def heatmap(self, image: str | Path | Image.Image | npt.NDArray[np.uint8], key: str = "") -> Image.Image:
        """One photograph in grey, under the colours of what moved this grader's answer (`judging.heatmaps`).

        `key` names the question: a task, or `task.output` (`lesions.MA`); the grader's first one when not given. It is
        the answer that the grader gives which is explained, yes or no, or the likeliest class.

        Raises BadData for what `features` refuses, more than one photograph, and an encoder without a map to show;
        BadConfig for an unknown key.
        """
        keys = {key: (task, number) for task in self.tasks.values() for number, key in enumerate(task.keys)}
        if (key := key or next(iter(keys))) not in keys:
            raise BadConfig(f"heatmap: unknown key '{key}'; this grader answers {', '.join(keys)}")
        photographs = find_photographs(image)
        if len(photographs) != 1:
            raise BadData(f"heatmap: {len(photographs)} photographs; give one at a time")
        (task, output), pixels = keys[key], self._seen(photographs[0])
        values = task.by_key(self.grade(pixels[np.newaxis])[task.name])[key]
        answer = int(task.decide(values, self.thresholds.get(key, self.threshold))[0])
        maps = heat_maps(self.network, torch.from_numpy(pixels[np.newaxis]).to(self.device), task, [output], [answer])
        if maps is None:
            raise BadData(
                f"heatmap: at {self.size} pixels this encoder has no map of 4 x 4 places or more; train with a larger "
                "data.size"
            )
        return Image.fromarray(overlay(pixels, maps[0].cpu().numpy()))

    def read(self, photograph: Photograph) -> npt.NDArray[np.uint8]:
        """One photograph as this grader sees it, uint8 [size, size, 3]. Raises UnreadablePhotograph and OSError."""
        return read_photograph(photograph, self.size, self.crop)[0]

    def grade(self, photographs: npt.NDArray[np.uint8]) -> dict[str, Floats]:
        """Probabilities, task -> [n, outputs], of photographs as `read` gives them, uint8 [n, size, size, 3].

        The same photograph gets the same probability whatever the others are.
        """
        if photographs.shape[1:] != (self.size, self.size, 3) or photographs.dtype != np.uint8:
            raise BadData(
                f"grade: {photographs.dtype} {photographs.shape}, and not uint8 [n, {self.size}, {self.size}, 3] as "
                "`read` gives it; `predict` takes photographs of any size"
            )
        parts = [
            infer(self.network, torch.from_numpy(photographs[i : i + self.batch]).to(self.device), self.batch)
            for i in range(0, len(photographs), self.batch)
        ]
        answers = [self.probabilities(part) for part in parts]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self.tasks}

    def _seen(self, photograph: Photograph) -> npt.NDArray[np.uint8]:
        try:
            return self.read(photograph)
        except FileNotFoundError:
            raise MissingInput(f"{photograph}: no such file; check the path") from None
        except (UnreadablePhotograph, OSError) as error:
            name = photograph if isinstance(photograph, Path) else "the picture"
            raise BadData(f"{name}: cannot be read ({error}); leave it out") from None

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


def load(run: Path | str, device: torch.device | str | None = None, batch: int = 32) -> Grader:
    """The grader of a finished run folder, on `device`: the GPU where there is one, when not given.

    Raises MissingInput when there is none, BadData when it is damaged.
    """
    run = Path(run)
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
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tasks = {name: task_of(name, outputs) for name, outputs in facts["tasks"].items()}
    return Grader(
        network.to(chosen).eval(),
        tasks,
        facts["size"],
        facts["crop"],
        facts["threshold"],
        chosen,
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
