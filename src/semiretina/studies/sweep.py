"""The grid search of section 5.1: every point of a grid trained once, wherever it runs, and Table 1 from the results.

No point looks at the test set: accuracies are those on validation photographs (readings, row 29). A sweep that is
stopped, repeated or extended trains what is missing and nothing else.
"""

import re
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from semiretina.errors import UserError
from semiretina.progress import duration, say
from semiretina.report.paper.table1 import INDEX, TRAININGS, Point, best_point, to_text, write_page
from semiretina.studies.cluster import work_on_cluster
from semiretina.studies.first_stages import all_of
from semiretina.studies.grid import GridPoint
from semiretina.studies.points import finished, update_index, work
from semiretina.studies.processes import work_in_processes
from semiretina.wording import counted


def sweep(points: Sequence[GridPoint], out: Path, *, workers: int = 1, shard: str = "", cluster: str = "") -> str:
    """Trains the points in `out`; returns how far it is, the best point and, when all are there, Table 1.

    `shard` "I/N" takes every N-th point from the I-th on; `cluster` is the address of a Ray cluster. `out`/points.jsonl
    tells of every point, `out`/table1.html is the table.
    """
    states = train_points(points, out, workers=workers, shard=shard, cluster=cluster)
    methods = tuple(stage.method["name"] for stage in points[0].config.stages)
    training = TRAININGS.get(methods, " then ".join(methods))
    counts = Counter(point.status for point in states)
    counted_states = [f"{counts[status]} {status}" for status in ("done", "diverged", "open") if counts[status]]
    lines = [f"{counted(len(states), 'point')}: {', '.join(counted_states)}", f"points: {out / INDEX}"]
    if best := best_point(states):
        setting = next(point for point in points if point.key == best.key)
        lines.append(f"best on validation: {setting}: accuracy {best.accuracy:.3f} ({out / best.key})")
    if not counts["open"]:
        write_page({training: states}, out / "table1.html")
        lines += ["", to_text({training: states}).rstrip()]
    return "\n".join(lines)


def train_points(
    points: Sequence[GridPoint], out: Path, *, workers: int = 1, shard: str = "", cluster: str = ""
) -> list[Point]:
    """Trains what is not finished of these points, or of a shard of them, and returns all of them as they stand."""
    chosen = points[shard_slice(shard)]
    status = {point.key: point.status for point in update_index(points, out)}
    waiting = [point for point in chosen if status[point.key] == "open"]
    say(f"sweep: {counted(len(chosen), 'point')}, {len(chosen) - len(waiting)} of them finished before: {out}")
    if beginning := [point.first for point in waiting if point.first]:
        trainings = len({stages.key for first in beginning for stages in all_of(first)})
        say(f"sweep: {counted(len(beginning), 'point')} begin alike: {counted(trainings, 'training')} of first stages")
    if waiting:
        progress = _start(waiting, out, workers, cluster)
        # Left by an exception, too, it ends its workers.
        with closing(progress):
            _report(progress, points, waiting, out)
    return update_index(points, out)


def shard_slice(shard: str) -> slice:
    """The points of a shard: slice(1, None, 4) for "2/4", all of them for "". Raises UserError."""
    match = re.fullmatch(r"(\d+)/(\d+)", shard or "1/1")
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard {shard}: not of the form I/N with I from 1 to N, such as 2/8")
    return slice(int(match[1]) - 1, None, int(match[2]))


def _start(points: Sequence[GridPoint], out: Path, workers: int, cluster: str) -> Generator[None]:
    if cluster:
        return work_on_cluster(points, out, cluster)
    if workers > 1:
        return work_in_processes(points, out, min(workers, len(points)))
    return work(points, out)


def _report(progress: Iterator[None], points: Sequence[GridPoint], waiting: Sequence[GridPoint], out: Path) -> None:
    """A line for each point that gets finished, with the time left, and the index kept up to date."""
    started, left = time.monotonic(), list(waiting)
    for _ in progress:
        ended = [point for point in left if finished(point, out)]
        if not ended:
            continue
        left = [point for point in left if point not in ended]
        states = {point.key: point for point in update_index(points, out)}
        seconds = (time.monotonic() - started) / (len(waiting) - len(left)) * len(left)
        for point in ended:
            state = states[point.key]
            reached = state.status if state.accuracy is None else f"accuracy {state.accuracy:.3f}"
            say(f"sweep: {len(waiting) - len(left)}/{len(waiting)}, {duration(seconds)} left; {point}: {reached}")
