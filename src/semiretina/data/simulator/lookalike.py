"""Drawn photographs that lie on disk exactly as Messidor and the Messidor Extension do, errors included.

`write_lookalike` makes the twelve folders `Base11` to `Base34` with TIFF files, a sheet in each, as CSV, Messidor's
own grades, three hospitals, fellow eyes with the pairing file, and what the errata tell of: four wrong grades, and
thirteen photographs that stand there twice, two of them with different labels. The real importers read it, so that
everything which starts from Messidor can be tried without it. Nothing but the lesions depends on the grade, neither a
name nor the order. The file SYNTHETIC.txt and a comment in every photograph say that it is drawn.
"""

import csv
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from semiretina.data import messidor_facts as facts
from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import Difficulty
from semiretina.data.simulator.cameras import CAMERAS
from semiretina.data.simulator.drawings import check_drawing
from semiretina.data.simulator.lookalike_exams import DUPLICATED, LEAST, Exam, Picture, pictures, plan, plan_extension
from semiretina.errors import BadConfig, CannotWrite, Refused
from semiretina.files import write_bytes, write_text
from semiretina.progress import progress

VERSION = 1  # of names, grades and order; that of the drawing stands before it
NOTICE = "SYNTHETIC.txt"
PAIRS = facts.PAIRS_FILES[0]


def write_lookalike(
    root: Path,
    *,
    photographs: int = 240,
    unlabeled: int = 120,
    size: int = 128,
    difficulty: Difficulty = "easy",
    seed: int = 0,
) -> tuple[Path, Path]:
    """Draws what is not yet under `root`; the folders that stand for Messidor and for the Messidor Extension.

    `photographs` and `unlabeled` count files. The thirteen duplicates are among the first, all in Base33, which has
    more than its part where the others have less than 26. `size` is the mean of the three hospitals' heights, in
    pixels. A stopped call goes on where it was. Raises BadConfig for numbers that make no sense, Refused where `root`
    holds anything that these arguments have not drawn.
    """
    _check(photographs, unlabeled)
    check_drawing(size, difficulty)
    folders = plan(photographs, difficulty, seed)
    extension = plan_extension(unlabeled, difficulty, seed)
    settings = settings_text(photographs, unlabeled, size, difficulty, seed)
    _claim(root, settings)
    roots = root / "messidor", root / "messidor_extension"
    jobs: list[tuple[list[Path], Picture]] = [
        ([roots[0] / folder / f"{name}{facts.SUFFIX}" for name in picture.names], picture)
        for folder, exams in folders.items()
        for picture in pictures(exams)
    ]
    jobs += [([roots[1] / f"{picture.names[0]}.JPG"], picture) for picture in pictures(extension)]
    for number, (folder, exams) in enumerate(folders.items(), start=1):
        # One sheet has the other spelling, as it is around.
        spelling = facts.SHEETS[number == len(folders)]
        _once(roots[0] / folder / f"{spelling.format(folder=folder)}.csv", _sheet(folder, exams))
    pairs = _pairs([exam for exams in folders.values() for exam in exams], extension)
    for place in roots:
        _once(place / PAIRS, pairs.encode())
    with (
        progress(f"Drawing {photographs + unlabeled} photographs laid out as Messidor's", len(jobs)) as advance,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        for _ in pool.map(lambda job: _draw(job[0], job[1], size, difficulty, seed, settings), jobs):
            advance()
    return roots


def _check(photographs: int, unlabeled: int) -> None:
    if not LEAST <= photographs <= facts.PHOTOGRAPHS:
        raise BadConfig(
            f"synthetic: photographs = {photographs}, but Messidor's layout takes {LEAST} to {facts.PHOTOGRAPHS}: its "
            f"errata name {DUPLICATED} of {facts.DUPLICATES_FOLDER} alone"
        )
    if unlabeled % 2 or not 0 <= unlabeled <= facts.EXTENSION_PHOTOGRAPHS:
        raise BadConfig(
            f"synthetic: unlabeled = {unlabeled}, but the Messidor Extension is pairs of eyes: an even number up to "
            f"{facts.EXTENSION_PHOTOGRAPHS}"
        )


def settings_text(photographs: int, unlabeled: int, size: int, difficulty: str, seed: int) -> str:
    """What a look-alike is drawn from, in words, as every photograph and record of it says."""
    what = f"{photographs} + {unlabeled} photographs, {difficulty}, seed {seed}, {size} px"
    return f"Messidor look-alike, {what}, version {fundus.VERSION}.{VERSION}"


def _claim(root: Path, settings: str) -> None:
    """Writes the notice into an empty folder, or finds it there; nothing is ever drawn among other files."""
    notice = root / NOTICE
    text = (
        "These photographs are drawn by a program (semiretina). They are not photographs, and not Messidor's: only\n"
        f"names and layout are the same.\n{settings}\n"
    )
    try:
        held = sorted(entry.name for entry in root.iterdir()) if root.exists() else []
    except OSError as error:
        raise CannotWrite(f"{root}: cannot be used as a folder ({error.strerror}); choose another place") from None
    if NOTICE in held:
        if notice.read_text("utf-8") != text:
            raise Refused(f"{notice}: drawn with other settings than {settings}; choose another --root, or empty this")
    elif any(not name.startswith(".") for name in held):
        raise Refused(f"{root}: holds {held[0]}, which is not of a look-alike; give an empty folder, or a new one")
    else:
        write_text(notice, text)


def _sheet(folder: str, exams: Sequence[Exam]) -> bytes:
    """The folder's sheet: a row a file, with what the errata found to be wrong still wrong."""
    old = {correction.name: correction.old for correction in facts.CORRECTIONS}
    rows = []
    for picture in pictures(exams):
        for name in picture.names:
            column, dropped, _ = facts.INCONSISTENT.get(name, ("", 0, 0))
            grade = dropped if column == facts.GRADE else old.get(name, picture.grade)
            edema = dropped if column == facts.EDEMA else picture.edema
            rows.append((f"{name}{facts.SUFFIX}", facts.FOLDERS[folder].department, grade, edema))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((facts.COLUMNS, *sorted(rows)))
    return text.getvalue().encode()


def _pairs(exams: Sequence[Exam], extension: Sequence[Exam]) -> str:
    """Messidor-2's pairing file, whose names of Messidor's photographs end in .png."""
    lines = [";".join(facts.PAIRS_COLUMNS)]
    for part, suffix in ((exams, ".png"), (extension, ".JPG")):
        for exam in part:
            if len(exam) == 2:
                name = {picture.eye: picture.names[0] + suffix for picture in exam}
                lines.append(f"{name['left']};{name['right']}")
    return "\n".join(lines) + "\n"


def _draw(files: Sequence[Path], picture: Picture, size: int, difficulty: Difficulty, seed: int, settings: str) -> None:
    missing = [file for file in files if not file.exists()]
    if not missing:
        return
    drawn, _ = fundus.draw((seed, picture.patient, picture.eye), picture.icdr, picture.site, size, difficulty)
    image, content = Image.fromarray(drawn), io.BytesIO()
    note = f"Drawn, not a photograph of Messidor: {settings}"
    if missing[0].suffix == facts.SUFFIX:
        image.save(content, format="TIFF", compression="tiff_lzw", description=note)
    else:
        image.save(content, format="JPEG", quality=CAMERAS[picture.site].quality, subsampling=0, comment=note)
    for file in missing:
        write_bytes(file, content.getvalue())


def _once(file: Path, content: bytes) -> None:
    if not file.exists():
        write_bytes(file, content)
