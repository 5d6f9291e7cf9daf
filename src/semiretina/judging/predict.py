"""A grader on anybody's photographs: a table of predictions, with constant memory, that goes on where it stopped."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semiretina.data.image import SUFFIXES, UnreadablePhotograph, photographs_in
from semiretina.errors import MissingInput, Refused, writing
from semiretina.judging.grader import Grader
from semiretina.progress import progress, say
from semiretina.records import read_manifest
from semiretina.tasks import keys_of

COLUMNS = ("path", "task", "output", "probability", "status", "reason")
SAME = 0.01  # other hardware rounds probabilities otherwise; another grader's mostly differ by more
Photograph = tuple[npt.NDArray[np.uint8] | None, str]  # pixels, or None and the reason
Graded = Mapping[str, npt.NDArray[np.float32]]  # task -> [outputs]


def predict(grader: Grader, inputs: Sequence[Path], out: Path) -> tuple[int, int]:
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
                for name, task in grader.tasks.items():
                    for number, output in enumerate(task.outputs):
                        value = "" if graded is None else f"{graded[name][number]:.9g}"
                        row = [file, name, output, value, "failed" if graded is None else "ok", reason]
                        writer.writerow([*row, *_answer(grader, name, number, graded)])
                failed += graded is None
                table.flush()
                advance()
    return len(waiting) - failed, failed


def find_files(inputs: Sequence[Path]) -> Iterator[Path]:
    """The photographs that are meant: files as they are, folders searched whole, manifests row by row.

    A name like a photograph's is one, there or not: it gets its rows in the table. Raises MissingInput that names
    all others that are not there.
    """
    missing = [path for path in inputs if path.suffix.lower() not in (*SUFFIXES, ".csv") and not path.exists()]
    if missing:
        raise MissingInput(f"{', '.join(map(str, missing))}: no such photograph, folder or manifest; check the path")
    for path in inputs:
        if path.is_dir():
            found = photographs_in(path, "**/*")
            if not found:
                raise MissingInput(f"{path}: no photograph in this folder (looked for {', '.join(SUFFIXES)})")
            yield from found
        elif path.suffix.lower() == ".csv":
            yield from (record.path for record in read_manifest(path))
        else:
            yield path


def grade_files(grader: Grader, files: Sequence[Path]) -> Iterator[tuple[Path, Graded | None, str]]:
    """Each file with its probabilities by task, or None and the reason; threads read the next batch meanwhile."""
    batches = [files[start : start + grader.batch] for start in range(0, len(files), grader.batch)]
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        ahead: list[Future[Photograph]] = []
        for number, batch in enumerate(batches):
            reading = ahead or [readers.submit(_read, grader, file) for file in batch]
            after = batches[number + 1] if number + 1 < len(batches) else ()
            ahead = [readers.submit(_read, grader, file) for file in after]
            photographs = [future.result() for future in reading]
            good = [pixels for pixels, _ in photographs if pixels is not None]
            graded = grader.grade(np.stack(good)) if good else {}
            place = 0
            for file, (pixels, reason) in zip(batch, photographs, strict=True):
                if pixels is None:
                    yield file, None, reason
                else:
                    yield file, {task: values[place] for task, values in graded.items()}, ""
                    place += 1


def _columns(grader: Grader) -> tuple[str, ...]:
    return (*COLUMNS, "threshold", "answer") if grader.own_thresholds else COLUMNS


def _answer(grader: Grader, name: str, number: int, graded: Graded | None) -> list[str]:
    """The cells of the columns `threshold` and `answer`, where the grader has them; empty where it gives none."""
    if not grader.own_thresholds:
        return []
    task = grader.tasks[name]
    if task.kind != "binary":
        return ["", ""]
    at = grader.thresholds[keys_of(task)[number]]
    return [f"{at:.9g}", "" if graded is None else "yes" if float(graded[name][number]) >= at else "no"]


def _read(grader: Grader, file: Path) -> Photograph:
    try:
        return grader.read(file), ""
    except FileNotFoundError:
        return None, "no such file"
    except UnreadablePhotograph as error:
        return None, str(error)
    except OSError as error:
        return None, f"cannot be opened: {error.strerror}"


def _keep_complete(out: Path, grader: Grader) -> set[str]:
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
        whole = place = len(begin) if begin == header else 0

        def lines() -> Iterator[str]:
            nonlocal place
            for line in table:
                if line.endswith(b"\n"):
                    place += len(line)
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
            whole = place
        _check_same(out, grader, graded)
        table.truncate(whole)
    return done


def _check_same(out: Path, grader: Grader, rows: Sequence[Sequence[str]]) -> None:
    """Raises Refused when this grader sees the photograph of these rows otherwise: rows of two would mix."""
    pixels = _read(grader, Path(rows[0][0]))[0] if rows else None
    if pixels is None:
        return
    now = np.concatenate([values[0] for values in grader.grade(pixels[None]).values()])
    outputs = [(name, number) for name, task in grader.tasks.items() for number in range(len(task.outputs))]
    for row, (name, number) in zip(rows, outputs, strict=True):
        if row[len(COLUMNS) :][:1] != _answer(grader, name, number, None)[:1]:
            raise Refused(f"{out}: its answers are of another threshold, {row[2]} {row[6]}; choose another --out")
    for row, value in zip(rows, now, strict=True):
        if not abs(float(row[3]) - value) <= SAME:
            raise Refused(
                f"{out}: holds another grader's predictions, or {row[0]} has changed since: {row[2]} {row[3]} there, "
                f"{value:.9g} now; choose another --out"
            )
