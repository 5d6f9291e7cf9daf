"""How long the audit takes: 100,000 rows of a manifest, and the photographs that a pixel cache holds.

    python benchmarks/audit.py
    python benchmarks/audit.py --photographs 2000 --rows 20000

Goals: 100,000 rows in 5 s; 10,000 photographs in the cache in 3 minutes on two cores, with less than 2 GB of memory.
The manifest's rows are checked with their files in one folder, where 60 kinds of defects are looked for and a few are
found. The cache is filled with drawn pictures of a disc, each with its own texture, not with decoded files.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from semiretina.audit.audit import audit_manifest, manifest_findings
from semiretina.audit.finding import gather
from semiretina.audit.pictures import SIZE
from semiretina.data.pixel_cache import PixelCache
from semiretina.records import inspect_manifest


def write_rows(folder: Path, count: int) -> Path:
    lines = ["path,dataset,site,camera,patient,exam,eye,split,scale,grade,dme,quality,MA,HE,EX,SE,provenance"]
    for number in range(count):
        (folder / f"photograph {number}.jpg").touch()
        eye, grade = ("left", "right")[number % 2], number % 5
        wrong = "9" if number % 1000 == 999 else grade
        lines.append(
            f"photograph {number}.jpg,d,s{number % 7},c,p{number // 2},e{number // 2},{eye},,icdr,{wrong},,,,,,,made up"
        )
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def time_rows(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_rows(Path(folder), count)
        start, cpu = time.perf_counter(), time.process_time()
        reading = inspect_manifest(manifest)
        read = time.perf_counter()
        found = gather(manifest_findings(manifest, reading))
        end, cpu = time.perf_counter(), time.process_time() - cpu
    places = sum(len(finding.places) for finding in found)
    print(f"{count} rows: {end - start:.2f} s, of which reading {read - start:.2f} s; {cpu:.2f} s of a core; ", end="")
    print(f"{places} places found")


def write_cache(folder: Path, count: int) -> Path:
    """A manifest of `count` small PNG files and a pixel cache that already holds pictures for them."""
    cache = PixelCache(folder / "cache", SIZE)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2
    disc = np.hypot(xs, ys) < SIZE / 2
    random = np.random.default_rng(0)
    lines = ["path,patient,eye,scale,grade"]
    with (
        (cache.folder / "pixels.u8").open("wb") as pixels,
        (cache.folder / "index.jsonl").open("w") as index,
        (cache.folder / "files.jsonl").open("w") as journal,
    ):
        for number in range(count):
            file = folder / f"{number}.png"
            Image.new("L", (300, 300), number % 256).save(file)
            with file.open("ab") as out:
                out.write(str(number).encode())
            coarse = random.normal(0, 1, (32, 32))
            texture = ndimage.zoom(coarse, SIZE / 32, order=1) * 25 + random.normal(0, 3, (SIZE, SIZE))
            picture = np.clip(np.stack([150 + texture, 80 + texture, 40 + texture], 2), 0, 255) * disc[..., None]
            pixels.write(picture.astype(np.uint8).tobytes())
            status, sha256 = file.stat(), hashlib.sha256(file.read_bytes()).hexdigest()
            print(json.dumps({"sha256": sha256, "row": number, "box": [0, 0, 299, 299]}), file=index)
            known = {"path": str(file), "size": status.st_size, "changed": status.st_mtime_ns, "sha256": sha256}
            print(json.dumps(known), file=journal)
            lines.append(f"{number}.png,p{number // 2},{('left', 'right')[number % 2]},icdr,{number % 5}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def time_photographs(folder: Path) -> None:
    with own_memory() as peak:
        start, cpu = time.perf_counter(), time.process_time()
        audit = audit_manifest(folder / "manifest.csv", folder / "cache")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    count = len(audit.reading.records)
    print(f"{count} photographs in the cache: {seconds:.1f} s, {1000 * cpu / count:.1f} ms of a core each; ", end="")
    print(f"peak of anonymous memory {peak[0]:.0f} MB, of all memory {status('VmHWM'):.0f} MB")


@contextmanager
def own_memory() -> Iterator[list[float]]:
    """The peak so far of what the process has of its own, without the pages of mapped files, in MB; looked at often."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def status(name: str) -> float:
    """A line of Linux's account of this process, in MB; 0 elsewhere."""
    file = Path("/proc/self/status")
    return int(file.read_text().split(f"{name}:")[1].split()[0]) / 1024 if file.exists() else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--photographs", type=int, default=10_000)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cache:
        time_photographs(options.cache)
        return
    time_rows(options.rows)
    with tempfile.TemporaryDirectory() as folder:
        write_cache(Path(folder), options.photographs)
        subprocess.run([sys.executable, __file__, "--cache", folder], check=True)  # memory of its own


if __name__ == "__main__":
    main()
