"""The photographs of a reproduction, of one source or several, in one manifest."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from semiretina.data.sources import SOURCES, import_source
from semiretina.errors import BadConfig
from semiretina.lookup import lookup
from semiretina.progress import say
from semiretina.records import LESIONS, Record, read_manifest, write_manifest

WHOLE = {"photographs": 1200, "unlabeled": 690, "size": 512}  # drawn where the source is `synthetic`


def gather(
    source: str, root: Path, unlabeled: Sequence[str], manifest: Path, small: Mapping[str, Any] | None = None
) -> list[Record]:
    """The records of all sources in one manifest, which is written once, when all are read.

    `unlabeled` are further sources as "NAME=FOLDER", whose labels are hidden. `small` says how many photographs
    `synthetic` draws and how large, where not as many as Messidor has.
    """
    if manifest.exists():
        return read_manifest(manifest)
    drawn = WHOLE | ({**small, "size": small["data"]["size"]} if small else {})
    options = ["layout=messidor", *(f"{name}={drawn[name]}" for name in WHOLE)] if source == "synthetic" else []
    further = [parse(entry, "--unlabeled") for entry in unlabeled]
    records = _import(source, root, options)
    for name, folder in further:
        known = {record.path for record in records}
        more = [_without_labels(record) for record in _import(name, folder)]
        doubled = [record.path.name for record in more if record.path in known]
        if doubled:
            say(f"reproduce: {len(doubled)} photographs stand in both sources and count as labelled: {doubled[0]} ...")
        records += [record for record in more if record.path not in known]
    write_manifest(records, manifest)
    return records


def add_nearer(records: Sequence[Record], nearer: str, manifest: Path) -> list[Record]:
    """These records and the labelled ones of a source to pretrain on, "NAME=FOLDER", in a manifest of their own.

    Raises BadConfig where both are the same data set: then it is not another one.
    """
    if manifest.exists():
        return read_manifest(manifest)
    more = [replace(record, split="") for record in _import(*parse(nearer, "--nearer")) if graded(record)]
    shared = {record.dataset for record in records} & {record.dataset for record in more}
    if shared or not more:
        why = f"{', '.join(sorted(shared))} is what is reproduced on" if shared else "it has no photograph with a grade"
        raise BadConfig(f"--nearer {nearer}: {why}; name another source to pretrain on")
    together = [*records, *more]
    write_manifest(together, manifest)
    return together


def parse(entry: str, option: str) -> tuple[str, Path]:
    """The name and the folder of "NAME=FOLDER". Raises BadConfig for anything else and for an unknown name."""
    name, equals, folder = entry.partition("=")
    if not equals or not folder:
        raise BadConfig(f"{option} {entry}: not of the form SOURCE=FOLDER, as in messidor_extension=DIR")
    lookup(SOURCES, name, option)
    return name, Path(folder)


def graded(record: Record) -> bool:
    """Whether its grade is known."""
    return record.grade is not None


def _import(name: str, root: Path, options: Sequence[str] = ()) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.csv"
        import_source(name, root, manifest, options)
        return read_manifest(manifest)


def _without_labels(record: Record) -> Record:
    hidden: dict[str, Any] = dict.fromkeys(("grade", "dme", *LESIONS))
    note = "labels hidden" if graded(record) else ""
    provenance = "; ".join(filter(None, (record.provenance, note)))
    return replace(record, split="", scale="", provenance=provenance, **hidden)
