"""Source `synthetic`: photographs that are drawn, with known grades, lesions and masks, from three made-up hospitals.

Half of the eyes are healthy, the others spread over ICDR grades 1 to 4; every patient has a left and a right eye,
mostly of one grade. Nothing but the lesions depends on the grade: hospital, colour, vessels, order and file names tell
nothing of it. The unlabelled photographs come from other patients of one hospital, with hidden grades in the same
shares.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina import draws
from semiretina.data.sources import fundus, messidor_lookalike
from semiretina.data.sources.hospitals import HOSPITALS
from semiretina.data.sources.lesions import Difficulty, Masks
from semiretina.data.sources.source import Source
from semiretina.errors import BadConfig, CannotWrite
from semiretina.progress import progress
from semiretina.records import LESIONS, Record

SMALLEST = 32
LAYOUTS = ("hospitals", "messidor")
SITES = tuple(HOSPITALS)
UNLABELED_SITE = SITES[-1]
# The grades of twenty consecutive patients of a hospital.
_BLOCK = (0,) * 10 + (1,) * 3 + (2,) * 3 + (3,) * 2 + (4,) * 2
# Grade of the patient -> chance that the left eye is a grade better, or worse; as many healthy eyes turn ill as the
# reverse.
_FELLOW: Mapping[int, tuple[float, float]] = {
    0: (0, 0.06),
    1: (0.2, 0.15),
    2: (0.15, 0.15),
    3: (0.2, 0.15),
    4: (0.2, 0),
}
_UNLABELED = 1_000_000  # number of the first unlabelled patient: nobody is in both sets


@dataclass(frozen=True, slots=True)
class Drawing:
    """The arguments of one photograph."""

    seed: int
    patient: int
    eye: str
    grade: int
    site: str
    size: int
    difficulty: Difficulty

    @property
    def name(self) -> str:
        """The patient's name in records and file names."""
        unlabeled = self.patient >= _UNLABELED
        return f"{'U' if unlabeled else 'L'}{self.patient % _UNLABELED:05d}"

    def draw(self) -> tuple[npt.NDArray[np.uint8], Masks]:
        """The photograph and its masks: see `fundus.draw`."""
        return fundus.draw(self.seed, self.patient, self.eye, self.grade, self.site, self.size, self.difficulty)


def drawings(
    photographs: int, size: int, difficulty: Difficulty = "easy", seed: int = 0, *, unlabeled: bool = False
) -> list[Drawing]:
    """The first `photographs` of the labelled or the unlabelled set; a larger set begins with the smaller one."""
    found = []
    for number in range(photographs):
        index, eye = number // 2, ("right", "left")[number % 2]
        patient = index + (_UNLABELED if unlabeled else 0)
        site = UNLABELED_SITE if unlabeled else SITES[index % len(SITES)]
        turn = index if unlabeled else index // len(SITES)  # the patient's number within the hospital
        found.append(Drawing(seed, patient, eye, _grade(seed, patient, turn, site, eye), site, size, difficulty))
    return found


