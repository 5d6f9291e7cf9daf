"""How the losses of combined training are weighted, on the photographs of `semiretina reproduce synthetic --quick`.

    python benchmarks/balance_quick.py --folder FOLDER [--threads 1]
    python benchmarks/balance_quick.py --table

Every weighting is trained with five seeds as the small copy of `configs/paper/corrected/aecl1-combined.toml`, the test
set closed; its AUROC on validation is appended to docs/results/balance-quick.jsonl. It goes on after any stop and
skips what stands there.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from semiretina import train
from semiretina.errors import NonFiniteLoss
from semiretina.studies.gather import gather
from semiretina.studies.presets import Preset

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "balance-quick.jsonl"
SEEDS = range(5)
LR = 1e-3  # of the whole stage; every weighting at the same one
WEIGHTINGS: Mapping[str, Mapping[str, Any]] = {
    **{
        f"balanced, rho = {rho:g}": {"name": "balanced", "balance": {"name": "norm_ratio", "rho": rho}}
        for rho in (0.1, 0.3, 1.0)
    },
    **{f"fixed, lambda = {value:g}": {"name": "combined", "lambda_cl": value} for value in (1.0, 3.0, 400.0)},
    "gradnorm": {"name": "balanced", "balance": {"name": "gradnorm"}},
}
BASELINE = "labels alone"


def run(folder: Path) -> None:
    preset = Preset("corrected", True, folder / "manifest.csv", folder / "cache", None)
    gather("synthetic", folder / "drawn", (), preset.manifest, preset.small)
    for seed in SEEDS:
        for name in (BASELINE, *WEIGHTINGS):
            if any((row["weighting"], row["seed"], row["lr"]) == (name, seed, LR) for row in rows()):
                continue
            cell = "aecl1-baseline" if name == BASELINE else "aecl1-combined"
            chosen: dict[str, Any] = {"stages.-1.optimizer.lr": LR}
            if name != BASELINE:
                chosen["stages.-1.method"] = dict(WEIGHTINGS[name])
            began = time.process_time()
            row = {"weighting": name, "seed": seed, "lr": LR}
            try:
                result = train(preset.config(cell, seed, chosen, search=True), folder / "runs" / f"{name}-seed{seed}")
                scores = result["val"]["dr"]
                row |= {"auroc": scores["auroc"]["value"], "accuracy": scores["accuracy"]["value"], "n": scores["n"]}
                row["epoch"] = result["selected_epoch"]
            except NonFiniteLoss as error:
                row["diverged"] = str(error)
            row["cpu_seconds"] = round(time.process_time() - began, 1)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def table() -> None:
    print("| weighting | AUROC on validation, seeds 0 to 4 | mean | accuracy, mean | diverged |\n|---|---|---|---|---|")
    for name in (BASELINE, *WEIGHTINGS):
        own = sorted((row for row in rows() if row["weighting"] == name), key=lambda row: row["seed"])
        known = [row for row in own if "auroc" in row]
        if known:
            each = ", ".join(f"{row['auroc']:.3f}" for row in known)
            average = f"{mean(r['auroc'] for r in known):.3f} | {100 * mean(r['accuracy'] for r in known):.1f} %"
            print(f"| {name} | {each} | {average} | {len(own) - len(known)} of {len(own)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table()
    elif given.folder:
        torch.set_num_threads(given.threads)
        run(given.folder)
    else:
        parser.error("give --folder, or --table")
