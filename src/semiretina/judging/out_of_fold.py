"""Operating points from the answers of a cross-validation, each by a network that did not learn from that photograph.

A few hundred labels never leave 50 positives and 50 negatives in validation; out of folds all of them count. This is
what scikit-learn's `CalibratedClassifierCV(ensemble=False)` does: calibrate on the answers of the folds together, and
train one network on everything. A caution: the answers are of K networks, each trained on (K - 1) / K of the labels
less its validation ones. The scales of their logits differ from each other, and that of the one network, which learned
from more, may differ from all: its test photographs tell.

The run folder keeps a copy, `predictions-folds.csv`, and `predictions-folds.json` names the folds that it is from.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semiretina.config import Config
from semiretina.data.split import By, Split, find_groups, read_split
from semiretina.errors import BadConfig, BadData, MissingInput, Refused
from semiretina.files import read_text, sha256_of, write_json, write_text
from semiretina.judging.operating_point import HeldOut, Known, OperatingPoints, fix_points, lacking_labels
from semiretina.judging.predictions import read_predictions
from semiretina.judging.strata import patients_in
from semiretina.progress import say
from semiretina.run_folder import RunFolder
from semiretina.scoring.intervals import Ints
from semiretina.scoring.thresholds import alike
from semiretina.tasks import Task

# What may differ between the folds and the run that builds on their answers: how many photographs each holds out, what
# is said of the answers afterwards, and where they were computed. A threshold of another network would mean nothing.
FREE_KEYS = (
    *("seed", "refit", "track_test", "open_test", "threshold", "prevalence", "operating", "claim", "engine"),
    *("data.manifest", "data.cache", "data.folds", "data.fold", "data.test", "data.val", "data.split_seed"),
    "data.split_unlabeled",
)
NAMED = 8  # photographs in a message
UNLIKELY = 0.01  # by chance alone


def open_folds(config: Config) -> RunFolder:
    """The cross-validation that `operating.folds` names; whether the run may build on it, before photographs are read.

    Raises MissingInput where no finished cross-validation is, Refused where it was not trained as this run will be.
    """
    assert config.operating
    assert config.operating.folds is not None
    folds = RunFolder(Path(config.operating.folds))
    where, train = f"operating.folds: {folds.path}", "`semiretina train CONFIG -o data.folds=5 --out FOLDER`"
    if not folds.config.exists():
        raise MissingInput(f"{where}: no cross-validation here (no config.toml); train one with {train}")
    trained = folds.read_config().data
    if not trained.folds or trained.fold is not None:
        raise MissingInput(f"{where}: one run and no cross-validation; train one with {train}")
    lacking = [file.name for file in (folds.result, folds.split, folds.predictions("test")) if not file.exists()]
    if lacking:
        raise MissingInput(f"{where}: not finished (no {', '.join(lacking)}); the same training goes on with it")
    if different := folds.differences(config, FREE_KEYS):
        raise Refused(
            f"{where}: was trained otherwise, and a threshold on its answers means nothing here: "
            f"{'; '.join(different)}. Set these alike, or train the folds with this configuration"
        )
    return folds


def take_answers(folds: RunFolder, config: Config, split: Split, tasks: Mapping[str, Task], run: RunFolder) -> None:
    """Copies the answers into the run folder, so that the run goes on when the folds have moved.

    Raises Refused where labels of this run's test photographs would shape the points, BadConfig for too few labels.
    """
    assert config.operating
    where = f"operating.folds: {folds.path}"
    known = known_to_folds(split, read_split(folds.split, config.data.by), config.data.by)
    if known:
        more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        raise Refused(
            f"{where}: knows the labels of {len(known)} of the {len(split.rows('test'))} photographs that this run "
            f"tests, or of their patients, exams or pictures, and would fix the threshold by them: "
            f"{', '.join(known[:NAMED])}{more}. Keep these out of the folds by the role test in the manifest's column "
            "split (`semiretina data hold-out` writes it), or test none here: data.test = 0"
        )
    table = read_predictions(folds.predictions("test"), tasks)
    if table.folds is None:
        raise BadData(
            f"{folds.predictions('test')}: does not say which fold answered; delete {folds.result.name} there and give "
            "the same training again, which joins the finished folds anew"
        )
    targets = {name: task.targets_of_cells(table.labels[name]) for name, task in tasks.items()}
    if wanting := lacking_labels(tasks, targets):
        raise BadConfig(
            f"{where}: too few labels to fix anything on: {'; '.join(wanting)}. At least 50 positives and 50 "
            "negatives, or 100 grades, are needed: label more, or take [operating] out"
        )
    file, count = run.predictions("folds"), len(set(table.folds))
    write_text(file, read_text(folds.predictions("test")))
    source = f"out-of-fold answers of {count} networks, {folds.path.name}"
    write_json(file.with_suffix(".json"), {"from": source, "folder": str(folds.path), "sha256": sha256_of(file)})


def known_to_folds(split: Split, folds: Split, by: By) -> list[str]:
    """Names of the photographs tested by `split` whose labels, or whose group's, the folds' answers depend on.

    A photograph is the same by its path or its picture; groups are those that both lists together make.
    """
    learned, count = folds.rows("train", "val", "test"), len(split.records)
    groups = find_groups([*split.records, *folds.records], [*split.sha256, *folds.sha256], by)
    known_groups = {groups[count + row] for row in learned}
    known_paths = {folds.records[row].path for row in learned}
    return [
        split.records[row].path.name
        for row in split.rows("test")
        if groups[row] in known_groups or split.records[row].path in known_paths
    ]


def check_copy(run: RunFolder) -> dict[str, Any]:
    """What the run folder says of its copy. Raises MissingInput where it is gone, Refused where it was edited."""
    file = run.predictions("folds")
    origin: dict[str, Any] = json.loads(read_text(file.with_suffix(".json")))
    if not file.exists():
        raise MissingInput(
            f"{file}: is gone; copy {Path(origin['folder']) / 'predictions-test.csv'} there again, or train anew"
        )
    if sha256_of(file) != origin["sha256"]:
        raise Refused(
            f"{file}: was edited after the run began (its SHA-256 is not that in {file.stem}.json); restore it, or "
            "train anew in another --out"
        )
    return origin


def fix_on_folds(config: Config, run: RunFolder, tasks: Mapping[str, Task]) -> OperatingPoints:
    """The operating points (`fix_points`) of the out-of-fold answers in the run folder.

    A point with a threshold also holds what each network reaches `by_fold`, and a `caution` where these differ by more
    than chance.
    """
    source = check_copy(run)["from"]
    table = read_predictions(run.predictions("folds"), tasks)
    assert table.folds is not None
    targets = {name: task.targets_of_cells(table.labels[name]) for name, task in tasks.items()}
    # The table's digits are those of a probability of float32.
    logits = {name: task.logits_of(table.probabilities[name].astype(np.float32)) for name, task in tasks.items()}
    patients = patients_in(table, config.data.by)
    fixed = fix_points(config, HeldOut(tasks, logits, targets, patients, source))
    for name, task in tasks.items():
        for key, labels in task.labels(targets[name]).items():
            point = fixed.points[key]
            if "threshold" in point:
                point |= by_fold(fixed.answers[key], table.folds[labels >= 0], point["threshold"])
                for sentence in point.get("caution", ()):
                    say(f"operating: {key}: {sentence}")
    return fixed


def by_fold(known: Known, folds: Ints, threshold: float) -> dict[str, Any]:
    """What the threshold reaches among the answers of each network, [K] "by_fold", and "caution" where they disagree.

    Where networks of one configuration answer on different scales, one more network, for which the threshold is meant,
    is likely to answer on yet another.
    """
    yes, ill = known.probabilities >= threshold, known.labels == 1
    reached: dict[str, list[float | None]] = {"sensitivity": [], "specificity": []}
    for fold in range(int(folds.max()) + 1):
        for score, hits in (("sensitivity", yes[ill & (folds == fold)]), ("specificity", ~yes[~ill & (folds == fold)])):
            reached[score].append(float(hits.mean()) if len(hits) else None)
    if alike(known.labels, yes, known.patients, folds) >= UNLIKELY:
        return {"by_fold": reached}
    ranges = " and ".join(
        f"{score} from {min(known_ones):.0%} to {max(known_ones):.0%}"
        for score, each in reached.items()
        if (known_ones := [value for value in each if value is not None])
    )
    sentence = (
        f"The networks of the folds answer on different scales: at this threshold they reach {ranges}, and this "
        "grader, yet another network, may reach anything between. Train longer, with a learning rate that falls "
        '(schedule = "cosine"), until they agree.'
    )
    return {"by_fold": reached, "caution": [sentence]}
