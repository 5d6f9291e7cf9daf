"""The audit as text for a terminal, and as one self-contained page."""

from collections.abc import Mapping
from math import isnan
from pathlib import Path

from semiretina.audit.audit import Audit
from semiretina.audit.finding import Finding, Place
from semiretina.audit.shift import spoken_mix
from semiretina.audit.shortcuts import SHORTCUT, spoken
from semiretina.files import write_text
from semiretina.report.pictures import Picture, data_uri
from semiretina.report.section import NOTICE, Block, Facts, Pictures, Section, Text, section, table
from semiretina.report.template import page_html
from semiretina.table_text import shown
from semiretina.wording import counted

PLACES_IN_TEXT = 3
PLACES_ON_PAGE = 200
WORDS = {"error": "ERROR", "warning": "WARNING", "note": "note"}
PHOTOGRAPHS = "This page holds photographs and file names: pass it on only where the photographs may go."
SHORTCUTS = (
    "How well a few numbers tell a label without a look at the retina: the area under the ROC curve of a logistic "
    "regression, cross-validated over patients, with its 95 % interval. 0.5 is chance. It counts as a shortcut when "
    f"the whole interval lies above {SHORTCUT}."
)
WEAK = (
    "Both are weak: seven numbers of a photograph hardly see a lesion, and the mix supposes that sick eyes look alike "
    "on both sides."
)


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
        areas = [f"{probe.features} {spoken(probe.auroc)}" for probe in audit.shortcuts if probe.label == label]
        lines.append(f"AUROC of '{label}' without the retina: {'; '.join(areas)}")
    if audit.shift:
        lines.append(f"AUROC of labelled against unlabelled: {spoken(audit.shift.auroc)}; {spoken_mix(audit.shift)}")
    return "\n".join(lines)


def write_page(audit: Audit, file: Path) -> None:
    """Writes the audit as a page that asks for no other file. It holds photographs. Raises CannotWrite."""
    chapters = [_findings(audit), _counts(audit), _shortcuts(audit), _shift(audit)]
    head: list[Block] = [Facts(_facts(audit)), Text(f"{PHOTOGRAPHS} {NOTICE}", "notice")]
    made_from = "the manifest and its photographs"
    there = [chapter for chapter in chapters if chapter]
    page = page_html("data audit", audit.manifest.name, _sentence(audit), there, made_from, head)
    write_text(file, page)


def _findings(audit: Audit) -> Section:
    blocks: list[Block] = []
    for severity, title in (("error", "Errors"), ("warning", "Warnings"), ("note", "Notes")):
        alike = [_finding(finding, audit.thumbnails) for finding in audit.findings if finding.severity == severity]
        blocks += [Section(title, alike)] if alike else []
    return Section("Findings", blocks or [Text("Nothing was found.", "")], "findings")


def _finding(finding: Finding, thumbnails: Mapping[str, bytes]) -> Section:
    pictures = [picture for place in finding.places if (picture := _thumbnails(place, thumbnails))]
    rows = [
        [_rows(place) or "–", place.column, place.detail or ", ".join(place.files)]
        for place in finding.places[:PLACES_ON_PAGE]
    ]
    more = len(finding.places) - PLACES_ON_PAGE
    blocks: list[Block] = [
        Text(f"What to do: {finding.advice}.", ""),
        Pictures(finding.title, pictures, kind="thumbs"),
        table("", ["row", "column", "what"], rows, title=f"{finding.title}, places"),
        Text(f"And {more} more, which --json lists." if more > 0 else ""),
    ]
    title = f"{finding.title}: {len(finding.places)}" if len(finding.places) > 1 else finding.title
    opened = finding.severity == "error" or bool(pictures)
    return Section(title, [block for block in blocks if block], folded=True, opened=opened, kind=finding.severity)


def _thumbnails(place: Place, thumbnails: Mapping[str, bytes]) -> Picture | None:
    """The photographs of a place, side by side."""
    files = [file for file in place.files if file in thumbnails]
    views = [(data_uri(thumbnails[file], "image/jpeg"), f"Photograph {Path(file).name}") for file in files]
    if not views:
        return None
    rows = _rows(place)
    caption = f"{'rows' if ',' in rows else 'row'} {rows}" if rows else ""
    return Picture(*views[0], caption, beside=[Picture(*view) for view in views[1:]])


def _counts(audit: Audit) -> Section:
    tallies = [
        table("", [name, "photographs"], [[value or "(empty)", str(n)] for value, n in counts.items()], title=name)
        for name, counts in audit.counts.items()
    ]
    return Section("Counts", tallies, "counts")


def _shortcuts(audit: Audit) -> Section | None:
    probes = [probe for probe in audit.shortcuts if not isnan(probe.auroc.value)]
    rows = [[p.features, p.label, str(p.n), spoken(p.auroc), "yes" if p.above else "no"] for p in probes]
    areas = table("", ["from", "label", "photographs", "AUROC", "shortcut"], rows, title="Areas of the shortcuts")
    return section("Shortcuts", Text(SHORTCUTS, ""), areas, name="shortcuts") if probes else None


def _shift(audit: Audit) -> Section | None:
    if not (shift := audit.shift):
        return None
    apart = (
        f"Picture statistics tell the {shift.labeled} labelled photographs from the {shift.unlabeled} unlabelled ones "
        f"with an area under the ROC curve of {spoken(shift.auroc)}; 0.5 is chance. They differ most in {shift.most}."
    )
    mix = Text(f"Mix of labels: {spoken_mix(shift)}.", "")
    return section("Unlabelled photographs", Text(apart, ""), mix, Text(WEAK), name="shift")


def _sentence(audit: Audit) -> str:
    if audit.errors:
        errors = "One error" if audit.errors == 1 else counted(audit.errors, "error")
        return f"{errors}: training would refuse this manifest."
    if audit.warnings:
        verb = "is" if audit.warnings == 1 else "are"
        things = f"There {verb} {counted(audit.warnings, 'thing')} to look at first."
        return f"No error: training would take this manifest. {things}"
    return "Nothing was found that training should not see."


def _first_line(audit: Audit) -> str:
    facts = (
        f"{len(audit.reading.records)} photographs of {audit.patients} named patients, {audit.unreadable} unreadable"
    )
    return f"{audit.manifest}: {facts}; {counted(audit.errors, 'error')}, {counted(audit.warnings, 'warning')}"


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


def _rows(place: Place) -> str:
    return ", ".join(map(str, place.rows[:8])) + (", ..." if len(place.rows) > 8 else "")


def _line(text: str) -> str:
    """Text that takes one line of a terminal, whatever the manifest's cells hold."""
    flat = shown(" ".join(text.split()))
    return flat if len(flat) <= 240 else f"{flat[:239]}…"
