"""Grades for DICOM photographs, which hold none: a table with the columns `image` and `grade`.

`image` is the SOP Instance UID of the file, or its path below the root; `#2` after it is the second of several frames.
"""

from collections.abc import Iterable
from pathlib import Path

from semiretina.errors import BadConfig, BadData, summary
from semiretina.records import SCALES
from semiretina.table_text import read_table


class Labels:
    """The rows of a table, which are looked up by every name that a photograph has; rows nobody asked for are told."""

    def __init__(self, file: Path, scale: str) -> None:
        if scale not in SCALES:
            raise BadConfig(f"dicom.scale: '{scale}' is no grading scale of the labels; one of {', '.join(SCALES)}")
        _, rows = read_table(file, ("image", "grade"))
        self.file = file
        self._rows: dict[str, tuple[int, int | None]] = {}  # name -> row, grade
        self._asked: set[str] = set()
        self._defects: list[str] = []
        for number, row in rows.items():
            name, grade = row["image"].replace("\\", "/"), row["grade"]
            if not name:
                self._defects.append(f"row {number}: no image")
            elif name in self._rows:
                self._defects.append(f"row {number}: '{name}' stands in row {self._rows[name][0]} too")
            elif grade and not (grade.isdecimal() and int(grade) <= SCALES[scale]):
                self._defects.append(f"row {number}: '{grade}' is no grade of '{scale}', which runs to {SCALES[scale]}")
            self._rows.setdefault(name, (number, int(grade) if grade.isdecimal() else None))

    def grade(self, names: Iterable[str]) -> int | None:
        """The grade of the photograph with these names; None where it has none."""
        rows = {self._rows[name] for name in names if name in self._rows}
        self._asked |= set(names)
        if len({grade for _, grade in rows}) > 1:
            told = " and ".join(f"row {number}" for number, _ in sorted(rows))
            self._defects.append(f"{told}: two grades for one photograph")
        return next(iter(rows))[1] if rows else None

    def check(self) -> None:
        """Raises BadData for all that is wrong in the table, once every photograph has been asked for."""
        unknown = [
            f"row {n}: no photograph '{name}'"
            for name, (n, _) in self._rows.items()
            if name not in self._asked and name
        ]
        if self._defects or unknown:
            advice = (
                "name each photograph by its SOP Instance UID or its path, and '#2' for the second of several frames"
            )
            raise BadData(summary(str(self.file), self._defects + unknown, advice))
