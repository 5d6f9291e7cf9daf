"""What the photographs themselves show: a few numbers of each, and those that training should not see unlooked at.

All numbers are of the photograph as the pixel cache holds it, `SIZE` pixels square, inside its field of view. The
limits were set on IDRiD's 413 graded photographs and on drawn ones: `docs/results/audit-idrid.md` tells how, and what
they catch and miss.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.audit.finding import Found, Place
from semiretina.data.image import ORIENTATION, PLUGINS, Box
from semiretina.data.pixel_store import Entry
from semiretina.data.pixels import PixelCache
from semiretina.progress import progress
from semiretina.records import MASK_COLUMNS, Reading, Record

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

SIZE = 256
SMALL = 128  # px: what near duplicates are looked for at
BLOCK = 64  # photographs whose statistics are taken at once
STATISTICS = ("red", "green", "blue", "contrast", "dark", "bright", "sharpness")

RIM = 0.46  # of the side: the radius within which is measured, since the disc's own edge is sharp and dark anywhere
SURROUND = 30  # of 255: brighter is no black surround

TINY = 224  # px of the shorter side: the paper's networks and nearly all others take no smaller photographs
BLANK = 1.5  # levels of 255, standard deviation of the luminance
DARK = 0.5  # share of the field of view where no channel reaches 20 of 255
BRIGHT = 0.15  # share of the field of view where green, in which lesions are seen, exceeds 220 of 255
BLURRED = 0.125  # see `_sharpness`; a Gaussian blur of 2 px of the 256 px across the field of view


@dataclass(frozen=True)
class Pictures:
    """The photographs of a manifest, one entry, size and line of numbers a record; NaN where it cannot be read."""

    entries: Sequence[Entry]
    sizes: Sequence[tuple[int, int]]  # width and height upright, (0, 0) where unreadable
    weights: Sequence[int]  # of the file, in bytes
    numbers: Floats  # [n, len(STATISTICS)]
    surround: Floats  # [n] the brightness around the field of view
    small: Pixels  # [n, SMALL, SMALL, 3], zeros where unreadable

    @property
    def readable(self) -> npt.NDArray[np.bool_]:
        """[n]"""
        return np.array([entry.row is not None for entry in self.entries], np.bool_)

    def jpeg(self, number: int) -> bytes:
        """A record's photograph, `SMALL` pixels square."""
        out = io.BytesIO()
        Image.fromarray(self.small[number]).save(out, "JPEG", quality=85)
        return out.getvalue()


def look(records: Sequence[Record], folder: Path) -> Pictures:
    """Reads the photographs through the pixel cache in `folder`, and measures each. Failures are entries, too."""
    cache = PixelCache(folder, SIZE)
    entries = cache.add([record.path for record in records])
    n = len(records)
    sizes, weights = [(0, 0)] * n, [0] * n
    numbers = np.full((n, len(STATISTICS)), np.nan)
    surround = np.zeros(n)
    small = np.zeros((n, SMALL, SMALL, 3), np.uint8)
    rows = cache.rows()
    readable = [number for number, entry in enumerate(entries) if entry.row is not None]
    with progress("Measuring photographs", len(readable)) as advance:
        for start in range(0, len(readable), BLOCK):
            chosen = readable[start : start + BLOCK]
            block = rows[np.array([entries[number].row for number in chosen], np.int64)]
            for number in chosen:
                sizes[number] = read_size(records[number].path)
                weights[number] = records[number].path.stat().st_size
            covered = np.stack([_covered(entries[number].box, sizes[number]) for number in chosen])
            numbers[chosen], surround[chosen] = measure(block, covered)
            small[chosen] = _halved(block)
            advance(len(chosen))
    return Pictures(entries, sizes, weights, numbers, surround, small)


