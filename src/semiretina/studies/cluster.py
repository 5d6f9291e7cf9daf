"""A sweep on a Ray cluster: a task for each point.

Ray runs a task at least once: it starts it anew when its worker or node died, even where the first still computes
unseen. That is safe here, because each point has a run folder, which one process at a time can claim. So all
nodes must share the folder, which is checked before anything is trained.
"""

import os
import secrets
import signal
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semiretina.errors import Interrupted, MissingInput, Refused, UserError, summary
from semiretina.files import write_text
from semiretina.progress import say
from semiretina.studies.grid import GridPoint
from semiretina.studies.points import SECONDS_BETWEEN_LOOKS, work

RETRIES = 3  # of a point whose worker died
SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 180.0  # of a node that is asked what it sees; its first process imports torch


def work_on_cluster(points: Sequence[GridPoint], out: Path, address: str) -> Generator[None]:
    """Trains points as tasks until all are finished; yields now and then.

    `address` is "local" (a cluster on this machine alone), "auto" (the one this machine belongs to) or "host:port". A
    task takes one core, and one GPU where the cluster has any. Raises MissingInput without ray or without a cluster,
    Refused that names every node which does not see `out` and the manifests, and what a task raised.
    """
    ray = _ray()
    out = out.resolve()
    with _connected(ray, address):
        _check_nodes(ray, points, out)
        gpus = 1 if ray.cluster_resources().get("GPU") and points[0].config.engine.device != "cpu" else 0
        task = ray.remote(_train).options(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)
        running, begun = {}, {}
        for point in points:
            if point.first and point.first.key not in begun:
                reference = begun[point.first.key] = task.remote(point, out, only_first_stages=True)
                running[reference] = point
        for point in points:
            # Ray starts a task when what it is handed is there, so that no core waits for first stages.
            running[task.remote(point, out, begun.get(point.first.key) if point.first else None)] = point
        while running:
            ended, _ = ray.wait(list(running), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
            for reference in ended:
                point = running.pop(reference)
                try:
                    error = ray.get(reference)
                except ray.exceptions.RayTaskError:
                    raise
                except ray.exceptions.RayError as problem:
                    raise Interrupted(
                        f"point {point}: its worker died {RETRIES + 1} times ({type(problem).__name__}); look at its "
                        "node's memory, and the same command goes on"
                    ) from None
                if error is not None:
                    raise error
            yield


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError:
        raise MissingInput("--cluster needs ray; pip install 'semiretina[cluster]' on every node") from None
    return ray


def _train(
    point: GridPoint, out: Path, _after: object = None, *, only_first_stages: bool = False
) -> UserError | OSError | None:
    """The task. An error is returned, not raised, since Ray would wrap it."""
    try:
        for _ in work([point], out, only_first_stages=only_first_stages):
            pass
    except (UserError, OSError) as error:
        return error
    return None


def _sees(token: Path, text: str, manifests: Sequence[str]) -> list[str]:
    """What this node does not see of the driver's files."""
    shared = token.is_file() and token.read_text("utf-8") == text
    return [*([] if shared else [str(token.parent)]), *(name for name in manifests if not Path(name).is_file())]


def _check_nodes(ray: Any, points: Sequence[GridPoint], out: Path) -> None:
    """Raises Refused that names every living node which does not see the folder or a manifest, or does not answer."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    nodes = [node for node in ray.nodes() if node["Alive"]]
    manifests = sorted({point.config.data.manifest for point in points})
    text = secrets.token_hex(16)
    token = out / f".seen-{text[:8]}"
    write_text(token, text)
    try:
        asked = {}
        for node in nodes:
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_sees).options(num_cpus=0, max_retries=RETRIES, scheduling_strategy=pinned)
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            asked[task.remote(token, text, manifests)] = name
        defects = []
        for reference, name in asked.items():
            try:
                unseen = ray.get(reference, timeout=SECONDS_TO_ANSWER)
            except ray.exceptions.GetTimeoutError:
                defects.append(f"node {name} does not answer")
            except ray.exceptions.RayError as error:
                defects.append(f"node {name} cannot run semiretina ({str(error).strip().splitlines()[-1]})")
            else:
                defects += [f"node {name} does not see {path}" for path in unseen]
    finally:
        token.unlink(missing_ok=True)
    if defects:
        advice = "mount the same folders under the same path on every node, and install the same version there"
        raise Refused(summary("--cluster", defects, advice))
    say(f"sweep: {len(nodes)} nodes see {out}")


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Within, this process is the cluster's driver; afterwards its tasks are ended."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start reports to nobody
    stop = signal.getsignal(signal.SIGTERM)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():
            # Where nobody listens, Ray itself would try again for minutes.
            socket.create_connection((host, int(port)), timeout=SECONDS_TO_CONNECT).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        raise MissingInput(
            f"--cluster {address}: no Ray cluster answers there ({str(error).strip().splitlines()[0]}); start one with "
            "`ray start --head`, or give local"
        ) from None
    try:
        signal.signal(signal.SIGTERM, stop)  # ray.init replaces it, and a stopped sweep would end with another status
        yield
    finally:
        ray.shutdown()
