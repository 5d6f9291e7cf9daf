"""Which photographs are drawn for three made-up hospitals, with which grades, and their files.

Half of the eyes are healthy, the others spread over ICDR grades 1 to 4; every patient has a left and a right eye,
mostly of one grade. Nothing but the lesions depends on the grade: hospital, colour, vessels, order and file names tell
nothing of it.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina import draws
from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import Difficulty, Key
from semiretina.data.simulator.cameras import HOSPITALS
from semiretina.data.simulator.lesions import Masks
from semiretina.errors import BadConfig, CannotWrite
from semiretina.progress import progress
from semiretina.records import LESIONS

SMALLEST = 32  # px
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
    def key(self) -> Key:
        """What names the eye."""
        return self.seed, self.patient, self.eye

    @property
    def name(self) -> str:
        """The patient's name in records and file names."""
        unlabeled = self.patient >= _UNLABELED
        return f"{'U' if unlabeled else 'L'}{self.patient % _UNLABELED:05d}"

    def draw(self) -> tuple[npt.NDArray[np.uint8], Masks]:
        """The photograph and its masks: see `fundus.draw`."""
        return fundus.draw(self.key, self.grade, self.site, self.size, self.difficulty)


def check_drawing(size: int, difficulty: str) -> None:
    """Raises BadConfig where no eye can be drawn so."""
    if size < SMALLEST:
        raise BadConfig(f"synthetic: size {size} is too small to draw an eye; use {SMALLEST} pixels or more")
    if difficulty not in ("easy", "real"):
        raise BadConfig(f"synthetic: unknown difficulty '{difficulty}'; known are easy, real")


def drawings(
    photographs: int, size: int, difficulty: Difficulty = "easy", seed: int = 0, *, unlabeled: bool = False
) -> list[Drawing]:
    """The first `photographs` of the labelled or the unlabelled set; a larger set begins with the smaller one."""
    chosen = []
    for number in range(photographs):
        index, eye = number // 2, ("right", "left")[number % 2]
        patient = index + (_UNLABELED if unlabeled else 0)
        site = UNLABELED_SITE if unlabeled else SITES[index % len(SITES)]
        turn = index if unlabeled else index // len(SITES)  # the patient's number within the hospital
        chosen.append(Drawing(seed, patient, eye, _grade(seed, patient, turn, site, eye), site, size, difficulty))
    return chosen


def _grade(seed: int, patient: int, turn: int, site: str, eye: str) -> int:
    """The eye's ICDR grade: of every twenty patients of a hospital as many have each grade."""
    shuffled = draws.generator(seed, "grades", site, patient // _UNLABELED, turn // len(_BLOCK)).permutation(_BLOCK)
    grade = int(shuffled[turn % len(_BLOCK)])
    better, worse = _FELLOW[grade]
    chance = float(draws.uniform(seed, "fellow eye", patient))
    if eye == "left" and chance < better:
        return grade - 1
    return grade + 1 if eye == "left" and chance >= 1 - worse else grade


def photograph_file(folder: Path, drawing: Drawing) -> Path:
    """Where the photograph of a drawing stands."""
    return folder / "photographs" / drawing.site / f"{drawing.name}_{drawing.eye}.jpg"


def mask_file(folder: Path, drawing: Drawing, lesion: str) -> Path:
    """Where the mask of one of its lesions stands."""
    return folder / "masks" / drawing.site / f"{drawing.name}_{drawing.eye}_{lesion}.png"


def write_drawings(folder: Path, labeled: Sequence[Drawing], hidden: Sequence[Drawing], masks: bool) -> None:
    """Draws what is not yet in the folder; `masks` adds four masks to each labelled photograph. Raises CannotWrite."""
    try:
        for part in ("photographs", "masks") if masks else ("photographs",):
            for site in SITES:
                (folder / part / site).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise CannotWrite(f"{folder}: cannot make this folder ({error.strerror}); choose another place") from None
    count = len(labeled) + len(hidden)
    with (
        progress(f"Drawing {count} synthetic photographs", count) as advance,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        jobs = [(drawing, masks) for drawing in labeled] + [(drawing, False) for drawing in hidden]
        for _ in pool.map(lambda job: _write(folder, *job), jobs):
            advance()


def _write(folder: Path, drawing: Drawing, masks: bool) -> None:
    file = photograph_file(folder, drawing)
    files = {lesion: mask_file(folder, drawing, lesion) for lesion in LESIONS} if masks else {}
    if all(wanted.exists() for wanted in (file, *files.values())):
        return
    image, drawn = drawing.draw()
    quality = HOSPITALS[drawing.site].quality
    _save(Image.fromarray(image), file, "JPEG", quality)
    for lesion, place in files.items():
        _save(Image.fromarray(drawn[lesion]), place, "PNG")


def _save(image: Image.Image, file: Path, format: str, quality: int = 0) -> None:
    # Renamed when whole, so that a stopped import leaves no half of a photograph behind.
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    image.save(temporary, format=format, quality=quality, subsampling=0)
    os.replace(temporary, file)
