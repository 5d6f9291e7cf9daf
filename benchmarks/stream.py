"""What the data costs while training, and what memory it takes; prints ratios measured in this one run.

    python benchmarks/stream.py [--size 256] [--batch 8] [--steps 12] [--device cpu]

1. Training steps with real data flowing (memory map -> batch -> augmentation -> step) against the same step on one
   resident batch, ResNet18. The two alternate in blocks, so that a machine whose speed drifts slows both; each block
   steps past the prefetch first.
2. Anonymous memory after every row of 10,000 photographs was read, against 1,000: pages of the memory map are the
   system's to take back and do not count.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

from semiretina.batch import Batch, Progress, Views
from semiretina.config import Augment
from semiretina.data.pixels import Pixels
from semiretina.data.steps import NONE, Sides, labeled_steps, unlabeled_steps
from semiretina.data.stream import Stream
from semiretina.methods.supervised import Supervised
from semiretina.models import build_network

AT = Progress(stage=0, epoch=0, step=0, steps=1, update=0, updates=1, labeled_updates=0)


def stored(folder: Path, count: int, size: int) -> np.ndarray:
    """A file of `count` random photographs, as the pixel cache maps it."""
    file = folder / "pixels.u8"
    with file.open("wb") as out:
        for _ in range(count):
            out.write(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8).tobytes())
    return np.memmap(file, np.uint8, "r", shape=(count, size, size, 3))


def flowing(stream: Stream, count: int, batch: int) -> Iterator[Batch]:
    sides = Sides(np.arange(count), NONE, batch)
    epoch = 0
    while True:
        updates = [[step] for step in labeled_steps(sides, (0,), epoch)]
        yield from stream.batches(updates, Views(("weak",)), (0, epoch))
        epoch += 1


def seconds(step: Callable[[], None], steps: int, device: torch.device) -> float:
    step()  # past the prefetch
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def throughput(size: int, batch: int, steps: int, device: torch.device) -> None:
    with tempfile.TemporaryDirectory() as folder:
        count = 16 * batch
        pixels = Pixels(stored(Path(folder), count, size), np.arange(count), device)
        targets = {
            "dr": torch.from_numpy(np.random.default_rng(0).integers(0, 2, (count, 1)).astype(np.float32)).to(device)
        }
        batches = flowing(Stream(pixels, targets, Augment()), count, batch)
        network = build_network("resnet18", {"dr": 1}, size, {}).to(device, memory_format=torch.channels_last)
        method = Supervised(network)
        optimizer = torch.optim.SGD(method.parameters(), lr=1e-6, momentum=0.9)

        def step(given: Batch) -> None:
            method(given, AT)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        resident = next(batches)
        blocks = [
            (seconds(lambda: step(next(batches)), steps, device), seconds(lambda: step(resident), steps, device))
            for _ in range(5)
        ]
    ratios = sorted(alone / with_data for with_data, alone in blocks)
    rate = batch * steps / median(with_data for with_data, _ in blocks)
    print(
        f"resident step / step with data flowing: {median(ratios):.3f} "
        f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}; goal >= 0.95)"
    )
    print(
        f"  resnet18, {size} px, batch {batch}, {device}, {torch.get_num_threads()} threads, {rate:.1f} images/s here"
    )


def anonymous_after(count: int, size: int = 64, batch: int = 64) -> float:
    """Megabytes of anonymous memory after one epoch over `count` stored photographs."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = Pixels(stored(Path(folder), count, size), np.arange(count), torch.device("cpu"))
        total = 0.0
        updates = [[step] for step in unlabeled_steps(Sides(NONE, np.arange(count), batch), (0,), 0)]
        for given in Stream(pixels, {}, Augment()).batches(updates, Views(unlabeled=("weak",)), (0,)):
            assert given.unlabeled is not None
            total += float(given.unlabeled.views["weak"].sum())
        assert total > 0
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def memory() -> None:
    used = {}
    for count in (1_000, 10_000):
        command = [sys.executable, __file__, "--anonymous", str(count)]
        used[count] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"anonymous memory, 10,000 - 1,000 photographs: {used[10_000] - used[1_000]:+.0f} MB (goal within 100 MB)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--anonymous", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.anonymous:
        print(anonymous_after(given.anonymous))
    else:
        memory()
        throughput(given.size, given.batch, given.steps, torch.device(given.device))
