"""Which lesions survive reconstruction, from the runs that measured it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from semiretina.errors import BadData
from semiretina.files import read_text
from semiretina.report.columns import Cell, percent, score
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Section, Table, Text, section

SCHEMA = 1
CAPTION = (
    "Share in % of the measurable lesions that keep at least half of their contrast to their surroundings (green "
    "channel, same sign), with its 95 % interval over photographs, by type and by area at the network's own size. Of "
    "the original all survive by construction."
)
NOTE = (
    "MA: microaneurysms, HE: haemorrhages, EX: hard exudates, SE: soft exudates. A lesion whose contrast in the "
    "original does not exceed what its surroundings vary by is not measurable. By chance: what the run's "
    "reconstruction of another photograph shows at the same places; a decoder that draws seams or spots keeps many "
    "small contrasts so, and a share that is not clearly above its chance keeps no lesions. A share above the blurred "
    "control's keeps more than a soft picture does."
)


def lesions(runs: RunSet) -> Section | None:
    """The tables of all runs that measured some."""
    tables = survival_tables(runs.runs)
    return section("", *tables, Text(NOTE)) if tables else None


def survival_tables(runs: Sequence[Run]) -> list[Table]:
    """One table for each set of lesions, a column for each run. Raises BadData for a broken file."""
    alike: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for run in runs:
        if run.folder.survival.is_file():
            content = _read(run)
            alike.setdefault(_measured_on(content), []).append((run.label, content))
    return [_table(number, measured) for number, measured in enumerate(alike.values(), start=1)]


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


def _table(number: int, measured: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """Percentages, a column for each run between counts and controls."""
    first = measured[0][1]
    columns = ["area, px", "type", "lesions", "not measurable"]
    columns += [title for label, _ in measured for title in (label, "by chance")] + ["blurred", "original"]
    rows = []
    for at, row in enumerate(first["table"]):
        cells = [Cell(row["sizes"].replace("-", "–")), Cell(row["type"])]
        cells += [Cell(str(row["lesions"])), Cell(str(row["lesions"] - row["measurable"]))]
        for _, content in measured:
            shares = content["table"][at]
            cells += [percent(score(shares, "reconstruction")), _bare(shares, "chance")]
        rows.append([*cells, percent(score(row, "blurred")), _bare(row, "original")])
    facts = (
        f"{first['photographs']} photographs ({first['role']}) at {first['size']} pixels; "
        f"blurred by a Gaussian of {first['blur']:g} pixels"
    )
    if first["left_out"]:
        facts += f"; {len(first['left_out'])} left out, whose masks cannot be read"
    title = f"Table {number} of lesions that survive reconstruction"
    return Table(title, f"{CAPTION} {facts}.", columns, rows, grouped_by="type")


def _bare(scores: Mapping[str, Any], name: str) -> Cell:
    """A share without its interval."""
    return percent(score(scores, name)._replace(low=None, high=None))
