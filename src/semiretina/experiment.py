"""The main path, top to bottom: config -> records -> split -> pixels -> network -> stages -> predictions -> result."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from semiretina import __version__
from semiretina.config import Config, load_config
from semiretina.data.pixels import Entry, PixelCache, default_cache
from semiretina.data.split import Split, make_split, read_split, regrade
from semiretina.data.stream import Pixels
from semiretina.draws import generator, seed_of
from semiretina.engine.distributed import Place, find_place
from semiretina.engine.epoch import Phase, Position
from semiretina.engine.evaluate import full_scores, infer_rows, probabilities, reconstruct_rows, write_predictions
from semiretina.engine.grader import Grader
from semiretina.engine.run_folder import RunFolder
from semiretina.engine.train import find_start, make_method, train_phase
from semiretina.errors import BadData, Refused
from semiretina.methods import METHODS, Method
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.progress import say
from semiretina.records import Record, read_manifest, summary
from semiretina.tasks import Task, known, make_tasks

SAMPLES = 4  # photographs shown beside their reconstructions
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
    if not isinstance(config, Config):
        config = load_config(Path(config) if isinstance(config, str) else config, overrides)
    known_methods = {**METHODS, **(methods or {})}
    run, place = RunFolder(Path(out)), find_place(config.engine.device)
    set_determinism(config)
    if not place.first:
        place.wait()
        return _train(config, run, place, known_methods)
    check_config(config, known_methods)
    with run.claimed(config):
        prepare(config, run)
        place.wait()
        return _train(config, run, place, known_methods)


def check_config(config: Config, methods: Mapping[str, type[Method]]) -> None:
    """Builds the network and every stage's method once without memory, so that a wrong name or size is told before
    any work.
    """
    with torch.device("meta"):
        parameters = {name: value for name, value in config.model.items() if name not in ("name", "weights")}
        network = build_network(str(config.model["name"]), dict.fromkeys(config.tasks, 1), config.data.size, parameters)
    for number, stage in enumerate(config.stages):
        make_method(stage, number, network, methods)


def prepare(config: Config, run: RunFolder) -> None:
    """Writes `split.csv` on the first start; later checks that the photographs are still the same.

    Raises BadData that names every photograph that is missing, unreadable or changed, all in one pass.
    """
    if run.result.exists():
        return
    if run.split.exists():
        split = read_split(run.split)
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
        return
    records = regrade(read_manifest(Path(config.data.manifest)), config.data.regrade)
    tasks = make_tasks(config.tasks, records)
    entries = read_photographs(config, records)
    split = make_split(
        records,
        [entry.sha256 for entry in entries],
        tasks,
        seed=config.seed,
        split_seed=config.data.split_seed,
        test=config.data.test,
        val=config.data.val,
        by=config.data.by,
        labels=config.data.labels,
    )
    check_split(config, split, tasks)
    split.write(run.split)
    say("split: " + ", ".join(f"{count} {role}" for role, count in split.counts.items()))


def check_split(config: Config, split: Split, tasks: Mapping[str, Task]) -> None:
    """Raises BadData when nothing can be learned or tested: no training label, or a task with one class only."""
    train = split.rows("train")
    if not len(train):
        raise BadData(
            f"{config.data.manifest}: no labelled photograph is left to train on; the split needs more labels"
        )
    for name, task in tasks.items():
        targets = task.targets([split.records[row] for row in train])
        carried = targets[known(task, targets)]
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
    entries = _cache(config).add([record.path for record in records])
    broken = [f"{r.path}: {e.error}" for r, e in zip(records, entries, strict=True) if e.error]
    if broken:
        raise BadData(summary(config.data.manifest, broken, "mend these files or take their rows out of the manifest"))
    return entries


def set_determinism(config: Config) -> None:
    """Bit-exact repetition, or speed, before the first kernel runs."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.engine.deterministic)
    torch.backends.cudnn.benchmark = not config.engine.deterministic


def _cache(config: Config) -> PixelCache:
    folder = Path(config.data.cache) if config.data.cache else default_cache()
    return PixelCache(folder, config.data.size, config.data.crop)


def _train(config: Config, run: RunFolder, place: Place, methods: Mapping[str, type[Method]]) -> dict[str, Any]:
    if run.result.exists():
        say(f"{run.path}: this run is finished; here is its result")
        return run.read_result()
    split = read_split(run.split)
    tasks = make_tasks(config.tasks, split.records)
    targets = make_targets(config, split, tasks, place)
    pixels = _pixels(config, split, place)
    select = len(split.rows("val")) >= SELECT_FROM
    position, tensors = find_start(run) or (Position("train"), {})
    if place.first:
        run.cut_log(position.log_size)
        run.write_json(run.environment, environment(place))
    network = _network(config, tasks, place)
    if position.phase == "train":
        phase = Phase("train", config.stages, config, methods, tasks, split, pixels, targets, run, place, select)
        network = train_phase(phase, network, position, tensors)
    if config.refit == "train+val":
        if position.phase == "train":
            network = _network(config, tasks, place)
            position, tensors = Position("refit", selected_epoch=position.selected_epoch), {}
        # As many epochs of the last stage as were chosen on validation (readings, row 31).
        last = config.stages[-1].model_copy(update={"epochs": position.selected_epoch, "updates": None})
        stages = [*config.stages[:-1], last]
        phase = Phase("refit", stages, config, methods, tasks, split, pixels, targets, run, place, select=False)
        network = train_phase(phase, network, position, tensors)
    place.wait()
    if not place.first:
        return {}
    return _finish(config, run, place, split, tasks, targets, pixels, network, position)


