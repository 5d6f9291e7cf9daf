"""All that a report shows, gathered once; the page, the Markdown and the JSON are written from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semiretina.report.balance_panel import balance_panels
from semiretina.report.data_card import counts_sheet, sources_sheet
from semiretina.report.findings import Findings, cautions, findings
from semiretina.report.ledger import Told, told
from semiretina.report.mistakes import Gallery, galleries, mistakes_sheet
from semiretina.report.panels import SampleGrid, sample_grids, schedule_panels, test_panels, validation_panels
from semiretina.report.pictures import Picture, Style, styles
from semiretina.report.runs import Run
from semiretina.report.score_panels import (
    Answered,
    Confusion,
    bands,
    calibration_pictures,
    confusions,
    curve_pictures,
    score_pictures,
    strata_pictures,
)
from semiretina.report.score_sheets import (
    abstention_sheet,
    conformal_sheet,
    levels_sheet,
    more_sheet,
    operating_sheet,
    protocol_sheet,
    strata_sheet,
)
from semiretina.report.settings import Settings, settings
from semiretina.report.share import Hide, hiding, public
from semiretina.report.sheet import Sheet
from semiretina.report.survival import SurvivalTable, survival_tables
from semiretina.report.tables import Cell, Row, cells, list_title, rows_of
from semiretina.scoring.curves import Band

NOTICE = "Research software, not a medical device."
# The parts of a comparison that are tables.
SHEETS = (
    *("more", "levels", "strata_numbers", "operating", "abstention", "conformal", "protocol"),
    *("photographs", "sources"),
)


@dataclass(frozen=True)
class Comparison:
    """Runs that may be compared: they were tested on the same photographs. Pictures are in the order of outputs."""

    title: str
    rows: list[Row]
    columns: list[str]
    tables: list[tuple[str, list[tuple[Row, list[Cell]]]]]  # (task, its rows)
    names: list[str]  # whose lines are drawn
    scores: list[Picture]
    curves: list[Picture]  # ROC, precision-recall, calibration
    bands: dict[str, dict[str, tuple[Band, Band]]]  # output -> name -> ROC and precision-recall
    confusions: list[Confusion]
    strata: list[Picture]
    strata_numbers: Sheet | None
    more: Sheet | None
    levels: Sheet | None
    operating: Sheet | None
    abstention: Sheet | None
    conformal: Sheet | None
    protocol: Sheet | None
    protocol_curves: list[Picture]
    training: list[Picture]
    photographs: Sheet | None
    sources: Sheet | None
    looks: list[Told]
    below_majority: bool

    def sheets(self) -> dict[str, Sheet]:
        """Its tables, by the name of the part."""
        found = {name: getattr(self, name) for name in SHEETS}
        return {name: one for name, one in found.items() if one is not None}


@dataclass(frozen=True)
class Contents:
    """The parts of a report; `hide` takes out of a text what a shared one leaves out."""

    shared: bool
    hide: Hide
    runs: list[Run]
    facts: list[tuple[str, str]]
    findings: Findings
    cautions: list[str]
    comparisons: list[Comparison]
    styles: Mapping[str, Style]
    schedules: list[Picture]
    balances: list[Picture]
    grids: list[SampleGrid]
    mistakes: list[Gallery]
    mistake_list: Sheet | None
    survival: list[SurvivalTable]
    settings: list[Settings]


def gather(read: Sequence[Run], share: bool) -> Contents:
    """All that is shown of these runs; with `share` without photographs and names. Raises BadData for a broken file."""
    runs = public(read) if share else list(read)
    hide: Hide = hiding(read, runs) if share else str
    epochs = {run.label: run.epochs() for run in runs}
    look = styles([run.name for run in runs])
    lists = list(dict.fromkeys(run.test_list for run in runs))
    answered = Answered(runs)
    comparisons = [
        _comparison(
            list_title(number, sha) if len(lists) > 1 else "",
            [run for run in runs if run.test_list == sha],
            epochs,
            look,
            answered.only([run for run in runs if run.test_list == sha]),
            share,
            hide,
        )
        for number, sha in enumerate(lists)
    ]
    return Contents(
        shared=share,
        hide=hide,
        runs=runs,
        facts=_facts(runs),
        findings=findings(runs, [row for one in comparisons for row in one.rows], hide, share),
        cautions=cautions(runs, answered.wanting, hide),
        comparisons=comparisons,
        styles=look,
        schedules=schedule_panels(runs, epochs),
        balances=balance_panels(runs, epochs),
        grids=[] if share else sample_grids(runs, epochs),
        mistakes=[] if share else galleries(runs),
        mistake_list=mistakes_sheet(runs),
        survival=survival_tables(runs),
        settings=[settings(run, share) for run in runs],
    )


def _comparison(
    title: str,
    runs: Sequence[Run],
    epochs: Mapping[str, Any],
    look: Mapping[str, Style],
    answered: Answered,
    share: bool,
    hide: Hide,
) -> Comparison:
    rows = rows_of(runs)
    own_epochs = {run.label: epochs[run.label] for run in runs}
    columns, lines = cells(rows, skip=("run", "task"))
    table: dict[str, list[tuple[Row, list[Cell]]]] = {}
    for row, line in zip(rows, lines, strict=True):
        table.setdefault(row.task, []).append((row, line))
    outputs = {key: [row for row, _ in own] for key, own in table.items()}
    curves = {key: bands(own, answered) for key, own in outputs.items()}
    split = runs[0].split()
    return Comparison(
        title=title,
        rows=rows,
        columns=columns,
        tables=list(table.items()),
        names=list(dict.fromkeys(run.name for run in runs)),
        scores=[picture for own in outputs.values() for picture in score_pictures(own, look)],
        curves=[
            picture
            for key, own in outputs.items()
            for picture in (
                *curve_pictures(own, curves[key], answered, look),
                *calibration_pictures(own, answered, look),
            )
        ],
        bands=curves,
        confusions=[confusion for key in outputs for confusion in confusions(key, answered)],
        strata=[picture for key in outputs for picture in strata_pictures(key, runs, look)],
        strata_numbers=strata_sheet(list(outputs), runs),
        more=more_sheet(rows),
        levels=levels_sheet(list(outputs), runs),
        operating=operating_sheet(runs, hide),
        abstention=abstention_sheet(list(outputs), runs),
        conformal=conformal_sheet(list(outputs), runs),
        protocol=protocol_sheet(runs),
        protocol_curves=test_panels(runs, own_epochs, look),
        training=validation_panels(runs, own_epochs, look),
        photographs=counts_sheet(split, runs[0].label) if split else None,
        sources=sources_sheet(split) if split else None,
        looks=told(runs, share),
        below_majority=not all(row.above_majority for row in rows),
    )


def _facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What was compared, in a few pairs of name and value; a value that the runs do not share lists all."""

    def counted(role: str) -> str:
        return _shared([run.result.get("counts", {}).get(role) for run in runs])

    networks = _shared([run.config["model"]["name"] for run in runs])
    sizes = _shared([run.config["data"]["size"] for run in runs])
    facts = [
        ("Network", networks),
        ("Photographs", f"{sizes} pixels square"),
        ("Labelled, for training", counted("train")),
        ("Labelled, for validation", counted("val")),
        ("Unlabelled", counted("unlabeled")),
        ("Ungradable, left out", _shared([run.result.get("ungradable") or None for run in runs])),
        ("Tested on", counted("test")),
        ("Seed" if len({run.seed for run in runs}) == 1 else "Seeds", _shared([run.seed for run in runs])),
    ]
    return [(name, value) for name, value in facts if value]


def _shared(values: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))
