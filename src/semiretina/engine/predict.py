"""A grader on anybody's photographs: a table of predictions, with constant memory, that goes on where it stopped."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semiretina.data.image import UnreadablePhotograph
from semiretina.data.sources.table import SUFFIXES
from semiretina.engine.grader import Grader
from semiretina.errors import CannotWrite, MissingInput, Refused
from semiretina.progress import progress
from semiretina.records import read_manifest

COLUMNS = ("path", "task", "output", "probability", "status", "reason")
Photograph = tuple[npt.NDArray[np.uint8] | None, str]  # pixels, or None and the reason
Graded = Mapping[str, npt.NDArray[np.float32]]  # task -> [outputs]


def predict(grader: Grader, inputs: Sequence[Path], out: Path) -> tuple[int, int]:
    """Grades photographs, folders of them or manifests (.csv) into the CSV `out`; returns how many succeeded and failed.

    A row for each photograph and output: `status` is "ok", or "failed" with the reason and no probability. When `out`
    already holds rows, the photographs that are complete there are left alone.

    Raises MissingInput for an input that is not there, Refused when `out` is something else, CannotWrite when it cannot
    be made.
    """
    files = list(dict.fromkeys(find_files(inputs)))
    done = _keep_complete(out, grader)
    waiting = [file for file in files if str(file) not in done]
    failed = 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        table = out.open("a", newline="", encoding="utf-8")
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise CannotWrite(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    with table, progress("Grading", len(waiting)) as advance:
        writer = csv.writer(table, lineterminator="\n")
        if table.tell() == 0:
            writer.writerow(COLUMNS)
        for file, graded, reason in grade_files(grader, waiting):
            for name, task in grader.tasks.items():
                for number, output in enumerate(task.outputs):
                    value = "" if graded is None else f"{graded[name][number]:.9g}"
                    writer.writerow([file, name, output, value, "failed" if graded is None else "ok", reason])
            failed += graded is None
            table.flush()
            advance()
    return len(waiting) - failed, failed


def find_files(inputs: Sequence[Path]) -> Iterator[Path]:
    """The photographs that are meant: files as they are, folders searched whole, manifests row by row."""
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not found:
                raise MissingInput(f"{path}: no photograph in this folder (looked for {', '.join(SUFFIXES)})")
            yield from found
        elif path.suffix.lower() == ".csv":
            yield from (record.path for record in read_manifest(path))
        elif path.exists():
            yield path
        else:
            raise MissingInput(f"{path}: no such photograph, folder or manifest")


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


def _read(grader: Grader, file: Path) -> Photograph:
    try:
        return grader.read(file), ""
    except FileNotFoundError:
        return None, "no such file"
    except (UnreadablePhotograph, OSError) as error:
        return None, str(error)


def _keep_complete(out: Path, grader: Grader) -> set[str]:
    """The photographs whose rows are complete in `out`, after cutting off what a stop left half-written."""
    if not out.is_file() or not out.stat().st_size:
        return set()
    each = sum(len(task.outputs) for task in grader.tasks.values())
    with out.open("r+", newline="", encoding="utf-8") as table:
        lines = table.readlines()
        if tuple(lines[0].rstrip("\n").split(",")) != COLUMNS:
            raise Refused(f"{out}: exists and is not a table of predictions; choose another --out")
        whole = [line for line in lines[1:] if line.endswith("\n")]
        whole = whole[: len(whole) // each * each]
        table.seek(0)
        table.truncate()
        table.writelines([lines[0], *whole])
    return {row[0] for row in csv.reader(whole)}
