"""A grader on anybody's photographs: a table of predictions, with constant memory, that goes on where it stopped."""

import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from semiretina.data.image import UnreadablePhotograph
from semiretina.errors import Refused, writing
from semiretina.judging.decisions import Graded, Grades, rows_of
from semiretina.judging.inputs import Photograph, find_files
from semiretina.progress import progress, say

COLUMNS = ("path", "task", "output", "probability", "status", "reason")
SAME = 0.01  # other hardware rounds probabilities otherwise; another grader's mostly differ by more
Given = TypeVar("Given", bound=Photograph)
Seen = tuple[npt.NDArray[np.uint8] | None, str]  # pixels, or None and the reason


def predict(grader: Grades, inputs: Sequence[Path], out: Path) -> tuple[int, int]:
    """Grades files, folders of them or manifests (.csv) into the CSV `out`; returns how many succeeded and failed.

    A row for each photograph and output: `status` is "ok", or "failed" with the reason and no probability. A grader
    with operating points also gives the `threshold` and its `answer` to each question that has one, yes or no. When
    `out` already holds rows, the photographs that are complete there are left alone.

    Raises MissingInput for inputs that are not there, Refused when `out` is something else or another grader's,
    CannotWrite when it cannot be made.
    """
    files = list(dict.fromkeys(find_files(inputs)))
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        held = out.is_file() and out.stat().st_size > 0
        done = _keep_complete(out, grader) if held else set()
        waiting = [file for file in files if str(file) not in done]
        if len(waiting) < len(files):
            say(f"{out}: {len(files) - len(waiting)} of {len(files)} photographs stand there already")
        failed = 0
        # A file's name need not be UTF-8: it goes into the table, and comes back, byte by byte.
        with (
            out.open("a", newline="", encoding="utf-8", errors="surrogateescape") as table,
            progress("Grading", len(waiting)) as advance,
        ):
            writer = csv.writer(table, lineterminator="\n")
            if not held or not out.stat().st_size:
                writer.writerow(_columns(grader))
            for file, graded, reason in grade_files(grader, waiting):
                writer.writerows(_lines(grader, file, graded, reason))
                failed += graded is None
                table.flush()
                advance()
    return len(waiting) - failed, failed


def grade_files(grader: Grades, files: Sequence[Given]) -> Iterator[tuple[Given, Graded | None, str]]:
    """Each photograph with its probabilities by task, or None and the reason; threads read the next batch meanwhile."""
    batches = [files[start : start + grader.batch] for start in range(0, len(files), grader.batch)]
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        ahead: list[Future[Seen]] = []
        for number, batch in enumerate(batches):
            reading = ahead or [readers.submit(_read, grader, file) for file in batch]
            after = batches[number + 1] if number + 1 < len(batches) else ()
            ahead = [readers.submit(_read, grader, file) for file in after]
            photographs = [future.result() for future in reading]
            good = [pixels for pixels, _ in photographs if pixels is not None]
            graded = grader.grade(np.stack(good)) if good else {}
            row = 0  # of what was graded
            for file, (pixels, reason) in zip(batch, photographs, strict=True):
                if pixels is None:
                    yield file, None, reason
                else:
                    yield file, {task: values[row] for task, values in graded.items()}, ""
                    row += 1


def _columns(grader: Grades) -> tuple[str, ...]:
    return (*COLUMNS, "threshold", "answer") if grader.own_thresholds else COLUMNS


def _lines(grader: Grades, file: Path, graded: Graded | None, reason: str = "") -> list[list[str]]:
    """The rows of the table for one photograph; a threshold and an answer only where a threshold was fixed."""
    lines = []
    for row in rows_of(grader, graded, reason):
        value, limit = row["probability"], row["threshold"]
        line = [str(file), row["task"], row["output"], "" if value is None else f"{value:.9g}", row["status"], reason]
        if grader.own_thresholds:
            line += ["", ""] if limit is None else [f"{limit:.9g}", row["answer"]]
        lines.append(line)
    return lines


def _read(grader: Grades, photograph: Photograph) -> Seen:
    try:
        return grader.read(photograph), ""
    except FileNotFoundError:
        return None, "no such file"
    except UnreadablePhotograph as error:
        return None, str(error)
    except OSError as error:
        return None, f"cannot be opened: {error.strerror}"


def _keep_complete(out: Path, grader: Grades) -> set[str]:
    """The photographs whose rows are complete in `out`, after cutting off what a stop left half-written at its end."""
    outputs = [(name, output) for name, task in grader.tasks.items() for output in task.outputs]
    columns = _columns(grader)
    header = (",".join(columns) + "\n").encode()
    done: set[str] = set()
    graded: list[list[str]] = []  # the rows of the first photograph that was graded
    with out.open("r+b") as table:
        begin = table.read(len(header))
        if not header.startswith(begin):
            raise Refused(f"{out}: exists and is not a table of predictions; choose another --out")
        whole = end = len(begin) if begin == header else 0

        def lines() -> Iterator[str]:
            nonlocal end
            for line in table:
                if line.endswith(b"\n"):
                    end += len(line)
                    yield line.decode(errors="surrogateescape")

        rows = csv.reader(lines() if whole else ())
        while len(block := list(islice(rows, len(outputs)))) == len(outputs):
            paths = {row[0] for row in block if len(row) == len(columns)}
            if len(paths) != 1 or [tuple(row[1:3]) for row in block] != outputs:
                raise Refused(
                    f"{out}: its rows at {block[0][0]} are not those of this grader's outputs, "
                    f"{', '.join(output for _, output in outputs)}; choose another --out"
                )
            done |= paths
            graded = graded or (block if block[0][4] == "ok" else [])
            whole = end
        _check_same(out, grader, graded)
        table.truncate(whole)
    return done


def _check_same(out: Path, grader: Grades, rows: Sequence[Sequence[str]]) -> None:
    """Raises Refused when this grader sees the photograph of these rows otherwise: rows of two would mix."""
    file = Path(rows[0][0]) if rows else Path()
    pixels = _read(grader, file)[0] if rows else None
    if pixels is None:
        return
    now = _lines(grader, file, {name: values[0] for name, values in grader.grade(pixels[None]).items()})
    for row, line in zip(rows, now, strict=True):
        if row[len(COLUMNS) :][:1] != line[len(COLUMNS) :][:1]:
            raise Refused(f"{out}: its answers are of another threshold, {row[2]} {row[6]}; choose another --out")
    for row, line in zip(rows, now, strict=True):
        if not abs(float(row[3]) - float(line[3])) <= SAME:
            raise Refused(
                f"{out}: holds another grader's predictions, or {row[0]} has changed since: {row[2]} {row[3]} there, "
                f"{line[3]} now; choose another --out"
            )
