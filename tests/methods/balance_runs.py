"""A short loop around "combined", as the engine runs it, in one process or two; no batch statistics anywhere."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from semiretina.batch import Batch, Photographs, Progress
from semiretina.methods import METHODS
from semiretina.models import build_network
from semiretina.tasks import make_task

SIZE = 32
START = Progress(stage=0, epoch=0, step=0, steps=9, update=0, updates=9, labeled_updates=0)
# Whether each of the loop's updates sees labels.
UPDATES = (True, False, True, True, False, True)


def without_batch_norm(module):
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, nn.Identity())
        else:
            without_batch_norm(child)
    return module


def make_method(seed=3, outputs=None, **parameters):
    """ "balanced", or "combined" where a `lambda_cl` alone is given."""
    torch.manual_seed(seed)
    outputs = outputs or {"dr": 1}
    network = build_network("aecl1", outputs, SIZE, {"widths": [4, 6, 8]})
    tasks = {name: make_task(name, "icdr") for name in outputs}
    return METHODS["combined" if "lambda_cl" in parameters and "balance" not in parameters else "balanced"](
        without_batch_norm(network), tasks, **parameters
    )


def photographs(count, seed, *, labeled):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, SIZE, SIZE, generator=random)
    targets = {}
    if labeled:
        number = torch.arange(count)
        # The odd ones have no severity: of two processes only the first has known targets of it.
        targets = {"dr": (number // 2 % 2).float()[:, None], "severity": torch.where(number % 2 == 0, number % 3, -1)}
    return Photographs({"weak": images}, np.arange(count), targets)


def part(whole, index, tasks):
    views = {name: view[index] for name, view in whole.views.items()}
    return Photographs(
        views, whole.rows[index], {task: values[index] for task, values in whole.targets.items() if task in tasks}
    )


def planned(steps, ranks=1):
    """What an update of these batches sees, as the stream counts it."""
    counts = {"labeled": 0, "unlabeled": 0}
    for batch in steps:
        for kind in ("labeled", "unlabeled"):
            counts[kind] += len(getattr(batch, kind) or ())
        for task, values in (batch.labeled.targets if batch.labeled else {}).items():
            known = ~values.isnan() if values.is_floating_point() else values >= 0
            counts[task] = counts.get(task, 0) + int(known.sum())
    return {term: count / ranks for term, count in counts.items()}


def step_of(whole, index, labeled, tasks):
    shard = part(whole, index, tasks)
    return Batch(labeled=shard) if labeled else Batch(unlabeled=shard)


def run(method, accumulate=1, rank=0, ranks=1, batch=16):
    """Trains for `UPDATES`; what the balance's buffers held after each update."""
    wrapped = DistributedDataParallel(method, find_unused_parameters=True) if ranks > 1 else method
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-4, momentum=0.9)
    held = []
    for number, labeled in enumerate(UPDATES):
        whole = photographs(batch, 10 + number, labeled=labeled)
        tasks = method.network.classifier.heads
        counts = planned([step_of(whole, np.arange(batch), labeled, tasks)], ranks)
        for rows in np.array_split(np.arange(batch), accumulate):
            step = step_of(whole, rows[rank::ranks], labeled, tasks)
            wrapped(replace(step, planned=counts), START)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step(START)
        held.append(torch.cat([method.balance.weights, method.balance.first]))
    return torch.stack(held)


def main(cases, out):
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    distributed.init_process_group("gloo")
    for name, parameters in json.loads(cases).items():
        method = make_method(**parameters)
        held = run(method, rank=rank, ranks=2)
        torch.save({"held": held, "network": method.network.state_dict()}, f"{out}/{name}-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
