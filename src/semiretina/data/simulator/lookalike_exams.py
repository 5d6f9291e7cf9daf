"""Who is photographed for the look-alike of Messidor: names, fellow eyes and grades, before anything is drawn.

Every examination gets its grades first, in Messidor's proportions, and then the first patient whose drawn lesions have
them. So a sheet tells the truth of its photographs, and neither names nor their order tell anything of a grade.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from semiretina import draws
from semiretina.data import messidor_facts as facts
from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import Difficulty
from semiretina.data.simulator.lesions import Lesions
from semiretina.records import LESIONS

# One day of photographs a folder; where the errata name photographs of a folder, it is (one of) theirs.
DAYS: Mapping[str, str] = {
    "Base11": "20051020", "Base12": "20051214", "Base13": "20060523", "Base14": "20060530",
    "Base21": "20051216", "Base22": "20060410", "Base23": "20060411", "Base24": "20060412",
    "Base31": "20051109", "Base32": "20051201", "Base33": "20051202", "Base34": "20051212",
}  # fmt: skip
# The number in a name, taken as the second of the day: of the first and the last visit, and what lies between two
# visits at least, and between two eyes of one visit at most.
_OPEN, _CLOSE, _VISIT, _BETWEEN_EYES = 30000, 64000, 150, 120

# Messidor's grades of twenty consecutive examinations of a hospital; of twenty of the whole set, 9.1, 2.6, 4.1 and 4.2.
_BLOCK = (0,) * 9 + (1,) * 3 + (2,) * 4 + (3,) * 4
# Grade of the first eye -> chance that the second is a grade better, or worse.
_FELLOW: Mapping[int, tuple[float, float]] = {0: (0, 0.08), 1: (0.25, 0.2), 2: (0.15, 0.15), 3: (0.15, 0)}
# Messidor's grade -> the ICDR grades of which one is drawn, at random, until the lesions have Messidor's.
_ICDR: Mapping[int, tuple[int, ...]] = {0: (0,), 1: (1,), 2: (1, 2), 3: (2, 3, 4)}
_FIRST = 1 << 40  # number of the first patient; nobody of the source `synthetic` is here

DUPLICATED = 2 * len(facts.DUPLICATES)
_CORRECTED = 3  # photographs of Base11
LEAST = DUPLICATED + _CORRECTED * (len(facts.FOLDERS) - 1)  # files in all
_DUPLICATE_OF = {kept: dropped for dropped, kept in facts.DUPLICATES.items()}


@dataclass(frozen=True, slots=True)
class Picture:
    """One eye as it is drawn: its files' names (the kept one first), and the grades that its lesions have."""

    names: tuple[str, ...]
    patient: int
    eye: str
    site: str
    icdr: int
    grade: int
    edema: int


Exam = tuple[Picture, ...]  # one or both eyes of a patient


def messidor_grade(lesions: Lesions, icdr: int) -> int:
    """Messidor's retinopathy grade of drawn lesions.

    0: none; 1: 1 to 5 microaneurysms, no haemorrhage; 2: 6 to 14 microaneurysms or 1 to 4 haemorrhages; 3: 15
    microaneurysms or 5 haemorrhages, or more of them, or new vessels, for which the large haemorrhage of ICDR 4 stands
    (Decencière et al., Image Anal Stereol 2014; 33(3):231).
    """
    aneurysms, haemorrhages = (int((lesions.kind == LESIONS.index(name)).sum()) for name in ("MA", "HE"))
    if aneurysms >= 15 or haemorrhages >= 5 or icdr == 4:
        return 3
    if aneurysms >= 6 or haemorrhages >= 1:
        return 2
    return 1 if aneurysms else 0


def pictures(exams: Sequence[Exam]) -> Iterator[Picture]:
    """All eyes of these examinations, in their order."""
    return (picture for exam in exams for picture in exam)


def plan(photographs: int, difficulty: Difficulty, seed: int) -> dict[str, list[Exam]]:
    """Folder -> its examinations in the order of their names; `photographs` files in all, duplicates among them."""
    done = pairs = 0
    turns = dict.fromkeys(facts.HOSPITALS, 0)
    exams: dict[str, list[Exam]] = {}
    for folder, files in _files(photographs).items():
        eyes = files - len(facts.DUPLICATES) if folder == facts.DUPLICATES_FOLDER else files
        done += eyes
        # Rounded over all folders so far: as many pairs as Messidor has, and 529 where all of it is drawn.
        names = _names(folder, eyes, round(done * facts.SHARED_EXAMS / facts.KEPT) - pairs, seed)
        pairs += sum(len(exam) == 2 for exam in names)
        hospital = facts.FOLDERS[folder]
        start = turns[hospital]
        turns[hospital] += len(names)
        code = facts.HOSPITALS.index(hospital)
        exams[folder] = [
            _exam(exam, code, start + place, hospital.site, difficulty, seed) for place, exam in enumerate(names)
        ]
    return exams


