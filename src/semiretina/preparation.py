"""From a configuration to what training starts from, or to an error that names all that is wrong, and nothing begun."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from semiretina.checks import check_datasets, check_split
from semiretina.config import Config
from semiretina.data.pixel_cache import open_cache, read_photographs
from semiretina.data.pixel_store import Entry
from semiretina.data.pixels import Pixels
from semiretina.data.regrade import regrade
from semiretina.data.roles import make_split
from semiretina.data.split import (
    Split,
    held_back,
    kept_out,
    patients_in_several_sets,
    pictures_in_several_sets,
    read_split,
)
from semiretina.draws import generator
from semiretina.errors import Refused, summary
from semiretina.files import read_text, sha256_of, write_text
from semiretina.judging.out_of_fold import check_copy, open_folds, take_answers
from semiretina.methods import Method
from semiretina.progress import say
from semiretina.records import read_manifest
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task, make_tasks
from semiretina.training.ranks import Place

FOLDS_BELOW = 200  # positives, below which all of them should be tested


class Drawn(NamedTuple):
    """Who is in which role, what is asked of them, and where their pixels lie in the cache."""

    split: Split
    tasks: Mapping[str, Task]
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Prepared:
    """What a training starts from."""

    split: Split
    tasks: Mapping[str, Task]
    targets: Mapping[str, Tensor]  # by task, for every row of the split
    pixels: Pixels


def prepare(config: Config, run: RunFolder, methods: Mapping[str, type[Method]], place: Place) -> Prepared:
    """Draws the split on the first start; later checks that split, manifest and photographs are still the same.

    The first process does so, and the others read what it wrote. Raises BadData that names every photograph that is
    missing or unreadable, Refused that names what has changed.
    """
    if place.first and not run.split.exists():
        drawn = _draw_for_run(config, run, methods)
        place.wait()
    elif place.first:
        drawn = read_drawn(config, run)
        place.wait()
    else:
        place.wait()
        drawn = read_drawn(config, run, check=False)
    targets = make_targets(config, drawn.split, drawn.tasks, place.device)
    rows = [
        -1 if entry.row is None or role == "unused" else entry.row
        for entry, role in zip(drawn.entries, drawn.split.roles, strict=True)
    ]
    boxes = [entry.box for entry in drawn.entries]
    pixels = Pixels(open_cache(config.data).rows(), np.array(rows, np.int64), place.device, boxes)
    return Prepared(drawn.split, drawn.tasks, targets, pixels)


def _draw_for_run(config: Config, run: RunFolder, methods: Mapping[str, type[Method]]) -> Drawn:
    """What is drawn, written into the run folder, with all that should be said of it."""
    folds = open_folds(config) if config.operating and config.operating.folds else None
    drawn = draw(config, methods)
    split, tasks = drawn.split, drawn.tasks
    if folds:
        take_answers(folds, config, split, tasks, run)
    split.write(run.split)
    write_text(run.split_sum, f"{sha256_of(run.split)}  {run.split.name}\n")
    say("split: " + ", ".join(f"{count} {role}" for role, count in split.counts.items()))
    notices = [pictures_in_several_sets(split), patients_in_several_sets(split), held_back(split)]
    notices.append(kept_out(split) if config.data.folds else advise_folds(config, split, tasks))
    for notice in filter(None, notices):
        say(f"split: {notice}")
    return drawn


def draw(config: Config, methods: Mapping[str, type[Method]]) -> Drawn:
    """Reads manifest and photographs and draws the roles; nothing is written but the pixel cache.

    Raises BadData that names every photograph that is missing or unreadable, or says why nothing can be learned.
    """
    records = regrade(read_manifest(Path(config.data.manifest)), config.data.regrade)
    check_datasets(config, records)
    tasks = make_tasks(config.tasks, records)
    entries = read_photographs(config.data, records)
    split = make_split(records, [entry.sha256 for entry in entries], tasks, config.data, config.seed)
    check_split(config, split, tasks, methods)
    return Drawn(split, tasks, entries)


def read_drawn(config: Config, run: RunFolder, *, check: bool = True) -> Drawn:
    """What a run began with. Raises Refused where the manifest says something else now, or photographs are others.

    An edited split is refused, too, and out-of-fold answers that were taken must still be there. With `check` false
    another process has looked.
    """
    split = read_split(run.split, config.data.by)
    if check and run.split_sum.exists() and read_text(run.split_sum).split()[:1] != [sha256_of(run.split)]:
        raise Refused(
            f"{run.split}: was edited after the run began (its SHA-256 is not that in {run.split_sum.name}); "
            "restore it, or train anew in another --out"
        )
    if check and config.operating and config.operating.folds:
        check_copy(run)
    manifest = Path(config.data.manifest)
    # The split holds all that the manifest said, so that a run goes on without it.
    if check and manifest.exists():
        now = {record.path: record for record in regrade(read_manifest(manifest), config.data.regrade)}
        then = {record.path: record for record in split.records}
        differing = [f"{path.name} is new" for path in now if path not in then]
        differing += [f"{path.name} is gone" for path in then if path not in now]
        differing += [f"{path.name} reads otherwise" for path in then if path in now and now[path] != then[path]]
        if differing:
            advice = "restore the manifest, or train anew in another --out"
            raise Refused(summary(f"{manifest}: is not what {run.split} was drawn from", differing, advice))
    entries = read_photographs(config.data, split.records)
    used = [row for row, role in enumerate(split.roles) if role != "unused"]
    if changed := [split.records[row].path.name for row in used if entries[row].sha256 != split.sha256[row]]:
        defects = [f"{name} is not the photograph that was split" for name in changed]
        raise Refused(summary(str(run.split), defects, "put the photographs back, or train anew in another --out"))
    return Drawn(split, make_tasks(config.tasks, split.records), entries)


def advise_folds(config: Config, split: Split, tasks: Mapping[str, Task]) -> str:
    """In words, that one drawn test set has too few positives of the first task to tell much; "" where it has enough.

    A photograph is positive where one of the task's outputs is, or its grade above 0.
    """
    drawn = config.open_test and len(split.rows("test")) and all(record.split != "test" for record in split.records)
    if not drawn:
        return ""
    name, task = next(iter(tasks.items()))
    judged = [r for r in split.records if not config.data.evaluate or r.dataset in config.data.evaluate]
    targets = task.targets(judged).reshape(len(judged), -1)
    positives, tested = int((targets > 0).any(axis=1).sum()), len(split.rows("test"))
    if positives >= FOLDS_BELOW:
        return ""
    return (
        f"{positives} photographs are positive for '{name}', and one test set of {tested} leaves wide intervals; "
        "data.folds = 5 tests every photograph once"
    )


def make_targets(config: Config, split: Split, tasks: Mapping[str, Task], device: torch.device) -> dict[str, Tensor]:
    """Targets by task for every row of the split, on the device.

    With `shuffle_labels` those of the training and validation rows are permuted among themselves, task by task: a
    control that must end at chance, and may not be selected by true labels either.
    """
    targets = {}
    for name, task in tasks.items():
        values = task.targets(split.records)
        if config.data.shuffle_labels:
            rows = split.rows("train", "val")
            values[rows] = values[generator("shuffle", config.seed, name).permutation(rows)]
        targets[name] = torch.from_numpy(values).to(device)
    return targets
