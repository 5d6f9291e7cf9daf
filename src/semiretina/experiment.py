"""The main path, top to bottom: config -> records -> split -> pixels -> network -> stages -> predictions -> result."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from semiretina import __version__
from semiretina.config import Config, load_config
from semiretina.data.pixels import Pixels
from semiretina.data.split import Split, read_split
from semiretina.draws import generator, seed_of
from semiretina.judging.grader import Grader
from semiretina.judging.heatmaps import write_mistakes
from semiretina.judging.inference import full_scores, infer_rows, write_predictions
from semiretina.judging.ledger import Kind, note_look
from semiretina.judging.operating_point import Known, fix_on_val, known_answers, uncertainty
from semiretina.judging.out_of_fold import fix_on_folds
from semiretina.judging.samples import write_samples
from semiretina.judging.test_set import patients_of
from semiretina.methods import METHODS, Method
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.preparation import check_config, model_parameters, open_cache, prepare
from semiretina.progress import say
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task, make_tasks
from semiretina.training.epoch import Phase, Position
from semiretina.training.loop import find_start, train_phase
from semiretina.training.ranks import Place, find_place

# With fewer validation labels the best epoch is mostly luck, so nothing is selected on them: the last epoch counts.
SELECT_FROM = 50


def train(
    config: Config | Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    overrides: Sequence[str] = (),
    methods: Mapping[str, type[Method]] | None = None,
) -> dict[str, Any]:
    """Trains and evaluates one experiment in the run folder `out`, and returns its result (`result.json`).

    A run that was stopped goes on; a finished one returns its result. `methods` adds methods of your own to those
    that a configuration may name. Errors are `semiretina.errors`: one line each, nothing half-written.
    """
    assert not (isinstance(config, Config) and overrides), "overrides are read into a file or a dict"
    if not isinstance(config, Config):
        config = load_config(Path(config) if isinstance(config, str) else config, overrides)
    known_methods = {**METHODS, **(methods or {})}
    run, place = RunFolder(Path(out)), find_place(config.engine.device)
    set_determinism(config)
    if not place.first:
        place.wait()
        return _train(config, run, place, known_methods)
    check_config(config, known_methods)
    fresh = not run.config.exists()
    with run.claimed(config):
        try:
            prepare(config, run, known_methods)
        except BaseException:
            if fresh:
                run.withdraw()
            raise
        place.wait()
        return _train(config, run, place, known_methods)


def set_determinism(config: Config) -> None:
    """Bit-exact repetition, or speed, before the first kernel runs."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Where a GPU has no deterministic kernel, torch warns and goes on; on the CPU all of ours have one.
    torch.use_deterministic_algorithms(config.engine.deterministic, warn_only=torch.cuda.is_available())
    torch.backends.cudnn.benchmark = not config.engine.deterministic


def _train(config: Config, run: RunFolder, place: Place, methods: Mapping[str, type[Method]]) -> dict[str, Any]:
    if run.result.exists():
        say(f"{run.path}: this run is finished; here is its result")
        return run.read_result()
    split = read_split(run.split, config.data.by)
    tasks = make_tasks(config.tasks, split.records)
    targets = make_targets(config, split, tasks, place)
    pixels = _pixels(config, split, place)
    select = len(split.rows("val")) >= SELECT_FROM
    phase = Phase("train", config.stages, config, methods, tasks, split, pixels, targets, run, place, select)

    position, tensors = find_start(run) or (Position("train"), {})
    if place.first:
        run.cut_log(position.log_size)
        run.write_json(run.environment, environment(place))
        if config.track_test:
            note_test(phase, "tracked", config.threshold)
    network = _network(config, tasks, place)
    if position.phase == "train":
        network = train_phase(phase, network, position, tensors)
    if config.refit == "train+val":
        if position.phase == "train":
            network = _network(config, tasks, place)
            position, tensors = Position("refit", selected_epoch=place.agree(position.selected_epoch)), {}
        # As many epochs of the last stage as were chosen on validation (readings, row 31).
        last = config.stages[-1].model_copy(update={"epochs": position.selected_epoch, "updates": None})
        phase = replace(phase, name="refit", stages=[*config.stages[:-1], last], select=False)
        network = train_phase(phase, network, position, tensors)
    place.wait()
    return _finish(phase, network, position) if place.first else {}


def make_targets(config: Config, split: Split, tasks: Mapping[str, Task], place: Place) -> dict[str, Tensor]:
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
        targets[name] = torch.from_numpy(values).to(place.device)
    return targets


def _pixels(config: Config, split: Split, place: Place) -> Pixels:
    cache = open_cache(config)
    entries = cache.add([record.path for record in split.records])
    rows = [
        -1 if entry.row is None or role == "unused" else entry.row
        for entry, role in zip(entries, split.roles, strict=True)
    ]
    return Pixels(cache.rows(), np.array(rows, np.int64), place.device, [entry.box for entry in entries])