def plan_extension(unlabeled: int, difficulty: Difficulty, seed: int) -> list[Exam]:
    """The Extension's examinations, both eyes each, of other patients, in the order of their names."""
    step = 5000 // facts.EXTENSION_PHOTOGRAPHS
    gaps = draws.generator(seed, "extension").integers(0, step, unlabeled)
    names = [f"IM{step * number + int(gap):06d}" for number, gap in enumerate(gaps, start=1)]
    code = len(facts.HOSPITALS)
    return [
        _exam(tuple(names[2 * turn : 2 * turn + 2]), code, turn, facts.BREST.site, difficulty, seed)
        for turn in range(unlabeled // 2)
    ]


def _files(photographs: int) -> dict[str, int]:
    """Folder -> how many files it has."""
    crowded = max(photographs // len(facts.FOLDERS), DUPLICATED)
    others = [folder for folder in facts.FOLDERS if folder != facts.DUPLICATES_FOLDER]
    each, more = divmod(photographs - crowded, len(others))
    counts = {folder: each + (place < more) for place, folder in enumerate(others)}
    return {folder: counts.get(folder, crowded) for folder in facts.FOLDERS}


def _second(name: str) -> int:
    return int(name.split("_")[1])


def _names(folder: str, eyes: int, pairs: int, seed: int) -> list[tuple[str, ...]]:
    """The names of a folder's examinations, sorted, without duplicates; `pairs` of two, or as near as can be.

    Names of the errata that lie at most two minutes apart are the eyes of one patient, as the made-up ones are.
    """
    planted = {correction.name for correction in facts.CORRECTIONS if correction.folder == folder}
    planted |= set(_DUPLICATE_OF) if folder == facts.DUPLICATES_FOLDER else set()
    exams: list[tuple[str, ...]] = []
    for name in sorted(planted):
        last = exams[-1] if exams else ()
        near = len(last) == 1 and name[:8] == last[0][:8] and _second(name) - _second(last[0]) <= _BETWEEN_EYES
        exams[-1:] = [(*last, name)] if near else [*exams[-1:], (name,)]
    free = eyes - len(planted)
    pairs = min(max(pairs - sum(len(exam) == 2 for exam in exams), 0), free // 2)
    day, suffix = DAYS[folder], facts.FOLDERS[folder].suffix
    taken = [_second(name) for name in (*facts.DUPLICATES, *planted) if name[:8] == day]
    slots = [slot for slot in range(_OPEN, _CLOSE, _VISIT) if all(abs(slot - second) > 2 * _VISIT for second in taken)]
    rng = draws.generator(seed, "visits", folder)
    starts = rng.choice(slots, free - pairs, replace=False)
    for start, two in zip(starts, rng.permutation(free - pairs) < pairs, strict=True):
        first = int(start) + int(rng.integers(0, 30))
        seconds = (first, first + int(rng.integers(15, 90))) if two else (first,)
        exams.append(tuple(f"{day}_{second}{suffix}" for second in seconds))
    return sorted(exams)


def _wanted(name: str, grade: int) -> tuple[int, int | None]:
    """The grade and the edema (None: any) that a photograph of this name is drawn with, `grade` if the errata let."""
    column, _, kept = facts.INCONSISTENT.get(_DUPLICATE_OF.get(name, ""), ("", 0, 0))
    corrected = {correction.name: correction.new for correction in facts.CORRECTIONS}
    fixed = kept if column == facts.GRADE else corrected.get(name, grade)
    return fixed, kept if column == facts.EDEMA else None


def _exam(names: Sequence[str], code: int, turn: int, site: str, difficulty: Difficulty, seed: int) -> Exam:
    """The examination `turn` of a hospital (`code`): of its possible patients, the first who has the wanted grades."""
    grades = draws.generator(seed, "look-alike", code, turn // len(_BLOCK)).permutation(_BLOCK)
    grade = int(grades[turn % len(_BLOCK)])
    better, worse = _FELLOW[grade]
    number = _FIRST + (code << 32) + (turn << 16)
    chance = float(draws.uniform(seed, "fellow eye", number))
    fellow = grade - (chance < better) + (chance >= 1 - worse)
    wanted = [_wanted(name, usual) for name, usual in zip(names, (grade, fellow), strict=False)]
    eyes = ("right", "left") if draws.uniform(seed, "first eye", number) < 0.5 else ("left", "right")
    for patient in count(number):
        eyes_drawn: list[Picture] = []
        for name, eye, (fixed, edema) in zip(names, eyes, wanted, strict=False):
            icdr = _ICDR[fixed][int(draws.bits(seed, "icdr", patient, eye)) % len(_ICDR[fixed])]
            lesions, drawn = fundus.plan((seed, patient, eye), icdr, site, difficulty)
            if messidor_grade(lesions, icdr) != fixed or edema not in (None, drawn):
                break
            both = (name, _DUPLICATE_OF[name]) if name in _DUPLICATE_OF else (name,)
            eyes_drawn.append(Picture(both, patient, eye, site, icdr, fixed, drawn))
        if len(eyes_drawn) == len(names):
            return tuple(eyes_drawn)
    raise AssertionError("patients never end")
