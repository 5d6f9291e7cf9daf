"""Sources: where records come from, one file a data set; what `semiretina data list` tells of them; their manifests."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semiretina.config import parse_overrides
from semiretina.data.sources import idrid, idrid_files, synthetic, table
from semiretina.errors import BadData
from semiretina.parts import arguments, lookup
from semiretina.records import Record, read_manifest, summary, write_manifest


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: how it is read, and what one should know before using it.

    `read(root, *, options)` yields its records; the keyword parameters are the options of `semiretina data import`.
    """

    read: Callable[..., list[Record]]
    title: str
    scale: str  # of the grades: a name of `records.SCALES`, or in words
    licence: str
    get: str  # where it is to be had, or what to give
    citation: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)  # what -> how many photographs are published

    def facts(self) -> dict[str, str]:
        """What one should know, in words; "" where there is nothing to know."""
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return {
            "photographs": counts,
            "grading scale": self.scale,
            "licence": self.licence,
            "get it": self.get,
            "cite": self.citation,
        }


SOURCES: dict[str, Source] = {
    "idrid": Source(
        read=idrid.records,
        title="Indian Diabetic Retinopathy Image Dataset",
        licence="CC BY 4.0",
        citation="Porwal et al., Data 2018; 3(3):25, doi:10.3390/data3030025",
        get="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
        scale="icdr",
        counts={
            f"{what} ({part.name} part)": getattr(part, what)
            for what in ("graded", "outlined")
            for part in idrid_files.PARTS
        },
    ),
    "synthetic": Source(
        read=synthetic.records,
        title="drawn photographs with known grades, lesions and masks",
        scale="icdr",
        licence="Apache-2.0, as the program",
        get="drawn into root, when asked for",
    ),
    "table": Source(
        read=table.records,
        title="anybody's photographs: a CSV file, or a folder per class",
        licence="your own",
        get="give the CSV file or the folder as root",
        scale="as the option scale says",
    ),
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
