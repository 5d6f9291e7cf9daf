"""Lesions as IDRiD's graders drew them, and as `real` draws them: how many, how large, how far from their surroundings.

    python benchmarks/lesions.py --root ../shared/data/idrid
    python benchmarks/lesions.py --synthetic 30

The first prints the numbers that `semiretina.data.simulator.lesions.IDRID` holds, the second the same of drawn
photographs. IDRiD: Porwal et al., Data 2018, 3(3):25; part "A. Segmentation", training set, 54 photographs (CC BY 4.0).

A lesion is one 8-connected component of a mask. Its size is the diameter of the disc of the same area, over the
diameter of the field of view. Where the masks were reduced ("any pixel set"), a component has grown by about one pixel,
which is taken off (--shrink). Contrast is the mean over the lesion of log(photograph) minus that over the ring two to
five pixels outside it, without other lesions; blue only where the ring holds 40 or more of it (an orange retina has
nearly none, and the ratio is noise there). Grades are those of the graded photographs of the same eye (correlation of
thumbnails > 0.99).
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from semiretina.data.simulator.drawings import Drawing

FOLDERS = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}
ANY = np.ones((3, 3), bool)  # 8-connectivity
LEVELS = (10, 25, 50, 75, 90)
Masks = dict[str, npt.NDArray[np.bool_]]
Sample = tuple[int, npt.NDArray[np.uint8], Masks]  # grade (-1 unknown), photograph, masks


def measure(
    photograph: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], shrink: float
) -> npt.NDArray[np.float64]:
    """[lesions, 4]: diameter / diameter of the field of view, log contrast in R, G, B."""
    seen = photograph.max(axis=2) > 20
    field = max(seen.sum(axis=0).max(), seen.sum(axis=1).max())
    light = np.log(photograph + 4.0)
    labels, _ = ndimage.label(mask, ANY)
    rows = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(slice(max(0, s.start - 6), s.stop + 6) for s in box)
        own = labels[around] == number
        ring = ndimage.binary_dilation(own, ANY, 5) & ~ndimage.binary_dilation(own, ANY)
        ring &= ~others[around] & seen[around]
        if ring.sum() < 8:
            continue
        contrast = light[around][own].mean(axis=0) - light[around][ring].mean(axis=0)
        if photograph[around][ring][:, 2].mean() < 40:
            contrast[2] = np.nan
        rows.append([max(0.5, 2 * np.sqrt(own.sum() / np.pi) - shrink) / field, *contrast])
    return np.array(rows).reshape(-1, 4)


def idrid(root: Path) -> Iterator[Sample]:
    """The masked photographs with the grades of their graded twins."""
    graded = root / "B. Disease Grading"
    with next(graded.glob("2. Groundtruths/a.*.csv")).open(newline="") as sheet:
        rows = list(csv.DictReader(sheet))
    grades = {row["Image name"]: int(row["Retinopathy grade"]) for row in rows}
    edema = next(name for name in rows[0] if name and name.startswith("Risk of macular edema"))
    for grade in range(5):
        risks = [int(row[edema]) for row in rows if int(row["Retinopathy grade"]) == grade]
        print(f"grade {grade}: {len(risks)} graded photographs, {np.mean(np.array(risks) > 0):.2f} with hard exudates")
    files = sorted((graded / "1. Original Images" / "a. Training Set").glob("*.jpg"))
    thumbnails = np.stack([_thumbnail(file) for file in files])
    part = root / "A. Segmentation"
    masks = part / "2. All Segmentation Groundtruths" / "a. Training Set"
    for file in sorted((part / "1. Original Images" / "a. Training Set").glob("*.jpg")):
        likeness = thumbnails @ _thumbnail(file)
        grade = grades[files[likeness.argmax()].stem] if likeness.max() > 0.99 else -1
        photograph = np.asarray(Image.open(file).convert("RGB"))
        found = {}
        for lesion, folder in FOLDERS.items():
            drawn = masks / folder / f"{file.stem}_{lesion}.tif"
            blank = np.zeros(photograph.shape[:2], bool)
            found[lesion] = np.asarray(Image.open(drawn).convert("L")) > 0 if drawn.exists() else blank
        yield grade, photograph, found


def drawn(count: int) -> Iterator[Sample]:
    """Photographs of `real`, as large as IDRiD's reduced ones, in turn of grades 2, 3 and 4."""
    for number in range(count):
        yield 2 + number % 3, *Drawing(0, number, "left", 2 + number % 3, "birch", 712, "real").draw()


def report(samples: Iterator[Sample], shrink: float) -> None:
    found: dict[str, list[tuple[int, npt.NDArray[np.float64]]]] = {lesion: [] for lesion in FOLDERS}
    for grade, photograph, masks in samples:
        everything = np.logical_or.reduce(list(masks.values()))
        for lesion, mask in masks.items():
            found[lesion].append((grade, measure(photograph, mask, everything, shrink)))
    for lesion, parts in found.items():
        every = np.concatenate([rows for _, rows in parts])
        size = np.log(every[:, 0])
        print(f"{lesion}: {len(every)} lesions on {len(parts)} photographs; percentiles {LEVELS}")
        print(
            f"  diameter, thousandths  {np.percentile(every[:, 0] * 1000, LEVELS).round(1)}, sd of log {size.std():.2f}"
        )
        for channel, name in enumerate("RGB", start=1):
            column = every[np.isfinite(every[:, channel]), channel]
            print(
                f"  log contrast {name}         {np.percentile(column, LEVELS).round(3) if column.size else 'unknown'}"
            )
        green = np.abs(every[:, 2])
        usual = green > 0.02
        growth, _ = np.polyfit(size[usual], np.log(green[usual]), 1)
        spread = np.log(green[usual]) - growth * size[usual]
        print(f"  |log contrast G| grows with size to the power {growth:.2f}; its log's sd is then {spread.std():.2f}")
        for grade in sorted({grade for grade, _ in parts}):
            counts = np.array([len(rows) for g, rows in parts if g == grade])
            some = counts[counts > 0]
            if some.size:
                found_in = f"in {some.size} of {counts.size}, median {np.median(some):.0f}"
                print(f"  grade {grade}: {found_in}, sd of log {np.log(some).std():.2f}")


def _thumbnail(file: Path) -> npt.NDArray[np.float64]:
    image = Image.open(file)
    image.draft("RGB", (128, 128))
    values = np.asarray(image.convert("RGB").resize((32, 24)), np.float64).ravel()
    values -= values.mean()
    return np.asarray(values / np.linalg.norm(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="IDRiD's folder, the one that holds 'A. Segmentation'")
    parser.add_argument("--shrink", type=float, default=1.0, help="pixels that masks grew by when reduced")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="measure N drawn photographs")
    options = parser.parse_args()
    if options.root:
        report(idrid(options.root), options.shrink)
    if options.synthetic:
        report(drawn(options.synthetic), 0.0)


if __name__ == "__main__":
    main()
