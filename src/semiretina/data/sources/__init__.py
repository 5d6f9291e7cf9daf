"""Sources: where records come from, one file a data set; what `semiretina data list` tells of them; their manifests."""

import os
from collections.abc import Sequence
from pathlib import Path

from semiretina.data.sources import (
    aptos,
    ddr,
    deepdrid,
    dicom,
    eyepacs,
    idrid,
    messidor,
    retinamnist,
    synthetic,
    table,
)
from semiretina.data.sources.messidor import extension, messidor2
from semiretina.data.sources.source import Source
from semiretina.errors import BadData, summary
from semiretina.lookup import arguments, lookup
from semiretina.overrides import parse_overrides
from semiretina.records import Record, read_manifest, write_manifest

SOURCES: dict[str, Source] = {
    "aptos": aptos.SOURCE,
    "ddr": ddr.SOURCE,
    "deepdrid": deepdrid.SOURCE,
    "dicom": dicom.SOURCE,
    "eyepacs": eyepacs.SOURCE,
    "idrid": idrid.SOURCE,
    "messidor": messidor.SOURCE,
    "messidor_extension": extension.SOURCE,
    "messidor2": messidor2.SOURCE,
    "retinamnist": retinamnist.SOURCE,
    "synthetic": synthetic.SOURCE,
    "table": table.SOURCE,
}


def import_source(name: str, root: Path, manifest: Path, overrides: Sequence[str] = ()) -> int:
    """Reads a source by name, with `option=value` overrides, and writes its manifest; the number of records.

    Raises BadConfig for an unknown source or option, and what the source raises.
    """
    source = lookup(SOURCES, name, "data import")
    options = arguments(source.read, parse_overrides(overrides), name, skip=("root",))
    records = source.read(Path(os.path.abspath(root)), **options)
    write_manifest(records, manifest)
    return len(records)


def merge(manifests: Sequence[Path], out: Path) -> int:
    """Joins manifests into one, in their order; the number of records. A photograph in two of them is BadData."""
    records: list[Record] = []
    first: dict[Path, Path] = {}
    defects = []
    for manifest in manifests:
        for record in read_manifest(manifest):
            if record.path in first:
                defects.append(f"{record.path} stands in {first[record.path]} too")
            first[record.path] = manifest
            records.append(record)
    if defects:
        raise BadData(summary(", ".join(map(str, manifests)), defects, "keep each photograph in one of the manifests"))
    write_manifest(records, out)
    return len(records)
