"""Findings: a kind of defect and the places where it stands. The table `KINDS` names every kind, the worst first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]


class Kind(NamedTuple):
    """What a finding says, whatever its places; an error is what training would refuse."""

    severity: Severity
    title: str
    advice: str


class Place(NamedTuple):
    """Where something was found: rows as a spreadsheet numbers them, a column, files, and what it is there."""

    rows: tuple[int, ...] = ()
    column: str = ""
    files: tuple[str, ...] = ()
    detail: str = ""

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.rows[:6])) + (", ..." if len(self.rows) > 6 else "")
        word = "row" if len(self.rows) == 1 else "rows"
        parts = [f"{word} {rows}" if self.rows else "", f"column {self.column}" if self.column else ""]
        place = ", ".join(part for part in parts if part)
        return ": ".join(part for part in (place, self.detail or ", ".join(self.files[:4])) if part)


@dataclass(frozen=True)
class Finding:
    """One kind of defect with all its places."""

    kind: str
    places: tuple[Place, ...]

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    @property
    def title(self) -> str:
        """What it is, in words."""
        return KINDS[self.kind].title

    @property
    def advice(self) -> str:
        """What to do about it."""
        return KINDS[self.kind].advice


Sighting = tuple[str, Place]  # a kind and one place of it


def gather(sightings: Iterable[Sighting]) -> list[Finding]:
    """One finding a kind, in the order of `KINDS`; places in the order of their rows."""
    places: dict[str, list[Place]] = {}
    for kind, place in sightings:
        places.setdefault(kind, []).append(place)
    assert places.keys() <= KINDS.keys(), places.keys() - KINDS.keys()
    return [
        Finding(kind, tuple(sorted(places[kind], key=lambda place: place.rows[:1]))) for kind in KINDS if kind in places
    ]


KINDS: Mapping[str, Kind] = {
    "file": Kind("error", "The manifest cannot be read", "mend the file and run the audit again"),
    "header": Kind("error", "Header", "rename these columns; the rows were read as far as they go"),
    "row": Kind("error", "Rows that cannot be read", "mend them; they were left out of all that follows"),
    "cell": Kind("error", "Cells that training refuses", "mend them, or empty them where nothing is known"),
    "missing": Kind("error", "Photographs that are not there", "put them there, or take out their rows"),
    "unreadable": Kind("error", "Photographs that cannot be read", "get them anew, or take out their rows"),
    "mask": Kind("error", "Lesion masks that cannot be used", "put the right file there, or empty the cell"),
    "torn": Kind(
        "error",
        "Groups that the column 'split' tears apart",
        "give one patient, one exam and one picture one role, or empty the column and let training draw the split",
    ),
    "torn-copies": Kind(
        "warning",
        "Nearly the same picture on both sides of the given split",
        "give both one role; or write the clusters with --out, which a drawn split never separates",
    ),
    "torn-eyes": Kind(
        "warning",
        "What looks like fellow eyes on both sides of the given split",
        "fill the column 'patient', and give the eyes of one patient one role",
    ),
    "conflict": Kind(
        "warning", "One picture with different labels", "at least one of the labels is wrong: look, and keep one row"
    ),
    "copy-bytes": Kind("warning", "The same file twice", "keep one; training keeps them on one side of the split"),
    "copy-pixels": Kind("warning", "The same picture in two files", "keep one, or write clusters with --out"),
    "copy-near": Kind(
        "warning", "Nearly the same picture twice", "look at them; keep one, or write clusters with --out"
    ),
    "shortcut": Kind(
        "warning",
        "Labels that can be guessed without looking at the retina",
        "a network may learn this instead; test on photographs for which it does not hold",
    ),
    "contradiction": Kind(
        "warning", "Labels that contradict each other", "look at the photograph, and mend one of the two"
    ),
    "no-patient": Kind(
        "warning",
        "Photographs without a patient id",
        "fill the column: else fellow eyes may stand on both sides of a split, and intervals are too narrow",
    ),
    "placeholder": Kind(
        "warning", "Patient ids that look like 'unknown'", "empty these cells: all their rows count as one patient"
    ),
    "crowd": Kind("warning", "Patients with very many photographs", "check the id: these rows are never separated"),
    "spelling": Kind("warning", "Names spelt in two ways", "spell each in one way: now they count as different"),
    "two-datasets": Kind(
        "warning",
        "Patient ids that stand in two data sets",
        "they count as different patients; if they are the same, name one data set",
    ),
    "shared-exam": Kind(
        "warning", "Exams of more than one patient", "check the ids: all these patients count as one group"
    ),
    "damaged-id": Kind(
        "warning",
        "Ids that a spreadsheet has rounded",
        "restore them from the source: different patients may look like one",
    ),
    "blank": Kind("warning", "Photographs that show nothing", "take out their rows"),
    "dark": Kind("warning", "Nearly black photographs", "look at them; quality = ungradable leaves them out"),
    "bright": Kind("warning", "Over-exposed photographs", "look at them; quality = ungradable leaves them out"),
    "blurred": Kind("warning", "Blurred photographs", "look at them; quality = ungradable leaves them out"),
    "no-disc": Kind(
        "warning",
        "Photographs without a field of view",
        "look at them: such a file may be no fundus photograph, or a tight crop",
    ),
    "tiny": Kind("warning", "Tiny photographs", "get the originals: small lesions are lost"),
    "one-class": Kind("warning", "Labels of one class only", "add photographs of the other class"),
    "few": Kind(
        "warning",
        "Very few photographs of a class",
        "no score of so few is worth much; label more, or train with folds",
    ),
    "scales": Kind(
        "warning",
        "Several grading scales",
        "name the scale in the task (severity:icdr), or map them under [data.regrade]",
    ),
    "ungradable": Kind(
        "warning", "Labels on ungradable photographs", "these labels are not used; mend the one or the other"
    ),
    "eyes": Kind(
        "warning", "Patients with more photographs than eyes", "fill 'eye' and 'exam', or check the patient ids"
    ),
    "no-eye": Kind("warning", "Photographs without an eye", "fill the column: scores by eye and patient need it"),
    "partly": Kind(
        "warning", "Columns that are filled in some rows only", "fill them: an empty cell counts as a place of its own"
    ),
    "invisible": Kind("warning", "Cells with invisible characters", "type them anew: two that look equal are not"),
    "case": Kind(
        "warning",
        "Paths that differ in upper and lower case only",
        "rename one: on Windows and macOS they are one file",
    ),
    "unicode": Kind(
        "warning",
        "Paths that differ in their Unicode form only",
        "rename one: they look the same, and on macOS they are one file",
    ),
    "shared-mask": Kind("warning", "One mask file for two photographs or lesions", "check these cells"),
    "shift": Kind(
        "warning",
        "Unlabelled photographs that differ from the labelled ones",
        "what is learned from them may not carry over; compare with training without them",
    ),
    "absolute": Kind("note", "Absolute paths", "manifest and photographs cannot be moved together"),
    "columns": Kind("note", "Columns that nothing reads", "nothing to do, if that is meant"),
    "repeats": Kind("note", "Several photographs of one eye", "they stay on one side of a split"),
    "given": Kind("note", "A split that is given in part", "rows without a role are drawn around the given ones"),
}
