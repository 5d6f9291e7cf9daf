"""Messidor as it is published: folders, sheets, columns, hospitals, and the errata; facts that no file of it carries.

Decencière et al., Image Anal Stereol 2014; 33(3):231, and the errata on the data set's page of 31 August 2016,
24 October 2016, 16 August 2017 and 9 February 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Hospital:
    """A site, what the sheets call it, and the part of a photograph's name that stands for it."""

    site: str
    department: str
    code: str
    folders: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """The end of every name from here, without the extension."""
        return f"_{self.code}_PP"


HOSPITALS = (
    Hospital(
        "lariboisiere", "Service Ophtalmologie Lariboisière", "0100", tuple(f"Base1{number}" for number in range(1, 5))
    ),
    Hospital("st-etienne", "CHU de St Etienne", "0200", tuple(f"Base2{number}" for number in range(1, 5))),
    Hospital("brest", "LaTIM - CHU de BREST", "0400", tuple(f"Base3{number}" for number in range(1, 5))),
)
FOLDERS: Mapping[str, Hospital] = {folder: hospital for hospital in HOSPITALS for folder in hospital.folders}
BREST = HOSPITALS[2]
CAMERA = "topcon-trc-nw6"  # with a 3CCD video camera, 45 degrees, in all three hospitals

PER_FOLDER = 100
PHOTOGRAPHS = 1200
KEPT = 1187  # without the duplicates
GRADES: Mapping[int, int] = {0: 546, 1: 153, 2: 247, 3: 254}  # of the sheets as they are distributed
SIZES = ((1440, 960), (2240, 1488), (2304, 1536))  # width x height in pixels

# The sheets of one folder's photographs; both spellings are around. They are published as .xls, and read in other
# formats, too. The last header ends in a space.
SHEETS = ("Annotation_{folder}", "Annotation {folder}")
SHEET_SUFFIXES = (".xls", ".csv", ".xlsx", ".ods")
NAME, DEPARTMENT, GRADE, EDEMA = COLUMNS = (
    "Image name",
    "Ophthalmologic department",
    "Retinopathy grade",
    "Risk of macular edema ",
)
HIGHEST: Mapping[str, int] = {GRADE: 3, EDEMA: 2}
SUFFIX = ".tif"  # of the published photographs and of their names in the sheets


@dataclass(frozen=True)
class Correction:
    """A retinopathy grade that an erratum corrects; the distributed sheets still hold the old one."""

    folder: str
    name: str
    old: int
    new: int


CORRECTIONS = (
    Correction("Base11", "20051020_63045_0100_PP", 3, 0),
    Correction("Base11", "20051020_64007_0100_PP", 1, 3),
    Correction("Base11", "20051020_63936_0100_PP", 3, 1),
    Correction("Base13", "20060523_48477_0100_PP", 2, 3),
)

DUPLICATES_FOLDER = "Base33"
# Dropped name -> the name of the same picture that is kept.
DUPLICATES: Mapping[str, str] = {
    "20051202_54744_0400_PP": "20051202_55582_0400_PP",
    "20051202_40508_0400_PP": "20051202_41076_0400_PP",
    "20051202_41238_0400_PP": "20051202_48287_0400_PP",
    "20051202_41260_0400_PP": "20051202_48586_0400_PP",
    "20051202_54530_0400_PP": "20051202_55457_0400_PP",
    "20051205_33025_0400_PP": "20051202_55626_0400_PP",
    "20051202_55607_0400_PP": "20051202_54783_0400_PP",
    "20051202_41034_0400_PP": "20051202_48575_0400_PP",
    "20051205_35099_0400_PP": "20051205_32966_0400_PP",
    "20051202_54555_0400_PP": "20051202_55484_0400_PP",
    "20051205_35110_0400_PP": "20051205_32981_0400_PP",
    "20051202_54611_0400_PP": "20051202_55562_0400_PP",
    "20051202_55498_0400_PP": "20051202_54547_0400_PP",
}
# Dropped names whose sheet row differs from the kept one's, and how (dropped, kept), by the last erratum.
INCONSISTENT: Mapping[str, tuple[str, int, int]] = {
    "20051202_54611_0400_PP": (EDEMA, 1, 0),
    "20051205_33025_0400_PP": (GRADE, 3, 2),
}

# The Messidor Extension (2009-2010) and Messidor-2, which is made of it and of the examinations among Messidor's
# photographs that have both eyes.
EXTENSION_PHOTOGRAPHS, EXTENSION_EXAMS = 690, 345
MESSIDOR2_PHOTOGRAPHS, MESSIDOR2_EXAMS = 1748, 874
SHARED_PHOTOGRAPHS, SHARED_EXAMS = 1058, 529  # Messidor's that stand in Messidor-2, too
# The pairing file that comes with Messidor-2: a row an examination, its two photographs' names.
PAIRS_FILES = ("messidor-2.csv", "messidor2.csv", "messidor_2.csv")
PAIRS_COLUMNS = ("left", "right")

CITATION = "Decencière et al., Image Anal Stereol 2014; 33(3):231, doi:10.5566/ias.1155"
LICENCE = "research and teaching only, no redistribution; acknowledge the Messidor program partners"
