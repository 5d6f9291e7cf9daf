"""Which lesions survive the decoder, on the photographs of a split that come with masks of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from semiretina.data.image import Box, UnreadablePhotograph, read_mask
from semiretina.data.pixels import Pixels, Rows
from semiretina.data.split import Split
from semiretina.data.views import to_float
from semiretina.errors import summary
from semiretina.files import write_json
from semiretina.models.network import Network
from semiretina.progress import say
from semiretina.records import LESIONS, Record
from semiretina.scoring.intervals import Estimate
from semiretina.scoring.lesion_survival import Lesion, lesion_survival, survival_table

SCHEMA = 1
BLUR = 2.0  # pixels: a lesion narrower than about four of them loses half of its contrast
PICTURES = ("reconstruction", "chance", "blurred", "original")


def write_survival(file: Path, split: Split, role: str, pixels: Pixels, network: Network, batch: int) -> None:
    """Writes `file` (`survival.json`) from the role's photographs that have masks; nothing where none has.

    Like the samples, this is to be taken when the decoder has just been trained: a later stage moves the encoder away.
    """
    rows = np.array([row for row in split.rows(role) if has_masks(split.records[row])], np.int64)
    if len(rows):
        content = {"role": role, **survival(split, rows, pixels, network, batch)}
        write_json(file, content)


def survival(split: Split, rows: Rows, pixels: Pixels, network: Network, batch: int) -> dict[str, Any]:
    """The content of `survival.json`: how many lesions survive, by type and size.

    Beside the reconstructions three controls are judged: the original, of which all survive by construction; the
    original blurred by a Gaussian of `BLUR` pixels; and chance, the reconstruction of the photograph before, at the
    same place. A decoder whose pictures are full of seams and spots keeps many small contrasts by chance alone. Chance
    is unknown for a photograph alone. Photographs whose masks cannot be read are left out and named.
    """
    lesions: dict[str, list[list[Lesion]]] = {picture: [] for picture in PICTURES}
    defects: list[str] = []
    # The last photograph also comes first, as the one before the first.
    circle = np.concatenate([rows[-1:], rows])
    earlier: npt.NDArray[np.float32] | None = None
    for row, original, reconstruction in _reconstructed(circle, pixels, network, batch):
        if earlier is not None:
            try:
                masks = read_masks(split.records[row], pixels.box(row), pixels.size)
            except (OSError, UnreadablePhotograph) as error:
                defects.append(f"{split.records[row].path.name}: {error}")
            else:
                shown = (reconstruction, earlier, blurred(original), original)
                for picture, values in zip(PICTURES, shown, strict=True):
                    lesions[picture].append(lesion_survival(original, values, masks))
        earlier = reconstruction
    if defects:
        say(summary("lesion survival", defects, "mend these masks; without them their photographs are not counted"))
    return {
        "schema": SCHEMA,
        "size": pixels.size,
        "blur": BLUR,
        "photographs": len(lesions["original"]),
        "left_out": defects,
        "table": _table(lesions, chance=len(rows) > 1),
    }


@torch.no_grad()
def _reconstructed(
    rows: Rows, pixels: Pixels, network: Network, batch: int
) -> Iterator[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Of each row: its number, the photograph and its reconstruction as a picture, [h, w, 3] in [0, 1]."""
    training = network.training
    network.eval()
    for start in range(0, len(rows), batch):
        batch_rows = rows[start : start + batch]
        images = to_float(pixels.take(batch_rows))
        decoded = network.decode(network.encode(images)).float().clamp(0, 1)
        for row, *pair in zip(batch_rows, images, decoded, strict=True):
            original, reconstruction = (np.asarray(image.permute(1, 2, 0).cpu().numpy(), np.float32) for image in pair)
            yield int(row), original, reconstruction
    network.train(training)


def has_masks(record: Record) -> bool:
    """Whether any lesion of this photograph is outlined."""
    return any(getattr(record, f"mask_{lesion}") for lesion in LESIONS)


def read_masks(record: Record, box: Box, size: int) -> dict[str, npt.NDArray[np.bool_]]:
    """The masks that a record has, lesion -> bool [size, size]. Raises UnreadablePhotograph and OSError."""
    files = {lesion: getattr(record, f"mask_{lesion}") for lesion in LESIONS}
    return {lesion: read_mask(file, box, size) for lesion, file in files.items() if file}


def blurred(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The control: [h, w, 3] under a Gaussian of `BLUR` pixels."""
    return np.asarray(ndimage.gaussian_filter(picture, sigma=(BLUR, BLUR, 0)), np.float32)


def _table(lesions: Mapping[str, Sequence[Sequence[Lesion]]], *, chance: bool) -> list[dict[str, Any]]:
    """A row for each type and size class, with the share of every picture."""
    tables = [survival_table(lesions[picture]) for picture in PICTURES]
    rows = []
    for classes in zip(*tables, strict=True):
        counts = {key: getattr(classes[0], key) for key in ("type", "sizes", "lesions", "measurable")}
        shares = {picture: asdict(row.surviving) for picture, row in zip(PICTURES, classes, strict=True)}
        rows.append(counts | shares | ({} if chance else {"chance": asdict(Estimate(nan))}))
    return rows
