"""DICOM: the photographs of a clinic's archive, with patient, eye, day, camera and hospital from their headers.

`root` is searched with its subfolders, whatever the files are called. Taken are ophthalmic photographs, and secondary
captures and photographs in visible light that carry colour (`photograph`); everything else is skipped and counted.
The pictures are written as PNG once (`frames`), a record a frame; a file that lies there twice is taken once.

No more of the header goes into the manifest than is named above; `PatientID` goes there as it stands.
"""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from semiretina.data.sources.download import check_folder
from semiretina.data.sources.source import Source
from semiretina.errors import BadConfig, BadData, MissingInput, summary
from semiretina.files import sha256_of
from semiretina.progress import progress, say
from semiretina.records import SCALES, Record
from semiretina.table_text import read_table

VERSION = 1  # of the conversion; part of the files' names, so that photographs of two versions never mix
SUFFIXES = (".dcm", ".dicom", ".dic")
# Object identifiers of CMS content that is encrypted (RFC 5652, RFC 5083): what stands first in such a file.
ENCRYPTED = (
    bytes.fromhex("06092a864886f70d010703"),  # enveloped data
    bytes.fromhex("06092a864886f70d010706"),  # encrypted data
    bytes.fromhex("060b2a864886f70d0109100117"),  # authenticated and enveloped data
)


def records(root: Path, *, labels: str = "", scale: str = "", images: str = "") -> list[Record]:
    """The photographs under `root`, in the order of their paths and frames.

    `labels` is a table of grades on `scale` (`Labels`). `images` is the folder for the PNG files; without it,
    they go beside `root`. A picture that stands there is not written again.

    Raises MissingInput where pydicom, the folder or any photograph is absent, and BadData that names every file that is
    encrypted, damaged, without pixels, or coded in a way that cannot be read.
    """
    try:
        from semiretina.data.sources.dicom import photograph  # noqa: PLC0415  (pydicom is an extra)
    except ImportError as error:
        if not (error.name or "").startswith("pydicom"):
            raise
        advice = "python -m pip install 'semiretina[dicom]'"
        raise MissingInput(f"dicom: pydicom 3 or later is not installed: {advice}") from None
    root = Path(os.path.abspath(root))
    check_folder(root, "DICOM files")
    table = Labels(Path(labels), scale) if labels else None
    folder = Path(os.path.abspath(images)) if images else root.parent / f"{root.name}-photographs"
    files, skipped, defects = _search(root, folder)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool, _quiet():
        copies: dict[str, list[Path]] = {}
        for file, digest in zip(files, pool.map(sha256_of, files), strict=True):
            copies.setdefault(digest, []).append(file)
        jobs = [(same[0], folder / f"{digest[:20]}-v{VERSION}") for digest, same in copies.items()]
        contents = []
        with progress(f"Reading {len(jobs)} DICOM files", len(jobs)) as advance:
            for one in pool.map(lambda job: photograph.read(*job), jobs):
                contents.append(one)
                advance()
    result, remarks = [], list[str]()
    for same, one in zip(copies.values(), contents, strict=True):
        names = [file.relative_to(root).as_posix() for file in same]
        defects += [f"{names[0]}: {defect}" for defect in one.defects]
        skipped.update([f"of the class {one.skipped}"] if one.skipped else [])
        skipped.update(["that lie there twice"] * (len(same) - 1))
        remarks += one.remarks
        for index, record in enumerate(one.records):
            grade = table.grade(_names(names, one.uid, index, len(one.records))) if table else None
            result.append(replace(record, grade=grade, scale="" if grade is None else scale))
    if skipped:
        say("dicom: skipped files: " + ", ".join(f"{count} {what}" for what, count in sorted(skipped.items())))
    if defects:
        raise BadData(summary(str(root), defects, "mend these files or move them elsewhere, and run again"))
    if not result:
        raise MissingInput(
            f"{root}: no photograph among {len(files)} DICOM files in it and its subfolders; give their folder"
        )
    if table:
        table.check()
        remarks += ["without a grade" for record in result if record.grade is None]
    _tell(result, remarks, folder)
    return result


def _search(root: Path, folder: Path) -> tuple[list[Path], Counter[str], list[str]]:
    """The DICOM files below `root`, other files by their kind, and what is wrong with files that should be DICOM."""
    files, others, defects = [], Counter[str](), list[str]()

    def refuse(error: OSError) -> None:
        where = Path(error.filename).relative_to(root)
        defects.append(f"{where}: cannot be read ({error.strerror})")

    for place, inside, names in os.walk(root, onerror=refuse):
        inside[:] = sorted(name for name in inside if name[0] != "." and Path(place, name) != folder)
        for name in sorted(names):
            file = Path(place, name)
            if name.startswith(".") or not file.is_file():
                continue
            try:
                with file.open("rb") as opened:
                    head = opened.read(132)
            except OSError as error:
                refuse(error)
                continue
            if head[128:] == b"DICM":
                files.append(file)
            elif head[:1] == b"\x30" and any(identifier in head[:24] for identifier in ENCRYPTED):
                defects.append(f"{file.relative_to(root)}: encrypted (a CMS envelope); decrypt it first")
            elif file.suffix.lower() in SUFFIXES:
                defects.append(f"{file.relative_to(root)}: no DICOM file, though its name says so")
            else:
                others[f"that are no DICOM files ({file.suffix.lower() or 'no suffix'})"] += 1
    return sorted(files), others, defects


def _names(names: Sequence[str], uid: str, frame: int, frames: int) -> list[str]:
    """By what a table of labels may call a frame: the instance or any path of its file, with the frame's number."""
    mark = f"#{frame + 1}" if frames > 1 else ""
    return [f"{name}{mark}" for name in (uid, *names) if name]


def _tell(records: Sequence[Record], remarks: Sequence[str], folder: Path) -> None:
    patients = len({record.patient for record in records if record.patient})
    say(f"dicom: {len(records)} photographs (patients: {patients}), as PNG in {folder}")
    if remarks:
        say("dicom: of these " + ", ".join(f"{count} {remark}" for remark, count in Counter(remarks).items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps pydicom from commenting on every header: what counts is said in our own words."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class Labels:
    """Grades for photographs that hold none: a table with the columns `image` and `grade`.

    `image` is the SOP Instance UID of the file, or its path below the root; `#2` after it is the second of several
    frames. A row that no photograph asks for is a defect.
    """

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
            numbers = " and ".join(f"row {number}" for number, _ in sorted(rows))
            self._defects.append(f"{numbers}: two grades for one photograph")
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


SOURCE = Source(
    read=records,
    title="DICOM files of ophthalmic photographs, from a clinic's archive",
    scale="as the option scale says; DICOM itself holds no grades",
    licence="your own",
    get="give the folder as root; needs the extra: python -m pip install 'semiretina[dicom]'",
)
