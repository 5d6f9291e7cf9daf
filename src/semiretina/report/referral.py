"""Leaving photographs to a person: accuracy over the share that is referred, and sets of answers."""

from semiretina.report.columns import Cell, percent, ratio, score
from semiretina.report.run_set import RunSet
from semiretina.report.section import Section, Table, section, table

ABSTENTION = (
    "The photographs that the run is least certain of are referred to a person first; the accuracy is that of the "
    "others."
)
CONFORMAL = "Split conformal sets: every answer that the photographs of the operating point do not rule out."


def referral(runs: RunSet) -> Section | None:
    """Both tables, folded away."""
    return section(
        "Leaving photographs to a person",
        section("Accuracy over the share referred", _abstention(runs), folded=True),
        section("Sets of answers", _conformal(runs), folded=True),
    )


def _abstention(runs: RunSet) -> Table:
    rows: list[list[Cell | str]] = [
        [run.label, key, percent(score(step, "referred")), str(step["n"]), percent(score(step, "accuracy"))]
        for key in runs.outputs
        for run in runs.runs
        for step in run.result["test"].get(key, {}).get("abstention") or ()
    ]
    return table(ABSTENTION, ["run", "task", "referred %", "answered", "accuracy %"], rows)


def _conformal(runs: RunSet) -> Table:
    rows: list[list[Cell | str]] = []
    for key in runs.outputs:
        for run in runs.runs:
            if sets := run.result["test"].get(key, {}).get("conformal"):
                covered, single, empty = (percent(score(sets, name)) for name in ("coverage", "single", "empty"))
                wanted, size = percent(score(sets, "nominal")), ratio(score(sets, "size"))
                rows.append([run.label, key, wanted, str(sets.get("n", "")), covered, size, single, empty])
    columns = ["run", "task", "wanted coverage %", "n", "coverage %", "answers in a set", "one answer %", "no answer %"]
    return table(CONFORMAL, columns, rows)
