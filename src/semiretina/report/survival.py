"""The table of the lesions that survive reconstruction, from the runs that measured it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semiretina.errors import BadData
from semiretina.files import read_text
from semiretina.report.runs import Run
from semiretina.report.tables import Cell, Score, percent

SCHEMA = 1


@dataclass(frozen=True)
class SurvivalTable:
    """Runs that were measured on the same lesions; percentages, a column for each run between counts and controls."""

    facts: str
    columns: list[str]
    lines: list[tuple[str, list[tuple[str, list[Cell]]]]]  # (lesion type, its size classes with their cells)


def survival_tables(runs: Sequence[Run]) -> list[SurvivalTable]:
    """One table for each set of lesions; none where no run has measured any. Raises BadData for a broken file."""
    alike: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for run in runs:
        if run.folder.survival.is_file():
            content = _read(run)
            alike.setdefault(_measured_on(content), []).append((run.label, content))
    return [_table(own) for own in alike.values()]


def _read(run: Run) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(read_text(run.folder.survival))
    except json.JSONDecodeError as error:
        raise BadData(f"{run.folder.survival}: not valid JSON ({error}); train the run again, or delete it") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise BadData(f"{run.folder.survival}: not of schema {SCHEMA}; train the run again with this version")
    return content


def _measured_on(content: Mapping[str, Any]) -> str:
    """Equal for runs that were measured on the same lesions: all but what their decoders made of them."""
    rows = [{k: v for k, v in row.items() if k not in ("reconstruction", "chance")} for row in content["table"]]
    return json.dumps({**content, "table": rows}, sort_keys=True)


def _table(own: Sequence[tuple[str, Mapping[str, Any]]]) -> SurvivalTable:
    first = own[0][1]
    columns = ["area, px", "lesions", "not measurable"]
    columns += [title for label, _ in own for title in (label, "by chance")] + ["blurred", "original"]
    lines: dict[str, list[tuple[str, list[Cell]]]] = {}
    for number, row in enumerate(first["table"]):
        cells = [Cell(str(row["lesions"])), Cell(str(row["lesions"] - row["measurable"]))]
        for _, content in own:
            shares = content["table"][number]
            cells += [percent(Score(**shares["reconstruction"])), percent(Score(shares["chance"]["value"]))]
        cells += [percent(Score(**row["blurred"])), percent(Score(row["original"]["value"]))]
        lines.setdefault(row["type"], []).append((row["sizes"], cells))
    facts = (
        f"{first['photographs']} photographs ({first['role']}) at {first['size']} pixels; "
        f"blurred by a Gaussian of {first['blur']:g} pixels"
    )
    if first["left_out"]:
        facts += f"; {len(first['left_out'])} left out, whose masks cannot be read"
    return SurvivalTable(facts, columns, list(lines.items()))
