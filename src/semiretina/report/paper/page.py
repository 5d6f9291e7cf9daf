"""The report of a reproduction: one self-contained page with every table and figure of the paper, ours beside theirs.

What is not there yet, or cannot be there, is a marked hole that says why; no number ever stands under another name.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from semiretina import __version__
from semiretina.files import write_text
from semiretina.report.loss_weights import loss_weight_pictures
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.claims import CLAIMS, paper_gains
from semiretina.report.paper.curve_figures import curve_figures, loss_pictures
from semiretina.report.paper.evidence import Evidence
from semiretina.report.paper.figures import (
    lesion_figure,
    network_figures,
    reconstruction_figure,
    schedule_figure,
)
from semiretina.report.paper.numbers import (
    PAPER_PHOTOGRAPHS,
    PAPER_SIZE,
    PAPER_TEST,
    baselines,
    number,
    pixels,
    table_two,
)
from semiretina.report.paper.searches import chance_findings, searches
from semiretina.report.paper.study import Study, Trained, read_study
from semiretina.report.paper.table1 import Point
from semiretina.report.paper.tables import networks, reconstructions, split_table, table_one
from semiretina.report.settings import settings_of
from semiretina.report.share import Hide, decide, hiding
from semiretina.report.template import render


def write_paper_report(out: Path, share: bool | None = None) -> Path:
    """Writes `out`/report.html from `out`/study.json and its run folders, and returns its path.

    A study that is not finished gives a page with holes. With `share` no photograph, path, file name or patient is in
    it, and a sentence stands in each one's place; None shares where a data set of the runs may not be passed on.

    Raises MissingInput and BadData as `read_study`, CannotWrite.
    """
    study = read_study(out)
    share = decide("reproduce", study.runs, share)
    if share:
        study = _public(study, hiding(study.runs, study.runs))
    numbers = {name: number(name, t.runs, t.hole, t.note) for name, t in study.cells.items()}
    combined = [t.runs[0] for t in study.cells.values() if t.cell.training == "AE-CL combined" and t.runs]
    evidence = Evidence({name: t.runs for name, t in study.cells.items()}, study.role)
    split = study.runs[0].split() if study.runs else None
    page = render(
        "paper.html",
        {
            "study": study,
            "shared": share,
            "facts": _facts(study),
            "holes": [(t.cell.title, t.hole or _lacking(t)) for t in study.cells.values() if t.hole or t.note],
            "test_lists": len({run.test_list for run in study.runs}),
            "table_two": table_two(numbers),
            "baselines": baselines(numbers),
            "findings": chance_findings(study),
            "claims": [(claim, claim.ours(evidence)) for claim in CLAIMS],
            "gains": paper_gains(),
            "paper_test": PAPER_TEST,
            "searches": searches(study),
            "table_one": table_one(study),
            "figures": [
                lesion_figure(split, share),
                network_figures(study),
                schedule_figure(study),
                reconstruction_figure(study, share),
                *curve_figures(study),
            ],
            "balances": loss_weight_pictures(combined),
            "split": split_table(split, study.runs[0]) if split else None,
            "reconstructions": reconstructions(study),
            "networks": networks(study),
            "losses": loss_pictures(study),
            "paper_pixels": pixels(PAPER_PHOTOGRAPHS, PAPER_SIZE),
            "settings": [settings_of(run, share) for run in study.runs],
            "version": __version__,
        },
    )
    file = out / "report.html"
    write_text(file, page)
    return file


def _public(study: Study, hide: Hide) -> Study:
    """The same study; it says without names why a training has no number."""
    cells = {
        name: replace(t, absent=hide(t.absent), failed={seed: hide(why) for seed, why in t.failed.items()})
        for name, t in study.cells.items()
    }
    return replace(study, cells=cells)


def _lacking(trained: Trained) -> str:
    reasons = "; ".join(trained.failed.values())
    return f"{trained.note} ({reasons})" if reasons else trained.note


def _facts(study: Study) -> list[tuple[str, str]]:
    trained = study.cells.values()
    wanted = len(CELLS) * study.seeds
    environments = [run.environment() for run in study.runs]

    def versions(name: str) -> str:
        return ", ".join(dict.fromkeys(str(e[name]) for e in environments if e.get(name)))

    facts = [
        ("Source", study.source),
        ("Unlabelled too", ", ".join(entry.partition("=")[0] for entry in study.unlabeled)),
        ("Pretrained on too", study.nearer.partition("=")[0]),
        ("Preset", study.preset),
        ("Extent", "quick: in small" if study.quick else "whole"),
        ("Seeds", str(study.seeds or "")),
        ("Trainings that stand", f"{len(study.runs)} of {wanted}" if wanted else str(len(study.runs))),
        ("Diverged", str(sum(len(t.failed) for t in trained) or "")),
        ("Cells without a number", f"{sum(bool(t.hole) for t in trained)} of {len(CELLS)}"),
        ("Trials for settings", _done([point for trials in study.searches.values() for point in trials])),
        ("Points of the grid search", _done([point for grid in study.grids for point in grid.points])),
        *((name, versions(name)) for name in ("semiretina", "python", "torch", "device", "gpu")),
    ]
    return [(name, value) for name, value in facts if value]


def _done(points: Sequence[Point]) -> str:
    return f"{sum(point.accuracy is not None for point in points)} of {len(points)}" if points else ""
