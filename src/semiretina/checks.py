"""What can be refused before any work: a configuration against the code, and against the photographs' records."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from semiretina.config import Claim, Config, Operating
from semiretina.data.split import Split
from semiretina.errors import BadConfig, BadData
from semiretina.judging.operating_point import lacking_labels
from semiretina.methods import Method
from semiretina.models import configured_network
from semiretina.models.network import Network
from semiretina.records import Record
from semiretina.tasks import Task, make_task
from semiretina.training.loop import make_method, sides

ONE_IS_TOO_FEW = "this network's batch normalisation needs two photographs at once; take at least two"


def check_config(config: Config, methods: Mapping[str, type[Method]]) -> None:
    """Builds network and methods once: a wrong name, size, parameter or file of weights is told before any work."""
    tasks = {name: make_task(name, "icdr") for name in config.tasks}
    if config.data.folds and config.data.fold is None:
        raise BadConfig(
            f"data.folds: one run tests one of the {config.data.folds} folds; set data.fold = 0 to "
            f"{config.data.folds - 1}, or train them all by `semiretina train` or `studies.folds.train_folds`"
        )
    if config.claim:
        check_claim(config.claim, tasks)
    if config.operating:
        check_aim(config.operating, tasks)
    check_prevalence(config.prevalence, tasks)
    network = _build(config)
    for number, stage in enumerate(config.stages):
        make_method(stage, number, network, tasks, methods)
        if stage.batch == 1 and not network.learns_from_one(config.data.size):
            raise BadConfig(f"stages.{number}: batch = 1: {ONE_IS_TOO_FEW}")


def check_claim(claim: Claim, tasks: Mapping[str, Task]) -> None:
    """Raises BadConfig for a task or output that the experiment does not have, and for a score that it cannot have."""
    key = claim.task or next(iter(tasks))
    name, dot, _ = key.partition(".")
    if name not in tasks:
        raise BadConfig(f"claim.task: this experiment has no task '{name}', but {', '.join(tasks)}")
    task = tasks[name]
    if dot and task.keys == (name,):
        raise BadConfig(f"claim.task: '{name}' has no outputs to choose from; write '{name}'")
    if key not in task.keys:
        choices = ", ".join(f"'{known}'" for known in task.keys)
        raise BadConfig(f"claim.task: '{key}' is not one of the outputs that can be compared: {choices}")
    if claim.score not in task.compared:
        raise BadConfig(f"claim.score: quadratic_kappa is of grades, and '{key}' is yes or no; take auroc or accuracy")


def check_aim(operating: Operating, tasks: Mapping[str, Task]) -> None:
    """Raises BadConfig for a sensitivity or specificity where no task answers yes or no."""
    aims = {"sensitivity": operating.sensitivity, "specificity": operating.specificity}
    for aim, wanted in aims.items():
        if wanted is not None and not any(task.threshold_keys for task in tasks.values()):
            raise BadConfig(f"operating.{aim}: none of the tasks {', '.join(tasks)} is a yes or no; take it out")


def check_prevalence(prevalence: Mapping[str, float], tasks: Mapping[str, Task]) -> None:
    """Raises BadConfig for the prevalence of what is no yes-or-no output of the experiment."""
    keys = [key for task in tasks.values() for key in task.threshold_keys]
    for key in prevalence:
        if key not in keys:
            known_keys = f"known are {', '.join(keys)}" if keys else "no task here is a yes or no"
            raise BadConfig(f"prevalence: '{key}' is no yes-or-no output of this experiment; {known_keys}")


def _build(config: Config) -> Network:
    """The network, for its complaints; without memory where it reads no weights."""
    with torch.device("cpu" if config.model.get("weights") else "meta"):
        return configured_network(config.model, dict.fromkeys(config.tasks, 1), config.data.size)


def check_datasets(config: Config, records: Sequence[Record]) -> None:
    """Raises BadConfig for a data set that the manifest does not have."""
    there = sorted({record.dataset for record in records})
    wanted = [("data.evaluate", config.data.evaluate)]
    wanted += [(f"stages.{number}.datasets", stage.datasets) for number, stage in enumerate(config.stages)]
    for where, names in wanted:
        for name in names:
            if name not in there:
                raise BadConfig(f"{where}: no photograph of a data set '{name}'; the manifest has {', '.join(there)}")


def check_split(config: Config, split: Split, tasks: Mapping[str, Task], methods: Mapping[str, type[Method]]) -> None:
    """Raises BadData when nothing can be learned: no training label, or a task with one class only.

    Raises BadConfig when a stage needs unlabelled photographs, `track_test` a test set, or `operating` validation
    labels that are not there.
    """
    for number, stage in enumerate(config.stages):
        method = methods[stage.method["name"]]
        _, unlabeled = sides(split, "train", stage, method)
        alone = len(unlabeled) == 1 and method.stream != "labeled"
        if alone and not _build(config).learns_from_one(config.data.size):
            raise BadConfig(f"stages.{number}: there is one unlabelled photograph: {ONE_IS_TOO_FEW}")
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
