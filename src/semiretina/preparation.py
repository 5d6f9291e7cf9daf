"""Everything that can be refused before training starts: the configuration, the photographs, the split.

`prepare` ends with `split.csv` in the run folder, or with an error that names all that is wrong, and nothing begun.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiretina.config import Claim, Config, Operating
from semiretina.data.pixel_cache import PixelCache, default_cache
from semiretina.data.pixel_store import Entry
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
from semiretina.errors import BadConfig, BadData, Refused, summary, writing
from semiretina.files import read_text, sha256_of, write_text
from semiretina.judging.operating_point import lacking_labels
from semiretina.judging.out_of_fold import check_copy, open_folds, take_answers
from semiretina.methods import Method
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.progress import say
from semiretina.records import Record, read_manifest
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task, make_task, make_tasks
from semiretina.training.loop import make_method, sides

FOLDS_BELOW = 200  # positives, below which all of them should be tested


def check_config(config: Config, methods: Mapping[str, type[Method]]) -> None:
    """Builds network and methods once: a wrong name, size, parameter or file of weights is told before any work."""
    for name in config.tasks:
        make_task(name, "icdr")
    if config.data.folds and config.data.fold is None:
        raise BadConfig(
            f"data.folds: one run tests one of the {config.data.folds} folds; set data.fold = 0 to "
            f"{config.data.folds - 1}, or train them all by `semiretina train` or `studies.folds.train_folds`"
        )
    if config.claim:
        check_claim(config.claim, config.tasks)
    if config.operating:
        check_aim(config.operating, config.tasks)
    check_prevalence(config.prevalence, config.tasks)
    network = _sketch(config)
    for number, stage in enumerate(config.stages):
        make_method(stage, number, network, methods)
        if stage.batch == 1:
            check_single(config, f"stages.{number}: batch = 1")
    if config.model.get("weights"):
        outputs = dict.fromkeys(config.tasks, 1)
        build_network(str(config.model["name"]), outputs, config.data.size, model_parameters(config))


def check_claim(claim: Claim, names: Sequence[str]) -> None:
    """Raises BadConfig for a task or output that the experiment does not have, and for a score that it cannot have."""
    key = claim.task or names[0]
    name, dot, _ = key.partition(".")
    if name not in names:
        raise BadConfig(f"claim.task: this experiment has no task '{name}', but {', '.join(names)}")
    task = make_task(name, "icdr")
    if dot and task.keys == (name,):
        raise BadConfig(f"claim.task: '{name}' has no outputs to choose from; write '{name}'")
    if key not in task.keys:
        choices = ", ".join(f"'{known}'" for known in task.keys)
        raise BadConfig(f"claim.task: '{key}' is not one of the outputs that can be compared: {choices}")
    if claim.score not in task.compared:
        raise BadConfig(f"claim.score: quadratic_kappa is of grades, and '{key}' is yes or no; take auroc or accuracy")


def check_aim(operating: Operating, names: Sequence[str]) -> None:
    """Raises BadConfig for a sensitivity or specificity where no task answers yes or no."""
    aims = {"sensitivity": operating.sensitivity, "specificity": operating.specificity}
    for aim, wanted in aims.items():
        if wanted is not None and not any(make_task(name, "icdr").threshold_keys for name in names):
            raise BadConfig(f"operating.{aim}: none of the tasks {', '.join(names)} is a yes or no; take it out")


def check_prevalence(prevalence: Mapping[str, float], names: Sequence[str]) -> None:
    """Raises BadConfig for the prevalence of what is no yes-or-no output of the experiment."""
    keys = [key for name in names for key in make_task(name, "icdr").threshold_keys]
    for key in prevalence:
        if key not in keys:
            known_keys = f"known are {', '.join(keys)}" if keys else "no task here is a yes or no"
            raise BadConfig(f"prevalence: '{key}' is no yes-or-no output of this experiment; {known_keys}")


def check_datasets(config: Config, records: Sequence[Record]) -> None:
    """Raises BadConfig for a data set that the manifest does not have."""
    there = sorted({record.dataset for record in records})
    wanted = [("data.evaluate", config.data.evaluate)]
    wanted += [(f"stages.{number}.datasets", stage.datasets) for number, stage in enumerate(config.stages)]
    for where, names in wanted:
        for name in names:
            if name not in there:
                raise BadConfig(f"{where}: no photograph of a data set '{name}'; the manifest has {', '.join(there)}")


def check_single(config: Config, where: str) -> None:
    """Raises BadConfig when the network cannot learn from one photograph alone; `where` says why it would have to."""
    try:
        _sketch(config).train().encode(torch.empty((1, 3, config.data.size, config.data.size), device="meta"))
    except ValueError:
        raise BadConfig(
            f"{where}: this network's batch normalisation needs two photographs at once; take at least two"
        ) from None


def prepare(config: Config, run: RunFolder, methods: Mapping[str, type[Method]]) -> None:
    """Writes `split.csv` on the first start; later checks that split, manifest and photographs are still the same.

    Raises BadData that names every photograph that is missing or unreadable, Refused that names what has changed.
    """
    if run.result.exists():
        return
    if run.split.exists():
        check_unchanged(config, run)
        return
    folds = open_folds(config) if config.operating and config.operating.folds else None
    split = draw_split(config, methods)
    tasks = make_tasks(config.tasks, split.records)
    if folds:
        take_answers(folds, config, split, tasks, run)
    split.write(run.split)
    write_text(run.split_sum, f"{sha256_of(run.split)}  {run.split.name}\n")
    say("split: " + ", ".join(f"{count} {role}" for role, count in split.counts.items()))
    notices = [
        pictures_in_several_sets(split),
        patients_in_several_sets(split),
        held_back(split),
        advise_folds(config, split, tasks),
    ]
    if config.data.folds:
        notices.append(kept_out(split))
    for told in filter(None, notices):
        say(f"split: {told}")


def advise_folds(config: Config, split: Split, tasks: Mapping[str, Task]) -> str:
    """In words, that one drawn test set has too few positives of the first task to tell much; "" where it has enough.

    A photograph is positive where one of the task's outputs is, or its grade above 0.
    """
    drawn = config.open_test and len(split.rows("test")) and all(record.split != "test" for record in split.records)
    if config.data.folds or not drawn:
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


def draw_split(config: Config, methods: Mapping[str, type[Method]]) -> Split:
    """Reads manifest and photographs and draws the roles; nothing is written but the pixel cache.

    Raises BadData that names every photograph that is missing or unreadable, or says why nothing can be learned.
    """
    records = regrade(read_manifest(Path(config.data.manifest)), config.data.regrade)
    check_datasets(config, records)
    tasks = make_tasks(config.tasks, records)
    entries = read_photographs(config, records)
    split = split_by(config, records, [entry.sha256 for entry in entries], tasks)
    check_split(config, split, tasks, methods)
    return split


def split_by(config: Config, records: Sequence[Record], sha256: Sequence[str], tasks: Mapping[str, Task]) -> Split:
    """The split that the configuration asks for; `sha256` is "" for photographs that nobody has read."""
    return make_split(records, sha256, tasks, config.data, config.seed)


def check_unchanged(config: Config, run: RunFolder) -> None:
    """Raises Refused when the split was edited, the manifest says something else now, or photographs are others.

    Out-of-fold answers that were taken must still be there, too.
    """
    split = read_split(run.split, config.data.by)
    if run.split_sum.exists() and read_text(run.split_sum).split()[:1] != [sha256_of(run.split)]:
        raise Refused(
            f"{run.split}: was edited after the run began (its SHA-256 is not that in {run.split_sum.name}); "
            "restore it, or train anew in another --out"
        )
    if config.operating and config.operating.folds:
        check_copy(run)
    manifest = Path(config.data.manifest)
    # The split holds all that the manifest said, so that a run goes on without it.
    if manifest.exists():
        now = {record.path: record for record in regrade(read_manifest(manifest), config.data.regrade)}
        then = {record.path: record for record in split.records}
        differing = [f"{path.name} is new" for path in now if path not in then]
        differing += [f"{path.name} is gone" for path in then if path not in now]
        differing += [f"{path.name} reads otherwise" for path in then if path in now and now[path] != then[path]]
        if differing:
            advice = "restore the manifest, or train anew in another --out"
            raise Refused(summary(f"{manifest}: is not what {run.split} was drawn from", differing, advice))
    entries = read_photographs(config, split.records)
    used = [row for row, role in enumerate(split.roles) if role != "unused"]
    changed = [split.records[row].path.name for row in used if entries[row].sha256 != split.sha256[row]]
    if changed:
        raise Refused(
            summary(
                str(run.split),
                [f"{name} is not the photograph that was split" for name in changed],
                "put the photographs back, or train anew in another --out",
            )
        )


def check_split(config: Config, split: Split, tasks: Mapping[str, Task], methods: Mapping[str, type[Method]]) -> None:
    """Raises BadData when nothing can be learned: no training label, or a task with one class only.

    Raises BadConfig when a stage needs unlabelled photographs, `track_test` a test set, or `operating` validation
    labels that are not there.
    """
    for number, stage in enumerate(config.stages):
        method = methods[stage.method["name"]]
        _, unlabeled = sides(split, "train", stage, method)
        if len(unlabeled) == 1 and method.stream != "labeled":
            check_single(config, f"stages.{number}: there is one unlabelled photograph")
    if config.track_test and not len(split.rows("test")):
        raise BadConfig("track_test: the split has no test photograph to track; set data.test, or track_test = false")
    if config.operating and not config.operating.folds:
        val = [split.records[row] for row in split.rows("val")]
        if wanting := lacking_labels(tasks, {name: task.targets(val) for name, task in tasks.items()}):
            raise BadConfig(
                f"operating: too few validation labels to fix anything on: {'; '.join(wanting)}. At least 50 positives "
                "and 50 negatives, or 100 grades, are needed: raise data.val or data.labels, name a cross-validation "
                "by operating.folds, or take [operating] out"
            )
    train = split.rows("train")
    if not len(train):
        raise BadData(
            f"{config.data.manifest}: no labelled photograph is left to train on; the split needs more labels"
        )
    for name, task in tasks.items():
        targets = task.targets([split.records[row] for row in train])
        carried = targets[task.known(targets)]
        if not len(carried):
            raise BadData(
                f"{config.data.manifest}: none of the {len(train)} training photographs has a label for '{name}'"
            )
        if all(
            len(np.unique(column[~np.isnan(column)])) < 2
            for column in carried.reshape(len(carried), -1).T.astype(float)
        ):
            raise BadData(
                f"{config.data.manifest}: every training label of '{name}' is the same; a grader needs both classes"
            )


def read_photographs(config: Config, records: Sequence[Record]) -> list[Entry]:
    """The cache's entries of all records. Raises BadData that names every photograph that cannot be read."""
    cache = open_cache(config)
    with writing(cache.folder):
        entries = cache.add([record.path for record in records])
    broken = [f"{r.path}: {e.error}" for r, e in zip(records, entries, strict=True) if e.error]
    if broken:
        raise BadData(summary(config.data.manifest, broken, "mend these files or take their rows out of the manifest"))
    return entries


def open_cache(config: Config) -> PixelCache:
    """The pixel cache that the configuration names, or the user's."""
    folder = Path(config.data.cache) if config.data.cache else default_cache()
    return PixelCache(folder, config.data.size, config.data.crop)


def model_parameters(config: Config) -> dict[str, Any]:
    """The model's parameters without its name."""
    return {name: value for name, value in config.model.items() if name != "name"}


def _sketch(config: Config) -> Network:
    """The network without memory or weights: its shapes and its complaints."""
    parameters = {name: value for name, value in model_parameters(config).items() if name != "weights"}
    with torch.device("meta"):
        return build_network(str(config.model["name"]), dict.fromkeys(config.tasks, 1), config.data.size, parameters)
