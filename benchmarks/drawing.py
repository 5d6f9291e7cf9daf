"""Synthetic photographs a second, on two threads and on one, drawn and written as JPEG.

    python benchmarks/drawing.py [--size 256] [--count 240]

The bar is 60 drawn photographs a second at 256 pixels on two idle cores. The best of three rounds counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from semiretina.data.simulator.anatomy import Difficulty
from semiretina.data.simulator.drawings import Drawing, drawings
from semiretina.data.sources.synthetic import records


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def write(count: int, size: int, difficulty: Difficulty) -> None:
    with tempfile.TemporaryDirectory() as folder:
        records(Path(folder), photographs=count, unlabeled=0, size=size, difficulty=difficulty)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--count", type=int, default=240)
    options = parser.parse_args()
    difficulties: tuple[Difficulty, ...] = ("easy", "real")
    for difficulty in difficulties:
        todo = drawings(options.count, options.size, difficulty)
        one = best(lambda todo=todo: [drawing.draw() for drawing in todo])
        with ThreadPoolExecutor(2) as pool:
            two = best(lambda todo=todo, pool=pool: list(pool.map(Drawing.draw, todo)))
        files = best(lambda difficulty=difficulty: write(options.count, options.size, difficulty))
        rates = [f"{options.count / seconds:.0f}" for seconds in (one, two, files)]
        print(
            f"{difficulty}, {options.size} px: {rates[0]}/s on one thread, {rates[1]}/s on two, {rates[2]}/s as files"
        )


if __name__ == "__main__":
    main()
