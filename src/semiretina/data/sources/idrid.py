"""IDRiD: the Indian Diabetic Retinopathy Image Dataset (Porwal et al., Data 2018; 3(3):25).

516 photographs graded on the ICDR scale and for macular edema (folder `B. Disease Grading`) and 81 photographs whose
lesions were outlined (`A. Segmentation`), each in a training and a testing part; `root` holds these folders under their
official names. One camera (Kowa VX-10 alpha, 50 degrees), one eye clinic (Nanded, Maharashtra), one photograph size.

IDRiD does not say whose the photographs are. Looking tells (`twins`): most outlined photographs are graded ones under
another name and number, some photographs stand there twice with other grades, some eyes were photographed twice.

- An outlined photograph that is a graded one becomes one record with grade, lesions and masks. The two agree within
  0.02 pixels (phase correlation of all 42, in whole and in quarters), so the masks fit the graded file.
- An outlined photograph of the same eye as a graded one stays a record of its own, with its masks; the graded one gets
  the lesions (present or absent) without the masks, which are displaced by up to 26 of 1072 pixels.
- The same pictures share an `exam`, photographs of the same eye share a `patient`: no split by patient separates them.
  All other patients are unknown; fellow eyes cannot be recognised.

A lesion type without a mask file is absent from that photograph; the counts of the publication tell that none is lost.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from semiretina.data.sources.twins import Pair, find_pairs, tie
from semiretina.errors import BadData, MissingInput
from semiretina.progress import say
from semiretina.records import LESIONS, MASK_COLUMNS, SCALES, Record, read_text, summary

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


def records(root: Path, *, official_split: bool = False) -> list[Record]:
    """The photographs of the parts that are there, graded ones first, in the order of the sheets.

    `official_split` gives the testing parts the role `test`, and `unused` to a training photograph of an eye that is
    tested. Without it no role is given: the parts are drawn anew.

    Raises MissingInput and BadData that name every missing file, every photograph without a row and every wrong cell.
    """
    root = Path(os.path.abspath(root))
    if not any((root / folder).is_dir() for folder in (GRADING, SEGMENTATION)):
        raise MissingInput(f"{root}: neither '{GRADING}' nor '{SEGMENTATION}' is here; give the folder that holds them")
    titles: dict[Path, str] = {}
    graded: list[Record] = []
    outlined: list[Record] = []
    for part in PARTS:
        split = "test" if official_split and part.name == "testing" else ""
        prefix = "" if part.name == "training" else f"{part.name}-"
        for found, more in ((graded, _graded(root, part)), (outlined, _outlined(root, part))):
            found += [replace(record, split=split) for record in more]
            titles |= {r.path: f"{'outlined-' if found is outlined else ''}{prefix}{r.path.stem}" for r in more}
    if not graded and not outlined:
        raise MissingInput(
            f"{root}: '{PHOTOGRAPHS}/{PARTS[0].folder}' is in none of its folders; unpack the download here"
        )
    both = graded + outlined
    names = [titles[record.path] for record in both]
    pairs = find_pairs([record.path for record in both])
    merged, done = _merge(both, len(graded), pairs, names)
    joined = [record for i, record in enumerate(tie(merged, pairs, names, done)) if i not in done]
    if official_split:
        joined = _free_the_test(joined)
    counts = Counter(record.grade for record in joined if record.grade is not None)
    say("idrid: grades " + ", ".join(f"{grade}: {counts[grade]}" for grade in sorted(counts)))
    return joined


def _graded(root: Path, part: Part) -> list[Record]:
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
        raise MissingInput(_shortfall(folder, len(rows) - len(missing), len(rows), missing))
    extra = [f"{name}.jpg" for name in there if name not in rows]
    if extra:
        raise BadData(
            summary(str(folder), extra, f"these have no row in '{sheet.name}'; take them out or restore the sheet")
        )
    provenance = f"IDRiD disease grading, {part.name} part"
    return [_record(there[name], provenance, scale="icdr", grade=g, dme=dme) for name, (g, dme) in rows.items()]


def _read_sheet(sheet: Path, expected: int) -> dict[str, tuple[int, int]]:
    """Name -> grade and risk of macular edema. The published sheet has nine empty columns; a header ends in a space."""
    lines = list(csv.reader(io.StringIO(read_text(sheet), newline="")))
    header = tuple(cell.strip() for cell in lines[0][:3]) if lines else ()
    if header != HEADER:
        raise BadData(
            f"{sheet}: starts with {', '.join(header) or 'nothing'}, not {', '.join(HEADER)}; restore the sheet"
        )
    rows: dict[str, tuple[int, int]] = {}
    defects = []
    for line, cells in enumerate(lines[1:], start=2):
        name, *values = [cell.strip() for cell in [*cells, "", "", ""][:3]]
        if not any((name, *values)):
            continue
        wrong = [
            f"row {line}, column {column}: '{value}' is not a whole number from 0 to {highest}"
            for column, value, highest in zip(HEADER[1:], values, (SCALES["icdr"], 2), strict=True)
            if not (value.isdecimal() and int(value) <= highest)
        ]
        if not name or name in rows:
            wrong.append(f"row {line}, column {HEADER[0]}: {f'{name} stands there twice' if name else 'empty'}")
        defects += wrong
        if not wrong:
            rows[name] = (int(values[0]), int(values[1]))
    if defects:
        raise BadData(summary(str(sheet), defects, "restore the sheet as it was published"))
    if len(rows) != expected:
        raise BadData(f"{sheet}: {len(rows)} of {expected} rows; restore the sheet as it was published")
    return rows


def _outlined(root: Path, part: Part) -> list[Record]:
    folder, masks = root / SEGMENTATION / PHOTOGRAPHS / part.folder, root / SEGMENTATION / MASKS / part.folder
    if not folder.is_dir() and not masks.is_dir():
        say(f"idrid: the {part.name} part of '{SEGMENTATION}' ({part.outlined} photographs) is not here")
        return []
    photographs = sorted(folder.glob("*.jpg"))
    if len(photographs) != part.outlined:
        raise MissingInput(_shortfall(folder, len(photographs), part.outlined, []))
    found = {lesion: {f.name: f for f in sorted((masks / MASK_FOLDERS[lesion]).glob("*.tif"))} for lesion in LESIONS}
    for lesion in LESIONS:
        named = {f"{photograph.stem}_{lesion}.tif" for photograph in photographs}
        strange = sorted(set(found[lesion]) - named)
        if strange:
            raise BadData(
                summary(str(masks / MASK_FOLDERS[lesion]), strange, "these masks have no photograph; take them out")
            )
        if len(found[lesion]) != part.masks[lesion]:
            # Where every photograph has the lesion the missing masks have names; elsewhere only their number is known.
            missing = sorted(named - set(found[lesion])) if part.masks[lesion] == part.outlined else []
            raise MissingInput(
                _shortfall(masks / MASK_FOLDERS[lesion], len(found[lesion]), part.masks[lesion], missing)
            )
    outlined, defects = [], []
    for photograph in photographs:
        columns: dict[str, Any] = {}
        for lesion in LESIONS:
            file = found[lesion].get(f"{photograph.stem}_{lesion}.tif")
            try:
                columns[lesion] = 0 if file is None else int(_any_pixel(file, photograph))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                defects.append(f"{file}: {error}")
            columns[f"mask_{lesion}"] = file
        outlined.append(_record(photograph, f"IDRiD segmentation, {part.name} part", **columns))
    if defects:
        raise BadData(summary(str(masks), defects, "fetch these files again"))
    return outlined


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


def _merge(
    both: Sequence[Record], num_graded: int, pairs: Sequence[Pair], titles: Sequence[str]
) -> tuple[list[Record], set[int]]:
    """The records, graded ones with the lesions of their outlined twins; and the positions of those twins."""
    result = list(both)
    partner: dict[int, int] = {}  # outlined -> graded
    done: set[int] = set()
    for pair in pairs:  # the most alike first, so that each photograph finds its best partner
        i, j = pair.first, pair.second
        if not i < num_graded <= j:
            continue
        if j in partner or i in partner.values():
            say(f"idrid: {titles[j]} also matches {titles[i]} ({pair.correlation:.3f}) and is not joined to it")
            continue
        partner[j] = i
        columns: tuple[str, ...] = LESIONS
        if pair.same_picture:
            _check_same_size(both[i].path, both[j].path)
            done.add(j)
            columns += MASK_COLUMNS
        what, how = ("lesions and masks", "picture") if pair.same_picture else ("lesions", "eye")
        note = f"{what} from {both[j].path.stem} of the {both[j].provenance.removeprefix('IDRiD ')}"
        note = f"{result[i].provenance}; {note} (same {how}, correlation {pair.correlation:.3f})"
        result[i] = replace(result[i], provenance=note, **{name: getattr(both[j], name) for name in columns})
    if num_graded < len(both) and num_graded:
        total, eyes = len(both) - num_graded, len(partner) - len(done)
        say(
            f"idrid: of {total} outlined photographs {len(done)} are graded ones under another name, "
            f"{eyes} show the eye of a graded one, {total - len(partner)} match no graded one"
        )
    return result, done


def _check_same_size(graded: Path, outlined: Path) -> None:
    with Image.open(graded) as first, Image.open(outlined) as second:
        if first.size != second.size:
            raise BadData(
                f"{graded}: {first.size} pixels, but {second.size} as {outlined}, so its masks would not fit; "
                "bring both parts to one size"
            )


def _free_the_test(joined: Sequence[Record]) -> list[Record]:
    tested = {key for r in joined if r.split == "test" for key in (r.exam, r.patient) if key}
    freed = [replace(r, split="unused") if not r.split and tested & {r.exam, r.patient} else r for r in joined]
    count = sum(record.split == "unused" for record in freed)
    if count:
        say(f"idrid: {count} training photographs show an eye that is tested; their role is 'unused'")
    return freed


def _shortfall(folder: Path, found: int, expected: int, missing: Sequence[str]) -> str:
    more = f", and {len(missing) - 20} more" if len(missing) > 20 else ""
    named = f"; missing {', '.join(missing[:20])}{more}" if missing else ""
    return f"{folder}: {found} of {expected} files{named}. Complete the download, or import what you have with 'table'"
