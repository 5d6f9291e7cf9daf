"""The whole paper from one command: every training of its tables and figures, the grid search, and one report.

`out` holds `study.json` (what is reproduced, and which run stands for which cell), `manifest.csv`, `cache/`, `runs/`,
`grids/` and `report.html`. Whatever is finished stays: the same command goes on, with more `seeds` too.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from semiretina.config import dump_toml
from semiretina.data.sources import SOURCES, import_source
from semiretina.errors import BadConfig, MissingInput, NonFiniteLoss, Refused
from semiretina.experiment import train
from semiretina.files import read_text, write_text
from semiretina.lookup import lookup
from semiretina.progress import duration, say
from semiretina.records import LESIONS, Record, read_manifest, write_manifest
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.page import write_paper_report
from semiretina.report.paper.study import SCHEMA
from semiretina.report.paper.table1 import INDEX, read_points
from semiretina.run_folder import RunFolder
from semiretina.studies.estimate import Clock
from semiretina.studies.grid import configs_of, grid_points
from semiretina.studies.presets import PRESETS, Plan
from semiretina.studies.sweep import sweep


def reproduce(
    source: str,
    root: Path,
    out: Path,
    *,
    unlabeled: Sequence[str] = (),
    weights: Path | None = None,
    preset: str = "corrected",
    seeds: int = 1,
    quick: bool = False,
    share: bool | None = None,
) -> str:
    """Plans, trains and reports; returns where the report lies.

    `unlabeled` are further sources as "NAME=FOLDER", used without their labels. `weights` is a folder with
    `resnet18.safetensors` and `inceptionv3.safetensors`; without them the pretrained cells stay marked holes. `seeds`
    trains each cell with the seeds 0, 1, ...; the grid search has one. `quick`: see `configs/paper/quick.toml`,
    `share`: `write_paper_report`.

    Raises Refused where `out` holds something else, and what importing and training raise.
    """
    lookup(SOURCES, source, "reproduce")
    if preset not in PRESETS:
        raise BadConfig(f"--preset {preset}: known are {', '.join(PRESETS)}")
    if seeds < 1:
        raise BadConfig(f"--seeds {seeds}: at least one is needed")
    if weights and not weights.is_dir():
        raise MissingInput(f"--weights {weights}: no such folder; give one with resnet18.safetensors, or leave it out")
    given = {"source": source, "root": str(root.absolute()), "unlabeled": list(unlabeled), "preset": preset}
    study: dict[str, Any] = {"schema": SCHEMA, **given, "quick": quick}
    _check_free(out, study)
    out = out.absolute()
    weights = weights.absolute() if weights else None
    blank = Plan(preset, quick, out / "manifest.csv", out / "cache", weights, unlabeled=True)
    records = gather(source, root, unlabeled, blank)
    if not (out / "study.json").exists():
        _write(out, study)
    plan = replace(blank, unlabeled=any(not _graded(record) for record in records))
    if not plan.unlabeled:
        say("reproduce: no unlabelled photographs; the autoencoders learn from the labelled ones, without their labels")
    # Written whole before anything is trained: a stop takes nothing out of the report that already stands.
    cells, todo = _stand(plan, out, seeds)
    _tell(plan, records, out, cells, todo)
    grids = {name: {"hole": plan.hole(name), "folder": f"grids/{name}"} for name in plan.grid_cells}
    study |= {"seeds": seeds, "cells": cells, "grids": grids}
    _write(out, study)
    for name, seed, run in todo:
        say(f"reproduce: {name}, seed {seed}")
        try:
            train(plan.config(name, seed), run)
            cells[name]["runs"].append(str(run.relative_to(out)))
        except NonFiniteLoss as error:
            cells[name]["failed"][str(seed)] = str(error)
            say(str(error))
        _write(out, study)
    for name, grid in grids.items():
        if not grid["hole"]:
            # The search takes the longest, and the trainings can be read meanwhile.
            say(f"reproduce: the report so far: {write_paper_report(out, share)}")
            say(f"reproduce: grid search around {name}")
            base = out / "grids" / f"{name}.toml"
            write_text(base, dump_toml(plan.config(name, 0, grid=True)))
            say(sweep(grid_points(base, plan.grid), out / "grids" / name))
    return f"report: {write_paper_report(out, share)}"


def gather(source: str, root: Path, unlabeled: Sequence[str], plan: Plan) -> list[Record]:
    """The records of all sources in one manifest, which is written once, when all are read."""
    if plan.manifest.exists():
        return read_manifest(plan.manifest)
    options = []
    if source == "synthetic":
        small = plan.small
        sizes = (small["photographs"], small["unlabeled"], small["data"]["size"]) if small else (1200, 690, 512)
        names = ("photographs", "unlabeled", "size")
        options = ["layout=messidor", *(f"{name}={value}" for name, value in zip(names, sizes, strict=True))]
    further = [_parse(entry) for entry in unlabeled]
    records = _import(source, root, options)
    for name, folder in further:
        known = {record.path for record in records}
        more = [_without_labels(record) for record in _import(name, folder)]
        doubled = [record.path.name for record in more if record.path in known]
        if doubled:
            say(f"reproduce: {len(doubled)} photographs stand in both sources and count as labelled: {doubled[0]} ...")
        records += [record for record in more if record.path not in known]
    write_manifest(records, plan.manifest)
    return records


def _parse(entry: str) -> tuple[str, Path]:
    name, equals, folder = entry.partition("=")
    if not equals or not folder:
        raise BadConfig(f"--unlabeled {entry}: not of the form SOURCE=FOLDER, as in messidor_extension=DIR")
    lookup(SOURCES, name, "--unlabeled")
    return name, Path(folder)


def _import(name: str, root: Path, options: Sequence[str] = ()) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.csv"
        import_source(name, root, manifest, options)
        return read_manifest(manifest)


def _stand(plan: Plan, out: Path, seeds: int) -> tuple[dict[str, Any], list[tuple[str, int, Path]]]:
    """What stands of every cell, and the trainings that are to be done.

    A finished training stays, also a pretrained one whose weights are no longer given. One that diverged is a result
    too, as long as its run folder is there.
    """
    file = out / "study.json"
    before = json.loads(read_text(file)).get("cells", {})
    cells: dict[str, Any] = {}
    todo = []
    for name in CELLS:
        runs = {seed: out / "runs" / f"{name}-seed{seed}" for seed in range(seeds)}
        failed = before.get(name, {}).get("failed", {})
        failed = {str(seed): failed[str(seed)] for seed, run in runs.items() if str(seed) in failed and run.exists()}
        done = [seed for seed, run in runs.items() if RunFolder(run).result.exists()]
        hole = "" if done else plan.hole(name)
        cells[name] = {"hole": hole, "runs": [str(runs[seed].relative_to(out)) for seed in done], "failed": failed}
        if not plan.hole(name):
            todo += [(name, seed, run) for seed, run in runs.items() if seed not in done and str(seed) not in failed]
    return cells, todo


def _tell(
    plan: Plan, records: Sequence[Record], out: Path, cells: Mapping[str, Any], todo: Sequence[tuple[str, int, Path]]
) -> None:
    """Says how many trainings there are and about how long they take."""
    for name, cell in cells.items():
        if cell["hole"]:
            say(f"reproduce: {name} stays a hole: {cell['hole']}")
    clock = Clock()
    seconds = sum(clock.seconds(plan.config(name, seed), records) for name, seed, _ in todo)
    points = 0
    for name in plan.grid_cells:
        if not plan.hole(name):
            center = plan.config(name, 0, grid=True)
            done = sum(point.status != "open" for point in read_points(out / "grids" / name / INDEX))
            left = configs_of(center, plan.grid)[done:]
            points += len(left)
            seconds += clock.together(left, records)
            if plan.quick:
                whole = configs_of(center, plan.grid.with_name("grid.toml"))
                needed = duration(clock.together(whole, records))
                say(f"reproduce: the full grid around {name} has {len(whole)} points: about {needed} here")
    done = sum(len(cell["runs"]) for cell in cells.values())
    diverged = sum(len(cell["failed"]) for cell in cells.values())
    say(
        f"reproduce: {len(todo)} trainings to do ({done} done{f', {diverged} diverged' if diverged else ''}, "
        f"{sum(bool(cell['hole']) for cell in cells.values())} cells are holes), "
        f"{points} points of the grid search to do: about {duration(seconds)} here, as busy as this machine is now "
        "(estimated from a few steps of each)"
    )


def _check_free(out: Path, study: Mapping[str, Any]) -> None:
    """Raises Refused where the folder holds another reproduction (what differs is named) or anything else."""
    file = out / "study.json"
    if file.exists():
        then = json.loads(read_text(file))
        differing = [
            f"{key} = {then.get(key)!r} there, {value!r} here" for key, value in study.items() if then.get(key) != value
        ]
        if differing:
            raise Refused(f"{out}: holds another reproduction: {'; '.join(differing)}; choose another --out")
    elif out.exists() and (others := sorted(entry.name for entry in out.iterdir())):
        raise Refused(f"{out}: the folder holds other files ({others[0]} ...); choose another --out")


def _write(out: Path, study: Mapping[str, Any]) -> None:
    write_text(out / "study.json", json.dumps(study, indent=1) + "\n")


def _graded(record: Record) -> bool:
    return record.grade is not None


def _without_labels(record: Record) -> Record:
    hidden: dict[str, Any] = dict.fromkeys(("grade", "dme", *LESIONS))
    note = "labels hidden" if _graded(record) else ""
    provenance = "; ".join(filter(None, (record.provenance, note)))
    return replace(record, split="", scale="", provenance=provenance, **hidden)
