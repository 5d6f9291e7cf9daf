"""Every reconstruction loss, balance and task through the engine: its first steps against short scripts written from
the formulas, and a stop in the middle against going straight through."""

import copy
import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import semiretina
from semiretina.data.split import read_split
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.methods import METHODS
from semiretina.records import LESIONS
from semiretina.tasks import TASKS

RATE, MOMENTUM = 0.01, 0.9
BALANCES = {
    "fixed": {"lambda_cl": 4.0},
    "eq4": {"lambda_cl": 4.0},
    "norm_ratio": {"rho": 0.5},
    "gradnorm": {"lambda_cl": 4.0, "asymmetry": 0.7, "weight_rate": 0.1},
}
FILES = ("grader.safetensors", "predictions-val.csv", "predictions-test.csv")


# The reconstruction losses once more, from their formulas, without a thought for memory.


def shares(values, bandwidth):
    """[..., 64]: how a value is spread over the bins."""
    bins = torch.arange(64.0)
    table = torch.exp(-((bins[:, None] - bins) ** 2) / (2 * bandwidth**2))
    places = values.clamp(0, 1)[..., None] * 63
    return (1 - (places - bins).abs()).clamp(min=0) @ (table / table.sum(dim=1, keepdim=True))


def beyond(x):
    return (torch.relu(-x) ** 2 + torch.relu(x - 1) ** 2).mean()


def kl(x, images):
    p, q = (shares(v, 4.0).unfold(2, 8, 4).unfold(3, 8, 4).mean(dim=(-2, -1)) for v in (images, x))
    return (p * (p + 1e-30).log() - p * (q + 1e-30).log()).sum(dim=-1).mean() + beyond(x)


def mutual_information(x, images):
    def information(one, other):
        joint = torch.einsum("ncpk,ncpl->nckl", shares(one.flatten(2), 2.0), shares(other.flatten(2), 2.0)) / 32**2
        apart = joint.sum(dim=3, keepdim=True) * joint.sum(dim=2, keepdim=True)
        return (joint * ((joint + 1e-30).log() - (apart + 1e-30).log())).sum(dim=(2, 3))

    return torch.relu(information(images, images) - information(images, x)).mean() + beyond(x)


