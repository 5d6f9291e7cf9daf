"""Temperature and threshold as they were fixed before the test set was opened, and what they reach there."""

from semiretina.report.columns import Cell, percent, score
from semiretina.report.run_set import RunSet
from semiretina.report.section import Section, section, table

NOTE = (
    "Fixed before the test set was opened, and frozen into the grader. On the photographs that it was fixed on it does "
    "too well; the test photographs tell what it is worth."
)


def operating_point(runs: RunSet) -> Section | None:
    """A row for each run and output whose operating point was fixed."""
    rows: list[list[Cell | str]] = []
    for run in runs.runs:
        for key, point in (run.result.get("operating") or {}).items():
            test = run.result["test"].get(key, {})
            rows.append(
                [
                    run.label,
                    key,
                    str(point.get("aimed", "")),
                    f"{point['temperature']:.3f}" if "temperature" in point else "",
                    f"{point['threshold']:.4f}" if "threshold" in point else "",
                    runs.hide(str(point.get("from", ""))),  # which may name a folder
                    str(point.get("n", "")),
                    str(point.get("positives", "")),
                    *(percent(score(at, name)) for at in (point, test) for name in ("sensitivity", "specificity")),
                ]
            )
    columns = ["run", "task", "aimed at", "temperature", "threshold", "fixed on", "n", "positives"]
    columns += [f"{name} {where} %" for where in ("there", "on test") for name in ("sensitivity", "specificity")]
    return section("Operating point", table(NOTE, columns, rows))