def measure(pixels: Pixels, covered: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """[n, len(STATISTICS)] inside the field of view, and [n] the brightness around it, of uint8 [n, s, s, 3].

    `covered` [n, s, s]: where the photograph is; beyond it the square is filled with black. The brightness around is
    the median of the brightest channel, 0 where there is nothing around.
    """
    side = pixels.shape[1]
    radius = _radius(side)
    inside = covered & (radius < RIM * side)
    table, around = [], []
    for picture, own, filled, sharpness in zip(pixels, inside, covered, _sharpness(pixels[..., 1]), strict=True):
        colors = picture[own].astype(np.float32)  # [m, 3]
        if not len(colors):
            colors = np.zeros((1, 3), np.float32)
        light = colors @ np.array([0.299, 0.587, 0.114], np.float32)
        dark = (colors.max(axis=1) < 20).mean()
        bright = (colors[:, 1] > 220).mean()
        table.append([*colors.mean(axis=0), light.std(), dark, bright, sharpness])
        outside = picture[filled & (radius > 0.515 * side)].max(axis=1)
        around.append(float(np.median(outside)) if len(outside) else 0.0)
    return np.array(table, np.float64).reshape(len(pixels), len(STATISTICS)), np.array(around, np.float64)


def _covered(box: Box | None, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """[SIZE, SIZE]: the pixels of a crop box that lie wholly within its photograph, of this width and height."""
    assert box is not None
    left, top, right, bottom = box
    edges = np.arange(SIZE + 1) / SIZE
    xs, ys = left + edges * (right - left), top + edges * (bottom - top)
    columns, rows = (xs[:-1] >= 0) & (xs[1:] <= size[0]), (ys[:-1] >= 0) & (ys[1:] <= size[1])
    return np.asarray(rows[:, None] & columns, np.bool_)


def _sharpness(green: Pixels) -> Floats:
    """[n] of uint8 [n, s, s]: the energy of detail of 1 and 2 px over that of 4 and 8 px.

    A ratio, so that neither contrast nor brightness counts; the energy is the variance within blocks of 2 x 2 means.
    """
    level = green.astype(np.float32)
    energies = []
    for _ in range(4):
        n, side = level.shape[0], level.shape[1] // 2
        blocks = level[:, : 2 * side, : 2 * side].reshape(n, side, 2, side, 2)
        means = blocks.mean(axis=(2, 4))
        within = np.square(blocks).mean(axis=(2, 4)) - np.square(means)
        energies.append(within[:, _radius(side) < RIM * side].mean(axis=1))
        level = means
    return np.asarray((energies[0] + energies[1]) / np.maximum(energies[2] + energies[3], 1e-6), np.float64)


def _radius(side: int) -> Floats:
    """[side, side] the distance from the middle."""
    ys, xs = np.ogrid[0.5 : side + 0.5, 0.5 : side + 0.5]
    return np.asarray(np.hypot(xs - side / 2, ys - side / 2), np.float64)


def _halved(block: Pixels) -> Pixels:
    n = len(block)
    means = block.reshape(n, SMALL, SIZE // SMALL, SMALL, SIZE // SMALL, 3).mean(axis=(2, 4), dtype=np.float32)
    return np.asarray(means.round(), np.uint8)


def read_size(file: Path) -> tuple[int, int]:
    """Width and height of a readable photograph, upright, from its header."""
    with file.open("rb") as opened:
        start = opened.read(8)
        opened.seek(0)
        plugin = next(plugin for signature, plugin in PLUGINS if start.startswith(signature))
        image = plugin(opened)  # type: ignore[arg-type]  # any open file will do
        try:
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        except Exception:  # a damaged EXIF block, which reading the photograph ignores too
            turned = False
        width, height = image.size
        return (height, width) if turned else (width, height)


def picture_findings(reading: Reading, pictures: Pictures) -> Iterator[Found]:
    """Photographs that cannot be read, or of which something looks wrong; those called ungradable are left alone."""
    for number, (row, record, entry) in enumerate(zip(reading.rows, reading.records, pictures.entries, strict=True)):
        name = (str(record.path),)
        if entry.error is not None:
            if entry.error != "no such file":  # which is a finding about the path
                yield "unreadable", Place((row,), "path", name, f"{record.path.name}: {entry.error}")
            continue
        if record.quality == "ungradable":
            continue
        width, height = pictures.sizes[number]
        if min(width, height) < TINY:
            yield "tiny", Place((row,), "path", name, f"{record.path.name}: {width}x{height} pixels")
        kind, told = _judged(dict(zip(STATISTICS, pictures.numbers[number], strict=True)))
        if kind:
            yield kind, Place((row,), "path", name, f"{record.path.name}: {told}")
        elif entry.box == whole(width, height) and pictures.surround[number] > SURROUND:
            yield "no-disc", Place((row,), "path", name, f"{record.path.name}: no black surround")
    yield from _mask_sizes(reading, pictures)


def whole(width: int, height: int) -> Box:
    """The box of a photograph that is shown whole, as `data.image` lays it."""
    side = max(width, height)
    left, top = -((side - width) // 2), -((side - height) // 2)
    return left, top, left + side, top + side


def _judged(numbers: dict[str, float]) -> tuple[str, str]:
    """The kind of defect that the numbers tell of, or "", and the number in words."""
    if numbers["dark"] > DARK:
        return "dark", f"{numbers['dark']:.0%} of its field of view is nearly black"
    if numbers["bright"] > BRIGHT:
        return "bright", f"{numbers['bright']:.0%} of its field of view is nearly white"
    if numbers["contrast"] < BLANK:
        return "blank", f"its brightness varies by {numbers['contrast']:.1f} of 255"
    if numbers["sharpness"] < BLURRED:
        return "blurred", f"sharpness {numbers['sharpness']:.3f}, less than {BLURRED}"
    return "", ""


def _mask_sizes(reading: Reading, pictures: Pictures) -> Iterator[Found]:
    for number, (row, record) in enumerate(zip(reading.rows, reading.records, strict=True)):
        for column in MASK_COLUMNS:
            mask = getattr(record, column)
            if mask is None or pictures.entries[number].row is None or not mask.is_file():
                continue
            try:
                size = read_size(mask)
            except Exception:  # Pillow's plugins raise whatever their parsing stumbles over
                yield "mask", Place((row,), column, (str(mask),), f"{mask.name}: not a JPEG, PNG or TIFF file")
                continue
            if size != pictures.sizes[number]:
                told = "{}x{}, its photograph {}x{}".format(*size, *pictures.sizes[number])
                yield "mask", Place((row,), column, (str(mask),), f"{mask.name}: {told}")
