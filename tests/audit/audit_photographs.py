"""Drawn photographs for the tests of the audit: fundus-like, cheap, and each another one."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from semiretina.data.simulator import fundus


def draw(patient: int, eye: str = "left", grade: int = 0, size: int = 260) -> np.ndarray:
    """uint8 [h, w, 3]: a photograph of the synthetic source, without its labels."""
    return fundus.draw((3, patient, eye), grade, "alder", size, "real")[0]


def save(picture: np.ndarray, file: Path, **options) -> None:
    Image.fromarray(picture).save(file, **({"quality": 92} if file.suffix == ".jpg" else {}) | options)


def write(folder: Path, rows: list[dict]) -> Path:
    """A manifest in the folder; absent cells are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "manifest.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"