def ssim(x, images):
    line = torch.exp(-(torch.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def mean(v):
        return (v.unfold(2, 11, 1).unfold(3, 11, 1) * window).sum(dim=(-2, -1))

    m_x, m_y = mean(x), mean(images)
    s_xx, s_yy, s_xy = mean(x * x) - m_x**2, mean(images**2) - m_y**2, mean(x * images) - m_x * m_y
    return 1 - ((2 * m_x * m_y + 1e-4) * (2 * s_xy + 9e-4) / ((m_x**2 + m_y**2 + 1e-4) * (s_xx + s_yy + 9e-4))).mean()


FORMULAS = {
    "mse": lambda x, images: ((x - images) ** 2).sum() / images.numel(),
    "l1": lambda x, images: (x - images).abs().sum() / images.numel(),
    "kl": kl,
    "mutual_information": mutual_information,
    "ssim": ssim,
}


# The targets and losses of the tasks once more, from the rows of the manifest.


def wanted(task, row):
    """What a photograph says of a task: 0, 1 or None for each output or question; a class for "severity"."""
    grade, dme = int(row["grade"]), {"": None, "0": 0, "2": 2}[row["dme"]]
    if task == "lesions":
        implied = {0: [0, 0, 0, 0], 1: [1, 0, 0, 0]}.get(grade, [None] * 4)
        return [int(row[lesion]) if row[lesion] else own for lesion, own in zip(LESIONS, implied, strict=True)]
    return {
        "dr": [int(grade > 0)],
        "referable": [int(grade >= 2 or dme == 2)],
        "severity": grade,
        "severity-ordinal": [int(grade > k) for k in range(4)],
        "dme": [None if dme is None else int(dme == 2)],
    }[task]


def graded(logits, targets):
    """The mean over what is known of -log of the probability of what is right; None where nothing is."""
    terms = []
    for own, right in zip(logits, targets, strict=True):
        if isinstance(right, int):
            terms.append(own.exp().sum().log() - own[right])
        else:
            terms += [
                -torch.log(torch.sigmoid(z if y else -z)) for z, y in zip(own, right, strict=True) if y is not None
            ]
    return sum(terms) / len(terms) if terms else None


# Runs and scripts


@pytest.fixture(scope="module")
def manifest(photographs, tmp_path_factory):
    """The drawn photographs with all of ICDR's grades, and lesions and macular edema where a few say so."""
    with photographs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row |= {"path": str(photographs.parent / row["path"]), "dme": "", **dict.fromkeys(LESIONS, "")}
        if row["grade"]:
            grade = number // 2 % 5
            row |= {"grade": str(grade), "dme": ("0", "2", "")[number % 3], "HE": "1" if grade > 2 else ""}
            row["SE"] = "1" if grade == 4 else "0" if grade == 3 else ""
    file = tmp_path_factory.mktemp("all") / "manifest.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def first_steps(make_config, make_stage, manifest, tmp_path):
    """`first_steps("combined", "dr", lambda_cl=4.0)`: the first network and weights, what each step saw, the last
    weights of three updates (those that see labels, where any does)."""

    def run(name, task="dr", **parameters):
        seen = []

        class Spy(METHODS[name]):
            def forward(self, batch, progress):
                if not seen:
                    seen.append(copy.deepcopy(self.network).train())
                seen.append(batch)
                return super().forward(batch, progress)

        optimizer = {"lr": RATE, "momentum": MOMENTUM}
        stage = make_stage(name, updates=3, batch=5, optimizer=optimizer, **parameters)
        config = make_config(stage, tasks=[task], data={"manifest": str(manifest)})
        semiretina.train(config, tmp_path, methods={name: Spy})
        rows = {row["path"]: row for row in csv.DictReader(manifest.open(newline=""))}
        records = read_split(tmp_path / "split.csv").records
        steps = []
        for batch in seen[1:]:
            side = batch.labeled or batch.unlabeled
            stated = [rows[str(records[row].path)] for row in side.rows] if batch.labeled else []
            steps.append((side.views["weak"], [wanted(task, row) for row in stated]))
        assert sum(bool(targets) for _, targets in steps) == (0 if name == "reconstruction" else 3)
        start, end = copy.deepcopy(seen[0].state_dict()), load_file(tmp_path / "grader.safetensors")
        return SimpleNamespace(network=seen[0], steps=steps, start=start, end=end)

    return run


def terms_of(network, images, targets, task, formula):
    """The loss of the decoder, and of the task where it is known; `formula` None: without decoder."""
    features = network.encoder(images)
    terms = {} if formula is None else {"ae": formula(network.decoder(features), images)}
    loss = graded(network.classifier(features)[task], targets) if targets else None
    return terms if loss is None else terms | {task: loss}


def gradients(loss, network):
    return dict(
        zip(
            (name for name, _ in network.named_parameters()),
            torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True),
            strict=True,
        )
    )


def size(gradient):
    return math.sqrt(sum(float((g**2).sum()) for name, g in gradient.items() if name.startswith("encoder.")))


def moved(balance, weights, first, values, sizes):
    """The weights after an update; `first` is what the rule keeps of the first one."""
    if balance == "eq4":
        return {"ae": 1.0, "dr": sizes["ae"] / (sizes["dr"] * weights["dr"])}
    if balance == "norm_ratio":
        for term, norm in sizes.items():
            first[term] = 0.7 * first.get(term, 0.0) + 0.3 * norm
        return {"ae": 0.5 * first["dr"] / first["ae"], "dr": 1.0}
    pulls = {term: weights[term] * sizes[term] for term in sizes}
    mean = (pulls["ae"] + pulls["dr"]) / 2
    ratios = {term: values[term] / first[term] for term in sizes}
    aims = {term: mean * (2 * ratio / (ratios["ae"] + ratios["dr"])) ** 0.7 for term, ratio in ratios.items()}
    new = {t: weights[t] * math.exp(-0.1 * np.sign(pulls[t] - aims[t]) * pulls[t] / mean) for t in sizes}
    return {term: value * (weights["ae"] + weights["dr"]) / sum(new.values()) for term, value in new.items()}


def script(run, task="dr", formula=None, balance="fixed", start=1.0):
    """SGD with momentum on the weighted sum; the weights of the classifier's and the decoder's loss move after it."""
    network, velocities, first = run.network, {}, {}
    weights = {"ae": 1.0, task: start}
    for images, targets in run.steps:
        terms = terms_of(network, images, targets, task, formula)
        found = {term: gradients(loss, network) for term, loss in terms.items()}
        if balance == "gradnorm":
            for term, loss in terms.items():
                first.setdefault(term, loss.item())
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                total = None
                for term, gradient in found.items():
                    weight = 1.0 if balance == "norm_ratio" and name.startswith("decoder.") else weights[term]
                    if gradient[name] is not None:
                        total = weight * gradient[name] + (0 if total is None else total)
                if total is not None:
                    velocities[name] = MOMENTUM * velocities.get(name, 0) + total
                    parameter.sub_(RATE * velocities[name])
        if balance != "fixed" and len(terms) == 2:
            values = {term: loss.item() for term, loss in terms.items()}
            weights = moved(balance, weights, first, values, {term: size(found[term]) for term in found})
    return network.state_dict()


def close(run, expected):
    """Encoder, decoder and classifier each end within half a hundredth of their way from where they should.

    In double precision the script and the losses agree to the last digits; in single precision batch normalisation
    takes differences of large, nearly equal gradients, those of "kl" above all.
    """
    assert run.end.keys() == expected.keys()
    for part in ("encoder", "decoder", "classifier"):
        names = [name for name in run.end if name.startswith(f"{part}.")]
        start, end, right = (
            torch.cat([of[n].flatten().float() for n in names]) for of in (run.start, run.end, expected)
        )
        assert float((end - right).norm()) <= 5e-3 * float((right - start).norm()) + 1e-6, part


def test_every_loss_is_tried():
    assert FORMULAS.keys() == RECONSTRUCTION_LOSSES.keys()


@pytest.mark.parametrize("loss", FORMULAS)
@pytest.mark.parametrize("name", ["reconstruction", "combined"])
def test_the_first_steps_with_every_loss(name, loss, first_steps):
    run = first_steps(name, reconstruction=loss, **({"lambda_cl": 4.0} if name == "combined" else {}))
    close(run, script(run, formula=FORMULAS[loss], start=4.0))


@pytest.mark.parametrize("balance", BALANCES)
def test_the_first_steps_with_every_balance(balance, first_steps):
    own = dict(BALANCES[balance])
    first = {key: own.pop(key) for key in ("lambda_cl",) if key in own}
    if balance == "fixed":
        run = first_steps("combined", **first)
    else:
        run = first_steps("balanced", balance={"name": balance, **own}, **first)
    assert any(not targets for _, targets in run.steps), "both kinds of step occur"
    start = 1.0 if balance == "norm_ratio" else 4.0
    close(run, script(run, formula=FORMULAS["mse"], balance=balance, start=start))


@pytest.mark.parametrize("task", TASKS)
def test_the_first_steps_with_every_task(task, first_steps):
    run = first_steps("supervised", task)
    close(run, script(run, task))


# Stopping and going on (every balance: tests/methods/test_balanced.py)


class Stopped(Exception):
    pass


def stopping(name):
    """The method `name` that dies in its second epoch."""

    class Stopping(METHODS[name]):
        def forward(self, batch, progress):
            if (progress.epoch, progress.step) == (1, 1):
                raise Stopped
            return super().forward(batch, progress)

    return {name: Stopping}


@pytest.mark.parametrize(
    ("name", "tasks", "parameters"),
    [
        *(pytest.param("balanced", ["dr"], {"reconstruction": loss}, id=loss) for loss in RECONSTRUCTION_LOSSES),
        pytest.param("supervised", list(TASKS), {}, id="every task"),
    ],
)
def test_a_stop_changes_nothing(name, tasks, parameters, make_config, make_stage, manifest, tmp_path):
    config = make_config(make_stage(name, epochs=2, **parameters), tasks=tasks, data={"manifest": str(manifest)})
    semiretina.train(config, tmp_path / "straight")
    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path / "stopped", methods=stopping(name))
    assert len(list((tmp_path / "stopped" / "checkpoints").glob("epoch-*.json"))) == 1
    semiretina.train(config, tmp_path / "stopped")
    for file in FILES:
        assert (tmp_path / "straight" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes(), file
