"""A test set that is drawn once and written into the manifest, where folds leave it alone."""

from dataclasses import replace
from pathlib import Path

from semiretina.config import Config
from semiretina.data.pixel_cache import read_photographs
from semiretina.data.regrade import regrade
from semiretina.data.roles import make_split
from semiretina.records import read_manifest, write_manifest
from semiretina.tasks import make_tasks


def hold_out(config: Config, out: Path) -> int:
    """Writes the manifest with the role `test` for the photographs that the configuration draws; says how many.

    They are those that a run without folds tests, and on `out` it tests the same list. Where the manifest gives that
    role already, it stays as it is. Raises BadData that names every photograph that is missing or unreadable.
    """
    stated = read_manifest(Path(config.data.manifest))
    records = regrade(stated, config.data.regrade)
    tasks, entries = make_tasks(config.tasks, records), read_photographs(config.data, records)
    whole = config.data.model_copy(update={"folds": None, "fold": None})
    split = make_split(records, [entry.sha256 for entry in entries], tasks, whole, config.seed)
    tested = {*split.rows("test").tolist()}
    write_manifest([replace(r, split="test") if row in tested else r for row, r in enumerate(stated)], out)
    return len(tested)
