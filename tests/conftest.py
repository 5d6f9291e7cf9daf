"""What several test files stand on: a few drawn photographs, the smallest network, and a configuration for them."""

import csv
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a test is one of several at a time; before numpy and torch are loaded

import numpy as np
import pytest
import torch
from PIL import Image

from semiretina.batch import Progress
from semiretina.models import build_network

torch.set_num_threads(1)

SIZE = 32
PATIENTS = 20  # two photographs each; those of the last four are not labelled


@pytest.fixture(autouse=True)
def _same_start():
    """No test depends on the draws, or on the determinism setting, of the ones before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries may draw from it)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A manifest of forty drawn photographs, 64 px: diseased ones (grade 2) carry a bright patch."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(7)
    rows = []
    for patient in range(PATIENTS):
        for eye in ("left", "right"):
            diseased = patient % 2
            picture = random.integers(20, 90, (64, 64, 3)).astype(np.uint8)
            if diseased:
                x, y = random.integers(12, 36, 2)
                picture[y : y + 16, x : x + 16] = (250, 230, 120)
            name = f"{patient:02d}-{eye}.jpg"
            Image.fromarray(picture).save(folder / name, quality=92)
            labeled = patient < PATIENTS - 4
            rows.append(
                {
                    "path": name,
                    "site": "north" if patient % 4 < 2 else "south",
                    "patient": f"{patient:03d}",
                    "eye": eye,
                    "scale": "icdr" if labeled else "",
                    "grade": 2 * diseased if labeled else "",
                    "HE": 1 if labeled and diseased and eye == "left" else "",
                }
            )
    with (folder / "manifest.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def pixel_cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_config(photographs, pixel_cache):
    """`make_config(stage, ..., data={...}, key=value)`: a dict that `semiretina.train` takes."""

    def make(*stages, data=None, model=None, **top):
        return {
            "data": {
                "manifest": str(photographs),
                "size": SIZE,
                "crop": "none",
                "cache": str(pixel_cache),
                **(data or {}),
            },
            "model": {"name": "aecl1", "widths": [4, 6, 8], **(model or {})},
            "stages": list(stages),
            "engine": {"device": "cpu", "eval_batch": 8},
            **top,
        }

    return make


@pytest.fixture
def make_stage():
    """`make_stage("combined", lambda_cl=4.0, epochs=2, optimizer={...})`: a stage as a dict."""

    def make(
        name, *, epochs=None, updates=None, batch=8, unlabeled_batch=None, images="all", optimizer=None, **parameters
    ):
        return {
            "method": {"name": name, **parameters},
            **({"unlabeled_batch": unlabeled_batch} if unlabeled_batch else {}),
            **({"updates": updates} if updates else {"epochs": epochs or 2}),
            "batch": batch,
            "images": images,
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, **(optimizer or {})},
        }

    return make


@pytest.fixture
def make_network():
    """The smallest autoencoder, under 50,000 parameters; `make_network({"dr": 1}, batch_norm="frozen")`."""

    def make(outputs=None, size=SIZE, **params):
        network = build_network("aecl1", outputs or {"dr": 1}, size, {"widths": [4, 6, 8], **params})
        assert sum(p.numel() for p in network.parameters()) < 50_000
        return network

    return make


@pytest.fixture
def at_start() -> Progress:
    return Progress(stage=0, epoch=0, step=0, steps=1, update=0, updates=1, labeled_updates=0)
