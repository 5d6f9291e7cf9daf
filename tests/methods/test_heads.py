"""The contract of a head, over every entry of TASKS: alone, and together on photographs that lack some labels."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from semiretina.batch import Batch, Photographs
from semiretina.errors import BadConfig
from semiretina.methods import METHODS
from semiretina.methods.balance import BALANCES
from semiretina.methods.linear_probe import LinearProbe, fit_questions
from semiretina.records import Record
from semiretina.tasks import TASKS, make_task, make_tasks
from tasks_of import tasks_of


def record(number, **stated):
    return Record(path=Path(f"{number}.jpg"), **stated)


# Four photographs of a collection with grades and lesions, and four of another with grades on a scale of its own.
GRADED = [
    record(0, scale="icdr", grade=0),
    record(1, scale="icdr", grade=1, dme=0),
    record(2, scale="icdr", grade=4, MA=1, HE=1, EX=1, SE=0, dme=2),
    record(3, scale="icdr", grade=2, MA=0, HE=1, EX=0, SE=1, dme=0),
]
OTHERS = [record(4 + n, scale="messidor", grade=grade) for n, grade in enumerate((3, 0, 2, 1))]
TOGETHER = ["dr", "severity:icdr", "severity-ordinal:icdr", "severity-ordinal:messidor", "lesions", "dme"]
LAMBDAS = {"dr": 2.0, "severity:icdr": 0.5, "severity-ordinal:messidor": 3.0}


def batch_of(records, tasks, seed=1):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(len(records), 3, 32, 32, generator=random)
    targets = {name: torch.from_numpy(task.targets(records)) for name, task in tasks.items()}
    return Batch(labeled=Photographs({"weak": images, "plain": images}, np.arange(len(records)), targets))


def outputs_of(tasks):
    return {name: task.num_logits for name, task in tasks.items()}


def both():
    """The network's tasks, over the records of both collections."""
    return make_tasks(TOGETHER, [*GRADED, *OTHERS])


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "supervised") for name in [*TASKS, "severity:icdr", "severity-ordinal:icdr"]),
        *((name, "combined") for name in ("lesions", "severity", "severity-ordinal")),
    ],
)
def test_eight_photographs_are_learned_by_heart(name, method, make_network, at_start):
    records = [*GRADED, *(record(4 + n, scale="icdr", grade=g, dme=d) for n, (g, d) in enumerate([(3, 2), (0, 0)] * 2))]
    task = make_tasks([name], records)[name]
    torch.manual_seed(5)
    network = make_network({name: task.num_logits}, hidden=0)
    learner = METHODS[method](network, {name: task}, **({"lambda_cl": 20.0} if method == "combined" else {}))
    batch = batch_of(records, {name: task})
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad(set_to_none=True)
        learner(batch, at_start)["loss"].backward()
        optimizer.step()
    learner.eval()
    with torch.no_grad():
        p = task.probabilities(learner.evaluated(batch.labeled.views["weak"])[name])
    truth = task.labels(task.targets(records))
    assert sum((labels >= 0).sum() for labels in truth.values()) >= 6
    for key, labels in truth.items():
        known = labels >= 0
        np.testing.assert_array_equal(task.decide(task.by_key(p)[key])[known], labels[known])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_hand(z, targets, alpha=1.0):
    """-mean of alpha y log p + (1 - y) log (1 - p) over the known targets, or of the log of the right class's share."""
    if targets.ndim == 1:
        odds = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.mean([np.log(odds[row, right]) for row, right in enumerate(targets) if right >= 0])
    terms = []
    for logit, y in zip(z.ravel(), targets.ravel(), strict=True):
        if not np.isnan(y):
            terms.append(alpha * np.log(sigmoid(logit)) if y else np.log(1 - sigmoid(logit)))
    return -np.mean(terms)


