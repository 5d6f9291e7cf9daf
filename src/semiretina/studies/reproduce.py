"""The whole paper from one command: every training of its tables and figures, the grid search, and one report.

`out` holds `study.json` (what is reproduced, and which run stands for which cell), `manifest.csv`, `cache/`,
`searches/`, `runs/`, `grids/` and `report.html`. Whatever is finished stays: the same command goes on, with more seeds
too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from semiretina.config import dump_toml
from semiretina.data.sources import SOURCES
from semiretina.errors import BadConfig, MissingInput, NonFiniteLoss, Refused
from semiretina.experiment import train
from semiretina.files import read_text, write_json, write_text
from semiretina.lookup import lookup
from semiretina.progress import duration, say
from semiretina.records import Record
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.page import write_paper_report
from semiretina.report.paper.study import SCHEMA
from semiretina.run_folder import RunFolder
from semiretina.studies.estimate import Clock
from semiretina.studies.gather import add_nearer, gather, graded, parse
from semiretina.studies.grid import combinations, configs_of, grid_points
from semiretina.studies.presets import PRESETS, Preset
from semiretina.studies.search import folder_of, num_finished, search
from semiretina.studies.sweep import sweep

SEEDS, QUICK_SEEDS = 3, 1


@dataclass(frozen=True)
class Request:
    """What to reproduce the paper on, and how.

    `unlabeled` are further sources as "NAME=FOLDER", used without their labels; `nearer` is one to pretrain on with
    them (section 5.3). `weights` is a folder with `resnet18.safetensors` and `inceptionv3.safetensors`; without it
    torchvision downloads them. What cannot be trained stays a marked hole. `seeds` trains each cell with the seeds 0,
    1, ...; searches have one. `quick`: see `configs/paper/quick.toml`.
    """

    source: str
    root: Path
    unlabeled: Sequence[str] = ()
    nearer: str = ""
    weights: Path | None = None
    preset: str = "corrected"
    seeds: int | None = None  # SEEDS, or QUICK_SEEDS
    quick: bool = False

    @property
    def repeats(self) -> int:
        """How often each training is repeated."""
        return (QUICK_SEEDS if self.quick else SEEDS) if self.seeds is None else self.seeds

    def check(self) -> None:
        """Raises BadConfig and MissingInput for what is wrong already before anything is read."""
        lookup(SOURCES, self.source, "reproduce")
        if self.preset not in PRESETS:
            raise BadConfig(f"--preset {self.preset}: known are {', '.join(PRESETS)}")
        if self.repeats < 1:
            raise BadConfig(f"--seeds {self.seeds}: at least one is needed")
        if self.nearer:
            parse(self.nearer, "--nearer")
        if self.weights and not self.weights.is_dir():
            raise MissingInput(
                f"--weights {self.weights}: no such folder; give one with resnet18.safetensors, or leave it out"
            )

    def stated(self) -> dict[str, Any]:
        """What study.json says of it: a folder holds one such reproduction."""
        given = {"source": self.source, "root": str(self.root.absolute()), "unlabeled": list(self.unlabeled)}
        nearer = {"nearer": self.nearer} if self.nearer else {}
        return {"schema": SCHEMA, **given, **nearer, "preset": self.preset, "quick": self.quick}


def reproduce(request: Request, out: Path, share: bool | None = None) -> str:
    """Plans, trains and reports in the folder `out`; returns where the report lies. `share`: `write_paper_report`.

    Raises Refused where `out` holds something else, and what importing and training raise.
    """
    request.check()
    study = request.stated()
    # A source to pretrain on may be named later, and then stays.
    study = {"nearer": _check_free(out, study).get("nearer", "")} | study
    out = out.absolute()
    preset, records = _prepare(request, out)
    if not (out / "study.json").exists():
        _write(out, study)
    # Written whole before anything is trained: a stop takes nothing out of the report that already stands.
    cells, waiting = _standing(preset, out, request.repeats)
    _announce(preset, records, out, cells, waiting)
    searches = {name: f"searches/{name}" for name in CELLS if preset.search_axes(name)}
    grids = {name: {"hole": preset.hole(name), "folder": f"grids/{name}"} for name in preset.grid_cells}
    study |= {"seeds": request.repeats, "cells": cells, "searches": searches, "grids": grids}
    _write(out, study)
    for name, seeds in waiting.items():
        for _ in _train_cell(preset, name, seeds, out, cells[name]):
            _write(out, study)
    for name, grid in grids.items():
        if not grid["hole"]:
            # The search takes the longest, and the trainings can be read meanwhile.
            say(f"reproduce: the report so far: {write_paper_report(out, share)}")
            say(f"reproduce: grid search around {name}")
            base = out / "grids" / f"{name}.toml"
            write_text(base, dump_toml(preset.config(name, 0, search=True)))
            say(sweep(grid_points(base, preset.grid), out / "grids" / name))
    return f"report: {write_paper_report(out, share)}"


def _prepare(request: Request, out: Path) -> tuple[Preset, dict[bool, list[Record]]]:
    """The preset with all that it must know of the photographs; the records without and with those to pretrain on."""
    weights = request.weights.absolute() if request.weights else None
    preset = Preset(request.preset, request.quick, out / "manifest.csv", out / "cache", weights)
    records = gather(request.source, request.root, request.unlabeled, preset.manifest, preset.small)
    preset = replace(
        preset,
        unlabeled=any(not graded(record) for record in records),
        datasets=tuple(dict.fromkeys(record.dataset for record in records)),
    )
    if not preset.unlabeled:
        say("reproduce: no unlabelled photographs; the autoencoders learn from the labelled ones, without their labels")
    if not request.nearer:
        return preset, {False: records}
    together = add_nearer(records, request.nearer, preset.nearer_manifest)
    nearer = tuple(dict.fromkeys(record.dataset for record in together[len(records) :]))
    return replace(preset, nearer=nearer), {False: records, True: together}


def _standing(preset: Preset, out: Path, seeds: int) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """What stands of every cell, and the seeds of each that are to be trained.

    A finished training stays, also a pretrained one whose weights are no longer given. One that diverged is a result
    too, as long as its run folder is there.
    """
    before = json.loads(read_text(out / "study.json")).get("cells", {})
    cells: dict[str, Any] = {}
    waiting = {}
    for name in CELLS:
        runs = {seed: _run_folder(out, name, seed) for seed in range(seeds)}
        failed = before.get(name, {}).get("failed", {})
        failed = {str(seed): failed[str(seed)] for seed, run in runs.items() if str(seed) in failed and run.exists()}
        done = [seed for seed, run in runs.items() if RunFolder(run).result.exists()]
        hole = "" if len(done) == seeds else preset.hole(name)
        stand = [str(runs[seed].relative_to(out)) for seed in done]
        cells[name] = {"hole": "" if done else hole, "runs": stand, "failed": failed}
        left = [seed for seed in runs if seed not in done and str(seed) not in failed]
        if left and not hole:
            waiting[name] = left
    return cells, waiting


def _train_cell(preset: Preset, name: str, seeds: Sequence[int], out: Path, cell: dict[str, Any]) -> Iterator[None]:
    """Searches for a cell's settings and trains it with each seed; yields whenever `cell` says something new."""
    chosen = search(preset, name, out)
    for seed in seeds:
        if chosen is None:
            cell["failed"][str(seed)] = "every trial of its search diverged"
            yield
            continue
        say(f"reproduce: {name}, seed {seed}")
        run = _run_folder(out, name, seed)
        try:
            train(preset.config(name, seed, chosen), run)
            cell["runs"].append(str(run.relative_to(out)))
        except NonFiniteLoss as error:
            cell["failed"][str(seed)] = str(error)
            say(str(error))
        yield


