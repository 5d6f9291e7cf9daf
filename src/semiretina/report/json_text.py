"""The report without pictures, as JSON for a program."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from semiretina import __version__
from semiretina.files import finite
from semiretina.report.contents import NOTICE, Contents
from semiretina.report.sheet import to_json as sheet_json
from semiretina.scoring.curves import Band

SCHEMA = 1


def to_json(contents: Contents) -> str:
    """All that the page shows, but for photographs: an object of schema `SCHEMA`; NaN becomes null."""
    found = {
        "schema": SCHEMA,
        "semiretina": __version__,
        "shared": contents.shared,
        "notice": NOTICE,
        "facts": dict(contents.facts),
        "sentences": [asdict(one) for one in contents.findings.sentences],
        "notes": contents.findings.notes,
        "not_compared": contents.findings.refused,
        "cautions": contents.cautions,
        "runs": [
            {
                "label": run.label,
                "name": run.name,
                "seed": run.seed,
                "result": _hidden({**run.result, "name": run.name}, contents),
                "epochs": [_epoch(row) for row in run.epochs()],
                "config": settings.config,
                "environment": dict(settings.environment),
            }
            for run, settings in zip(contents.runs, contents.settings, strict=True)
        ],
        "comparisons": [
            {
                "title": comparison.title,
                "test_list": comparison.rows[0].test_list if comparison.rows else "",
                "results": [asdict(row) for row in comparison.rows],
                "tables": {name: sheet_json(one) for name, one in comparison.sheets().items()},
                "curves": {
                    key: {name: {"roc": _band(roc), "precision_recall": _band(pr)} for name, (roc, pr) in own.items()}
                    for key, own in comparison.bands.items()
                },
                "looks": [asdict(one) for one in comparison.looks],
                "confusions": [asdict(one) for one in comparison.confusions],
            }
            for comparison in contents.comparisons
        ],
        "mistakes": sheet_json(contents.mistake_list) if contents.mistake_list else None,
        "survival": [asdict(table) for table in contents.survival],
    }
    return json.dumps(finite(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _hidden(value: Any, contents: Contents) -> Any:
    if isinstance(value, Mapping):
        return {contents.hide(str(key)): _hidden(inner, contents) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner, contents) for inner in value]
    return contents.hide(value) if isinstance(value, str) else value


def _epoch(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("phase", "stage", "epoch", "train", "val", "test") if name in row}


def _band(band: Band) -> dict[str, list[float]]:
    return {name: [round(float(x), 5) for x in values] for name, values in asdict(band).items()}
