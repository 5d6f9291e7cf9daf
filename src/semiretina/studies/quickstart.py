"""The quickstart: synthetic photographs, the paper's three trainings on few labels, one report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiretina.config import Config, dump_toml, load_config
from semiretina.data.sources.synthetic import records
from semiretina.errors import Refused
from semiretina.experiment import train
from semiretina.files import write_text
from semiretina.progress import say
from semiretina.records import write_manifest
from semiretina.report import results_table, to_text, write_report

PHOTOGRAPHS, UNLABELED, DRAWN_SIZE = 420, 120, 128
SIZE, LABELS, BATCH = 64, 64, 16
# Equal labelled updates for the three, so that none learns longer from the labels than another.
LABELED_UPDATES = 160
RECONSTRUCTION_EPOCHS = 6
OPTIMIZER = {"name": "adam", "lr": 3e-3, "schedule": "cosine", "warmup": 0.05}

STAGES: Mapping[str, list[dict[str, Any]]] = {
    "baseline": [{"method": {"name": "supervised"}, "updates": LABELED_UPDATES}],
    "ae-then-cl": [
        {"method": {"name": "reconstruction"}, "epochs": RECONSTRUCTION_EPOCHS},
        {"method": {"name": "supervised"}, "updates": LABELED_UPDATES},
    ],
    "ae-cl-combined": [{"method": {"name": "combined", "lambda_cl": 1.0}, "updates": LABELED_UPDATES}],
}


def quickstart(out: Path | str, seed: int = 0) -> str:
    """Draws, trains three ways, and writes `out`/report.html; returns the table of results and where the report lies.

    What is finished stays: called again it goes on, or prints its result. `out`/configs holds the configurations.
    Raises Refused when `out` holds something else.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "manifest.csv").exists():
        raise Refused(f"{out}: the folder holds other files; choose another --out")
    draw(out, seed)
    runs = []
    for number, name in enumerate(STAGES, start=1):
        say(f"training {number} of {len(STAGES)}: {name}")
        config = configuration(name, out, seed)
        write_text(out / "configs" / f"{name}.toml", dump_toml(config))
        runs.append(out / "runs" / name)
        train(config, runs[-1])
    report = write_report(runs, out)
    return "\n".join(
        [
            to_text(results_table(runs)),
            f"report: {report}",
            "Synthetic photographs: this shows that the program works, not that a method helps on real ones.",
        ]
    )


def draw(out: Path, seed: int) -> None:
    """Draws the photographs and writes `out`/manifest.csv."""
    folder = out.absolute() / "photographs"
    drawn = records(folder, photographs=PHOTOGRAPHS, unlabeled=UNLABELED, size=DRAWN_SIZE, seed=seed)
    write_manifest(drawn, out / "manifest.csv")


def configuration(name: str, out: Path, seed: int) -> Config:
    """The configuration of one of the three ways, for the photographs in `out`."""
    return load_config(
        {
            "seed": seed,
            "data": {
                "manifest": str(out.absolute() / "manifest.csv"),
                "cache": str(out.absolute() / "cache"),
                "size": SIZE,
                "labels": LABELS,
            },
            "model": {"name": "aecl1-small", "hidden": 0},
            "stages": [{**stage, "batch": BATCH, "optimizer": OPTIMIZER} for stage in STAGES[name]],
        }
    )
