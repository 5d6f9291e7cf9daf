"""IDRiD's files as they are published: what must be there, and the records of each part, before anything is joined.

A lesion type without a mask file is absent from that photograph; the counts of the publication tell that none is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from semiretina.data.sources.download import Findings, read_labels, shortfall, whole_number
from semiretina.errors import BadData, MissingInput, summary
from semiretina.progress import say
from semiretina.records import LESIONS, SCALES, Record

GRADING, SEGMENTATION = "B. Disease Grading", "A. Segmentation"
PHOTOGRAPHS, LABELS, MASKS = "1. Original Images", "2. Groundtruths", "2. All Segmentation Groundtruths"
HEADER = ("Image name", "Retinopathy grade", "Risk of macular edema")
MASK_FOLDERS = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}


@dataclass(frozen=True)
class Part:
    """One official part: its folder and sheet, and how many files it is published with."""

    name: str
    folder: str
    sheet: str
    graded: int
    outlined: int
    masks: Mapping[str, int]


PARTS = (
    Part(
        "training",
        "a. Training Set",
        "a. IDRiD_Disease Grading_Training Labels.csv",
        413,
        54,
        {"MA": 54, "HE": 53, "EX": 54, "SE": 26},
    ),
    Part(
        "testing",
        "b. Testing Set",
        "b. IDRiD_Disease Grading_Testing Labels.csv",
        103,
        27,
        {"MA": 27, "HE": 27, "EX": 27, "SE": 14},
    ),
)


def graded(root: Path, part: Part) -> list[Record]:
    """The part's graded photographs, in the order of its sheet; none, said aloud, where the part is not here.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    folder, sheet = root / GRADING / PHOTOGRAPHS / part.folder, root / GRADING / LABELS / part.sheet
    if not folder.is_dir() and not sheet.exists():
        say(f"idrid: the {part.name} part of '{GRADING}' ({part.graded} photographs) is not here")
        return []
    if not folder.is_dir():
        raise MissingInput(f"{folder}: no such folder, though its labels are here; unpack the photographs there")
    rows = _read_sheet(sheet, part.graded)
    there = {file.stem: file for file in sorted(folder.glob("*.jpg"))}
    missing = [f"{name}.jpg" for name in rows if name not in there]
    if missing:
        raise MissingInput(shortfall(folder, len(rows) - len(missing), len(rows), missing))
    extra = [f"{name}.jpg" for name in there if name not in rows]
    if extra:
        raise BadData(
            summary(str(folder), extra, f"these have no row in '{sheet.name}'; take them out or restore the sheet")
        )
    provenance = f"IDRiD disease grading, {part.name} part"
    return [_record(there[name], provenance, scale="icdr", grade=g, dme=dme) for name, (g, dme) in rows.items()]


def _read_sheet(sheet: Path, expected: int) -> dict[str, tuple[int, int]]:
    """Name -> grade and risk of macular edema. The published sheet has nine empty columns; a header ends in a space."""
    findings = Findings()
    rows: dict[str, tuple[int, int]] = {}
    for name, (number, cells) in read_labels(sheet, HEADER, findings).items():
        grade, dme = (
            whole_number(cells[column], highest, f"{sheet.name}, row {number}, column {column}", findings)
            for column, highest in zip(HEADER[1:], (SCALES["icdr"], 2), strict=True)
        )
        if grade is not None and dme is not None:
            rows[name] = grade, dme
    if findings.defects:
        raise BadData(summary(str(sheet), findings.defects, "restore the sheet as it was published"))
    if len(rows) != expected:
        raise BadData(f"{sheet}: {len(rows)} of {expected} rows; restore the sheet as it was published")
    return rows


def outlined(root: Path, part: Part) -> list[Record]:
    """The part's photographs with outlined lesions and their masks; none, said aloud, where the part is not here.

    Raises MissingInput and BadData that name every missing file and every mask without a photograph.
    """
    folder, masks = root / SEGMENTATION / PHOTOGRAPHS / part.folder, root / SEGMENTATION / MASKS / part.folder
    if not folder.is_dir() and not masks.is_dir():
        say(f"idrid: the {part.name} part of '{SEGMENTATION}' ({part.outlined} photographs) is not here")
        return []
    photographs = sorted(folder.glob("*.jpg"))
    if len(photographs) != part.outlined:
        raise MissingInput(shortfall(folder, len(photographs), part.outlined, []))
    files = {lesion: {f.name: f for f in sorted((masks / MASK_FOLDERS[lesion]).glob("*.tif"))} for lesion in LESIONS}
    for lesion in LESIONS:
        named = {f"{photograph.stem}_{lesion}.tif" for photograph in photographs}
        strange = sorted(set(files[lesion]) - named)
        if strange:
            raise BadData(
                summary(str(masks / MASK_FOLDERS[lesion]), strange, "these masks have no photograph; take them out")
            )
        if len(files[lesion]) != part.masks[lesion]:
            # Where every photograph has the lesion the missing masks have names; elsewhere only their number is known.
            missing = sorted(named - set(files[lesion])) if part.masks[lesion] == part.outlined else []
            raise MissingInput(shortfall(masks / MASK_FOLDERS[lesion], len(files[lesion]), part.masks[lesion], missing))
    photographed, defects = [], []
    for photograph in photographs:
        columns: dict[str, Any] = {}
        for lesion in LESIONS:
            file = files[lesion].get(f"{photograph.stem}_{lesion}.tif")
            try:
                columns[lesion] = 0 if file is None else int(_any_pixel(file, photograph))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                defects.append(f"{file}: {error}")
            columns[f"mask_{lesion}"] = file
        photographed.append(_record(photograph, f"IDRiD segmentation, {part.name} part", **columns))
    if defects:
        raise BadData(summary(str(masks), defects, "fetch these files again"))
    return photographed


def _record(path: Path, provenance: str, **columns: Any) -> Record:
    return Record(
        path=path, dataset="idrid", site="nanded", camera="kowa-vx-10-alpha", provenance=provenance, **columns
    )


def _any_pixel(mask: Path, photograph: Path) -> bool:
    """Whether a mask has a pixel set; most are palette images of 0 and 1, one is RGBA with a full alpha channel."""
    with Image.open(mask) as image, Image.open(photograph) as pictured:
        if image.size != pictured.size:
            raise ValueError(f"{image.size} pixels, but its photograph has {pictured.size}")
        return image.convert("RGB").getbbox() is not None
