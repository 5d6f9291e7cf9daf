"""A sweep on one machine: several worker processes that take what the others have left."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from semiretina.errors import Interrupted, UserError
from semiretina.progress import say
from semiretina.studies.grid import GridPoint
from semiretina.studies.points import SECONDS_BETWEEN_LOOKS, finished, work


def work_in_processes(points: Sequence[GridPoint], out: Path, workers: int) -> Generator[None]:
    """Trains points in worker processes until all are finished; yields now and then.

    Each worker has as many cores as the others, or a GPU in turn, and writes to `out`/worker-N.log what it says. When
    one is killed, the others take over its point. When this iteration ends or is left, no worker stays behind.

    Raises what a worker raised, and Interrupted when all of them were killed.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, _num_cores() // workers)
    crew = {}
    try:
        for turn in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (points, out, turn, workers, threads, sender)
            process = context.Process(target=_worker, args=arguments, daemon=True)
            process.start()
            sender.close()
            crew[turn] = (process, receiver)
        while crew:
            wait([process.sentinel for process, _ in crew.values()], timeout=SECONDS_BETWEEN_LOOKS)
            yield
            for turn, (process, receiver) in list(crew.items()):
                if process.exitcode is None:
                    continue
                del crew[turn]
                _check_end(process.exitcode, receiver, out / _log_name(turn))
    finally:
        for process, _ in crew.values():
            process.terminate()
        for process, _ in crew.values():
            process.join()
    if not all(finished(point, out) for point in points):
        raise Interrupted("every worker was killed; the same command goes on where they ended")


def _check_end(exitcode: int, receiver: Connection, log: Path) -> None:
    try:
        error = receiver.recv()
    except EOFError:
        error = None
    if error is not None:
        raise error
    if exitcode < 0:
        say(f"sweep: a worker was killed by signal {-exitcode}; the others take over its point")
    elif exitcode:
        raise RuntimeError(f"a worker ended by an error in the program; {log} holds its traceback")


def _worker(points: Sequence[GridPoint], out: Path, turn: int, turns: int, threads: int, sender: Connection) -> None:
    # Ctrl-C reaches the whole group of processes; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr = (out / _log_name(turn)).open("a", buffering=1, encoding="utf-8")
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ["LOCAL_RANK"] = str(turn % torch.cuda.device_count())
    try:
        for _ in work(points, out, turn, turns):
            pass
    except (UserError, OSError) as error:
        sender.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(Interrupted.exit_code)


def _log_name(turn: int) -> str:
    return f"worker-{turn + 1}.log"


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
