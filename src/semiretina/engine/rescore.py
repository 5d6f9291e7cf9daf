"""Scores of a finished run's grader: on its own split again, or on another data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiretina.data.split import find_groups, read_split
from semiretina.engine.evaluate import full_scores
from semiretina.engine.grader import load_grader
from semiretina.engine.predict import grade_files
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.progress import progress, say
from semiretina.records import Record, read_manifest
from semiretina.tasks import Task, make_tasks


def rescore(run: Path, what: Path | str) -> dict[str, Any]:
    """The scores of a run's grader on its own split ("val" or "test") or on a manifest, as in `result.json`.

    Tasks that the records do not carry are left out; photographs that cannot be read are counted. Photographs of another
    manifest that the run used in training or selection are counted as `seen`: scores on them are too good.

    Raises MissingInput where there is no finished run, BadConfig for another split, Refused for another grading scale.
    """
    grader = load_grader(run)
    split = read_split(run / "split.csv")
    if isinstance(what, Path):
        records: Sequence[Record] = read_manifest(what)
    elif what in ("val", "test"):
        records = [split.records[row] for row in split.rows(what)]
    else:
        raise BadConfig(f"--split {what}: known are val and test")
    tasks = _carried(grader.tasks, records)
    values: dict[str, list[Any]] = {name: [] for name in tasks}
    scored = []
    with progress("Grading", len(records)) as advance:
        graded_files = grade_files(grader, [record.path for record in records])
        for record, (file, graded, reason) in zip(records, graded_files, strict=True):
            advance()
            if graded is None:
                say(f"{file}: {reason}; not scored")
                continue
            scored.append(record)
            for name in tasks:
                values[name].append(graded[name])
    if not scored:
        raise BadData(f"{what}: none of its {len(records)} photographs can be read")
    targets = {name: torch.from_numpy(task.targets(scored)) for name, task in tasks.items()}
    groups = find_groups(scored, [""] * len(scored), "patient")
    used = {split.records[row].path.resolve() for row in split.rows("train", "val", "unlabeled")}
    return {
        "data": str(what),
        "photographs": len(records),
        "unreadable": len(records) - len(scored),
        "seen": sum(record.path.resolve() in used for record in scored) if isinstance(what, Path) else 0,
        "scores": full_scores(tasks, {k: np.stack(v) for k, v in values.items()}, targets, groups, grader.threshold),
    }


def _carried(known: Mapping[str, Task], records: Sequence[Record]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for name, task in known.items():
        try:
            found = make_tasks([name], records)[name]
        except BadData:
            say(f"task {name}: these records have no label for it, so it is not scored")
            continue
        if found.outputs != task.outputs:
            theirs, ours = ", ".join(found.outputs), ", ".join(task.outputs)
            raise Refused(f"task {name}: the grader knows {ours}, these records {theirs}; score it on its own scale")
        tasks[name] = found
    if not tasks:
        raise BadData(f"these records carry no label for any of the grader's tasks: {', '.join(known)}")
    return tasks
