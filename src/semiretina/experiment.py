"""The main path, top to bottom: config -> records -> split -> pixels -> network -> stages -> predictions -> result."""

import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from semiretina import __version__
from semiretina.checks import check_config
from semiretina.config import Config, load_config
from semiretina.draws import seed_of
from semiretina.files import write_json
from semiretina.judging.ledger import TestList, note_look
from semiretina.methods import METHODS, Method
from semiretina.models import configured_network
from semiretina.models.network import Network
from semiretina.preparation import Prepared, prepare
from semiretina.progress import say
from semiretina.result import finish
from semiretina.run_folder import RunFolder
from semiretina.tasks import Task
from semiretina.training.epoch import Phase, Position
from semiretina.training.loop import find_start, train_phase
from semiretina.training.ranks import Place, find_place, set_determinism

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
    return train_run(load_config(config, overrides), Path(out), {**METHODS, **(methods or {})})


def train_run(
    config: Config, out: Path, methods: Mapping[str, type[Method]] = METHODS, first: Path | None = None
) -> dict[str, Any]:
    """As `train`. `first` is the folder of a finished run whose stages are this one's first: it starts from their end.

    It ends with the same bits as one that trains those stages itself.
    """
    run, place = RunFolder(out), find_place(config.engine.device)
    set_determinism(config.engine.deterministic)
    if place.first:
        check_config(config, methods)
    with run.claimed(config) if place.first else nullcontext():
        if run.result.exists():
            say(f"{run.path}: this run is finished; here is its result")
            return run.read_result()
        prepared = prepare(config, run, methods, place)
        return _train(config, prepared, run, place, methods, first)


def _train(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    place: Place,
    methods: Mapping[str, type[Method]],
    first: Path | None,
) -> dict[str, Any]:
    split, tasks = prepared.split, prepared.tasks
    select = len(split.rows("val")) >= SELECT_FROM
    phase = Phase(
        "train", config.stages, config, methods, tasks, split, prepared.pixels, prepared.targets, run, place, select
    )
    start = find_start(run)
    begins = start is None
    if first and begins:
        start = start_after(RunFolder(first), run, place)
    position, tensors = start or (Position("train"), {})
    if place.first:
        run.cut_log(position.log_size)
        write_json(run.environment, environment(place))
        if config.track_test and begins:
            thresholds = {key: config.threshold for task in tasks.values() for key in task.threshold_keys}
            note_look(run.path, "tracked", TestList.of(config.data, split), thresholds)
    network = new_network(config, tasks).to(place.device)
    if position.phase == "train":
        network, position = train_phase(phase, network, position, tensors)
    if config.refit == "train+val":
        if position.phase == "train":
            network, tensors = new_network(config, tasks).to(place.device), {}
            selected = place.agree(position.selected_epoch)
            position = Position("refit", selected_epoch=selected, planned_epochs=position.planned_epochs)
        # As many epochs of the last stage as were chosen on validation (readings, row 31), of the same schedule.
        last = config.stages[-1].model_copy(update={"epochs": position.planned_epochs, "updates": None})
        stages = [*config.stages[:-1], last]
        phase = replace(phase, name="refit", stages=stages, select=False, last_epoch=position.selected_epoch)
        network, position = train_phase(phase, network, position, tensors)
    place.wait()
    return finish(phase, network, position) if place.first else {}


def new_network(config: Config, tasks: Mapping[str, Task]) -> Network:
    """The network before its training."""
    torch.manual_seed(seed_of(config.seed, "network"))
    return configured_network(config.model, {name: task.num_logits for name, task in tasks.items()}, config.data.size)


def start_after(first: RunFolder, run: RunFolder, place: Place) -> tuple[Position, dict[str, Tensor]] | None:
    """Where a run stands whose first stages another one trained, whose log and reconstructions it takes over."""
    start = find_start(first)
    if not start:
        return None
    position, tensors = start
    if place.first:
        shutil.copyfile(first.log, run.log)
        if position.reconstruction:
            # Drawn when the decoder was ready; otherwise they are still to come.
            shutil.copytree(first.samples, run.samples, dirs_exist_ok=True)
            if first.survival.exists():
                shutil.copyfile(first.survival, run.survival)
    # Nothing is selected before the last stage.
    return replace(position, selected_epoch=0, selected_updates=0, best=None), tensors


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
