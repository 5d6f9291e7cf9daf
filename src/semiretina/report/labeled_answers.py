"""What a run answered to its labelled test photographs, so that two runs can be laid side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from semiretina.grouping import first_joined
from semiretina.report.runs import Run
from semiretina.scoring.intervals import Floats, Ints, group_numbers
from semiretina.tasks import make_task


class Unfit(Exception):
    """Why a run, or a pair of runs, cannot be compared; `example` is the path of a photograph that shows it, or ""."""

    def __init__(self, reason: str, example: str = "") -> None:
        super().__init__(reason)
        self.example = example


@dataclass(frozen=True)
class LabeledAnswers:
    """One run's answers to the labelled test photographs of one output, in the order of their paths.

    `values` are probabilities, [n] of 1 or [n, k] of classes; `chosen` [n] are the answers at the run's threshold.
    `groups` [n] number the patients, or what else must count as one; `unit` is the word for them.
    """

    paths: list[str]
    groups: Ints
    unit: str
    labels: Ints
    values: Floats
    chosen: Ints


def labeled_answers(run: Run, key: str) -> LabeledAnswers:
    """The answers for `key`, a task or `task.output`.

    Raises Unfit where the run has none or a probability is not a number, BadData for a broken table.
    """
    if key not in run.result["test"]:
        has = ", ".join(run.result["test"])
        raise Unfit(
            f"{run.label} has no test scores of {key}" + (f", but of {has}" if has else ": its test set is closed")
        )
    name, _, output = key.partition(".")
    table = run.predictions()
    columns = [number for number, other in enumerate(table.outputs.get(name, ())) if output in ("", other)]
    labeled = np.flatnonzero(~np.isnan(table.labels[name][:, columns]).any(axis=1)).tolist() if columns else []
    rows: list[int] = sorted(labeled, key=table.paths.__getitem__)
    if not rows:
        raise Unfit(f"{run.label} has no labelled test photograph of {key}")
    labels, values = table.labels[name][rows][:, columns], table.probabilities[name][rows][:, columns]
    paths = [table.paths[row] for row in rows]
    if not np.isfinite(values).all():
        first = paths[int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])]
        raise Unfit(f"{run.label} has probabilities that are not numbers", first)
    numbers, unit = _independent(run, [table.patients[row] for row in rows], [table.groups[row] for row in rows])
    task = make_task(name, "icdr")
    question = replace(task, name=key, outputs=(output,)) if output else task
    truth = question.labels(question.targets_of_cells(labels))[key]
    probabilities = question.by_key(values)[key]
    chosen = question.decide(probabilities, _threshold(run, key))
    return LabeledAnswers(paths, numbers, unit, truth, probabilities, chosen)


def _independent(run: Run, patients: Sequence[str], groups: Sequence[str]) -> tuple[Ints, str]:
    """Numbers of the photographs that must count as one, and the word for them."""
    of_patients, of_groups = group_numbers(patients), group_numbers(groups)
    if run.by == "photograph":
        # Such a split's groups are equal pictures alone, but it makes fellow eyes no less alike.
        links = zip(of_patients, len(patients) + of_groups, strict=True)
        numbers = group_numbers(first_joined(links, 2 * len(patients))[of_patients])
    else:
        numbers = of_groups if any(groups) else of_patients  # groups are patients, joined where they share a picture
    if any(patients):
        return numbers, "patient"
    return numbers, "photograph" if numbers.max() + 1 == len(numbers) else "group"


def _threshold(run: Run, key: str) -> float:
    """The one that was fixed on validation, or the configuration's."""
    operating = (run.result.get("operating") or {}).get(key) or {}
    return float(operating.get("threshold", run.config.get("threshold", 0.5)))