def records(
    root: Path,
    *,
    photographs: int = 360,
    unlabeled: int = 240,
    size: int = 128,
    difficulty: Difficulty = "easy",
    seed: int = 0,
    masks: bool = False,
    layout: str = "hospitals",
) -> list[Record]:
    """Draws what is not yet under `root` and returns a record for each photograph, labelled ones first.

    `photographs` and `unlabeled` count files, two a patient. `size` is about the height of a photograph in pixels; the
    hospitals differ in it. Unlabelled records carry neither grade nor lesions. `masks=True` writes four PNG masks for
    each labelled photograph. `layout="messidor"` draws photographs with Messidor's grades and errors, written as
    Messidor and its Extension lie on disk, and returns what their importers find there: see `messidor_lookalike`.

    Raises BadConfig for numbers that make no sense, CannotWrite where `root` takes no files, and Refused where
    Messidor's layout would mix with other files.
    """
    if photographs < 0 or unlabeled < 0 or photographs + unlabeled == 0:
        raise BadConfig(f"synthetic: {photographs} labelled and {unlabeled} unlabelled photographs; ask for some")
    if size < SMALLEST:
        raise BadConfig(f"synthetic: size {size} is too small to draw an eye; use {SMALLEST} pixels or more")
    if difficulty not in ("easy", "real"):
        raise BadConfig(f"synthetic: unknown difficulty '{difficulty}'; known are easy, real")
    if layout not in LAYOUTS:
        raise BadConfig(f"synthetic: unknown layout '{layout}'; known are {', '.join(LAYOUTS)}")
    if layout == "messidor":
        if masks:
            raise BadConfig(
                "synthetic: masks are not written in Messidor's layout, which has none; leave one of the two"
            )
        return messidor_lookalike.records(root, photographs, unlabeled, size, difficulty, seed)
    folder = root / f"{difficulty}-{size}px-seed{seed}-v{fundus.VERSION}"
    labeled = drawings(photographs, size, difficulty, seed)
    hidden = drawings(unlabeled, size, difficulty, seed, unlabeled=True)
    try:
        for part in ("photographs", "masks") if masks else ("photographs",):
            for site in SITES:
                (folder / part / site).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise CannotWrite(f"{folder}: cannot make this folder ({error.strerror}); choose another place") from None
    with (
        progress(f"Drawing {photographs + unlabeled} synthetic photographs", photographs + unlabeled) as advance,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        jobs = [(drawing, masks) for drawing in labeled] + [(drawing, False) for drawing in hidden]
        for _ in pool.map(lambda job: _write(folder, *job), jobs):
            advance()
    return [_labeled(folder, d, masks) for d in labeled] + [_record(folder, d) for d in hidden]


def _grade(seed: int, patient: int, turn: int, site: str, eye: str) -> int:
    """The eye's ICDR grade: fixed shares in every twenty patients of a hospital, whatever the number of photographs."""
    shuffled = draws.generator(seed, "grades", site, patient // _UNLABELED, turn // len(_BLOCK)).permutation(_BLOCK)
    grade = int(shuffled[turn % len(_BLOCK)])
    better, worse = _FELLOW[grade]
    chance = float(draws.uniform(seed, "fellow eye", patient))
    if eye == "left" and chance < better:
        return grade - 1
    return grade + 1 if eye == "left" and chance >= 1 - worse else grade


def _photograph(folder: Path, drawing: Drawing) -> Path:
    return folder / "photographs" / drawing.site / f"{drawing.name}_{drawing.eye}.jpg"


def _mask(folder: Path, drawing: Drawing, lesion: str) -> Path:
    return folder / "masks" / drawing.site / f"{drawing.name}_{drawing.eye}_{lesion}.png"


def _write(folder: Path, drawing: Drawing, masks: bool) -> None:
    file = _photograph(folder, drawing)
    mask_files = {lesion: _mask(folder, drawing, lesion) for lesion in LESIONS} if masks else {}
    if all(wanted.exists() for wanted in (file, *mask_files.values())):
        return
    image, drawn = drawing.draw()
    quality = HOSPITALS[drawing.site].quality
    _save(Image.fromarray(image), file, "JPEG", quality)
    for lesion, mask_file in mask_files.items():
        _save(Image.fromarray(drawn[lesion]), mask_file, "PNG")


def _save(image: Image.Image, file: Path, format: str, quality: int = 0) -> None:
    # Renamed when whole, so that a stopped import leaves no half of a photograph behind.
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    image.save(temporary, format=format, quality=quality, subsampling=0)
    os.replace(temporary, file)


def _record(folder: Path, drawing: Drawing) -> Record:
    """The record of a photograph of which nothing is known but where it comes from."""
    return Record(
        path=_photograph(folder, drawing),
        dataset="synthetic",
        site=drawing.site,
        camera=HOSPITALS[drawing.site].camera,
        patient=drawing.name,
        exam=f"{drawing.name}-1",
        eye=drawing.eye,
        quality="gradable",
        provenance=f"drawn: {drawing.difficulty}, seed {drawing.seed}, {drawing.size} px, version {fundus.VERSION}",
    )


def _labeled(folder: Path, drawing: Drawing, masks: bool) -> Record:
    """The record with the truth of what was drawn."""
    key = (drawing.seed, drawing.patient, drawing.eye)
    found, edema = fundus.plan(key, drawing.grade, drawing.site, drawing.difficulty)
    files = [_mask(folder, drawing, lesion) if masks else None for lesion in LESIONS]
    return replace(
        _record(folder, drawing),
        scale="icdr",
        grade=drawing.grade,
        dme=edema,
        MA=found.has("MA"),
        HE=found.has("HE"),
        EX=found.has("EX"),
        SE=found.has("SE"),
        mask_MA=files[0],
        mask_HE=files[1],
        mask_EX=files[2],
        mask_SE=files[3],
    )


SOURCE = Source(
    read=records,
    title="drawn photographs with known grades, lesions and masks",
    scale="icdr",
    licence="Apache-2.0, as the program",
    redistributable=True,
    get="drawn into root, when asked for",
)
