"""The paper's numbers beside ours: table 2, the split, and section 5.3's parameters and pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from semiretina.data.split import Split
from semiretina.report.paper.cells import BASELINES, CELLS, TABLE_2, TRAININGS
from semiretina.report.runs import Run

TASK = "dr"

PAPER_TEST = 238  # all of table 2's accuracies are k of 238 (readings, row 1)
# Photographs by role: of Messidor, and of its Extension (readings, row 3).
PAPER_SPLIT = {"train": 712, "val": 237, "test": 238, "unlabeled": 414, "unlabeled-val": 138, "unlabeled-test": 138}
PAPER_HEALTHY = (500, 1187)  # section 4.1; the errata leave 536 to 547 (readings, row 2)
PAPER_PHOTOGRAPHS, PAPER_SIZE = 950, 512  # of training; pixels
PAPER_PARAMETERS = {"InceptionV3": 27_161_264, "ResNet18": 11_689_512}  # section 5.3
# Section 5.3; the sides at which torchvision's weights of either network were trained, which the paper does not say.
IMAGENET_PHOTOGRAPHS, IMAGENET_SIZES = 1_281_167, {"InceptionV3": 299, "ResNet18": 224}


@dataclass(frozen=True, slots=True)
class Number:
    """What a cell reached: percentages over its seeds, and what the paper prints."""

    name: str
    paper: float | None
    read_off: str  # where the paper's number stands
    values: Sequence[float]  # a seed each; the number that the preset's protocol makes the headline
    last: Sequence[float]  # accuracy at the last look
    mean_last_ten: Sequence[float]  # empty where the test set was looked at once
    interval: tuple[float, float] | None  # 95 %, of the first seed's last look
    majority: float | None
    n: int
    network: str = ""  # as it was built, which a small reproduction chooses otherwise
    balance: str = ""  # how the losses of the combined training were weighted
    hole: str = ""  # why there is no value
    note: str = ""  # what the values lack


def number(name: str, runs: Sequence[Run], hole: str = "", note: str = "") -> Number:
    """The numbers of one cell: the maximum over epochs under the paper's protocol, else the one look."""
    cell = CELLS[name]
    scores = [run.result["test"][TASK] for run in runs]
    last = [100 * score["accuracy"]["value"] for score in scores]
    protocol = [run.result["paper_protocol"][TASK] for run in runs if "paper_protocol" in run.result]
    first = scores[0]["accuracy"] if scores else {}
    return Number(
        cell.title,
        cell.paper,
        cell.read_off,
        [100 * row["max"] for row in protocol] or last,
        last,
        [100 * row["mean_last_ten"] for row in protocol],
        None if first.get("low") is None else (100 * first["low"], 100 * first["high"]),
        100 * float(scores[0]["majority"]) if scores else None,
        scores[0]["n"] if scores else 0,
        ", ".join(dict.fromkeys(f"{r.config['model']['name']}, {r.config['data']['size']} px" for r in runs)),
        ", ".join(dict.fromkeys(filter(None, map(_balance, runs)))),
        hole,
        note,
    )


def _balance(run: Run) -> str:
    """How a combined training weights its losses; "" for any other training."""
    method = run.config["stages"][-1]["method"]
    if method["name"] == "balanced":
        return balance_in_words(method.get("balance", {}))
    return f"fixed λ = {method['lambda_cl']:g}" if method["name"] == "combined" else ""


def balance_in_words(settings: Mapping[str, Any]) -> str:
    """How weights move, and by which parameters: "balanced, ρ = 0.1"."""
    name = settings.get("name", "norm_ratio")
    words = {"norm_ratio": "balanced", "rho": "ρ"}
    parameters = [f"{words.get(key, key)} = {value:g}" for key, value in settings.items() if key != "name"]
    return ", ".join([words.get(name, name), *parameters])


def table_two(numbers: Mapping[str, Number]) -> list[tuple[str, list[Number]]]:
    """The rows of table 2: a model, and its trainings in the order of `TRAININGS`."""
    assert all([CELLS[name].training for name in row] == list(TRAININGS) for row in TABLE_2.values())
    return [(title, [numbers[name] for name in row]) for title, row in TABLE_2.items()]


def baselines(numbers: Mapping[str, Number]) -> list[Number]:
    """The baselines of figure 5, which stand above the paper's headline (readings, row 33)."""
    return [numbers[name] for name in BASELINES]


def curves(runs: Sequence[Run], role: str, score: str = "accuracy") -> list[list[float]]:
    """A score by epoch of the last stage, a run each, of the first phase: percentages, but a loss as it is.

    `role` is "val", "test", or "train", of which the log has the loss alone.
    """
    scale = 1 if score == "loss" else 100
    series = []
    for run in runs:
        last = len(run.config["stages"]) - 1
        rows = [row for row in run.epochs() if row["stage"] == last and row["phase"] == "train"]
        scores = [
            {"loss": row["train"].get(f"loss_{TASK}")} if role == "train" else row.get(role, {}).get(TASK, {})
            for row in rows
        ]
        series.append([scale * row[score] for row in scores if row.get(score) is not None])
    return series


def majority(run: Run, role: str) -> float | None:
    """What always giving the larger class reaches on a role's photographs, in percent; None where it has none.

    After a refit a result says nothing of its validation photographs, so these are counted in the split.
    """
    stated = run.result.get(role, {}).get(TASK, {}).get("majority")
    if stated is not None:
        return 100 * float(stated)
    split = run.split()
    rows = [] if split is None else [split.records[row] for row in split.rows(role)]
    grades = [record.grade for record in rows if record.grade is not None]
    diseased = sum(grade > 0 for grade in grades)
    return 100 * max(diseased, len(grades) - diseased) / len(grades) if grades else None


def spread(values: Sequence[float], digits: int) -> str:
    """The mean, and the range where there are several: "74.8 (73.1 to 76.5)"; a dash without any."""
    if not values:
        return "—"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


class Count(NamedTuple):
    """How many photographs, and how many of those with a grade are healthy (grade 0)."""

    photographs: int
    graded: int
    healthy: int


def split_counts(split: Split) -> tuple[list[str], list[tuple[str, list[Count]]]]:
    """The split by hospital: the roles, and for each site, and for all, the photographs of each role."""
    roles = list(split.counts)
    sites = [", ".join(filter(None, (record.dataset, record.site))) or "(unknown)" for record in split.records]
    cells: dict[tuple[str, str], list[int | None]] = {}
    for record, site, role in zip(split.records, sites, split.roles, strict=True):
        for place in (site, "all"):
            cells.setdefault((place, role), []).append(record.grade)
    rows = [*dict.fromkeys(sites), "all"]
    return roles, [(site, [_count(cells.get((site, role), [])) for role in roles]) for site in rows]


def _count(grades: Sequence[int | None]) -> Count:
    known = [grade for grade in grades if grade is not None]
    return Count(len(grades), len(known), sum(grade == 0 for grade in known))


def healthy(split: Split) -> tuple[int, int]:
    """How many labelled photographs are healthy (grade 0), and how many there are (readings, row 2)."""
    grades = [record.grade for record in split.records if record.grade is not None]
    return sum(grade == 0 for grade in grades), len(grades)


def training_photographs(run: Run) -> int:
    """How many labelled photographs the network that was tested had trained on."""
    counts = run.result["counts"]
    return int(counts["train"]) + (int(counts["val"]) if run.result["trained_on"] == "train+val" else 0)


def pixels(photographs: int, size: int) -> int:
    """Numbers in so many photographs: three colours of size x size, as section 5.3 counts (readings, row 18)."""
    return photographs * size * size * 3
