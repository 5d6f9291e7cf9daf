"""What a reproduction's page tabulates besides accuracies: table 1, the split, and section 5.3's networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semiretina.data.split import Split
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.network_figure import Built, built
from semiretina.report.paper.numbers import (
    IMAGENET_PHOTOGRAPHS,
    IMAGENET_SIZES,
    PAPER_HEALTHY,
    PAPER_PARAMETERS,
    PAPER_PHOTOGRAPHS,
    PAPER_SIZE,
    PAPER_SPLIT,
    healthy,
    pixels,
    split_counts,
    spread,
    training_photographs,
)
from semiretina.report.paper.study import Study
from semiretina.report.paper.table1 import PAPER, PERCENTILES, TITLES, number_text, to_html
from semiretina.report.runs import Run

ROLES = {
    "train": "training",
    "val": "validation",
    "test": "test",
    "unlabeled": "unlabelled",
    "unlabeled-val": "unlabelled, validation",
    "unlabeled-test": "unlabelled, test",
    "unused": "unused",
}


@dataclass(frozen=True)
class TableOne:
    """Table 1: ours as markup, what it lacks, and the paper's."""

    html: str
    holes: Sequence[str]
    cells: Sequence[str]  # around which the grids were searched
    paper: Sequence[tuple[str, list[str]]]  # percentile rank -> its cells
    trainings: Sequence[str]
    titles: Sequence[str]


def table_one(study: Study) -> TableOne:
    """Table 1 from the points of both grids, as far as they are trained."""
    shown = {grid.training: grid.points for grid in study.grids if not grid.hole}
    titles = list(TITLES)
    paper = [
        (
            f"{rank / 100:.2f}",
            [", ".join(map(number_text, half[rank][title])) for half in PAPER.values() for title in titles],
        )
        for rank in PERCENTILES
    ]
    return TableOne(
        to_html(shown) if shown else "",
        [f"{grid.training}: {grid.hole or grid.note}" for grid in study.grids if grid.hole or grid.note],
        list(dict.fromkeys(CELLS[grid.cell].title for grid in study.grids if not grid.hole)),
        paper,
        list(PAPER),
        list(TITLES.values()),
    )


@dataclass(frozen=True)
class SplitTable:
    """Section 4.6 and 4.1: photographs by hospital and role, and what else there is to say of them."""

    roles: Sequence[str]
    rows: Sequence[tuple[str, list[tuple[str, str]]]]  # hospital -> (photographs, healthy ones in words)
    paper: Sequence[str]
    facts: Sequence[tuple[str, str]]
    run: str


def split_table(split: Split, run: Run) -> SplitTable:
    """The split of a run, which stands for all: they share the test list."""
    roles, rows = split_counts(split)
    sound, graded = healthy(split)
    notes = [record.provenance for record in split.records]
    copies = len(split.sha256) - len(set(split.sha256))
    facts = [
        ("Labelled photographs", str(graded)),
        ("of them healthy", f"{sound} ({100 * sound / graded:.1f} %)" if graded else ""),
        ("of them diseased", f"{graded - sound} ({100 - 100 * sound / graded:.1f} %)" if graded else ""),
        ("the paper", f"{PAPER_HEALTHY[0]} healthy of {PAPER_HEALTHY[1]}"),
        ("Unlabelled photographs", str(len(split.records) - graded)),
        ("Groups that stay together", f"{len(set(split.groups))}, by {run.by}"),
        ("Identical pictures, tied", str(copies or "")),
        ("Whose record tells of a duplicate", str(sum("duplicate" in note for note in notes) or "")),
        ("Grade changed by the errata", str(sum("by the errata" in n and "grade" in n for n in notes) or "")),
        ("Ungradable, left out", str(run.result.get("ungradable") or "")),
        ("Test list (SHA-256)", run.test_list[:12]),
    ]
    return SplitTable(
        [ROLES[role] for role in roles],
        [
            (
                site,
                [
                    (str(c.photographs), f"{c.healthy} healthy" if c.graded else "")
                    for role, c in zip(roles, cells, strict=True)
                ],
            )
            for site, cells in rows
        ],
        [str(PAPER_SPLIT.get(role, "–")) for role in roles],
        [(name, value) for name, value in facts if value],
        run.label,
    )


@dataclass(frozen=True)
class NetworkRow:
    """Section 5.3 for one network."""

    model: str
    network: Built
    paper: int | None
    photographs: int

    @property
    def pixels(self) -> int:
        """Numbers in the training photographs."""
        return pixels(self.photographs, self.network.size)

    @property
    def ratio(self) -> str:
        """Pixels to parameters, the decoder left out."""
        return f"{self.pixels / self.network.without_decoder:.1f}"

    @property
    def imagenet_ratio(self) -> str:
        """The same for ImageNet's photographs, at the side that the network is used with there; "" for others."""
        side = IMAGENET_SIZES.get(self.model)
        return f"{pixels(IMAGENET_PHOTOGRAPHS, side) / self.network.without_decoder:,.0f}" if side else ""

    @property
    def paper_ratio(self) -> str:
        """The paper's pixels to its parameters."""
        return f"{pixels(PAPER_PHOTOGRAPHS, PAPER_SIZE) / self.paper:.1f}" if self.paper else ""


def networks(study: Study) -> list[NetworkRow]:
    """A row for each network that differs; the first of a model's cells stands for it."""
    rows: dict[tuple[str, str], NetworkRow] = {}
    for trained in study.cells.values():
        for run in trained.runs[:1]:
            model: Mapping[str, Any] = {k: v for k, v in run.config["model"].items() if k != "weights"}
            # "AERes18, baseline" is built without its decoder: Res18.
            name = "Res18" if model["name"] == "res18" else trained.cell.model
            key = (name, str(sorted(model.items())))
            if key not in rows:
                paper = PAPER_PARAMETERS.get(name)
                rows[key] = NetworkRow(name, built(run.config), paper, training_photographs(run))
    return list(rows.values())


def reconstructions(study: Study) -> list[tuple[str, str, str]]:
    """Each decoder's mean squared error on held-out photographs: of the test set, and without labels (readings, row 3).

    A training, and both errors over its seeds, measured when its decoder was ready.
    """
    rows = []
    for trained in study.cells.values():
        errors = [run.result["reconstruction"] for run in trained.runs if run.result.get("reconstruction")]
        if errors:
            labeled, unlabeled = ([e[name] for e in errors if name in e] for name in ("mse", "mse_unlabeled"))
            rows.append((trained.cell.title, spread(labeled, 5), spread(unlabeled, 5)))
    return rows
