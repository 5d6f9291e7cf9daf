"""APTOS 2019: the photographs of Kaggle's Blindness Detection, collected by the Aravind Eye Hospital in rural India.

`train_images` has 3,662 photographs `000c1434d8d7.png`, graded 0 to 4 in `train.csv` (`id_code,diagnosis`);
`test_images` has 1,928, named in `test.csv` (`id_code`), whose grades were never published: they are unlabelled.
Several clinics and cameras over a long time; which photograph comes from where is not told, nor whose it is.
"""

import os
from pathlib import Path

from semiretina.data.sources.download import Findings, Part, check_folder, finish, read_labels, read_numbers, read_part
from semiretina.data.sources.source import Source
from semiretina.progress import say
from semiretina.records import SCALES, Record

TRAIN = Part(name="train", folder="train_images", table="train.csv", photographs=3662)
TEST = Part(name="test", folder="test_images", table="test.csv", photographs=1928)


def records(root: Path) -> list[Record]:
    """The photographs of the parts that are here, in the order of their tables; those of the test part have no grade.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    root = Path(os.path.abspath(root))
    check_folder(root, "the folders train_images and test_images")
    findings = Findings()
    photographs = [
        Record(
            path=path,
            dataset="aptos",
            scale="" if grade is None else "icdr",
            grade=grade,
            provenance=f"APTOS 2019, {part.name} part",
        )
        for part, read in ((TRAIN, _grades), (TEST, _names))
        for _, path, grade in read_part(root, "aptos", part, read, findings)
    ]
    finish("aptos", root, (TRAIN, TEST), findings, photographs)
    say("aptos: patients are unknown; a split may separate the two eyes of one, which flatters the test")
    return photographs


def _grades(table: Path, findings: Findings) -> dict[str, int | None]:
    return read_numbers(table, ("id_code", "diagnosis"), SCALES["icdr"], findings)


def _names(table: Path, findings: Findings) -> dict[str, int | None]:
    return dict.fromkeys(read_labels(table, ("id_code",), findings))


SOURCE = Source(
    read=records,
    title="APTOS 2019, the photographs of Kaggle's Blindness Detection",
    scale="icdr",
    licence="the competition's rules, to be accepted there",
    citation="APTOS 2019 Blindness Detection, Kaggle 2019, by the Asia Pacific Tele-Ophthalmology Society",
    get="https://www.kaggle.com/c/aptos2019-blindness-detection/data (with an account)",
    counts={"graded (train part)": 3662, "unlabelled (test part)": 1928},
    grades={0: 1805, 1: 370, 2: 999, 3: 193, 4: 295},
)
