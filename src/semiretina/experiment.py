"""The main path, top to bottom: config -> records -> split -> pixels -> network -> stages -> predictions -> result."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from semiretina import __version__
from semiretina.config import Config, load_config
from semiretina.data.pixels import Entry, PixelCache, default_cache
from semiretina.data.split import Split, make_split, read_split, regrade
from semiretina.data.stream import Pixels
from semiretina.draws import generator, seed_of
from semiretina.engine.distributed import Place, find_place
from semiretina.engine.epoch import Phase, Position
from semiretina.engine.evaluate import full_scores, infer_rows, probabilities, write_predictions
from semiretina.engine.grader import Grader
from semiretina.engine.run_folder import RunFolder
from semiretina.engine.samples import write_samples
from semiretina.engine.train import find_start, make_method, sides, train_phase
from semiretina.errors import BadConfig, BadData, Refused, writing
from semiretina.methods import METHODS, Method
from semiretina.models import build_network
from semiretina.models.network import Network
from semiretina.progress import say
from semiretina.records import Record, read_manifest, read_text, summary, write_text
from semiretina.tasks import Task, known, make_tasks

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


def check_config(config: Config, methods: Mapping[str, type[Method]]) -> None:
    """Builds the network and every stage's method once, so that a wrong name, size or file of weights is told before
    any work.
    """
    network = _sketch(config)
    for number, stage in enumerate(config.stages):
        make_method(stage, number, network, methods)
        if stage.batch == 1:
            check_single(config, f"stages.{number}: batch = 1")
    if config.model.get("weights"):
        build_network(str(config.model["name"]), dict.fromkeys(config.tasks, 1), config.data.size, _parameters(config))


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
    check_split(config, split, tasks, methods)
    split.write(run.split)
    write_text(run.split_sum, f"{_sha256(run.split)}  {run.split.name}\n")
    say("split: " + ", ".join(f"{count} {role}" for role, count in split.counts.items()))


def check_unchanged(config: Config, run: RunFolder) -> None:
    """Raises Refused when the split was edited, the manifest says something else now, or photographs are others."""
    split = read_split(run.split)
    if run.split_sum.exists() and read_text(run.split_sum).split()[:1] != [_sha256(run.split)]:
        raise Refused(
            f"{run.split}: was edited after the run began (its SHA-256 is not that in {run.split_sum.name}); "
            "restore it, or train anew in another --out"
        )
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
    """Raises BadData when nothing can be learned: no training label, or a task with one class only; BadConfig when a
    stage needs unlabelled photographs that there are not.
    """
    for number, stage in enumerate(config.stages):
        method = methods[stage.method["name"]]
        _, unlabeled = sides(split, "train", stage, method)
        if len(unlabeled) == 1 and method.stream != "labeled":
            check_single(config, f"stages.{number}: there is one unlabelled photograph")
    if config.track_test and not len(split.rows("test")):
        raise BadConfig("track_test: the split has no test photograph to track; set data.test, or track_test = false")
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
    cache = _cache(config)
    with writing(cache.folder):
        entries = cache.add([record.path for record in records])
    broken = [f"{r.path}: {e.error}" for r, e in zip(records, entries, strict=True) if e.error]
    if broken:
        raise BadData(summary(config.data.manifest, broken, "mend these files or take their rows out of the manifest"))
    return entries


def set_determinism(config: Config) -> None:
    """Bit-exact repetition, or speed, before the first kernel runs."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Where a GPU has no deterministic kernel, torch warns and goes on; on the CPU all of ours have one.
    torch.use_deterministic_algorithms(config.engine.deterministic, warn_only=torch.cuda.is_available())
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
            position, tensors = Position("refit", selected_epoch=place.agree(position.selected_epoch)), {}
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
    cache = _cache(config)
    entries = cache.add([record.path for record in split.records])
    rows = [
        -1 if entry.row is None or role == "unused" else entry.row
        for entry, role in zip(entries, split.roles, strict=True)
    ]
    return Pixels(cache.rows(), np.array(rows, np.int64), place.device)


def _network(config: Config, tasks: Mapping[str, Task], place: Place) -> Network:
    torch.manual_seed(seed_of(config.seed, "network"))
    outputs = {name: len(task.outputs) for name, task in tasks.items()}
    return build_network(str(config.model["name"]), outputs, config.data.size, _parameters(config)).to(place.device)


def _sketch(config: Config) -> Network:
    """The network without memory or weights: its shapes and its complaints."""
    parameters = {name: value for name, value in _parameters(config).items() if name != "weights"}
    with torch.device("meta"):
        return build_network(str(config.model["name"]), dict.fromkeys(config.tasks, 1), config.data.size, parameters)


def _parameters(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config.model.items() if name != "name"}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


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
    if not run.samples.exists():
        write_samples(run.samples, split, pixels, network, config.engine.eval_batch, decode=False)
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
    if position.tracked:
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
