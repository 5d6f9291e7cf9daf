"""IDRiD: the Indian Diabetic Retinopathy Image Dataset (Porwal et al., Data 2018; 3(3):25).

516 photographs graded on the ICDR scale and for macular edema (folder `B. Disease Grading`) and 81 photographs whose
lesions were outlined (`A. Segmentation`), each in a training and a testing part; `root` holds these folders under their
official names. One camera (Kowa VX-10 alpha, 50 degrees), one eye clinic (Nanded, Maharashtra), one photograph size.

IDRiD names no patients. Looking tells (`same_pictures`): most outlined photographs are graded ones under another name
and number, some photographs stand there twice with other grades, some eyes were photographed twice.

- An outlined photograph that is a graded one becomes one record with grade, lesions and masks. The two agree within
  0.02 pixels (phase correlation of all 42, in whole and in quarters), so the masks fit the graded file.
- An outlined photograph of the same eye as a graded one stays a record of its own, with its masks; the graded one gets
  the lesions (present or absent) without the masks, which are displaced by up to 26 of 1072 pixels.
- The same pictures share an `exam`, photographs of the same eye share a `patient`: no split by patient separates them.
  All other patients are unknown; fellow eyes cannot be recognised.
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from semiretina.data.same_pictures import Pair
from semiretina.data.same_pictures.thumbnails import find_pairs
from semiretina.data.sources.idrid import published
from semiretina.data.sources.idrid.published import GRADING, PARTS, PHOTOGRAPHS, SEGMENTATION
from semiretina.data.sources.source import Source
from semiretina.errors import BadData, MissingInput
from semiretina.grouping import joined_groups
from semiretina.progress import say
from semiretina.records import LESIONS, MASK_COLUMNS, Record


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
        for gathered, more in ((graded, published.graded(root, part)), (outlined, published.outlined(root, part))):
            gathered += [replace(record, split=split) for record in more]
            titles |= {r.path: f"{'outlined-' if gathered is outlined else ''}{prefix}{r.path.stem}" for r in more}
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
            say(f"idrid: {titles[j]} also matches {titles[i]} ({pair.score:.3f}) and is not joined to it")
            continue
        partner[j] = i
        columns: tuple[str, ...] = LESIONS
        if pair.kind != "eye":
            _check_same_size(both[i].path, both[j].path)
            done.add(j)
            columns += MASK_COLUMNS
        what, how = ("lesions and masks", "picture") if pair.kind != "eye" else ("lesions", "eye")
        note = f"{what} from {both[j].path.stem} of the {both[j].provenance.removeprefix('IDRiD ')}"
        note = f"{result[i].provenance}; {note} (same {how}, correlation {pair.score:.3f})"
        result[i] = replace(result[i], provenance=note, **{name: getattr(both[j], name) for name in columns})
    if num_graded < len(both) and num_graded:
        total, eyes = len(both) - num_graded, len(partner) - len(done)
        say(
            f"idrid: of {total} outlined photographs {len(done)} are graded ones under another name, "
            f"{eyes} show the eye of a graded one, {total - len(partner)} match no graded one"
        )
    return result, done


def tie(
    records: Sequence[Record], pairs: Sequence[Pair], names: Sequence[str], without: Collection[int] = ()
) -> list[Record]:
    """The records, with one `exam` for the same picture and one `patient` for the same eye; every tie is reported.

    `names` is what to call each record. Records at the positions `without` pass ties on but get none.
    """
    result = list(records)
    for column, word in (("exam", "picture"), ("patient", "eye")):
        for group in joined_groups([(p.first, p.second) for p in pairs if p.kind != "eye" or word == "eye"]):
            members = [i for i in group if i not in without]
            if len(members) < 2:
                continue
            told_before = word == "eye" and len({result[i].exam or i for i in members}) == 1
            changes: dict[str, Any] = {column: f"same-{word}-{names[members[0]]}"}
            for i in members:
                result[i] = replace(result[i], **changes)
            if not told_before:
                labels = {(records[i].grade, records[i].dme) for i in members if records[i].grade is not None}
                conflict = " with different labels" if len(labels) > 1 else ""
                members_named = ", ".join(names[i] + _labels(records[i]) for i in members)
                say(f"the same {word}{conflict}, never separated by a split: {members_named}")
    return result


def _labels(record: Record) -> str:
    return "" if record.grade is None else f" (grade {record.grade}, dme {record.dme})"


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


SOURCE = Source(
    read=records,
    title="Indian Diabetic Retinopathy Image Dataset",
    licence="CC BY 4.0",
    redistributable=True,
    citation="Porwal et al., Data 2018; 3(3):25, doi:10.3390/data3030025",
    get="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
    scale="icdr",
    counts={f"{what} ({part.name} part)": getattr(part, what) for what in ("graded", "outlined") for part in PARTS},
    # Of the training part 134, 20, 136, 74 and 49 (counted), of the testing part 34, 5, 32, 19 and 13.
    grades={0: 168, 1: 25, 2: 168, 3: 93, 4: 62},
)
