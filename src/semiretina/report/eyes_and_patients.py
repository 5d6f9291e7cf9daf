"""Scores of eyes and patients beside those of photographs, the ungradable ones counted in."""

from semiretina.report.columns import EYES, Cell, columns_of, score
from semiretina.report.run_set import RunSet
from semiretina.report.section import Section, section, table

NOTE = "The worst gradable photograph decides for an eye or a patient; one without any is referred, and counts."


def eyes_and_patients(runs: RunSet) -> Section | None:
    """A row for each run, output and level."""
    columns = columns_of(EYES)
    rows: list[list[Cell | str]] = []
    for key in runs.outputs:
        for run in runs.runs:
            for level, scores in (run.result["test"].get(key, {}).get("levels") or {}).items():
                count = str(scores.get("units") or scores.get("n", ""))
                shown = [column.show(score(scores, name)) for name, column in columns.items()]
                rows.append([run.label, key, level, count, *shown])
    titles = ["run", "task", "level", "number", *(column.title for column in columns.values())]
    return section("Eyes and patients", table(NOTE, titles, rows))