def _run_folder(out: Path, name: str, seed: int) -> Path:
    return out / "runs" / f"{name}-seed{seed}"


def _announce(
    preset: Preset,
    records: Mapping[bool, Sequence[Record]],
    out: Path,
    cells: Mapping[str, Any],
    waiting: Mapping[str, Sequence[int]],
) -> None:
    """Says how many trainings there are, trials and grids included, and about how long they take."""
    for name, cell in cells.items():
        if cell["hole"]:
            say(f"reproduce: {name} stays a hole: {cell['hole']}")
    clock = Clock()
    seconds, trials, points = 0.0, 0, 0
    for name, seeds in waiting.items():
        photographs = records[CELLS[name].nearer]
        seconds += len(seeds) * clock.seconds(preset.config(name, 0), photographs)
        if axes := preset.search_axes(name):
            every = [preset.config(name, 0, chosen, search=True) for chosen in combinations(axes)]
            left = every[num_finished(folder_of(out, name)) :]
            trials += len(left)
            seconds += clock.together(left, photographs)
    for name in preset.grid_cells:
        if not preset.hole(name):
            center = preset.config(name, 0, search=True)
            left = configs_of(center, preset.grid)[num_finished(out / "grids" / name) :]
            points += len(left)
            seconds += clock.together(left, records[False])
            if preset.quick:
                whole = configs_of(center, preset.grid.with_name("grid.toml"))
                needed = duration(clock.together(whole, records[False]))
                say(f"reproduce: the full grid around {name} has {len(whole)} points: about {needed} here")
    done = sum(len(cell["runs"]) for cell in cells.values())
    diverged = sum(len(cell["failed"]) for cell in cells.values())
    say(
        f"reproduce: {sum(map(len, waiting.values()))} trainings to do ({done} done"
        f"{f', {diverged} diverged' if diverged else ''}, {sum(bool(cell['hole']) for cell in cells.values())} cells "
        f"are holes), {trials} trials to choose their settings, {points} points of the grid search to do: about "
        f"{duration(seconds)} here, as busy as this machine is now (estimated from a few steps of each)"
    )


def _check_free(out: Path, study: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the folder's study.json, if there is one.

    Raises Refused where the folder holds another reproduction (what differs is named) or anything else.
    """
    file = out / "study.json"
    then: dict[str, Any] = {}
    if file.exists():
        then = json.loads(read_text(file))
        differing = [
            f"{key} = {then.get(key)!r} there, {value!r} here"
            for key, value in study.items()
            if then.get(key) != value and (key != "nearer" or then.get(key))
        ]
        if differing:
            raise Refused(f"{out}: holds another reproduction: {'; '.join(differing)}; choose another --out")
    elif out.exists() and (others := sorted(entry.name for entry in out.iterdir())):
        raise Refused(f"{out}: the folder holds other files ({others[0]} ...); choose another --out")
    return then


def _write(out: Path, study: Mapping[str, Any]) -> None:
    write_json(out / "study.json", study)
