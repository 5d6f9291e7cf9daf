"""The study of docs/results/idrid.md: every point trained once and appended to docs/results/idrid.jsonl.

    semiretina data import idrid --root PATH/TO/idrid --out manifest.csv
    python benchmarks/idrid_study.py --runs FOLDER [--only PART-OF-A-NAME] [--threads 2]
    python benchmarks/idrid_study.py --table

It goes on after any stop and skips what stands there; several processes may share the folder, for a run that
another one holds is passed over. On a GPU: `timeout 500 python benchmarks/idrid_study.py --size 512`, repeated until
it is done; the 512 px points go to docs/results/idrid-512.jsonl.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from semiretina import train
from semiretina.errors import Refused

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
SEEDS = (0, 1, 2)
WAYS = ("baseline", "ae-then-cl", "combined")
LABELS = 40
# Equal numbers of labelled updates for all three ways, so that none learns longer from the labels than another.
UPDATES = 50
BALANCES = {"balanced": "norm_ratio", "eq4": "eq4", "gradnorm": "gradnorm"}  # name in the table -> of the rule
LOSSES = ("l1", "ssim", "kl", "mutual_information")
HEADS = {
    "heads": ("dr", "severity", "lesions", "dme"),
    "ordinal": ("dr", "severity-ordinal", "lesions", "dme"),
}
Point = tuple[str, str, tuple[str, ...]]  # name, configuration, overrides


def points(size: int) -> Iterator[Point]:
    """Name, configuration and overrides of every point, the most telling first."""
    for model in ("lite0", "aecl1", "aeres18"):
        if size == 256:
            yield f"{model}-probe", f"{model}-probe-256", ()
        for way in WAYS:
            yield f"{model}-{way}", f"{model}-{way}-{size}", ()
    if size == 256:
        shuffled = ("data.shuffle_labels=true",)
        yield "lite0-probe-shuffled", "lite0-probe-256", shuffled
        for seed in SEEDS:
            few = (f"data.labels={LABELS}", f"seed={seed}")
            yield f"lite0-probe-{LABELS}-labels-seed-{seed}", "lite0-probe-256", few
            for way in WAYS:
                last = 1 if way == "ae-then-cl" else 0
                length = (f"stages.{last}.updates={UPDATES}", f"stages.{last}.epochs=null")
                yield f"lite0-{way}-{LABELS}-labels-seed-{seed}", f"lite0-{way}-256", (*few, *length)
        yield "lite0-baseline-shuffled", "lite0-baseline-256", shuffled
        yield from choices()


def choices() -> Iterator[Point]:
    """The choices the paper leaves open or names as its future: lambda, the reconstruction loss, the heads."""
    few = (f"data.labels={LABELS}", "seed=0")
    for balance, rule in BALANCES.items():
        length = (f"stages.0.updates={UPDATES}", "stages.0.epochs=null")
        method = f'stages.0.method={{name="balanced", balance={{name="{rule}"}}}}'
        yield f"lite0-combined-{balance}-{LABELS}-labels-seed-0", "lite0-combined-256", (*few, *length, method)
    for loss in LOSSES:
        length = (f"stages.1.updates={UPDATES}", "stages.1.epochs=null")
        method = f'stages.0.method={{name="reconstruction", reconstruction="{loss}"}}'
        yield f"lite0-ae-then-cl-{loss}-{LABELS}-labels-seed-0", "lite0-ae-then-cl-256", (*few, *length, method)
    for heads, tasks in HEADS.items():
        yield f"lite0-baseline-{heads}", "lite0-baseline-256", (f"tasks={json.dumps(tasks)}",)
    balanced = 'stages.0.method={name="balanced"}'
    yield "aeres18-combined-balanced", "aeres18-combined-256", (balanced,)


def run(runs: Path, only: str, threads: int, manifest: Path, size: int = 256) -> None:
    torch.set_num_threads(threads)
    for name, config, overrides in points(size):
        if only not in name or name in {row["point"] for row in read(size)}:
            continue
        began = time.monotonic()
        given = [f"data.manifest={manifest.resolve()}", *overrides]
        try:
            result = train(ROOT / "configs" / "idrid" / f"{config}.toml", runs / name, overrides=given)
        except Refused as error:
            print(error)
            continue
        seconds = round(time.monotonic() - began)
        row = {
            "point": name,
            "config": f"configs/idrid/{config}.toml",
            "overrides": list(overrides),
            "seconds": seconds,
        }
        with results(size).open("a") as out:
            out.write(json.dumps({**row, "result": result}) + "\n")


def results(size: int) -> Path:
    return RESULTS / ("idrid.jsonl" if size == 256 else f"idrid-{size}.jsonl")


def read(size: int) -> list[dict[str, Any]]:
    file = results(size)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(size: int) -> None:
    print("| run | train | unlabelled | labelled updates | epoch | accuracy | AUROC | sensitivity | specificity |")
    print("|---|--:|--:|--:|--:|---|---|---|---|")
    rows = {row["point"]: row["result"] for row in read(size)}
    for name, _, _ in points(size):
        if name in rows:
            r = rows[name]
            scores = r["test"]["dr"]
            cells = [interval(scores[key]) for key in ("accuracy", "auroc", "sensitivity", "specificity")]
            counts = (
                f"{r['counts']['train']} | {r['counts']['unlabeled']} | {r['labeled_updates']} | {r['selected_epoch']}"
            )
            print(f"| {name} | {counts} | {' | '.join(cells)} |")
    first = next(iter(rows.values()))["test"]["dr"]
    print(f"| majority vote | | | | | {first['majority']:.3f} of {first['n']} | 0.5 | 1 | 0 |")
    few = [
        seed for seed in SEEDS if all(f"lite0-{way}-{LABELS}-labels-seed-{seed}" in rows for way in ("probe", *WAYS))
    ]
    if few:
        paired({way: [auroc(rows, way, seed) for seed in few] for way in ("probe", *WAYS)}, few)


def paired(curves: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
    """AUROC by seed, and the differences to the baseline on the same labels and test photographs."""
    columns = " | ".join(f"seed {seed}" for seed in seeds)
    print(f"\n| {LABELS} labels | {columns} | mean | minus baseline, by seed | mean |")
    print(f"|---|{'--:|' * (len(seeds) + 3)}")
    for way, values in curves.items():
        gains = [value - base for value, base in zip(values, curves["baseline"], strict=True)]
        shown = "" if way == "baseline" else " ".join(f"{gain:+.3f}" for gain in gains)
        average = "" if way == "baseline" else f"{mean(gains):+.3f}"
        print(f"| {way} | {' | '.join(f'{v:.3f}' for v in values)} | {mean(values):.3f} | {shown} | {average} |")


def auroc(rows: Mapping[str, Any], way: str, seed: int) -> float:
    return float(rows[f"lite0-{way}-{LABELS}-labels-seed-{seed}"]["test"]["dr"]["auroc"]["value"])


def interval(estimate: dict[str, float]) -> str:
    if estimate["value"] is None:
        return "undefined"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/idrid-study"))
    parser.add_argument("--manifest", type=Path, default=ROOT / "manifest.csv")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=256, choices=(256, 512))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table(given.size)
    else:
        run(given.runs, given.only, given.threads, given.manifest, given.size)
