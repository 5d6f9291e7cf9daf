"""How fast the pixel cache is built, over the same work without it; and what memory a large cache takes.

    python benchmarks/cache.py
    python benchmarks/cache.py --photographs ../shared/data/idrid_originals --size 512 --passes 5

All rates are of one run, on full-size photographs, with the same number of threads. In every pass each file is new to
the cache (a few bytes are appended to a copy, which no decoder looks at), and the four ways take turns, each pass in
another order. Rates are medians over the passes; above 1 the cache is faster. The cache does the most work of all: it
hashes the file, finds the field of view, and writes pixels and index.

Goals: 0.9 of decoding with the same crop and resize, 0.65 of bare decoding, and less than 100 MB more anonymous memory
for 10,000 rows than for 1,000, where every row is read. The last way is stricter than these goals: it already decodes
at reduced size as the cache does, and knows the field of view, so it shows what finding, hashing and writing cost.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from semiretina.data import image
from semiretina.data.pixel_cache import PixelCache

Way = Callable[[list[Path], Path], None]
SMALL, LARGE = 1_000, 10_000
ROW_SIZE = 64
COPIES = 3  # of each photograph in a pass, so that opening and syncing the cache is spread as in real use


def threads(read: Callable[[Path], object]) -> Way:
    """`read` over all files by as many threads as the cache takes."""

    def way(files: list[Path], folder: Path) -> None:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(read, files):
                pass

    return way


def speed(photographs: list[Path], size: int, passes: int) -> None:
    contents = [file.read_bytes() for file in photographs]
    boxes = {file.name: image.read_photograph(file, size)[1] for file in photographs}

    def bare(file: Path) -> None:
        Image.open(file).convert("RGB")

    def whole(file: Path) -> None:
        rgb = Image.open(file).convert("RGB")
        square = rgb.crop(boxes[file.name.split("-", 1)[1]])
        square.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=image.GAP)

    def reduced(file: Path) -> None:
        """The cache's own decoding at reduced size, its crop and resize, with the box known beforehand."""
        rgb, scale, full = image._decode(
            file.read_bytes(), lambda width, height: min(width, height) / (image.GAP * size)
        )
        image._resize(rgb, boxes[file.name.split("-", 1)[1]], scale, full, size)

    def cache(files: list[Path], folder: Path) -> None:
        entries = PixelCache(folder, size).add(files)
        assert sorted(entry.row for entry in entries if entry.row is not None) == list(range(len(files)))

    ways: dict[str, Way] = {
        "cache": cache,
        "bare decode": threads(bare),
        "full decode, crop, resize": threads(whole),
        "reduced decode, crop, resize": threads(reduced),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-1, passes):  # the first pass warms up and does not count
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for copy in range(COPIES):
                for file, content in zip(photographs, contents, strict=True):
                    files.append(Path(folder, f"{copy}-{file.name}"))
                    files[-1].write_bytes(content + f"pass {number} copy {copy}".encode())
            for name in names[number % len(names) :] + names[: number % len(names)]:
                start = time.perf_counter()
                ways[name](files, Path(folder, "cache"))
                if number >= 0:
                    seconds[name].append(time.perf_counter() - start)
    count = COPIES * len(photographs)
    print(f"{count} photographs at {size} px, {os.cpu_count()} threads, {passes} passes")
    for name in names:
        print(f"  {name:30} {count / statistics.median(seconds[name]):6.1f} images/s", end="")
        ratios = [other / own for other, own in zip(seconds[name], seconds["cache"], strict=True)]
        low, high = min(ratios), max(ratios)
        ratio = f"   cache / this {statistics.median(ratios):5.2f}  ({low:.2f} to {high:.2f})"
        print("" if name == "cache" else ratio)


def write_cache(folder: Path, count: int) -> list[Path]:
    """A cache of `count` rows as `semiretina.data.pixel_store` lays it out, and the files it knows."""
    cache = PixelCache(folder / "cache", ROW_SIZE)
    files = []
    row = np.random.default_rng(0).integers(0, 256, ROW_SIZE * ROW_SIZE * 3).astype(np.uint8).tobytes()
    with (
        (cache.folder / "pixels.u8").open("wb") as pixels,
        (cache.folder / "index.jsonl").open("w") as index,
        (cache.folder / "files.jsonl").open("w") as journal,
    ):
        for number in range(count):
            file = folder / f"{number}.jpg"
            file.write_text(str(number))
            status, sha256 = file.stat(), hashlib.sha256(str(number).encode()).hexdigest()
            pixels.write(row)
            print(json.dumps({"sha256": sha256, "row": number, "box": [0, 0, 1024, 1024]}), file=index)
            known = {"path": str(file), "size": status.st_size, "changed": status.st_mtime_ns, "sha256": sha256}
            print(json.dumps(known), file=journal)
            files.append(file)
    return files


def read_all(folder: Path, count: int) -> None:
    """Opens the cache, asks for all files, reads every row; prints the anonymous memory in kB."""
    cache = PixelCache(folder / "cache", ROW_SIZE)
    entries = cache.add([folder / f"{number}.jpg" for number in range(count)])
    rows = cache.rows()
    total = sum(int(rows[entry.row].sum()) for entry in entries)
    assert len(rows) == count
    assert total > 0
    rollup = Path("/proc/self/smaps_rollup").read_text()
    print(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Anonymous:")))


def memory() -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        print("anonymous memory: only measured on Linux")
        return
    taken = {}
    for count in (SMALL, LARGE):
        with tempfile.TemporaryDirectory() as folder:
            write_cache(Path(folder), count)
            command = [sys.executable, __file__, "--read", folder, str(count)]
            taken[count] = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) / 1024
    small, large = taken[SMALL], taken[LARGE]
    print(f"anonymous memory, every row read: {SMALL} rows {small:.0f} MB, {LARGE} rows {large:.0f} MB", end="")
    print(f"   {large - small:.1f} MB more, ratio {large / small:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[2] / "shared" / "data" / "idrid_originals"
    parser.add_argument("--photographs", type=Path, default=default, help="a folder of full-size JPEG files")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read_all(Path(options.read[0]), int(options.read[1]))
        return
    photographs = sorted(options.photographs.glob("*.jp*g"))
    if not photographs:
        parser.error(f"{options.photographs}: no JPEG files; give a folder of full-size photographs with --photographs")
    speed(photographs, options.size, options.passes)
    memory()


if __name__ == "__main__":
    main()
