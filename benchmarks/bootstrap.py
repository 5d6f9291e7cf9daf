"""How fast the bootstrap over patients is, over a plain loop with scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/bootstrap.py

Goal: 2,000 resamples of the AUROC of 1,000 photographs (500 patients with two eyes) in at most one second of one core.
The loop copies the rows of the drawn patients and calls `roc_auc_score` or `average_precision_score`; the ratio is that
of the medians of turns taken one after the other in one run. The loop does a tenth of the resamples, and its time is
multiplied.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from semiretina.scoring import binary_scores
from semiretina.scoring.bootstrap import RESAMPLES, resamples
from semiretina.scoring.weighted import aurocs, average_precisions

SHARE = 10


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=7)
    arguments = parser.parse_args()
    n, draw = arguments.photographs, np.random.default_rng(0)
    groups = np.arange(n) // 2
    labels = draw.integers(0, 2, n)
    values = draw.normal(labels, 1.0)

    def loop(score: Callable[..., float]) -> None:
        patients = groups.max() + 1
        rows_of = [np.flatnonzero(groups == g) for g in range(patients)]
        for _ in range(RESAMPLES // SHARE):
            rows = np.concatenate([rows_of[g] for g in draw.integers(0, patients, patients)])
            score(labels[rows], values[rows])

    def blocks(score: Callable[..., object]) -> None:
        for weights in resamples(groups, "benchmark"):
            score(labels, values, weights)

    pairs = {"AUROC": (aurocs, roc_auc_score), "average precision": (average_precisions, average_precision_score)}
    print(f"{RESAMPLES} resamples, {n} photographs, {groups.max() + 1} patients, median of {arguments.passes} passes")
    for name, (ours, theirs) in pairs.items():
        fast, slow = [], []
        for _ in range(arguments.passes):
            fast.append(seconds(partial(blocks, ours)))
            slow.append(SHARE * seconds(partial(loop, theirs)))
        own, other = statistics.median(fast), statistics.median(slow)
        print(f"{name}: {own:.3f} s; a loop over scikit-learn {other:.2f} s; {other / own:.0f} times as fast")
    p = 1 / (1 + np.exp(-values))
    whole = statistics.median(seconds(lambda: binary_scores(labels, p, groups)) for _ in range(3))
    print(f"binary_scores, all scores with intervals: {whole:.3f} s")


if __name__ == "__main__":
    main()
