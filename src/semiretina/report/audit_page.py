"""The audit as text for a terminal, and as one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from semiretina import __version__
from semiretina.audit.audit import Audit
from semiretina.audit.finding import Finding, Place
from semiretina.audit.shift import spoken_mix
from semiretina.audit.shortcuts import SHORTCUT, spoken
from semiretina.files import write_text
from semiretina.report.pictures import data_uri
from semiretina.report.template import render
from semiretina.table_text import shown

PLACES_IN_TEXT = 3
PLACES_ON_PAGE = 200
WORDS = {"error": "ERROR", "warning": "WARNING", "note": "note"}


@dataclass(frozen=True)
class Shown:
    """One finding on the page."""

    finding: Finding
    places: Sequence[tuple[str, str, str]]  # rows, column, what it is
    more: int  # places that are only counted
    pictures: Sequence[tuple[str, Sequence[tuple[str, str]]]]  # caption -> (name, data URI) of each photograph


def to_text(audit: Audit) -> str:
    """The findings, the worst first, with a few places each; then what was counted and measured."""
    lines = [_first_line(audit), ""]
    for finding in audit.findings:
        count = f": {len(finding.places)}" if len(finding.places) > 1 else ""
        lines.append(f"{WORDS[finding.severity]:8} {finding.title}{count}")
        lines += [f"         {_line(str(place))}" for place in finding.places[:PLACES_IN_TEXT]]
        if len(finding.places) > PLACES_IN_TEXT:
            lines.append(f"         and {len(finding.places) - PLACES_IN_TEXT} more")
        if finding.severity != "note":
            lines.append(f"         -> {finding.advice}")
    if not audit.findings:
        lines.append("Nothing was found.")
    lines.append("")
    for name, counts in audit.counts.items():
        tally = ", ".join(f"{value or '(empty)'} {count}" for value, count in counts.items())
        lines.append(f"{name}: {_line(tally)}")
    for label in dict.fromkeys(probe.label for probe in audit.shortcuts):
        own = [f"{probe.features} {spoken(probe.auroc)}" for probe in audit.shortcuts if probe.label == label]
        lines.append(f"AUROC of '{label}' without the retina: {'; '.join(own)}")
    if audit.shift:
        lines.append(f"AUROC of labelled against unlabelled: {spoken(audit.shift.auroc)}; {spoken_mix(audit.shift)}")
    return "\n".join(lines)


def write_page(audit: Audit, file: Path) -> None:
    """Writes the audit as a page that asks for no other file. It holds photographs. Raises CannotWrite."""
    probes = [(p, spoken(p.auroc), "yes" if p.above else "no") for p in audit.shortcuts if not isnan(p.auroc.value)]
    page = render(
        "audit.html",
        {
            "name": audit.manifest.name,
            "sentence": _sentence(audit),
            "facts": _facts(audit),
            "groups": [
                (
                    title,
                    [_shown(finding, audit.thumbnails) for finding in audit.findings if finding.severity == severity],
                )
                for severity, title in (("error", "Errors"), ("warning", "Warnings"), ("note", "Notes"))
            ],
            "counts": audit.counts,
            "probes": probes,
            "limit": SHORTCUT,
            "shift": audit.shift,
            "shift_area": spoken(audit.shift.auroc) if audit.shift else "",
            "mix": spoken_mix(audit.shift) if audit.shift else "",
            "version": __version__,
        },
    )
    write_text(file, page)


def _sentence(audit: Audit) -> str:
    if audit.errors:
        errors = "One error" if audit.errors == 1 else f"{audit.errors} errors"
        return f"{errors}: training would refuse this manifest."
    if audit.warnings:
        places = "one thing" if audit.warnings == 1 else f"{audit.warnings} things"
        return f"No error: training would take this manifest. There are {places} to look at first."
    return "Nothing was found that training should not see."


def _first_line(audit: Audit) -> str:
    facts = (
        f"{len(audit.reading.records)} photographs of {audit.patients} named patients, {audit.unreadable} unreadable"
    )
    return f"{audit.manifest}: {facts}; {_count(audit.errors, 'error')}, {_count(audit.warnings, 'warning')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _facts(audit: Audit) -> list[tuple[str, str]]:
    records = audit.reading.records
    labeled = sum(record.grade is not None for record in records)
    return [
        ("Photographs", str(len(records))),
        ("Unreadable or missing", str(audit.unreadable)),
        ("With a grade", str(labeled)),
        ("Named patients", str(audit.patients)),
        ("Errors", str(audit.errors)),
        ("Warnings", str(audit.warnings)),
    ]


def _shown(finding: Finding, thumbnails: Mapping[str, bytes]) -> Shown:
    pictures = []
    for place in finding.places:
        views = [
            (Path(file).name, data_uri(thumbnails[file], "image/jpeg")) for file in place.files if file in thumbnails
        ]
        if views:
            pictures.append((_rows(place), views))
    return Shown(
        finding=finding,
        places=[
            (_rows(place), place.column, place.detail or ", ".join(place.files))
            for place in finding.places[:PLACES_ON_PAGE]
        ],
        more=max(0, len(finding.places) - PLACES_ON_PAGE),
        pictures=pictures,
    )


def _rows(place: Place) -> str:
    return ", ".join(map(str, place.rows[:8])) + (", ..." if len(place.rows) > 8 else "")


def _line(text: str) -> str:
    """Text that takes one line of a terminal, whatever the manifest's cells hold."""
    flat = shown(" ".join(text.split()))
    return flat if len(flat) <= 240 else f"{flat[:239]}…"
