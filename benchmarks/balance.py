"""Whether the balanced training is balanced: ||mu g_ae|| against rho ||g_cl||, as the encoder sees them.

    python benchmarks/balance.py [--seeds 1] [--rho 1.0]

Trains small autoencoders on drawn photographs (64 px) with `balanced`, by SGD and Adam at the paper's rates (section
5.2) and at faster ones, for a short and a long stage, and reads both norms of every labelled step from the log. For
each window of 20 labelled steps after the first tenth of the stage: the mean of ||mu g_ae|| over the mean of ||g_cl||,
divided by rho, which should be 1. Windows whose ||g_cl|| is below a thousandth of that of the first 20 steps do not
count. Goal: 95 % of them lie within [0.5, 2]. "Learned by heart": 16 labels, no augmentation, so ||g_cl|| vanishes.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import semiretina
from semiretina.data.sources.synthetic import records
from semiretina.records import write_manifest

WINDOW = 20  # labelled steps
STARTED = 0.1  # share of the stage after which windows count
ENDED = 1e-3  # of the first norm of the classifier's gradient: below, there is nothing left to balance
LOW, HIGH, GOAL = 0.5, 2.0, 95.0

NARROW: dict[str, Any] = {"name": "aecl1", "widths": [8, 16, 32, 64], "hidden": 0}
SMALL: dict[str, Any] = {"name": "aecl1-small", "kernel": "k4s2p1"}
SGD, SGD_FAST = ({"name": "sgd", "lr": lr, "momentum": 0.9, "weight_decay": 1e-5} for lr in (4e-3, 2e-2))
ADAM = {"name": "adam", "lr": 5e-6, "betas": [0.95, 0.999], "eps": 1e-6}
ADAM_FAST = {"name": "adam", "lr": 2e-3}
BY_HEART: dict[str, Any] = {
    "data": {"labels": 16},
    "augment": {"rotation": 0.0, "scale": [1.0, 1.0], "flip": False},
}
# name -> model, optimiser, labelled updates, further settings
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int, dict[str, Any]]] = {
    "narrow, SGD 4e-3 (AERes18's)": (NARROW, SGD, 60, {}),
    "narrow, SGD 4e-3 (AERes18's), long": (NARROW, SGD, 240, {}),
    "narrow, SGD 2e-2": (NARROW | {"kernel": "k4s2p1"}, SGD_FAST, 60, {}),
    "narrow, Adam 5e-6 (AECL1's)": (NARROW, ADAM, 60, {}),
    "narrow, Adam 2e-3": (NARROW | {"kernel": "k4s2p1"}, ADAM_FAST, 60, {}),
    "narrow, Adam 2e-3, long": (NARROW, ADAM_FAST, 240, {}),
    "aecl1-small, SGD 2e-2": (SMALL, SGD_FAST, 60, {}),
    "aecl1-small, Adam 2e-3": (SMALL, ADAM_FAST, 60, {}),
    "narrow, SGD 2e-2, by heart": (NARROW, SGD_FAST, 160, BY_HEART),
    "narrow, Adam 2e-3, by heart": (NARROW, ADAM_FAST, 160, BY_HEART),
}


def norms(folder: Path, run: str, config: dict[str, Any]) -> np.ndarray:
    """[labelled steps, 2]: ||mu g_ae|| and ||g_cl|| of every labelled step of a training."""
    semiretina.train(config, folder / run)
    rows = [json.loads(line) for line in (folder / run / "log.jsonl").read_text().splitlines()]
    return np.array([(row["grad_norm_ae"], row["grad_norm_cl"]) for row in rows if "grad_norm_ae" in row])


def ratios(norms: np.ndarray, rho: float) -> np.ndarray:
    """For each window that counts: the mean of ||mu g_ae|| over that of rho ||g_cl||."""
    sums = np.cumsum(np.vstack([np.zeros(2), norms]), axis=0)
    means = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    counted = means[int(STARTED * len(norms)) :]
    counted = counted[counted[:, 1] > ENDED * means[0, 1]]
    return counted[:, 0] / (rho * counted[:, 1])


def main(seeds: int, rho: float) -> None:
    print(f"rho = {rho:g}, windows of {WINDOW} labelled steps")
    print("| training | labelled updates | seed | windows | lowest | median | highest | within [0.5, 2], % |")
    print("|---|---|---|---|---|---|---|---|")
    shares = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        drawn = records(folder / "photographs", photographs=200, unlabeled=40, size=128, seed=0)
        write_manifest(drawn, folder / "manifest.csv")
        data = {"manifest": str(folder / "manifest.csv"), "cache": str(folder / "cache"), "size": 64}
        for seed in range(seeds):
            for name, (model, optimizer, updates, further) in CASES.items():
                stage = {
                    "method": {"name": "balanced", "balance": {"name": "norm_ratio", "rho": rho}},
                    "updates": updates,
                    "batch": 8,
                    "optimizer": optimizer,
                }
                config = {"seed": seed, "model": model, "stages": [stage], "open_test": False, **further}
                config["data"] = {**data, **further.get("data", {})}
                found = ratios(norms(folder, f"{name} {seed}", config), rho)
                shares.append(100 * float(((found >= LOW) & (found <= HIGH)).mean()))
                low, middle, high = found.min(), np.median(found), found.max()
                counts = f"{updates} | {seed} | {len(found)}"
                print(f"| {name} | {counts} | {low:.2f} | {middle:.2f} | {high:.2f} | {shares[-1]:.1f} |", flush=True)
    print(f"\nthe worst training: {min(shares):.1f} % of its windows (goal {GOAL:g})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rho", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    main(given.seeds, given.rho)