def test_a_mixed_batch_is_the_weighted_sum_by_hand(make_network, at_start):
    tasks = both()
    network = make_network(outputs_of(tasks))
    batch = batch_of([*GRADED, *OTHERS], tasks)
    images = batch.labeled.views["weak"]
    with torch.no_grad():
        features = network.encode(images)
        logits = {name: values.double().numpy() for name, values in network.classify(features).items()}
        error = float(((network.decode(features) - images) ** 2).mean())
    alpha = {"lesions": 2.5}
    targets = {name: values.numpy() for name, values in batch.labeled.targets.items()}
    parts = {name: by_hand(logits[name], targets[name], alpha.get(name, 1.0)) for name in TOGETHER}
    expected = sum(LAMBDAS.get(name, 1.0) * value for name, value in parts.items())
    supervised = METHODS["supervised"](network, tasks, lambda_cl=LAMBDAS, alpha=alpha)(batch, at_start)
    combined = METHODS["combined"](network, tasks, lambda_cl=LAMBDAS, alpha=alpha)(batch, at_start)
    for name, value in parts.items():
        assert float(supervised[f"loss_{name}"]) == pytest.approx(value, rel=1e-4)
    assert supervised["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert combined["loss"].item() == pytest.approx(expected + error, rel=1e-4)


@pytest.mark.parametrize("method", ["supervised", "combined"])
def test_a_number_for_a_scale_that_is_no_head_is_refused(method, make_network):
    network = make_network({"severity:icdr": 5})
    with pytest.raises(BadConfig, match="lambda_cl: no task 'severity'; this experiment has severity:icdr"):
        METHODS[method](network, tasks_of(network), lambda_cl={"severity": 2.0})


CASES = {
    "supervised": ("supervised", {}),
    "combined": ("combined", {"lambda_cl": 1.0}),
    **{balance: ("balanced", {"balance": {"name": balance}}) for balance in BALANCES},
}


@pytest.mark.parametrize("case", CASES)
def test_a_head_without_a_known_label_in_the_batch_is_left_alone(case, make_network, at_start):
    name, parameters = CASES[case]
    tasks = both()
    method = METHODS[name](make_network(outputs_of(tasks)), tasks, **parameters)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)

    def update(records):
        optimizer.zero_grad(set_to_none=True)
        logs = method(batch_of(records, tasks), at_start)
        logs["loss"].backward()
        optimizer.step()
        method.after_step(at_start)
        return logs

    update([*GRADED, *OTHERS])  # now every head has momentum
    heads = method.network.classifier.heads
    before = {task: {n: p.clone() for n, p in head.named_parameters()} for task, head in heads.items()}
    logs = update([OTHERS[0], OTHERS[2]])  # grades 3 and 2 imply nothing of lesions
    moving = {"dr", "severity-ordinal:messidor"}
    assert {key.removeprefix("loss_") for key in logs if key.startswith("loss_")} - {"ae"} == moving
    for task, head in heads.items():
        for key, parameter in head.named_parameters():
            assert (parameter.grad is not None) == (task in moving), task
            assert torch.equal(parameter, before[task][key]) == (task not in moving), task


