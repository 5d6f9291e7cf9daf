"""The grid search of section 5.1: every point of a grid trained once, wherever it runs, and Table 1 from the results.

No point looks at the test set: accuracies are those on validation photographs (readings, row 29). A sweep that is
stopped, repeated or extended trains what is missing and nothing else.
"""

import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from semiretina.errors import UserError
from semiretina.progress import duration, say
from semiretina.report.paper.table1 import INDEX, TRAININGS, Point, best_point, to_text, write_page
from semiretina.studies.cluster import work_on_cluster
from semiretina.studies.grid import GridPoint, grid_points
from semiretina.studies.points import finished, update_index, work
from semiretina.studies.processes import work_in_processes


def sweep(
    config: Path,
    grid: Path,
    out: Path,
    *,
    workers: int = 1,
    shard: str = "",
    cluster: str = "",
    overrides: Sequence[str] = (),
) -> str:
    """Trains the points of a grid in `out`; returns how far it is, the best point and, when all are there, Table 1.

    `shard` "I/N" takes every N-th point from the I-th on; `cluster` is the address of a Ray cluster. `out`/points.jsonl
    tells of every point, `out`/table1.html is the table. Errors come before anything is trained.
    """
    share(shard)
    points = grid_points(config, grid, overrides)
    found = train_points(points, out, workers=workers, shard=shard, cluster=cluster)
    methods = tuple(stage.method["name"] for stage in points[0].config.stages)
    training = TRAININGS.get(methods, config.stem)
    lines = [_how_far(found), f"points: {out / INDEX}"]
    if best := best_point(found):
        setting = next(point for point in points if point.key == best.key)
        lines.append(f"best on validation: {setting}: accuracy {best.accuracy:.3f} ({out / best.key})")
    if all(point.status != "open" for point in found):
        write_page({training: found}, out / "table1.html")
        lines += ["", to_text({training: found}).rstrip()]
    return "\n".join(lines)


def train_points(
    points: Sequence[GridPoint], out: Path, *, workers: int = 1, shard: str = "", cluster: str = ""
) -> list[Point]:
    """Trains what is not finished of these points, or of a shard of them, and returns all of them as they stand."""
    found = {point.key: point for point in update_index(points, out)}
    first, step = share(shard)
    own = points[first::step]
    waiting = [point for point in own if found[point.key].status == "open"]
    say(f"sweep: {len(own)} points, {len(own) - len(waiting)} of them finished before: {out}")
    if waiting:
        ways = _ways(waiting, out, workers, cluster)
        # Left by an exception, too, it ends its workers.
        with closing(ways):
            _tell(ways, points, waiting, out)
    return update_index(points, out)


def share(shard: str) -> tuple[int, int]:
    """Where a shard's points begin and in which steps they follow: (1, 4) for "2/4". Raises UserError."""
    found = re.fullmatch(r"(\d+)/(\d+)", shard or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"--shard {shard}: not of the form I/N with I from 1 to N, such as 2/8")
    return int(found[1]) - 1, int(found[2])


def _ways(points: Sequence[GridPoint], out: Path, workers: int, cluster: str) -> Generator[None]:
    if cluster:
        return work_on_cluster(points, out, cluster)
    if workers > 1:
        return work_in_processes(points, out, min(workers, len(points)))
    return work(points, out)


def _tell(ways: Iterator[None], points: Sequence[GridPoint], waiting: Sequence[GridPoint], out: Path) -> None:
    """A line for each point that gets finished, with the time left, and the index kept up to date."""
    started, left = time.monotonic(), list(waiting)
    for _ in ways:
        ended = [point for point in left if finished(point, out)]
        if not ended:
            continue
        left = [point for point in left if point not in ended]
        found = {point.key: point for point in update_index(points, out)}
        seconds = (time.monotonic() - started) / (len(waiting) - len(left)) * len(left)
        for point in ended:
            accuracy = found[point.key].accuracy
            reached = found[point.key].status if accuracy is None else f"accuracy {accuracy:.3f}"
            say(f"sweep: {len(waiting) - len(left)}/{len(waiting)}, {duration(seconds)} left; {point}: {reached}")


def _how_far(points: Sequence[Point]) -> str:
    states = [point.status for point in points]
    counted = [f"{states.count(state)} {state}" for state in ("done", "diverged", "open") if state in states]
    return f"{len(points)} points: {', '.join(counted)}"
