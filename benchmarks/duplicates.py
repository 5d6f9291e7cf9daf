"""How many planted copies of a photograph are found, how many pairs are false, and what a large search costs.

    python benchmarks/duplicates.py --root ../shared/data/idrid
    python benchmarks/duplicates.py --photographs 10000

Recall: every so many photographs are changed as a whole file (`CHANGES`), read as the pixel cache reads them, and
searched for among all unchanged ones of their kind and each other change. A photograph counts as found under a change
when pairs join it with its original. A pair is false when it joins two photographs whose originals no pair of
unchanged photographs joins; those pairs are listed one by one, to be looked at (`--sheet FILE.png` shows IDRiD's).

`--photographs N` measures time and memory: N different pictures, a tenth of them planted copies. They are few
photographs warped smoothly, by so much that none is a copy of another; which pictures they show is nothing to the time.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from scipy import ndimage

from semiretina import draws
from semiretina.data.image import read_photograph
from semiretina.data.same_pictures import Pair
from semiretina.data.same_pictures.duplicates import find_duplicates
from semiretina.data.simulator.drawings import drawings
from semiretina.grouping import first_joined

Pixels = npt.NDArray[np.uint8]
BICUBIC = Image.Resampling.BICUBIC


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after a JPEG file of that quality."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out)


def resized(image: Image.Image, part: float) -> Image.Image:
    """The image at a part of its width and height."""
    return image.resize((round(image.width * part), round(image.height * part)), BICUBIC)


def turned(image: Image.Image, angle: float) -> Image.Image:
    """The image rotated counter-clockwise by some degrees within its frame."""
    return image.rotate(angle, BICUBIC)


def toned(image: Image.Image, brightness: float, contrast: float) -> Image.Image:
    """The image brighter or darker, and with more or less contrast."""
    return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(brightness)).enhance(contrast)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same pixels": lambda image: image,
    "half the size": lambda image: resized(image, 0.5),
    "0.3 of the size, JPEG 50": lambda image: jpeg(resized(image, 0.3), 50),
    "JPEG 95": lambda image: jpeg(image, 95),
    "JPEG 30": lambda image: jpeg(image, 30),
    "brighter, flatter": lambda image: toned(image, 1.15, 0.85),
    "darker, steeper": lambda image: toned(image, 0.85, 1.15),
    "mirrored left-right": ImageOps.mirror,
    "mirrored up-down": ImageOps.flip,
    "rotated by 3 degrees": lambda image: turned(image, 3),
    "rotated by -5 degrees": lambda image: turned(image, -5),
    "mirrored, 3 degrees, half, JPEG 50": lambda image: jpeg(resized(turned(ImageOps.mirror(image), 3), 0.5), 50),
    "both mirrors, -5 degrees, JPEG 30": lambda image: jpeg(turned(ImageOps.flip(ImageOps.mirror(image)), -5), 30),
}


def read(image: Image.Image, size: int) -> Pixels:
    """The photograph as the pixel cache holds it."""
    out = io.BytesIO()
    image.save(out, "TIFF")
    return read_photograph(out.getvalue(), size)[0]


def clusters(pairs: Sequence[Pair], count: int) -> npt.NDArray[np.int64]:
    """The cluster of each of `count` photographs, named by the first photograph in it."""
    return first_joined([(pair.first, pair.second) for pair in pairs], count)


def recall(title: str, names: Sequence[str], images: Sequence[Image.Image], changed: int, size: int) -> list[Pair]:
    """Prints a table; returns the pairs among the unchanged photographs."""
    originals = np.stack([read(image, size) for image in images])
    chosen = np.linspace(0, len(images) - 1, changed).astype(int)
    copies = np.stack([read(change(images[i].convert("RGB")), size) for change in CHANGES.values() for i in chosen])
    origin = np.concatenate([np.arange(len(images)), np.tile(chosen, len(CHANGES))])
    alone = find_duplicates(originals)
    known = clusters(alone, len(images))[origin]  # copies of one eye's two pictures would pair as these do
    pairs = find_duplicates(np.concatenate([originals, copies]))
    joined = clusters(pairs, len(origin))
    false = [pair for pair in pairs if known[pair.first] != known[pair.second]]
    print(f"\n**{title}**: {len(images)} photographs, {changed} of them changed, {size} px\n\n| change | found | of |")
    print("|---|--:|--:|")
    for number, change in enumerate(CHANGES):
        places = len(images) + number * changed + np.arange(changed)
        print(f"| {change} | {sum(joined[place] == joined[origin[place]] for place in places)} | {changed} |")
    print(f"\n{len(pairs)} pairs, {len(false)} of them false; among the unchanged photographs {len(alone)} pairs:")
    for pair in alone:
        print(f"- {names[pair.first]}, {names[pair.second]}: {pair.kind}, {pair.score:.3f}")
    return alone


def sheet(pairs: Sequence[Pair], names: Sequence[str], images: Sequence[Image.Image], out: Path) -> None:
    """A picture with the two photographs of each pair side by side, the least alike first."""
    side = 200
    pairs = sorted(pairs, key=lambda pair: pair.score)
    page = Image.new("RGB", (6 * side, (len(pairs) + 2) // 3 * (side + 14)))
    for number, pair in enumerate(pairs):
        left, top = number % 3 * 2 * side, number // 3 * (side + 14)
        for place, shown in enumerate((pair.first, pair.second)):
            page.paste(ImageOps.pad(images[shown].convert("RGB"), (side, side)), (left + place * side, top + 14))
        label = f"{names[pair.first]} {names[pair.second]} {pair.score:.3f}"
        ImageDraw.Draw(page).text((left + 2, top + 1), label, fill="white")
    page.save(out)


def cost(count: int, size: int) -> None:
    """Prints the time and memory of a search among `count` pictures, a tenth of them copies."""
    some = drawings(64, size, "real")
    models = np.stack([read(Image.fromarray(drawing.draw()[0]), size) for drawing in some])
    pictures = np.empty((count, size, size, 3), np.uint8)
    number = count - count // 10
    for i in range(number):
        pictures[i] = warped(models[i % len(models)], i)
    for i in range(number, count):
        pictures[i] = np.asarray(jpeg(ImageOps.mirror(Image.fromarray(pictures[i - number])), 70))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    pairs = find_duplicates(pictures)
    elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    right = sum(pair.second - pair.first == number for pair in pairs)
    print("\n| photographs | size | s | s of one core | more memory, MB | copies found | of | other pairs |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    numbers = f"{count} | {size} | {elapsed:.0f} | {cpu:.0f} | {(peak - before) / 1024:.0f}"
    print(f"| {numbers} | {right} | {count - number} | {len(pairs) - right} |")


def warped(pixels: Pixels, number: int) -> Pixels:
    """Another picture: turned by any angle, and its vessels moved by up to a tenth of the width."""
    side = len(pixels)
    rng = draws.generator(0, "warped", number)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    z = (x + 1j * y) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    moved = ndimage.zoom(rng.normal(0, 0.04 * side, (2, 6, 6)), (1, side / 6, side / 6), order=3)
    at = moved[:, :side, :side] + np.stack([z.imag, z.real]) + (side - 1) / 2
    return np.stack([ndimage.map_coordinates(pixels[..., c], at, order=1) for c in range(3)], axis=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="IDRiD's folder, the one that holds 'A. Segmentation'")
    parser.add_argument("--sheet", type=Path, help="write the pairs among IDRiD's photographs there, to look at")
    parser.add_argument("--drawn", type=int, default=300, help="drawn photographs of either difficulty")
    parser.add_argument("--changed", type=int, default=40, help="photographs of a kind that are changed")
    parser.add_argument("--size", type=int, default=128, help="of the photographs in the cache, px")
    parser.add_argument("--photographs", type=int, default=0, metavar="N", help="measure time and memory instead")
    options = parser.parse_args()
    if options.photographs:
        cost(options.photographs, options.size)
        return
    for difficulty in ("easy", "real") if options.drawn else ():
        some = drawings(options.drawn, 2 * options.size, difficulty)
        images = [Image.fromarray(drawing.draw()[0]) for drawing in some]
        names = [f"{drawing.name}-{drawing.eye}" for drawing in some]
        recall(f"drawn, {difficulty}", names, images, min(options.changed, len(images)), options.size)
    if options.root:
        files = sorted(options.root.rglob("*.jpg"))
        images = [Image.open(file) for file in files]
        names = [file.stem for file in files]
        alone = recall("IDRiD", names, images, min(options.changed, len(images)), options.size)
        if options.sheet:
            sheet(alone, names, images, options.sheet)


if __name__ == "__main__":
    main()