@pytest.mark.parametrize("case", CASES)
def test_what_a_batch_lacks_adds_exactly_nothing(case, make_network, at_start):
    """Heads for tasks that no photograph has change neither the loss nor a gradient."""
    name, parameters = CASES[case]
    found = []
    for lacking in ({}, {"dme": make_task("dme", ""), "severity:icdr": make_task("severity:icdr", "")}):
        tasks = {"dr": make_task("dr", ""), **lacking}
        torch.manual_seed(2)
        network = make_network({"dr": 1})
        head = network.classifier.heads["dr"]
        network.classifier.heads.update({task: torch.nn.Linear(4, made.num_logits) for task, made in lacking.items()})
        method = METHODS[name](network, tasks, **parameters)
        loss = method(batch_of(OTHERS, tasks), at_start)["loss"]
        loss.backward()
        found.append([loss.detach(), head.weight.grad, *(p.grad for p in network.encoder.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_any_known_label_moves_no_classifier(case, make_network, at_start):
    name, parameters = CASES[case]
    tasks = both()
    method = METHODS[name](make_network(outputs_of(tasks)), tasks, **parameters)
    logs = method(batch_of([record(0), record(1)], tasks), at_start)
    logs["loss"].backward()
    assert torch.isfinite(logs["loss"])
    assert logs["loss"].item() == (0.0 if name == "supervised" else pytest.approx(float(logs["loss_ae"])))
    assert all(p.grad is None for p in method.network.classifier.parameters())
    method.after_step(at_start)


def test_a_probe_of_grades_is_a_regression_for_each_question(make_network, at_start):
    records = [record(n, scale="icdr", grade=g) for n, g in enumerate([0, 1, 2, 3, 2, 1, 0, 3] * 3)]
    records += [record(24 + n) for n in range(3)]
    task = make_task("severity-ordinal", "icdr")
    network = make_network({"severity-ordinal": task.num_logits}, hidden=0)
    probe = LinearProbe(network, {"severity-ordinal": task})
    probe.train()
    batch = batch_of(records, {"severity-ordinal": task})
    probe(batch, at_start)
    probe.end_epoch()
    fitted = probe.evaluated
    with torch.no_grad():
        features = fitted.embed(batch.labeled.views["plain"]).double().numpy()
        logits = fitted(batch.labeled.views["plain"])["severity-ordinal"].double()
    scaled = StandardScaler().fit_transform(features)
    grades = np.array([r.grade for r in records[:24]])
    for question in range(3):
        expected = LogisticRegression(max_iter=2000).fit(scaled[:24], grades > question).predict_proba(scaled)[:, 1]
        np.testing.assert_allclose(logits[:, question].sigmoid().numpy(), expected, atol=1e-3)
    # Nobody has grade 4, so that its question is always answered no.
    assert task.probabilities(logits)[:, 4].max() < 1e-6


def test_a_probe_decides_nothing_where_nothing_is_known():
    features = np.random.default_rng(4).normal(size=(6, 2))
    targets = np.stack([np.full(6, np.nan), np.zeros(6), np.ones(6)], axis=1)
    weight, bias = fit_questions(features, targets, 3, 1.0)
    assert not weight.any()
    np.testing.assert_allclose(sigmoid(bias), [0.5, 0, 1], atol=1e-9)


PROCESS = """
import json, os, sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[2])]
from dataclasses import replace
from balance_runs import planned
from test_heads import GRADED, OTHERS, both, batch_of, outputs_of
from semiretina.batch import Progress
from semiretina.methods import METHODS
from semiretina.models import build_network

rank = int(os.environ["RANK"])
distributed.init_process_group("gloo", init_method=sys.argv[3], rank=rank, world_size=2)
at = Progress(stage=0, epoch=0, step=0, steps=1, update=0, updates=1, labeled_updates=0)
tasks, told = both(), {}
for name, parameters in json.loads(sys.argv[1]):
    torch.manual_seed(3)
    network = build_network("aecl1", outputs_of(tasks), 32, {"widths": [4, 6, 8], "batch_norm": "frozen"})
    method = METHODS[name](network, tasks, **parameters)
    wrapped = DistributedDataParallel(method, find_unused_parameters=True)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    # Lesions and ICDR grades in the first process alone; then in neither.
    for shards in ((GRADED, [OTHERS[0], OTHERS[2]]), ([OTHERS[0], OTHERS[2]],) * 2):
        optimizer.zero_grad(set_to_none=True)
        before = {task: head.weight.detach().clone() for task, head in network.classifier.heads.items()}
        both_shards = [batch_of(shard, tasks, seed=number) for number, shard in enumerate(shards)]
        wrapped(replace(both_shards[rank], planned=planned(both_shards, ranks=2)), at)["loss"].backward()
        grads = {task: head.weight.grad for task, head in network.classifier.heads.items()}
        optimizer.step()
        method.after_step(at)
        told.setdefault(str([name, parameters]), []).append({
            "gradients": {task: None if grad is None else grad.tolist() for task, grad in grads.items()},
            "moved": [task for task in before if not torch.equal(network.classifier.heads[task].weight, before[task])],
            "weights": float(sum(p.double().sum() for p in method.parameters())),
            "balance": method.balance.weights.tolist() if getattr(method, "balance", None) else [],
        })
distributed.destroy_process_group()
print("TOLD" + json.dumps(told))
"""


@pytest.mark.slow
def test_two_processes_of_which_one_has_the_labels(make_network, at_start):
    """A head that one process alone can teach gets its whole gradient, one that none can teach gets none."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    cases = [["supervised", {}], ["balanced", {"balance": {"name": "gradnorm"}}], ["combined", {"lambda_cl": 1.0}]]
    command = [sys.executable, "-c", PROCESS, json.dumps(cases), str(Path(__file__).parent), address]
    started = [
        subprocess.Popen(command, env={**os.environ, "RANK": rank}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], [error.decode()[-2000:] for _, error in said]
    first, second = (json.loads(out.decode().split("TOLD")[1]) for out, _ in said)
    assert first == second
    alone = {"dr", "severity-ordinal:messidor"}
    for steps in first.values():
        assert all(gradient is not None for gradient in steps[0]["gradients"].values())
        assert {task for task, gradient in steps[1]["gradients"].items() if gradient is not None} == alone
        assert set(steps[1]["moved"]) == alone
    tasks = both()
    torch.manual_seed(3)
    method = METHODS["supervised"](make_network(outputs_of(tasks), batch_norm="frozen"), tasks)
    method(batch_of(GRADED, tasks, seed=0), at_start)["loss"].backward()
    for task in ("severity:icdr", "lesions", "dme"):
        found = torch.tensor(first[str(["supervised", {}])][0]["gradients"][task])
        torch.testing.assert_close(found, method.network.classifier.heads[task].weight.grad, atol=1e-6, rtol=1e-4)
