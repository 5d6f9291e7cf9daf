"""Grades of one scale read on another, where the configuration says so under [data.regrade]."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from semiretina.config import Regrade
from semiretina.errors import BadConfig
from semiretina.records import SCALES, Record


def regrade(records: Sequence[Record], maps: Mapping[str, Regrade]) -> list[Record]:
    """Records with grades mapped to another scale where the configuration says so ([data.regrade.SCALE])."""
    for scale, mapping in maps.items():
        where = f"data.regrade.{scale}"
        if scale not in SCALES or mapping.to not in SCALES:
            raise BadConfig(f"{where}: scales are {', '.join(SCALES)}; '{scale}' to '{mapping.to}' cannot be mapped")
        if len(mapping.grades) != SCALES[scale] + 1 or any(not -1 <= g <= SCALES[mapping.to] for g in mapping.grades):
            raise BadConfig(
                f"{where}: grades needs {SCALES[scale] + 1} entries, each from 0 to "
                f"{SCALES[mapping.to]}, or -1 for no grade"
            )
    changed = []
    for record in records:
        if record.grade is None or record.scale not in maps:
            changed.append(record)
            continue
        grade = maps[record.scale].grades[record.grade]
        note = f"{record.provenance}; grade {record.grade} on {record.scale}".strip("; ")
        new = {"grade": grade, "scale": maps[record.scale].to} if grade >= 0 else {"grade": None}
        changed.append(replace(record, provenance=note, **new))
    return changed