def _network(config: Config, tasks: Mapping[str, Task], place: Place) -> Network:
    torch.manual_seed(seed_of(config.seed, "network"))
    outputs = {name: task.num_logits for name, task in tasks.items()}
    network = build_network(str(config.model["name"]), outputs, config.data.size, model_parameters(config))
    return network.to(place.device)


def _finish(phase: Phase, network: Network, position: Position) -> dict[str, Any]:
    """Hands over the grader, then looks at the test set once."""
    config, run, split, tasks = phase.config, phase.run, phase.split, phase.tasks
    network.eval()
    points: dict[str, dict[str, Any]] = {}
    fixed_on: dict[str, Known] = {}
    if config.operating:
        points, fixed_on = fix_on_folds(phase) if config.operating.folds else fix_on_val(phase, network)
    grader = Grader(
        network,
        tasks,
        config.data.size,
        config.data.crop,
        config.threshold,
        phase.place.device,
        temperatures={key: point["temperature"] for key, point in points.items()},
        own_thresholds={key: point["threshold"] for key, point in points.items() if "threshold" in point},
    )
    grader.save(run.grader)
    scores: dict[str, Any] = {}
    # After a refit the validation photographs were trained on, and their scores would say nothing.
    looked_at = [phase.last_role] if config.refit == "train+val" else ["val", phase.last_role]
    for role in dict.fromkeys(looked_at):
        rows = split.rows(role)
        if not len(rows):
            continue
        logits = infer_rows(network, phase.pixels, rows, config.engine.eval_batch)
        values = {name: grader.probabilities(name, logits[name]) for name in tasks}
        truth = phase.truth(rows)
        # Every epoch's look was noted as one; that after the last shows nothing else, or else other thresholds.
        if role == "test" and not (config.track_test and {*grader.thresholds.values()} <= {config.threshold}):
            note_test(phase, "train", grader.thresholds)
        write_predictions(run.predictions(role), split, rows, tasks, values, truth)
        records, groups = [split.records[row] for row in rows], [split.groups[row] for row in rows]
        scores[role] = full_scores(
            tasks,
            values,
            truth,
            records,
            groups,
            grader.thresholds,
            ungradable=[(split.records[row], split.groups[row]) for row in split.ungradable(role)],
            trained=[split.records[row] for row in split.rows("train")],
            prevalence=config.prevalence,
        )
        if role == "test":
            write_mistakes(run.samples, split, role, phase.pixels, network, tasks, values, truth, grader.thresholds)
        if role == "test" and points:
            test = known_answers(tasks, values, truth, patients_of(records, groups))
            for key, found in uncertainty(grader.thresholds, fixed_on, test).items():
                scores[role][key] |= found
                scores[role][key]["caution"] += points[key].get("caution", [])
    if not (run.samples / "samples.json").exists():
        write_samples(
            run.samples, split, phase.last_role, phase.pixels, network, config.engine.eval_batch, decode=False
        )
    result = {
        "schema": 1,
        "name": run.path.name,
        "seed": config.seed,
        "split_sha256": split.test_sha256,
        "trained_on": "train+val" if config.refit == "train+val" else "train",
        "selected_epoch": position.selected_epoch,
        "labeled_updates": position.selected_updates,
        "counts": split.counts,
        "ungradable": sum(record.quality == "ungradable" for record in split.records),
        "test": scores.get("test", {}),
        "val": scores.get("val", {}),
    }
    if points:
        result["operating"] = points
    if position.reconstruction:
        result["reconstruction"] = position.reconstruction
    if position.tracked:
        result["paper_protocol"] = {name: paper_protocol([row[name] for row in position.tracked]) for name in tasks}
    run.write_json(run.result, result)
    return run.read_result()


def note_test(phase: Phase, kind: Kind, thresholds: float | Mapping[str, float]) -> None:
    """Writes a look at the test set into the ledger beside the manifest."""
    config, split = phase.config, phase.split
    if not isinstance(thresholds, Mapping):
        keys = [key for task in phase.tasks.values() for key in task.threshold_keys]
        thresholds = dict.fromkeys(keys, thresholds)
    note_look(
        Path(config.data.manifest),
        kind,
        phase.run.path,
        sha256=split.test_sha256,
        photographs=len(split.rows("test")),
        thresholds=thresholds,
        fold=config.data.fold,
    )


def paper_protocol(accuracies: Sequence[float]) -> dict[str, float]:
    """The paper's number, the maximum of the test accuracy over epochs, and what should stand beside it.

    That maximum is a selection on the test set.
    """
    best = max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])
    last_ten = accuracies[-10:]
    return {
        "max": accuracies[best],
        "epoch": best + 1,
        "last": accuracies[-1],
        "mean_last_ten": sum(last_ten) / len(last_ten),
    }


def environment(place: Place) -> dict[str, Any]:
    """Versions and hardware, as far as they can change a number."""
    gpu = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else None
    return {
        "semiretina": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "platform": platform.platform(),
        "device": str(place.device),
        "gpu": gpu,
        "processes": place.ranks,
        "threads": torch.get_num_threads(),
    }
