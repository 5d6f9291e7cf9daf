"""Splits for tests: `make_split` with the settings of [data] as keywords."""

from typing import Any

from semiretina.config import Data
from semiretina.data import roles
from semiretina.data.split import Split


def make_split(records: Any, sha256: Any, tasks: Any, *, seed: int, **settings: Any) -> Split:
    return roles.make_split(records, sha256, tasks, Data(manifest="manifest.csv", size=32, **settings), seed)
