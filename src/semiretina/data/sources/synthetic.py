"""Photographs that are drawn, with known grades, lesions and masks, from three made-up hospitals.

The simulator draws them; see `simulator.drawings`. The unlabelled photographs come from other patients of one hospital,
with hidden grades in the same proportions.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import Difficulty
from semiretina.data.simulator.cameras import HOSPITALS
from semiretina.data.simulator.drawings import (
    Drawing,
    check_drawing,
    drawings,
    mask_file,
    photograph_file,
    write_drawings,
)
from semiretina.data.simulator.lookalike import settings_text, write_lookalike
from semiretina.data.sources import messidor
from semiretina.data.sources.messidor import extension
from semiretina.data.sources.source import Source
from semiretina.errors import BadConfig
from semiretina.records import LESIONS, Record

LAYOUTS = ("hospitals", "messidor")


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
    Messidor and its Extension lie on disk, and returns what their importers find there: see `simulator.lookalike`.

    Raises BadConfig for numbers that make no sense, CannotWrite where `root` takes no files, and Refused where
    Messidor's layout would mix with other files.
    """
    if photographs < 0 or unlabeled < 0 or photographs + unlabeled == 0:
        raise BadConfig(f"synthetic: {photographs} labelled and {unlabeled} unlabelled photographs; ask for some")
    check_drawing(size, difficulty)
    if layout not in LAYOUTS:
        raise BadConfig(f"synthetic: unknown layout '{layout}'; known are {', '.join(LAYOUTS)}")
    if layout == "messidor" and masks:
        raise BadConfig("synthetic: masks are not written in Messidor's layout, which has none; leave one of the two")
    if layout == "messidor":
        return _lookalike(root, photographs, unlabeled, size, difficulty, seed)
    folder = root / f"{difficulty}-{size}px-seed{seed}-v{fundus.VERSION}"
    labeled = drawings(photographs, size, difficulty, seed)
    hidden = drawings(unlabeled, size, difficulty, seed, unlabeled=True)
    write_drawings(folder, labeled, hidden, masks)
    return [_labeled(folder, d, masks) for d in labeled] + [_record(folder, d) for d in hidden]


def _lookalike(
    root: Path, photographs: int, unlabeled: int, size: int, difficulty: Difficulty, seed: int
) -> list[Record]:
    """What the importers of Messidor and its Extension make of a look-alike, under names that are not theirs."""
    place, hidden = write_lookalike(
        root, photographs=photographs, unlabeled=unlabeled, size=size, difficulty=difficulty, seed=seed
    )
    imported = messidor.records(place) + (extension.records(hidden) if unlabeled else [])
    note = f"drawn: {settings_text(photographs, unlabeled, size, difficulty, seed)}"
    return [replace(r, dataset=f"synthetic-{r.dataset}", provenance=f"{note}; as {r.provenance}") for r in imported]


def _record(folder: Path, drawing: Drawing) -> Record:
    """The record of a photograph of which nothing is known but where it comes from."""
    return Record(
        path=photograph_file(folder, drawing),
        dataset="synthetic",
        site=drawing.site,
        camera=HOSPITALS[drawing.site].name,
        patient=drawing.name,
        exam=f"{drawing.name}-1",
        eye=drawing.eye,
        quality="gradable",
        provenance=f"drawn: {drawing.difficulty}, seed {drawing.seed}, {drawing.size} px, version {fundus.VERSION}",
    )


def _labeled(folder: Path, drawing: Drawing, masks: bool) -> Record:
    """The record with the truth of what was drawn."""
    drawn, edema = fundus.plan(drawing.key, drawing.grade, drawing.site, drawing.difficulty)
    present = {lesion: drawn.has(lesion) for lesion in LESIONS}
    files = {f"mask_{lesion}": mask_file(folder, drawing, lesion) for lesion in LESIONS} if masks else {}
    facts: dict[str, Any] = {"scale": "icdr", "grade": drawing.grade, "dme": edema, **present, **files}
    return replace(_record(folder, drawing), **facts)


SOURCE = Source(
    read=records,
    title="drawn photographs with known grades, lesions and masks",
    scale="icdr",
    licence="Apache-2.0, as the program",
    redistributable=True,
    get="drawn into root, when asked for",
)
