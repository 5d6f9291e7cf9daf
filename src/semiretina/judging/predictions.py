"""A table of predictions read back: labels, probabilities, and the logits that they came from."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semiretina.data.split import By
from semiretina.errors import BadData
from semiretina.files import read_text
from semiretina.judging.inference import Floats
from semiretina.judging.test_set import patients_of
from semiretina.records import Record
from semiretina.scoring.intervals import Ints
from semiretina.tasks import Targets, Task

# Beyond these a probability was rounded to 0 or 1 in float32; the logits stay finite, from -103 to 17.
LEAST, MOST = 2.0**-149, 1 - 2.0**-25


class Answers(NamedTuple):
    """A table of predictions (`evaluate.write_predictions`), n photographs in the order of their first rows."""

    paths: list[str]
    patients: list[str]
    groups: list[str]
    folds: Ints  # [n] the fold whose network answered; -1 in the table of one run
    labels: dict[str, Floats]  # task -> [n, outputs]: 0, 1, or NaN where unknown
    probabilities: dict[str, Floats]  # task -> [n, outputs]


def read_answers(file: Path, tasks: Mapping[str, Task]) -> Answers:
    """The predictions of these tasks and no others.

    Raises MissingInput where there is no such file, BadData for another table.
    """
    table: dict[tuple[str, str, str], tuple[float, float]] = {}
    whose: dict[str, tuple[str, str, int]] = {}
    text = read_text(file)
    try:
        for row in csv.DictReader(io.StringIO(text, newline="")):
            label, probability = {"": np.nan, "0": 0.0, "1": 1.0}[row["label"]], float(row["probability"])
            if not 0 <= probability <= 1:
                raise ValueError(f"a probability of {probability}")
            table[row["path"], row["task"], row["output"]] = label, probability
            whose.setdefault(row["path"], (row["patient"], row["group"], int(row.get("fold") or -1)))
        wanted = {(name, output) for name, task in tasks.items() for output in task.outputs}
        there = {(name, output) for _, name, output in table}
        if wanted != there:
            told = [f"no {' '.join(pair)}" for pair in sorted(wanted - there)]
            raise ValueError(", ".join(told + [f"also {' '.join(pair)}" for pair in sorted(there - wanted)]))
        values = {
            name: np.array([[table[path, name, output] for output in task.outputs] for path in whose], np.float32)
            for name, task in tasks.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(f"{file}: not the predictions of {', '.join(tasks)} ({error}); train it again") from None
    return Answers(
        list(whose),
        [patient for patient, _, _ in whose.values()],
        [group for _, group, _ in whose.values()],
        np.array([fold for _, _, fold in whose.values()], np.int64),
        {name: found[:, :, 0] for name, found in values.items()},
        {name: found[:, :, 1] for name, found in values.items()},
    )


def patients_in(answers: Answers, by: By) -> Ints:
    """[n] numbers, equal where photographs are of one patient, exam or picture, as `units.patients_of`.

    Groups that were made by patient hold all that is known of them, and tell the patients of two data sets apart.
    """
    names = answers.patients if by == "photograph" else [""] * len(answers.paths)
    records = [Record(path=Path(path), patient=name) for path, name in zip(answers.paths, names, strict=True)]
    return patients_of(records, answers.groups)


def logits_of(task: Task, probabilities: Floats) -> Tensor:
    """Logits [n, k] that give these probabilities [n, outputs]: the network's own up to what a table of them keeps.

    "classes": the logarithms, whose softmax they are; the network's differ by a constant a photograph. "ordinal": where
    the sigmoid of a question was above that of one before it, the answers, and so these logits, are those of that one.
    """
    p = probabilities.astype(np.float64)
    if task.kind == "classes":
        return torch.from_numpy(np.log(np.maximum(p, LEAST)))
    if task.kind == "binary":
        p = np.clip(p, LEAST, MOST)
        return torch.from_numpy(np.log(p) - np.log1p(-p))
    # Sums of the grades up to each question and above it: 1 less one of them would lose the digits of a small other.
    below = p.cumsum(axis=1)[:, :-1]
    above = p[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    return torch.from_numpy(np.log(np.maximum(above, LEAST)) - np.log(np.maximum(below, LEAST)))


def targets_of(task: Task, labels: Floats) -> Targets:
    """Targets as of `Task.targets` from the labels of a table, [n, outputs]."""
    if task.kind == "binary":
        return labels
    unknown = np.isnan(labels[:, 0])
    if task.kind == "classes":
        return np.where(unknown, -1, labels.argmax(axis=1)).astype(np.int64)
    above = labels.argmax(axis=1, keepdims=True) > np.arange(task.num_logits)
    return np.where(unknown[:, np.newaxis], np.nan, above).astype(np.float32)
