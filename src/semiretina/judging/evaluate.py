"""Scores of a finished run's grader: on its own split again, or on another data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from semiretina.config import Config
from semiretina.data.regrade import regrade
from semiretina.data.split import Split, find_groups, list_sha256, read_split
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.files import finite, sha256_of
from semiretina.judging.decisions import Graded
from semiretina.judging.grader import Grader, load
from semiretina.judging.ledger import TestList, note_look
from semiretina.judging.predict import grade_files
from semiretina.judging.test_set import TestSet
from semiretina.progress import progress, say
from semiretina.records import Record, read_manifest
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task, make_tasks


class _Known(NamedTuple):
    """What is known of the photographs to be scored, once it is known which of them a grader can see."""

    groups: Sequence[str]
    seen: int  # used in training or selection
    trained: Sequence[Record]
    tested: TestList | None  # None where a look at them does not count


def evaluate(run: Path | str, what: Path | str = "test") -> dict[str, Any]:
    """The scores of a run's grader on its own split ("val" or "test") or on a manifest, as in `result.json`.

    Tasks that the records do not carry are left out. Photographs that are ungradable by the manifest or cannot be read
    are counted; in scores by photograph, eye and patient they are referred (`TestSet.score`). Those of another manifest
    that the run used in training or selection, and its own "val" after a refit, are counted as `seen`: scores on them
    are too good.

    The look at these photographs, unless they are "val", is written into the ledger beside their manifest.

    Raises MissingInput where there is no finished run, BadConfig for another split, Refused for another grading scale.
    """
    run, manifest = Path(run), Path(what) if isinstance(what, Path) or what.endswith(".csv") else None
    if not manifest and what not in ("val", "test"):
        raise BadConfig(f"split {what}: known are val and test; or name a manifest (.csv)")
    config = RunFolder(run).read_config()
    grader, split = load(run, batch=config.engine.eval_batch), read_split(run / "split.csv", config.data.by)
    if manifest:
        records, rows = list(regrade(read_manifest(manifest), config.data.regrade)), []
    else:
        rows = [*split.rows(str(what)).tolist(), *split.ungradable(str(what)).tolist()]
        records = [split.records[row] for row in rows]
    if not records:
        raise BadData(f"{run}: no photograph of its split has the role {what}; name another")
    gradable = [number for number, record in enumerate(records) if record.quality != "ungradable"]
    if not gradable:
        raise BadData(f"{what}: all of its {len(records)} photographs are marked ungradable; name others")
    tasks = _carried(grader.tasks, [records[number] for number in gradable])
    answers = _grade(grader, records, gradable, str(what))
    if manifest:
        known = _known_of_manifest(manifest, records, sorted(answers), config, split)
    else:
        known = _known_of_split(str(what), rows, config, split)
    if known.tested:
        note_look(run, "evaluate", known.tested, grader.thresholds)
    graded = [records[number] for number in answers]
    test = TestSet(
        tasks,
        graded,
        [known.groups[number] for number in answers],
        {name: task.targets(graded) for name, task in tasks.items()},
        ungradable=[(record, known.groups[n]) for n, record in enumerate(records) if n not in answers],
        trained=known.trained,
    )
    values = {name: np.stack([answer[name] for answer in answers.values()]) for name in tasks}
    return {
        "data": str(what),
        "photographs": len(records),
        "ungradable": len(records) - len(gradable),
        "unreadable": len(gradable) - len(graded),
        "seen": known.seen,
        "scores": finite(test.score(values, grader.thresholds, config.prevalence)),
    }


def _grade(grader: Grader, records: Sequence[Record], gradable: Sequence[int], what: str) -> dict[int, Graded]:
    """The answers to the gradable photographs by their numbers, in order; what cannot be read is said and left out."""
    answers: dict[int, Graded] = {}
    unread: list[str] = []
    with progress("Grading", len(gradable)) as advance:
        files = [records[number].path for number in gradable]
        for number, (file, graded, reason) in zip(gradable, grade_files(grader, files), strict=True):
            advance()
            if graded is None:
                unread.append(f"{file}: {reason}")
                say(f"{unread[-1]}; not scored")
            else:
                answers[number] = graded
    if not answers:
        raise BadData(f"{what}: none of its {len(gradable)} photographs can be read; look at the first: {unread[0]}")
    return answers


def _known_of_split(role: str, rows: Sequence[int], config: Config, split: Split) -> _Known:
    return _Known(
        [split.groups[row] for row in rows],
        len(split.rows(role)) if role == "val" and config.refit == "train+val" else 0,
        [split.records[row] for row in split.rows("train")],
        TestList.of(config.data, split) if role == "test" else None,
    )


def _known_of_manifest(
    manifest: Path, records: Sequence[Record], graded: Sequence[int], config: Config, split: Split
) -> _Known:
    hashes = {number: sha256_of(records[number].path) for number in graded}
    groups = find_groups(records, [hashes.get(number, "") for number in range(len(records))], config.data.by)
    # By content: a copy under another name is the same photograph.
    used = {split.sha256[row] for row in split.rows("train", "val", "unlabeled", "unlabeled-val")}
    seen = sum(picture in used for picture in hashes.values())
    return _Known(groups, seen, [], TestList(manifest, list_sha256(list(hashes.values())), len(graded)))


def _carried(known: Mapping[str, Task], records: Sequence[Record]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for name, task in known.items():
        try:
            carried = make_tasks([name], records)[name]
        except BadConfig:
            scales = ", ".join(sorted({record.scale for record in records if record.grade is not None}))
            raise Refused(
                f"task {name}: these records mix the grading scales {scales}; score those of the grader's own scale"
            ) from None
        except BadData:
            say(f"task {name}: these records have no label for it, so it is not scored")
            continue
        if carried.outputs != task.outputs:
            theirs, ours = ", ".join(carried.outputs), ", ".join(task.outputs)
            raise Refused(
                f"task {name}: the grader knows {ours}, these records {theirs}; score it on records of its own scale"
            )
        tasks[name] = carried
    if not tasks:
        raise BadData(
            f"these records carry no label for any of the grader's tasks, {', '.join(known)}; fill their columns"
        )
    return tasks
