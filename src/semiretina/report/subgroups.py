"""Scores by site, camera and grade of the test photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from semiretina.report.columns import SUBGROUPS, Cell, columns_of, score, title_of
from semiretina.report.interval_pictures import forest_picture
from semiretina.report.pictures import Picture
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Pictures, Section, section, table

KINDS = ("site", "camera", "grade")  # by what the test photographs are told apart


@dataclass(frozen=True)
class Subgroup:
    """A part of the test photographs of one output, and the scores of the runs that have some there."""

    key: str
    kind: str
    name: str
    scores: Sequence[tuple[Run, Mapping[str, Any]]]


def subgroups(runs: RunSet) -> Section | None:
    """A picture for each kind of subgroup that has two or more, and all as numbers, folded away."""
    kinds = [_subgroups(key, kind, runs) for key in runs.outputs for kind in KINDS]
    pictures = [_picture(alike, runs) for alike in kinds if len(alike) >= 2]
    columns = columns_of(SUBGROUPS)
    rows: list[list[Cell | str]] = [
        [
            f"{one.key}, {one.kind} {one.name}",
            run.label,
            *(str(scores.get(count, "")) for count in ("n", "positives")),
            *(column.show(score(scores, name)) for name, column in columns.items()),
        ]
        for alike in kinds
        for one in alike
        for run, scores in one.scores
    ]
    numbers = table(
        "Subgroups are small: intervals that overlap show no difference between them.",
        ["subgroup", "run", "n", "positives", *(column.title for column in columns.values())],
        rows,
    )
    title = "By site, camera and grade"
    drawn = Pictures("Scores of subgroups of the test photographs", pictures, runs.styles)
    return section(title, drawn, section(f"{title}, in numbers", numbers, folded=True))


def _subgroups(key: str, kind: str, runs: RunSet) -> list[Subgroup]:
    scores: dict[str, list[tuple[Run, Mapping[str, Any]]]] = {}
    for run in runs.runs:
        strata = run.result["test"].get(key, {}).get("strata") or {}
        for name, stated in (strata.get(kind) or {}).items():
            scores.setdefault(name, []).append((run, stated))
    return [Subgroup(key, kind, name, stated) for name, stated in scores.items()]


def _picture(alike: Sequence[Subgroup], runs: RunSet) -> Picture:
    """Subgroups of one kind by their AUROC where any of them defines it, else by their accuracy."""
    key, kind = alike[0].key, alike[0].kind
    areas = [score(scores, "auroc").value for one in alike for _, scores in one.scores]
    measure = "auroc" if any(area is not None and not isnan(area) for area in areas) else "accuracy"
    drawn = [
        (
            one.name,
            max(scores["n"] for _, scores in one.scores),
            [(run.label, runs.styles[run.name], score(scores, measure)) for run, scores in one.scores],
        )
        for one in alike
    ]
    whole = score(runs.runs[0].result["test"].get(key, {}), measure).value
    reference = ("all photographs", whole) if len(runs.runs) == 1 and whole is not None else None
    return forest_picture(f"{key}: {title_of(measure)} by {kind}", drawn, reference)