def make_targets(config: Config, split: Split, tasks: Mapping[str, Task], place: Place) -> dict[str, Tensor]:
    """Targets by task for every row of the split, on the device.

    With `shuffle_labels` those of the training rows are permuted among themselves, task by task: a control that must
    end at chance.
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
    cache = _cache(config)
    entries = cache.add([record.path for record in split.records])
    rows = [
        -1 if entry.row is None or role == "unused" else entry.row
        for entry, role in zip(entries, split.roles, strict=True)
    ]
    return Pixels(cache.rows(), np.array(rows, np.int64), place.device)


def _network(config: Config, tasks: Mapping[str, Task], place: Place) -> Network:
    parameters = {name: value for name, value in config.model.items() if name != "name"}
    torch.manual_seed(seed_of(config.seed, "network"))
    outputs = {name: len(task.outputs) for name, task in tasks.items()}
    return build_network(str(config.model["name"]), outputs, config.data.size, parameters).to(place.device)


def _finish(
    config: Config,
    run: RunFolder,
    place: Place,
    split: Split,
    tasks: Mapping[str, Task],
    targets: Mapping[str, Tensor],
    pixels: Pixels,
    network: Network,
    position: Position,
) -> dict[str, Any]:
    """Hands over the grader, then looks at the test set once."""
    network.eval()
    Grader(network, tasks, config.data.size, config.data.crop, config.threshold, place.device).save(run.grader)
    scores: dict[str, Any] = {}
    for role in ("val", "test"):
        rows = split.rows(role)
        if not len(rows):
            continue
        logits = infer_rows(network, pixels, rows, config.engine.eval_batch)
        values = {name: probabilities(task, logits[name]) for name, task in tasks.items()}
        # Scores are always against the true labels, also in the control that trained on shuffled ones.
        truth = {
            name: torch.from_numpy(task.targets([split.records[row] for row in rows])) for name, task in tasks.items()
        }
        write_predictions(run.predictions(role), split, rows, tasks, values, truth)
        scores[role] = full_scores(tasks, values, truth, [split.groups[row] for row in rows], config.threshold)
    write_samples(run, split, pixels, network, config.engine.eval_batch)
    result = {
        "schema": 1,
        "name": run.path.name,
        "seed": config.seed,
        "split_sha256": split.test_sha256,
        "trained_on": "train+val" if config.refit == "train+val" else "train",
        "selected_epoch": position.selected_epoch,
        "labeled_updates": position.selected_updates,
        "counts": split.counts,
        "test": scores.get("test", {}),
        "val": scores.get("val", {}),
    }
    if config.track_test:
        result["paper_protocol"] = {name: paper_protocol([row[name] for row in position.tracked]) for name in tasks}
    run.write_json(run.result, result)
    return run.read_result()


def paper_protocol(accuracies: Sequence[float]) -> dict[str, float]:
    """The paper's number and what should stand beside it: the maximum over epochs of the *test* accuracy is a
    selection on test.
    """
    best = max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])
    last_ten = accuracies[-10:]
    return {
        "max": accuracies[best],
        "epoch": best + 1,
        "last": accuracies[-1],
        "mean_last_ten": sum(last_ten) / len(last_ten),
    }


def write_samples(run: RunFolder, split: Split, pixels: Pixels, network: Network, batch: int) -> None:
    """The first photographs of the test set, and what the decoder makes of them, for figure 4."""
    rows = split.rows("test")[:SAMPLES]
    reconstructed = reconstruct_rows(network, pixels, rows, batch)[1] if network.decoder is not None else None
    run.samples.mkdir(exist_ok=True)
    samples: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        original = f"original-{number:02d}.png"
        Image.fromarray(pixels.take(rows[number : number + 1])[0].cpu().numpy()).save(run.samples / original)
        reconstruction = None
        if reconstructed is not None:
            reconstruction = f"reconstruction-{number:02d}.png"
            picture = (reconstructed[number].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
            Image.fromarray(picture.numpy()).save(run.samples / reconstruction)
        samples.append({"path": str(split.records[row].path), "original": original, "reconstruction": reconstruction})
    run.write_json(run.samples / "samples.json", samples)


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
