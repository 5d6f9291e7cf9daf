"""Cross-validation: a training for each fold, and every labelled photograph's answer by a network that never saw it.

The folder holds `fold-0`, `fold-1` ..., run folders like any other, and what a report reads of a run: `config.toml`,
`split.csv` (tested: everybody whom a fold tests), `predictions-test.csv` (all folds' answers, with a column `fold`),
`result.json`, the worst mistakes of all folds. There is no grader: which of the networks would it be? One that is
trained on all of them may have its operating points fixed on these answers: see `judging.out_of_fold`.

A test set that the manifest gives is left alone.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semiretina.checks import check_config
from semiretina.config import Config, load_config
from semiretina.data.roles import given_test
from semiretina.data.split import Split, list_sha256, read_split
from semiretina.errors import BadConfig, BadData, Refused
from semiretina.experiment import train
from semiretina.files import read_text, sha256_of, write_json, write_text
from semiretina.judging.ledger import TestList, note_look
from semiretina.judging.mistakes import MISTAKES
from semiretina.judging.predictions import read_predictions
from semiretina.judging.test_set import TestSet
from semiretina.methods import METHODS, Method
from semiretina.preparation import read_drawn
from semiretina.progress import say
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task, make_tasks
from semiretina.training.ranks import find_place

Floats = npt.NDArray[np.float32]


def train_folds(
    config: Config | Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    overrides: Sequence[str] = (),
    methods: Mapping[str, type[Method]] | None = None,
) -> dict[str, Any]:
    """Trains all folds of one experiment in `out`, and returns the result of their answers together.

    What is finished stays, a fold that was stopped goes on. The scores of `test` are those of all answers pooled, with
    intervals that respect patients; `folds` holds each fold's AUROC and their mean. `methods` as for `train`.

    Raises BadConfig where there are no folds or what is asked of them has no joint result, Refused where the
    photographs changed from fold to fold.
    """
    config = load_config(config, overrides)
    check_folds(config)
    assert config.data.folds
    run, place = RunFolder(Path(out)), find_place(config.engine.device)
    configs = [
        config.model_copy(update={"data": config.data.model_copy(update={"fold": number})})
        for number in range(config.data.folds)
    ]
    if place.first:
        check_config(configs[0], {**METHODS, **(methods or {})})
    with run.claimed(config) if place.first else nullcontext():
        place.wait()
        if run.result.exists():
            say(f"{run.path}: these folds are finished; here is their result")
            return run.read_result() if place.first else {}
        folders = [RunFolder(run.path / f"fold-{number}") for number in range(len(configs))]
        for number, (of_fold, folder) in enumerate(zip(configs, folders, strict=True)):
            say(f"fold {number + 1} of {len(configs)}: {folder.path}")
            if number and place.first and not folder.split.exists():
                read_drawn(configs[0], folders[0])
            train(of_fold, folder.path, methods=methods)
        return join_folds(config, run, folders) if place.first else {}


def check_folds(config: Config) -> None:
    """Raises BadConfig for what cannot be trained fold by fold."""
    if not config.data.folds:
        raise BadConfig("data.folds: there are none to train; set data.folds = 5, or train one run")
    if config.data.fold is not None:
        raise BadConfig("data.fold: names one fold; take it out to train them all")
    if not config.open_test:
        raise BadConfig("data.folds: with open_test = false no fold is tested, so there is nothing to join")
    if config.operating:
        raise BadConfig(
            "data.folds: each fold would fix thresholds of its own, and their answers together have none; train the "
            "folds without (-o operating=null), then one run with operating.folds = their folder, which fixes them on "
            "all folds' answers; or train one fold by data.fold"
        )


def join_folds(config: Config, run: RunFolder, folders: Sequence[RunFolder]) -> dict[str, Any]:
    """Writes what a report reads of a run from finished folds, `result.json` last, and returns that."""
    splits = [read_split(folder.split, config.data.by) for folder in folders]
    split = join_splits(splits, run.path)
    tasks = make_tasks(config.tasks, split.records)
    rows = split.rows("test")
    fold_of = {int(row): number for number, of_fold in enumerate(splits) for row in of_fold.rows("test")}
    values = join_answers(tasks, split, rows, [folder.predictions("test") for folder in folders])
    thresholds = {key: config.threshold for task in tasks.values() for key in task.threshold_keys}
    given = [split.sha256[row] for row in given_test(split.records, split.groups, tasks)]
    apart = list_sha256(given) if given else None
    tested = TestList(Path(config.data.manifest), split.test_sha256, len(rows), apart=apart)
    note_look(run.path, "train", tested, thresholds)
    # What a fold could not see, or learned from.
    blind = sorted({int(row) for one in splits for row in one.ungradable("test")})
    trained = sorted({int(row) for one in splits for row in one.rows("train")})
    test = replace(
        TestSet.of_role(split, "test", tasks),
        ungradable=[(split.records[row], split.groups[row]) for row in blind],
        trained=[split.records[row] for row in trained],
    )
    scores = test.score(values, thresholds, config.prevalence)
    results = [folder.read_result() for folder in folders]
    means = fold_means(results)
    for key, task_scores in scores.items():
        task_scores["caution"] = [*task_scores["caution"], *caution(means[key], len(folders))]

    split.write(run.split)
    write_text(run.split_sum, f"{sha256_of(run.split)}  {run.split.name}\n")
    folds = np.array([fold_of[int(row)] for row in rows], np.int64)
    test.predictions(values, folds).write(run.predictions("test"))
    shutil.copyfile(folders[0].environment, run.environment)
    log_rows = [
        {
            "kind": "fold",
            "fold": number,
            **{key: result[key] for key in ("selected_epoch", "labeled_updates", "counts")},
        }
        for number, result in enumerate(results)
    ]
    write_text(run.log, "".join(json.dumps(row) + "\n" for row in log_rows))
    join_samples(run, folders)
    result = {
        "schema": 1,
        "name": run.path.name,
        "seed": config.seed,
        "split_sha256": split.test_sha256,
        "trained_on": results[0]["trained_on"],
        # Each fold has its own.
        "selected_epoch": None,
        "labeled_updates": None,
        "counts": {role: count for role, count in split.counts.items() if role not in ("train", "val")},
        "ungradable": results[0]["ungradable"],
        "test": scores,
        "val": {},
        "folds": {"count": len(folders), "auroc": means},
    }
    write_json(run.result, result)
    return run.read_result()


def join_splits(splits: Sequence[Split], where: Path) -> Split:
    """The split of all folds: tested is what one of them tests. Raises Refused where they are not folds of one list."""
    first = splits[0]
    tested = np.zeros(len(first.records), np.int64)
    for number, of_fold in enumerate(splits):
        if (of_fold.records, of_fold.sha256, of_fold.groups) != (first.records, first.sha256, first.groups):
            raise Refused(
                f"{where / f'fold-{number}'}: was drawn from other photographs than fold-0; train the folds anew in "
                "another --out"
            )
        tested[of_fold.rows("test")] += 1
    if (tested > 1).any():
        row = int(np.argmax(tested > 1))
        raise Refused(
            f"{where}: {first.records[row].path.name} is tested by {tested[row]} folds; train anew in another --out"
        )
    held = {group for group, count in zip(first.groups, tested, strict=True) if count}
    roles = [
        "test" if count else "unused" if group in held else role
        for group, role, count in zip(first.groups, first.roles, tested, strict=True)
    ]
    return Split(first.records, first.sha256, first.groups, roles)


def join_answers(tasks: Mapping[str, Task], split: Split, rows: Any, files: Sequence[Path]) -> dict[str, Floats]:
    """What the folds answered to these rows of the split, task -> [n, outputs]. Raises BadData for a damaged file."""
    number_of = {split.records[row].path: number for number, row in enumerate(rows)}
    values = {name: np.full((len(rows), len(task.outputs)), np.nan, np.float32) for name, task in tasks.items()}
    for file in files:
        answers = read_predictions(file, tasks)
        try:
            numbers = [number_of[Path(path)] for path in answers.paths]
        except KeyError as error:
            raise BadData(f"{file}: answers to {error}, which no fold tests; train it again") from None
        for name, probabilities in answers.probabilities.items():
            values[name][numbers] = probabilities
    if any(np.isnan(answered).any() for answered in values.values()):
        raise BadData(f"{files[0].parent.parent}: a fold's predictions-test.csv lacks photographs; train it again")
    return values


def fold_means(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """KEY -> the AUROC of each fold that has one (both kinds of labels), and their mean; None where no fold has."""
    means = {}
    for key in dict.fromkeys(key for result in results for key in result["test"]):
        each = [(result["test"].get(key) or {}).get("auroc", {}).get("value") for result in results]
        defined = [value for value in each if value is not None]
        means[key] = {"mean": float(np.mean(defined)) if defined else None, "each": each}
    return means


def caution(means: Mapping[str, Any], count: int) -> list[str]:
    """What must be said of pooled scores, in a sentence."""
    if means["mean"] is None:
        return []
    defined = sum(value is not None for value in means["each"])
    verb = "has" if defined == 1 else "have"
    of = "" if defined == count else f" ({defined} of {count} folds {verb} labels of both kinds)"
    return [
        f"The AUROC pools the answers of {count} networks, whose scales differ; the mean of the folds' own is "
        f"{means['mean']:.3f}{of}."
    ]


def join_samples(run: RunFolder, folders: Sequence[RunFolder]) -> None:
    """Copies the surest mistakes of all folds; reconstructions, of which each fold has its own, stay with the folds."""
    run.samples.mkdir(exist_ok=True)
    write_json(run.sample_list, [])
    mistakes: list[tuple[Path, dict[str, Any]]] = []
    for folder in folders:
        if folder.mistakes.is_file():
            mistakes += [(folder.samples, mistake) for mistake in json.loads(read_text(folder.mistakes))]
    kept: list[dict[str, Any]] = []
    for task in dict.fromkeys(mistake["task"] for _, mistake in mistakes):
        of_task = [(samples, mistake) for samples, mistake in mistakes if mistake["task"] == task]
        for samples, mistake in sorted(of_task, key=lambda pair: -pair[1]["probability"])[:MISTAKES]:
            pictures = [kind for kind in ("photograph", "heat_map") if mistake[kind]]
            names = {kind: f"{samples.parent.name}-{mistake[kind]}" for kind in pictures}
            for kind, name in names.items():
                shutil.copyfile(samples / mistake[kind], run.samples / name)
            kept.append(mistake | names)
    if mistakes:
        write_json(run.mistakes, kept)
