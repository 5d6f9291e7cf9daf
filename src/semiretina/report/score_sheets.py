"""Tables of what `result.json` holds beside the plain scores: more scores, levels, strata, operating point, abstention.

A run that lacks a part has no row, and a table without rows is None: runs of earlier versions are shown as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from semiretina.report.runs import Run
from semiretina.report.score_panels import STRATA, strata_of, stratum
from semiretina.report.share import Hide
from semiretina.report.sheet import Sheet, sheet
from semiretina.report.tables import MORE, Cell, Row, Score, cells, percent, ratio, score

CellRow = list[Cell | str]


def more_sheet(rows: Sequence[Row]) -> Sheet | None:
    """Balanced accuracy, average precision, predictive values, Brier score and calibration error."""
    columns, lines = cells(rows, columns=MORE)
    if len(columns) <= 2:
        return None
    note = "Brier score and ECE (expected calibration error, 15 bins) are better the nearer to 0."
    if any(row.ppv.value is not None for row in rows):
        note += " PPV and NPV depend on how common the disease is: they hold at the prevalence beside them."
    return sheet("More scores", note, columns, lines)


def levels_sheet(keys: Sequence[str], runs: Sequence[Run]) -> Sheet | None:
    """Scores of eyes and patients beside those of photographs, the ungradable ones counted in."""
    rows: list[CellRow] = []
    for key, run in ((key, run) for key in keys for run in runs if key in run.result["test"]):
        levels = run.result["test"][key].get("levels") or {}
        for name, own in levels.items():
            rows.append(
                [
                    run.label,
                    key,
                    name,
                    _count(own, "units") or _count(own, "n"),
                    percent(score(own, "ungradable_rate")),
                    percent(score(own, "accuracy")),
                    ratio(score(own, "auroc")),
                    percent(score(own, "sensitivity")),
                    percent(score(own, "specificity")),
                    ratio(score(own, "quadratic_kappa")),
                    percent(score(own, "referral_rate")),
                ]
            )
    note = "The worst gradable photograph decides for an eye or a patient; one without any is referred, and counts."
    columns = ("run", "task", "level", "number", "ungradable %", "accuracy %", "AUROC", "sensitivity %")
    more = ("specificity %", "quadratic kappa", "referred %")
    return _sheet("Eyes and patients", note, (*columns, *more), rows)


def strata_sheet(keys: Sequence[str], runs: Sequence[Run]) -> Sheet | None:
    """Scores by site, camera and grade, as numbers."""
    rows: list[CellRow] = []
    for key in keys:
        for by in STRATA:
            for name in strata_of(key, by, runs)[0]:
                for run in runs:
                    if own := stratum(run, key, by, name):
                        found = [score(own, measure) for measure in ("accuracy", "sensitivity", "specificity")]
                        counts = [_count(own, "n"), _count(own, "positives")]
                        shares = [percent(one) for one in found]
                        rows.append([f"{key}, {by} {name}", run.label, *counts, *shares, ratio(score(own, "auroc"))])
    columns = ("part", "run", "n", "positives", "accuracy %", "sensitivity %", "specificity %", "AUROC")
    note = "Parts are small: intervals that overlap show no difference between them."
    return _sheet("By site, camera and grade, in numbers", note, columns, rows)


def operating_sheet(runs: Sequence[Run], hide: Hide = str) -> Sheet | None:
    """Temperature and threshold as they were fixed before the test set was opened, and what they reach there.

    `hide` takes the folder out of what they were fixed on.
    """
    rows: list[CellRow] = []
    for run in runs:
        for key, point in (run.result.get("operating") or {}).items():
            test = run.result["test"].get(key, {})
            rows.append(
                [
                    run.label,
                    key,
                    str(point.get("aimed", "")),
                    f"{point['temperature']:.3f}" if "temperature" in point else "",
                    f"{point['threshold']:.4f}" if "threshold" in point else "",
                    hide(str(point.get("from", ""))),
                    _count(point, "n"),
                    _count(point, "positives"),
                    percent(score(point, "sensitivity")),
                    percent(score(point, "specificity")),
                    percent(score(test, "sensitivity")),
                    percent(score(test, "specificity")),
                ]
            )
    columns = ("run", "task", "aimed at", "temperature", "threshold", "fixed on", "n", "positives")
    reached = [f"{what} {where} %" for where in ("there", "on test") for what in ("sensitivity", "specificity")]
    note = (
        "Fixed before the test set was opened, and frozen into the grader. On the photographs that it was fixed on it "
        "does too well; the test photographs tell what it is worth."
    )
    return _sheet("Operating point", note, (*columns, *reached), rows)


def abstention_sheet(keys: Sequence[str], runs: Sequence[Run]) -> Sheet | None:
    """Accuracy over the share of photographs that is referred to a person."""
    rows: list[CellRow] = []
    for key, run in ((key, run) for key in keys for run in runs):
        for step in run.result["test"].get(key, {}).get("abstention") or ():
            referred = percent(Score(step["referred"]))
            rows.append([run.label, key, referred, _count(step, "n"), percent(score(step, "accuracy"))])
    note = "The photographs that the run is least certain of are referred to a person first; accuracy is of the others."
    columns = ("run", "task", "referred %", "answered", "accuracy %")
    return _sheet("Accuracy over the share referred", note, columns, rows)


def conformal_sheet(keys: Sequence[str], runs: Sequence[Run]) -> Sheet | None:
    """What sets of answers cover."""
    rows: list[CellRow] = []
    for key, run in ((key, run) for key in keys for run in runs):
        if found := run.result["test"].get(key, {}).get("conformal"):
            covered, single, empty = (percent(score(found, name)) for name in ("coverage", "single", "empty"))
            wanted, size = percent(Score(found.get("nominal"))), ratio(score(found, "size"))
            rows.append([run.label, key, wanted, _count(found, "n"), covered, size, single, empty])
    columns = ("run", "task", "wanted coverage %", "n", "coverage %", "answers in a set", "one answer %", "no answer %")
    note = "Split conformal sets: all answers that the photographs of the operating point do not speak against."
    return _sheet("Sets of answers", note, columns, rows)


def protocol_sheet(runs: Sequence[Run]) -> Sheet | None:
    """The paper's protocol, which selects on the test photographs, beside the single look."""
    rows: list[CellRow] = []
    for run in runs:
        for task, stated in (run.result.get("paper_protocol") or {}).items():
            once = percent(score(run.result["test"].get(task, {}), "accuracy"))
            highest, last, mean = (percent(Score(stated[key])) for key in ("max", "last", "mean_last_ten"))
            rows.append([run.label, task, once, highest, str(stated["epoch"]), last, mean])
    columns = ("run", "task", "looked at once", "max over epochs", "at epoch", "last epoch", "mean of last ten")
    note = (
        "Accuracy on test in %. The maximum over epochs of the test accuracy selects on the test photographs and is "
        "too high; it stands here only to compare with the paper."
    )
    return _sheet("Under the paper's protocol", note, columns, rows)


def _sheet(title: str, note: str, columns: Sequence[str], rows: Sequence[CellRow]) -> Sheet | None:
    return sheet(title, note, columns, rows) if rows else None


def _count(values: Mapping[str, Any], name: str) -> str:
    found = values.get(name)
    return "" if found is None else str(found)
