"""The folder of a sweep: a run folder for each point, and `points.jsonl`, with a line for each of them.

A point is trained by whoever claims its run folder; a claim ends with its process, however that ends. So any number of
processes and machines may work in one folder: what is finished is skipped, what is claimed is left to the other, and
what was begun goes on from its checkpoint.
"""

import json
import shutil
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from semiretina.config import Config
from semiretina.errors import Busy, NonFiniteLoss, UserError, writing
from semiretina.experiment import train_run
from semiretina.files import read_text, write_json, write_text
from semiretina.progress import say
from semiretina.report.paper.table1 import INDEX, Point, read_points
from semiretina.run_folder import RunFolder
from semiretina.studies.first_stages import FOLDER, all_of
from semiretina.studies.grid import GridPoint

DIVERGED = "diverged.json"  # in the run folder of a point whose loss became infinite: a result too, without scores
SECONDS_BETWEEN_LOOKS = 2.0


def finished(point: GridPoint, out: Path) -> bool:
    """Whether the point's run folder holds a result."""
    return _ended(RunFolder(out / point.key))


def train_point(point: GridPoint, out: Path) -> None:
    """Trains a point to its result, or to the note that it diverged; a finished one is left as it is.

    It starts from its first stages, which are trained before where nobody has done so. Of a finished run the
    checkpoints go and the grader stays. Raises Busy when another process is training the point or its first stages, and
    every other user's error under the point's name.
    """
    if finished(point, out):
        return
    run = RunFolder(out / point.key)
    try:
        _train(point.config, run, train_first_stages(point, out))
    except Busy:
        raise
    except UserError as error:
        raise type(error)(f"point {point}: {error}") from None
    if (run.path / DIVERGED).exists():
        say(f"sweep: {point}: diverged: {json.loads(read_text(run.path / DIVERGED))['reason']}")
    else:
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def train_first_stages(point: GridPoint, out: Path) -> RunFolder | None:
    """The run folder of the point's first stages, trained where they are not; None where it shares none.

    Raises Busy when another process is training them.
    """
    first = None
    for stages in all_of(point.first):
        before, first = first, RunFolder(out / FOLDER / stages.key)
        if not _ended(first):
            _train(stages.config, first, before)
            say(f"sweep: {stages}, for all points that begin with it: {first.path}")
    return first


def _ended(run: RunFolder) -> bool:
    return run.result.exists() or (run.path / DIVERGED).exists()


def _train(config: Config, run: RunFolder, first: RunFolder | None) -> None:
    """Trains from the end of the first stages; where these diverged, the run did so, too."""
    if first and (first.path / DIVERGED).exists():
        with run.claimed(config):
            shutil.copyfile(first.log, run.log)
            shutil.copyfile(first.path / DIVERGED, run.path / DIVERGED)
        return
    try:
        train_run(config, run.path, first=first.path if first else None)
    except NonFiniteLoss as error:
        write_json(run.path / DIVERGED, {"reason": str(error)})


def work(
    points: Sequence[GridPoint], out: Path, turn: int = 0, turns: int = 1, *, only_first_stages: bool = False
) -> Generator[None]:
    """Trains points in this process until all are finished, by whomever; yields after each, and while it waits.

    Every `turns`-th point from `turn` on comes first, so that several processes seldom meet; then those of the others.
    A point that another process holds is looked at again until it is finished, or free because that process died; so
    is one whose first stages another process is training.
    """
    train = train_first_stages if only_first_stages else train_point
    waiting = [*points[turn::turns], *(p for n, p in enumerate(points) if n % turns != turn)]
    while waiting:
        held: list[GridPoint] = []
        waited_for = set()  # first stages
        for point in waiting:
            if point.first and point.first.key in waited_for:
                held.append(point)
                continue
            try:
                train(point, out)
            except Busy:
                held.append(point)
                if point.first and not _ended(RunFolder(out / FOLDER / point.first.key)):
                    waited_for.add(point.first.key)
            else:
                yield
        if len(held) == len(waiting):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            yield
        waiting = held


def update_index(points: Sequence[GridPoint], out: Path) -> list[Point]:
    """Writes `points.jsonl` anew, and returns what stands there of these points, in their order.

    A point that is finished there stays so, even where its run folder is gone, and also when it is not in this grid.
    """
    file = out / INDEX
    with writing(file):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".points.lock")
        lock.acquire()
    try:
        known = {point.key: point for point in read_points(file) if point.status != "open"}
        now = []
        for point in points:
            if point.key in known:
                # The same experiment may be spelt otherwise: stages.-1 for stages.1.
                now.append(replace(known.pop(point.key), parameters=point.parameters))
            else:
                now.append(read_point(point, out))
        lines = [json.dumps(asdict(point)) + "\n" for point in (*now, *known.values())]
        write_text(file, "".join(lines))
    finally:
        lock.release()
    return now


def read_point(point: GridPoint, out: Path) -> Point:
    """A point as it stands in its run folder; the scores are those of the first task."""
    run = RunFolder(out / point.key)
    if (run.path / DIVERGED).exists():
        return Point(point.key, point.parameters, "diverged", seconds=_seconds(run))
    if not run.result.exists():
        return Point(point.key, point.parameters, "open")
    scores = run.read_result()["val"]
    task = point.config.tasks[0]
    # A task of several outputs, such as the lesions, has scores for each of them.
    shown: dict[str, Any] = scores.get(task) or next((s for n, s in scores.items() if n.startswith(f"{task}.")), {})
    accuracy, auroc = ((shown.get(name) or {}).get("value") for name in ("accuracy", "auroc"))
    return Point(point.key, point.parameters, "done", accuracy, auroc, _seconds(run))


def _seconds(run: RunFolder) -> float | None:
    """What all epochs took, those before a stop included."""
    if not run.log.exists():
        return None
    rows = [json.loads(line) for line in read_text(run.log).splitlines()]
    return round(sum(float(row["seconds"]) for row in rows if row["kind"] == "epoch"), 3)
