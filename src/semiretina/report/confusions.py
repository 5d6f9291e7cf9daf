"""The confusion matrices: how often a run answered which class to photographs of which class."""

import numpy as np

from semiretina.report.columns import Cell
from semiretina.report.run_set import RunSet
from semiretina.report.section import Section, Table, section


def confusions(runs: RunSet) -> Section | None:
    """A matrix for each output and run, of no and yes at the threshold in use, or of its classes."""
    matrices = [matrix for key in runs.outputs for matrix in confusion_matrices(key, runs)]
    words = "Photographs by true class (rows) and answer (columns); shaded by the share of the row"
    return section("Confusion matrices", section(words, *matrices, opened=len(matrices) <= 3, folded=True))


def confusion_matrices(key: str, runs: RunSet) -> list[Table]:
    """The matrix of each run on one output."""
    matrices = []
    for run, answers in runs.drawable(key):
        classes = list(run.predictions().outputs[key]) if answers.values.ndim == 2 else ["no", "yes"]
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, (answers.labels, answers.chosen), 1)
        rows = [
            [Cell(name), *(Cell(str(count), shade=round(100 * count / max(1, row.sum()))) for count in row)]
            for name, row in zip(classes, counts, strict=True)
        ]
        title = f"Confusion matrix of {run.label}, {key}"
        matrices.append(Table(title, f"{run.label}, {key}", ["", *classes], rows, kind="confusion"))
    return matrices
