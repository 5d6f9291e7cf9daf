"""What the photographs themselves show: a few numbers of each, and those that training should not see unlooked at.

All numbers are of the photograph as the pixel cache holds it, `SIZE` pixels square, inside its field of view. The
limits were set on IDRiD's 413 graded photographs and on drawn ones: `docs/results/audit-idrid.md` tells how, and what
they catch and miss.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.audit.finding import Place, Sighting
from semiretina.data.image import ORIENTATION, PLUGINS, Box
from semiretina.data.pixel_cache import PixelCache
from semiretina.data.pixel_store import Entry
from semiretina.progress import progress
from semiretina.records import MASK_COLUMNS, Reading, Record

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

SIZE = 256
SMALL = SIZE // 2  # px: what near duplicates are looked for at
BLOCK = 64  # photographs whose statistics are taken at once
STATISTICS = ("red", "green", "blue", "contrast", "dark", "bright", "sharpness")

RIM = 0.46  # of the side: the radius within which is measured, since the disc's own edge is sharp and dark anywhere
SURROUND = 30  # of 255: brighter is no black surround

TINY = 224  # px of the shorter side: the paper's networks and nearly all others take no smaller photographs
BLANK = 1.5  # levels of 255, standard deviation of the luminance
DARK = 0.5  # fraction of the field of view where no channel reaches 20 of 255
BRIGHT = 0.15  # fraction of the field of view where green, in which lesions are seen, exceeds 220 of 255
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
    for number, entry in enumerate(entries):
        if entry.row is None:
            continue
        path = records[number].path
        try:  # since the cache may hold a file that cannot be opened any more
            sizes[number], weights[number] = read_size(path), path.stat().st_size
        except OSError as error:
            entries[number] = Entry(entry.sha256, None, None, (error.strerror or type(error).__name__).lower())
    numbers = np.full((n, len(STATISTICS)), np.nan)
    surround = np.zeros(n)
    small = np.zeros((n, SMALL, SMALL, 3), np.uint8)
    readable = [(number, entry.row) for number, entry in enumerate(entries) if entry.row is not None]
    with progress("Measuring photographs", len(readable)) as advance:
        for start in range(0, len(readable), BLOCK):
            chosen = [number for number, _ in readable[start : start + BLOCK]]
            block = cache.read([row for _, row in readable[start : start + BLOCK]])
            covered = np.stack([_covered(entries[number].box, sizes[number]) for number in chosen])
            numbers[chosen], surround[chosen] = measure(block, covered)
            small[chosen] = [_halved(picture) for picture in block]
            advance(len(chosen))
    return Pictures(entries, sizes, weights, numbers, surround, small)


def measure(pixels: Pixels, covered: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """[n, len(STATISTICS)] inside the field of view, and [n] the brightness around it, of uint8 [n, s, s, 3].

    `covered` [n, s, s]: where the photograph is; beyond it the square is filled with black. The brightness around is
    the median of the brightest channel, 0 where there is nothing around.
    """
    side = pixels.shape[1]
    middle, corners = _radius(side) < RIM * side, _radius(side) > 0.515 * side
    table, around = [], []
    for picture, filled in zip(pixels, covered, strict=True):
        # Planes of one picture at a time: they stay in a core's own memory, and numpy is slow along an axis of three.
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)).reshape(3, -1)
        colors = planes.take(np.flatnonzero(filled & middle), axis=1)  # [3, m]
        if not colors.size:
            colors = np.zeros((3, 1), np.uint8)
        light = np.array([0.299, 0.587, 0.114], np.float32) @ colors.astype(np.float32)
        dark, bright = (colors.max(axis=0) < 20).mean(), (colors[1] > 220).mean()
        sharpness = _sharpness(planes[1].reshape(side, side))
        table.append([*colors.mean(axis=1), light.std(dtype=np.float64), dark, bright, sharpness])
        outside = planes.take(np.flatnonzero(filled & corners), axis=1).max(axis=0)
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


def _sharpness(green: Pixels) -> float:
    """Of uint8 [s, s]: the energy of detail of 1 and 2 px over that of 4 and 8 px.

    A ratio, so that neither contrast nor brightness counts; the energy is the variance within blocks of 2 x 2 means.
    """
    level: npt.NDArray[Any] = green.astype(np.float32)
    energies = []
    for _ in range(4):
        means = _fours(level) / 4
        within = _fours(level * level) / 4 - means * means
        energies.append(float(within[_radius(len(means)) < RIM * len(means)].mean()))
        level = means
    return (energies[0] + energies[1]) / max(energies[2] + energies[3], 1e-6)


def _fours(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[s // 2, s // 2, ...]: the sums over blocks of 2 x 2. Sums of slices, which numpy adds faster than along axes."""
    side = len(values) // 2 * 2
    pairs = values[0:side:2] + values[1:side:2]
    return np.asarray(pairs[:, 0:side:2] + pairs[:, 1:side:2])


@lru_cache(maxsize=16)
def _radius(side: int) -> Floats:
    """[side, side] the distance from the middle."""
    ys, xs = np.ogrid[0.5 : side + 0.5, 0.5 : side + 0.5]
    return np.asarray(np.hypot(xs - side / 2, ys - side / 2), np.float64)


def _halved(picture: Pixels) -> Pixels:
    """[SMALL, SMALL, 3]: the rounded means of 2 x 2 pixels."""
    return np.asarray((_fours(picture.astype(np.float32)) / 4).round(), np.uint8)


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


def picture_findings(reading: Reading, pictures: Pictures) -> Iterator[Sighting]:
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
        kind, why = _judged(dict(zip(STATISTICS, pictures.numbers[number], strict=True)))
        if kind:
            yield kind, Place((row,), "path", name, f"{record.path.name}: {why}")
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


def _mask_sizes(reading: Reading, pictures: Pictures) -> Iterator[Sighting]:
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
                detail = "{}x{}, its photograph {}x{}".format(*size, *pictures.sizes[number])
                yield "mask", Place((row,), column, (str(mask),), f"{mask.name}: {detail}")
