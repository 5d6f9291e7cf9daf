"""Which lesions survive reconstruction, by loss and by network: the tables of docs/results/survival.md.

    python benchmarks/lesion_survival.py --out FOLDER [--epochs 12] [--only mse ssim]
    python benchmarks/lesion_survival.py --runs RUN...

The first draws photographs with masks ("real" difficulty, 128 px), trains one small autoencoder with each
reconstruction loss from the same first weights, and measures on held-out photographs; what stands in FOLDER is not
trained again. The second measures finished runs of `combined` or `reconstruction` on the photographs of their own
validation and test sets that have masks. After "AE then CL" there is nothing to measure: the second stage has moved the
encoder away from its decoder.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiretina import train
from semiretina.data.pixel_cache import PixelCache, open_cache
from semiretina.data.pixels import Pixels
from semiretina.data.sources.synthetic import records
from semiretina.data.split import read_split
from semiretina.judging.grader import load
from semiretina.judging.inference import reconstruct_rows
from semiretina.judging.lesion_survival import has_masks, survival
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.records import write_manifest
from semiretina.run_folder import RunFolder

SIZE, PHOTOGRAPHS = 128, 320
MODEL = {"name": "aecl1", "widths": [16, 32, 64]}  # three levels: 16 x 16 places of 64 numbers for 128 x 128 x 3
OPTIMIZER = {"name": "adam", "lr": 3e-3, "schedule": "cosine", "warmup": 0.05}


def train_all(out: Path, losses: Sequence[str], epochs: int) -> list[Path]:
    manifest = out / "manifest.csv"
    if not manifest.exists():
        drawn = records(
            out.absolute() / "photographs",
            photographs=PHOTOGRAPHS,
            unlabeled=0,
            size=SIZE,
            difficulty="real",
            masks=True,
        )
        write_manifest(drawn, manifest)
    for loss in losses:
        stage = {
            "method": {"name": "reconstruction", "reconstruction": loss},
            "epochs": epochs,
            "batch": 8,
            "optimizer": OPTIMIZER,
        }
        config = {
            "data": {"manifest": str(manifest), "cache": str(out / "cache"), "size": SIZE, "test": 0.3, "val": 0.05},
            "model": MODEL,
            "stages": [stage],
        }
        train(config, out / loss)
    return [out / loss for loss in losses]


def measure(run: Path, roles: Sequence[str]) -> dict[str, Any]:
    """`survival.json`'s content for a finished run, with the mean squared error over the same photographs."""
    folder = RunFolder(run)
    config, split, grader = folder.read_config(), read_split(folder.split), load(run)
    last = config.stages[-1].method["name"]
    if last not in ("reconstruction", "combined"):
        raise SystemExit(f"{run}: ends with '{last}', whose encoder no decoder fits; give a run of combined")
    cache: PixelCache = open_cache(config.data)
    entries = cache.add([record.path for record in split.records])
    places = np.array([-1 if entry.row is None else entry.row for entry in entries], np.int64)
    pixels = Pixels(cache.rows(), places, grader.device, [entry.box for entry in entries])
    rows = np.array([row for row in split.rows(*roles) if has_masks(split.records[row])], np.int64)
    error, _ = reconstruct_rows(grader.network, pixels, rows, batch=8)
    return {"mse": error, **survival(split, rows, pixels, grader.network, batch=8)}


def show(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """A Markdown table of percentages, each with its interval and, after the bar, what chance gives."""
    first = next(iter(measured.values()))
    print(f"{first['photographs']} photographs at {first['size']} px; blurred: sigma = {first['blur']:g} px\n")
    print(f"| lesion | area, px | lesions | measurable | {' | '.join(measured)} | blurred | original |")
    print(f"|---|---|{'--:|' * (len(measured) + 4)}")
    for number, row in enumerate(first["table"]):
        own = [content["table"][number] for content in measured.values()]
        assert all(other["blurred"] == row["blurred"] for other in own), "the runs saw different photographs"
        cells = [f"{percent(other['reconstruction'])} / {percent(other['chance'], short=True)}" for other in own]
        print(
            f"| {row['type']} | {row['sizes']} | {row['lesions']} | {row['measurable']} | {' | '.join(cells)} | "
            f"{percent(row['blurred'])} | {percent(row['original'], short=True)} |"
        )
    errors = " | ".join(f"{content['mse']:.5f}" for content in measured.values())
    print(f"| mean squared error | | | | {errors} | | 0 |")


def percent(share: Mapping[str, float], *, short: bool = False) -> str:
    value, low, high = share["value"], share["low"], share["high"]
    if np.isnan(value):
        return "–"
    return f"{100 * value:.0f}" if short else f"{100 * value:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for photographs and runs of the comparison of losses")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=list(RECONSTRUCTION_LOSSES), default=list(RECONSTRUCTION_LOSSES))
    parser.add_argument("--runs", type=Path, nargs="+", help="finished runs to measure instead")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.runs:
        show({run.resolve().name: measure(run, ("val", "test")) for run in options.runs})
    elif options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        runs = train_all(options.out, options.only, options.epochs)
        measured = {run.name: measure(run, ("test",)) for run in runs}
        (options.out / "survival.json").write_text(json.dumps(measured, indent=1) + "\n")
        show(measured)
    else:
        parser.error("give --out or --runs")


if __name__ == "__main__":
    main()
