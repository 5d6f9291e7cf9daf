"""The audit: everything that can be said of a manifest and its photographs before training, in one pass.

The order of work: the manifest's text, its cells and names, where its paths lead, the photographs, copies among them,
the split that it gives, shortcuts, shift. A later step leaves out what an earlier one found unreadable.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from semiretina.audit.copies import clusters_of, copy_findings, find_copies, torn_findings
from semiretina.audit.finding import Finding, Place, Sighting, gather
from semiretina.audit.labels import counts_of, label_findings
from semiretina.audit.names import name_findings
from semiretina.audit.paths import path_findings
from semiretina.audit.pictures import Pictures, look, picture_findings
from semiretina.audit.shift import Shift, find_shift, shift_findings
from semiretina.audit.shortcuts import Probe, find_shortcuts, shortcut_findings
from semiretina.collector import uncollected
from semiretina.data.pixel_cache import default_cache
from semiretina.data.split import find_groups
from semiretina.errors import BadData
from semiretina.files import finite
from semiretina.records import COLUMNS, Reading, inspect_manifest, write_manifest

PICTURES = 12  # places of a finding that a page shows with their photographs


@dataclass(frozen=True)
class Audit:
    """What an audit found. `clusters` names what copies join, one name a record, "" for what has no copy."""

    manifest: Path
    reading: Reading
    findings: Sequence[Finding]
    counts: Mapping[str, Mapping[str, int]]
    patients: int
    unreadable: int
    shortcuts: Sequence[Probe]
    shift: Shift | None
    clusters: Sequence[str]
    thumbnails: Mapping[str, bytes]  # JPEG by path, of the first photographs of each finding

    @property
    def errors(self) -> int:
        """How many places training would refuse."""
        return sum(len(finding.places) for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> int:
        """How many places somebody should look at."""
        return sum(len(finding.places) for finding in self.findings if finding.severity == "warning")

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; a number that is not defined is None."""
        values: dict[str, Any] = finite(
            {
                "manifest": str(self.manifest),
                "photographs": len(self.reading.records),
                "unreadable": self.unreadable,
                "patients": self.patients,
                "errors": self.errors,
                "warnings": self.warnings,
                "findings": [
                    {
                        "kind": finding.kind,
                        "severity": finding.severity,
                        "title": finding.title,
                        "advice": finding.advice,
                        "places": [place._asdict() for place in finding.places],
                    }
                    for finding in self.findings
                ],
                "counts": self.counts,
                "shortcuts": [asdict(probe) for probe in self.shortcuts],
                "shift": asdict(self.shift) if self.shift else None,
            }
        )
        return values


def audit_manifest(manifest: Path, cache: Path | None = None) -> Audit:
    """Audits a manifest and its photographs, which are read through the pixel cache in the folder `cache`.

    Raises MissingInput where there is no such file; every other defect is a finding.
    """
    reading = inspect_manifest(manifest)
    records = reading.records
    sightings = manifest_findings(manifest, reading)
    pictures = look(records, cache or default_cache())
    sightings += picture_findings(reading, pictures)
    sha256 = [entry.sha256 for entry in pictures.entries]
    sightings += torn_findings(reading, sha256)
    copies = find_copies(pictures)
    sightings += copy_findings(reading, copies)
    groups = find_groups(records, sha256, "patient")
    probes = find_shortcuts(records, groups, pictures) if records else []
    shift = find_shift(records, groups, pictures) if records else None
    sightings += [*shortcut_findings(probes), *shift_findings(shift)]
    findings = gather(sightings)
    return Audit(
        manifest=manifest,
        reading=reading,
        findings=findings,
        counts=counts_of(records),
        patients=len({(record.dataset, record.patient) for record in records if record.patient}),
        unreadable=int((~pictures.readable).sum()),
        shortcuts=probes,
        shift=shift,
        clusters=clusters_of(copies, records),
        thumbnails=_thumbnails(findings, reading, pictures),
    )


@uncollected()
def manifest_findings(manifest: Path, reading: Reading) -> list[Sighting]:
    """What can be said of a manifest without opening a photograph."""
    sightings: list[Sighting] = []
    for defect in reading.defects:
        kind = "file" if not defect.row else "cell" if defect.column else "row"
        kind = "header" if defect.row == 1 and reading.header else kind
        sightings.append((kind, Place((defect.row,) if defect.row else (), defect.column, detail=defect.why)))
    unread = [name for name in reading.header if name and name not in COLUMNS]
    if unread:
        sightings.append(("columns", Place((1,), detail=", ".join(unread))))
    if "" in reading.header:
        sightings.append(("columns", Place((1,), detail="a column without a name")))
    sightings += path_findings(reading, manifest.resolve().parent)
    sightings += name_findings(reading)
    sightings += label_findings(reading)
    return sightings


def write_clusters(audit: Audit, out: Path) -> None:
    """Writes the manifest anew with the column `cluster`.

    Raises BadData where rows or cells could not be read, which would be lost, and CannotWrite.
    """
    if audit.reading.defects:
        raise BadData(f"{out}: not written, since rows or cells of {audit.manifest} cannot be read; mend them first")
    records = audit.reading.records
    # What the manifest has joined already stays joined.
    groups = find_groups(records, audit.clusters, "photograph")
    # Named after their first photograph, so that manifests which are merged later hardly share a name by chance.
    names: dict[str, str] = {}
    for group, record, path in zip(groups, records, audit.reading.paths, strict=True):
        names.setdefault(group, hashlib.sha256(f"{record.dataset}|{path}".encode()).hexdigest()[:10])
    records = [
        replace(record, cluster=names[group] if name or record.cluster else "")
        for record, name, group in zip(records, audit.clusters, groups, strict=True)
    ]
    write_manifest(records, out, **audit.reading.more)


def _thumbnails(findings: Sequence[Finding], reading: Reading, pictures: Pictures) -> dict[str, bytes]:
    number_of = {str(record.path): number for number, record in enumerate(reading.records)}
    thumbnails = {}
    for finding in findings:
        for place in finding.places[:PICTURES]:
            for file in place.files:
                number = number_of.get(file)
                if number is not None and len(place.files) <= 2 and pictures.entries[number].row is not None:
                    thumbnails[file] = pictures.jpeg(number)
    return thumbnails
