"""The worst mistakes of a run, which a report shows with their heat maps."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.data.pixels import Pixels, Rows
from semiretina.files import write_json
from semiretina.judging.grader import Grader
from semiretina.judging.heatmaps import heat_maps, overlay
from semiretina.judging.test_set import Answers, TestSet
from semiretina.tasks import Targets, Task

MISTAKES = 6  # of a task


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
    """A mistake before it is drawn: which photograph of the test set, which question, and how sure of which answer."""

    row: int
    question: int
    answer: int  # 0 or 1, or the class
    label: int
    probability: float


def write_mistakes(file: Path, test: TestSet, values: Answers, grader: Grader, pixels: Pixels, rows: Rows) -> None:
    """Writes each task's `MISTAKES` most confident wrong answers into `file`, with photograph and heat map beside it.

    `values` are the grader's answers to the test set, whose photographs are these `rows` of `pixels`. Photographs
    without a known label are left out. Without any mistake the list is empty.
    """
    file.parent.mkdir(exist_ok=True)
    mistakes: list[Mistake] = []
    for name, task in grader.tasks.items():
        worst = _wrong_answers(task, values[name], test.targets[name], grader)[:MISTAKES]
        if not worst:
            continue
        images = pixels.take(rows[[wrong.row for wrong in worst]])
        asked = [wrong.question for wrong in worst], [wrong.answer for wrong in worst]
        maps = heat_maps(grader.network, images, task, *asked)
        for number, (wrong, image) in enumerate(zip(worst, images.cpu().numpy(), strict=True)):
            photograph, heat_map = f"mistake-{len(mistakes):02d}.png", ""
            Image.fromarray(image).save(file.with_name(photograph))
            if maps is not None:
                heat_map = f"mistake-{len(mistakes):02d}-heat.png"
                Image.fromarray(overlay(image, maps[number].cpu().numpy())).save(file.with_name(heat_map))
            mistakes.append(
                Mistake(
                    path=str(test.records[wrong.row].path),
                    task=name,
                    output=task.outputs[wrong.question] if task.threshold_keys else "",
                    label=task.word(wrong.label),
                    answer=task.word(wrong.answer),
                    probability=round(wrong.probability, 6),
                    photograph=photograph,
                    heat_map=heat_map,
                )
            )
    write_json(file, [asdict(mistake) for mistake in mistakes])


def _wrong_answers(
    task: Task, probabilities: npt.NDArray[np.float32], targets: Targets, grader: Grader
) -> list[_Wrong]:
    """All wrong answers, the surest first; of equally sure ones the first photograph first."""
    wrong: list[_Wrong] = []
    labels = task.labels(targets)
    for question, (key, values) in enumerate(task.by_key(probabilities).items()):
        answers, p = task.decide(values, grader.thresholds.get(key, grader.threshold)), values.astype(np.float32)
        sure = np.where(answers == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(p)), answers]
        for row in np.flatnonzero((labels[key] >= 0) & (answers != labels[key])):
            wrong.append(_Wrong(int(row), question, int(answers[row]), int(labels[key][row]), float(sure[row])))
    return sorted(wrong, key=lambda one: -one.probability)
