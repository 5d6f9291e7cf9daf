"""Scores of a finished run's grader: on its own split again, or on another data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiretina.data.regrade import regrade
from semiretina.data.split import find_groups, list_sha256, read_split
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.files import sha256_of
from semiretina.judging.grader import load_grader
from semiretina.judging.inference import full_scores
from semiretina.judging.ledger import note_look
from semiretina.judging.predict import grade_files
from semiretina.progress import progress, say
from semiretina.records import Record, read_manifest
from semiretina.run_folder import RunFolder, finite
from semiretina.tasks import Task, make_tasks


def rescore(run: Path, what: Path | str) -> dict[str, Any]:
    """The scores of a run's grader on its own split ("val" or "test") or on a manifest, as in `result.json`.

    Tasks that the records do not carry are left out. Photographs that are ungradable by the manifest or cannot be read
    are counted; in scores by photograph, eye and patient they are referred (`full_scores`). Those of another manifest
    that the run used in training or selection, and its own "val" after a refit, are counted as `seen`: scores on them
    are too good.

    The look at these photographs, unless they are "val", is written into the ledger beside their manifest.

    Raises MissingInput where there is no finished run, BadConfig for another split, Refused for another grading scale.
    """
    if not isinstance(what, Path) and what not in ("val", "test"):
        raise BadConfig(f"split {what}: known are val and test")
    config = RunFolder(run).read_config()
    grader, split = load_grader(run, batch=config.engine.eval_batch), read_split(run / "split.csv", config.data.by)
    if isinstance(what, Path):
        stated = regrade(read_manifest(what), config.data.regrade)
    else:
        own = np.concatenate([split.rows(what), split.ungradable(what)])
        stated = [split.records[row] for row in own]
    if not stated:
        raise BadData(f"{run}: no photograph of its split has the role {what}; name another")
    gradable = [number for number, record in enumerate(stated) if record.quality != "ungradable"]
    records = [stated[number] for number in gradable]
    if not records:
        raise BadData(f"{what}: all of its {len(stated)} photographs are marked ungradable; name others")
    tasks = _carried(grader.tasks, records)
    values: dict[str, list[Any]] = {name: [] for name in tasks}
    scored: list[int] = []
    with progress("Grading", len(records)) as advance:
        for number, (file, graded, reason) in enumerate(grade_files(grader, [record.path for record in records])):
            advance()
            if graded is None:
                say(f"{file}: {reason}; not scored")
                continue
            scored.append(number)
            for name in tasks:
                values[name].append(graded[name])
    if not scored:
        raise BadData(
            f"{what}: none of its {len(records)} photographs can be read; look at the first: {file}: {reason}"
        )
    seeing = [gradable[number] for number in scored]
    blind = {*range(len(stated))} - {*seeing}
    kept = [stated[place] for place in seeing]
    if isinstance(what, Path):
        pictures = ["" if place in blind else sha256_of(record.path) for place, record in enumerate(stated)]
        groups = find_groups(stated, pictures, config.data.by)
        # By content: a copy under another name is the same photograph.
        used = {split.sha256[row] for row in split.rows("train", "val", "unlabeled", "unlabeled-val")}
        seen, trained = sum(picture in used for picture in pictures), []
    else:
        groups = [split.groups[row] for row in own]
        seen = len(kept) if what == "val" and config.refit == "train+val" else 0
        trained = [split.records[row] for row in split.rows("train")]
    if what != "val":
        other = isinstance(what, Path)
        note_look(
            what if isinstance(what, Path) else Path(config.data.manifest),
            "evaluate",
            run,
            sha256=list_sha256([pictures[place] for place in seeing]) if other else split.test_sha256,
            photographs=len(kept),
            thresholds=grader.thresholds,
            fold=None if other else config.data.fold,
        )
    found = full_scores(
        tasks,
        {name: np.stack(rows) for name, rows in values.items()},
        {name: torch.from_numpy(task.targets(kept)) for name, task in tasks.items()},
        kept,
        [groups[place] for place in seeing],
        grader.thresholds,
        ungradable=[(stated[place], groups[place]) for place in sorted(blind)],
        trained=trained,
        prevalence=config.prevalence,
    )
    return {
        "data": str(what),
        "photographs": len(stated),
        "ungradable": len(stated) - len(records),
        "unreadable": len(records) - len(kept),
        "seen": seen,
        "scores": finite(found),
    }


def _carried(known: Mapping[str, Task], records: Sequence[Record]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for name, task in known.items():
        try:
            found = make_tasks([name], records)[name]
        except BadConfig:
            scales = ", ".join(sorted({record.scale for record in records if record.grade is not None}))
            raise Refused(
                f"task {name}: these records mix the grading scales {scales}; score those of the grader's own scale"
            ) from None
        except BadData:
            say(f"task {name}: these records have no label for it, so it is not scored")
            continue
        if found.outputs != task.outputs:
            theirs, ours = ", ".join(found.outputs), ", ".join(task.outputs)
            raise Refused(
                f"task {name}: the grader knows {ours}, these records {theirs}; score it on records of its own scale"
            )
        tasks[name] = found
    if not tasks:
        raise BadData(
            f"these records carry no label for any of the grader's tasks, {', '.join(known)}; fill their columns"
        )
    return tasks
