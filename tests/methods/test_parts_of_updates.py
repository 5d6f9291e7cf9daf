"""A term of a loss weighs photographs: the same gradient however an update is divided into steps and over processes."""

import copy

import numpy as np
import pytest
import torch
from balance_runs import without_batch_norm

from paired_method import Paired
from semiretina.batch import Batch, Photographs, Progress
from semiretina.config import Augment, Stage
from semiretina.data.pixels import Pixels
from semiretina.data.steps import StageSteps, Step
from semiretina.data.stream import Stream
from semiretina.methods import METHODS
from semiretina.models import build_network
from tasks_of import tasks_of

LABELED, UNLABELED = 58, 30
AT = Progress(stage=0, epoch=0, step=0, steps=1, update=0, updates=1, labeled_updates=1)
NONE = np.empty(0, np.int64)
TASKS = {"dr": 1, "severity": 3, "lesions": 2}


@pytest.fixture(scope="module")
def stream():
    """88 photographs, of which 58 have labels: severity of two in three of them, of the lesions one each."""
    count = LABELED + UNLABELED
    pictures = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    number = torch.arange(count)
    lesions = torch.full((count, 2), torch.nan)
    lesions[number % 3 == 0, 0], lesions[number % 5 == 0, 1] = 1.0, 0.0
    targets = {
        "dr": (number % 2).float()[:, None],
        "severity": torch.where(number % 3 > 0, number % 3, -1),
        "lesions": lesions,
    }
    still = Augment(rotation=0.0, scale=(1.0, 1.0), flip=False)
    return Stream(Pixels(pictures, np.arange(count), torch.device("cpu")), targets, still)


def make(kind, **parameters):
    torch.manual_seed(3)
    network = without_batch_norm(build_network("aecl1", TASKS, 32, {"widths": [4, 6, 8]}))
    return kind(network, tasks_of(network), **parameters)


def gradient(method, stream, update, ranks=1):
    """Of one update: added up over its steps, averaged over the processes, as DDP does."""
    twins = [copy.deepcopy(method) for _ in range(ranks)]
    for rank, twin in enumerate(twins):
        for batch in stream.batches([update], method.views, (0,), rank, ranks):
            twin(doubled(batch), AT)["loss"].backward()
    found = [[torch.zeros_like(p) if p.grad is None else p.grad for p in twin.parameters()] for twin in twins]
    return torch.cat([torch.stack(of_one).mean(0).flatten() for of_one in zip(*found, strict=True)])


def doubled(batch):
    def side(photographs):
        return photographs and Photographs(
            {view: images.double() for view, images in photographs.views.items()},
            photographs.rows,
            {task: v.double() if v.is_floating_point() else v for task, v in photographs.targets.items()},
        )

    return Batch(side(batch.labeled), side(batch.unlabeled), batch.planned)


def updates(stream_kind, batch, accumulate):
    optimizer = {"lr": 0.1, "accumulate": accumulate}
    raw = {"method": {"name": "x"}, "epochs": 1, "batch": batch, "optimizer": optimizer}
    if stream_kind == "paired":
        raw["unlabeled_batch"] = batch // 4
    rows = np.arange(LABELED), np.arange(LABELED, LABELED + UNLABELED)
    return StageSteps(Stage.model_validate(raw), stream_kind, *rows, (0, "train", 0))[0]


KINDS = {
    "supervised": (METHODS["supervised"], {"lambda_cl": {"severity": 0.5}}),
    "reconstruction": (METHODS["reconstruction"], {}),
    "paired": (Paired, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_58_labels_as_8_by_2_equal_16_and_two_processes_equal_one(name, stream):
    """58 is 3 * 16 + 10, so the last update is one of 8 and 2."""
    method = make(KINDS[name][0], **KINDS[name][1]).double()
    whole, halves = updates(method.stream, 16, 1), updates(method.stream, 8, 2)
    assert len(whole) == len(halves) == (2 if name == "reconstruction" else 4)
    lengths = [len(step.labeled) + len(step.unlabeled) for step in halves[-1]]
    assert lengths == {"supervised": [8, 2], "reconstruction": [8, 6], "paired": [10, 4]}[name]
    for one, two in zip(whole, halves, strict=True):
        expected = gradient(method, stream, one)
        assert expected.abs().max() > 1e-3
        for found in (
            gradient(method, stream, two),
            gradient(method, stream, one, 2),
            gradient(method, stream, two, 2),
        ):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def by_hand(method, stream, labeled, unlabeled, mu, lambdas):
    """Equation 3 over an update of both kinds, from sums: its gradient."""
    network = copy.deepcopy(method.network)
    images = {
        side: stream.pixels.take(rows).permute(0, 3, 1, 2) / 255.0 for side, rows in (("l", labeled), ("u", unlabeled))
    }
    images = {side: values.to(next(network.parameters()).dtype) for side, values in images.items()}
    squares = sum((network.decode(network.encode(x)) - x).square().sum() for x in images.values())
    loss = mu * squares / sum(x.numel() for x in images.values())
    logits = network.classify(network.encode(images["l"]))
    for task, weight in lambdas.items():
        targets = stream.targets[task][torch.from_numpy(labeled)]
        if task == "severity":
            terms = [-z.log_softmax(0)[y] for z, y in zip(logits[task], targets, strict=True) if y >= 0]
        else:
            pairs = zip(logits[task].flatten(), targets.flatten(), strict=True)
            terms = [-torch.log(torch.sigmoid(z if y == 1 else -z)) for z, y in pairs if not y.isnan()]
        loss = loss + weight * sum(terms) / len(terms)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_update_of_both_kinds_is_equation_3_over_all_of_its_photographs(stream, ranks):
    lambdas = {"dr": 2.0, "severity": 0.5, "lesions": 1.0}
    method = make(METHODS["combined"], lambda_cl=lambdas).double()
    labeled, unlabeled = np.array([0, 3, 8, 4, 9, 7]), np.array([60, 61, 70, 71])
    update = [Step(labeled[:4], NONE), Step(NONE, unlabeled), Step(labeled[4:], NONE)]
    expected = by_hand(method, stream, labeled, unlabeled, 1.0, lambdas)
    torch.testing.assert_close(gradient(method, stream, update, ranks), expected, rtol=1e-6, atol=1e-9)


def test_a_step_alone_has_the_very_bits_of_its_mean(stream):
    method = make(METHODS["balanced"])
    [batch] = stream.batches([[Step(np.arange(7), NONE)]], method.views, (0,))
    assert batch.planned == {"labeled": 7.0, "unlabeled": 0.0, "dr": 7.0, "severity": 4.0, "lesions": 5.0}
    without = Batch(batch.labeled)
    losses = [method(of_one, AT)["loss"] for of_one in (batch, without)]
    assert torch.equal(*losses)
