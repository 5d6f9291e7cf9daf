"""The weights of "combined" that move: gradients taken once, absent losses, accumulation, processes, stops."""

import itertools
import json
import sys
from dataclasses import replace

import balance_runs
import numpy as np
import pytest
import torch
from balance_runs import START, UPDATES, make_method, part, photographs, planned, run

import semiretina
from semiretina.batch import Batch, Photographs
from semiretina.errors import BadConfig
from semiretina.methods import METHODS
from two_processes import run_two

BALANCES = {
    "eq4": {"balance": {"name": "eq4"}, "lambda_cl": 2.0},
    "norm_ratio": {"balance": {"name": "norm_ratio", "rho": 0.5}},
    "gradnorm": {"balance": {"name": "gradnorm", "asymmetry": 0.7, "weight_rate": 0.1}, "lambda_cl": 2.0},
}
TWO_TASKS = {"dr": 1, "severity": 3}

each = pytest.mark.parametrize("name", BALANCES)


def one_task(count, seed, *, labeled):
    return part(photographs(count, seed, labeled=labeled), np.arange(count), ["dr"])


def two_tasks(count=8, *, severity_known=True):
    whole = photographs(count, 5, labeled=True)
    severity = torch.arange(count) % 3 if severity_known else torch.full((count,), -1)
    return Batch(Photographs(whole.views, whole.rows, {**whole.targets, "severity": severity}))


def weights_of(method):
    return dict(zip(method.balance.terms, method.balance.weights.tolist(), strict=True))


def losses_of(method, batch):
    """Every loss once more, in plain torch, each with its own graph."""
    network, images = method.network, (batch.labeled or batch.unlabeled).views["weak"]
    losses = {"ae": ((network.decode(network.encode(images)) - images) ** 2).mean()}
    targets = batch.labeled.targets if batch.labeled else {}
    if "dr" in targets:
        p = torch.sigmoid(network.classify(network.encode(images))["dr"])
        losses["dr"] = -(targets["dr"] * p.log() + (1 - targets["dr"]) * (1 - p).log()).mean()
    if "severity" in targets and (targets["severity"] >= 0).any():
        p = torch.log_softmax(network.classify(network.encode(images))["severity"], dim=1)
        losses["severity"] = -p[torch.arange(len(p)), targets["severity"]].mean()
    return losses


def gradients_of(method):
    return {name: p.grad for name, p in method.network.named_parameters()}


def expected_of(method, name):
    """The gradients of the weighted sum; mu is for the encoder alone."""
    mu = weights_of(method)["ae"] if name == "norm_ratio" else 1.0
    for parameter in method.network.decoder.parameters():
        parameter.grad /= mu
    return gradients_of(method)


def close(left, right, tolerance=1e-5):
    assert left.keys() == right.keys()
    for name in left:
        assert (left[name] is None) == (right[name] is None), name
        if left[name] is not None:
            torch.testing.assert_close(left[name], right[name], atol=tolerance, rtol=1e-4, msg=name)


def encoder_norm(method, loss):
    found = torch.autograd.grad(loss, list(method.network.encoder.parameters()), retain_graph=True)
    return float(torch.cat([g.flatten() for g in found]).norm())


def update(method, *batches, at=START):
    for batch in batches:
        method(replace(batch, planned=planned(batches)), at)["loss"].backward()
    method.after_step(at)
    method.zero_grad(set_to_none=True)


# The gradient


@each
def test_the_gradient_is_that_of_the_weighted_sum(name):
    method = make_method(outputs=TWO_TASKS, **BALANCES[name])
    batch = two_tasks()
    update(method, batch)  # so that the weights have moved
    weights = weights_of(method)
    assert len(set(weights.values())) > 1
    logs = method(batch, START)
    logs["loss"].backward()
    found = gradients_of(method)
    method.zero_grad(set_to_none=True)
    losses = losses_of(method, batch)
    cl = {task: weights.get(task, weights.get("cl")) for task in ("dr", "severity")}
    expected = weights["ae"] * losses["ae"] + cl["dr"] * losses["dr"] + cl["severity"] * losses["severity"]
    expected.backward()
    close(found, expected_of(method, name))
    assert float(logs["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert all(gradient is not None for gradient in found.values())


@each
def test_an_unlabeled_step_leaves_the_classifier_alone(name):
    method = make_method(**BALANCES[name])
    update(method, Batch(one_task(8, 1, labeled=True)))
    batch = Batch(unlabeled=photographs(8, 2, labeled=False))
    logs = method(batch, START)
    logs["loss"].backward()
    assert set(logs) == {"loss", "loss_ae"}
    assert all(p.grad is None for p in method.network.classifier.parameters())
    found = gradients_of(method)
    method.zero_grad(set_to_none=True)
    (weights_of(method)["ae"] * losses_of(method, batch)["ae"]).backward()
    close(found, expected_of(method, name))


@each
def test_the_gradient_of_each_term_is_taken_once(name, monkeypatch):
    method = make_method(outputs=TWO_TASKS, **BALANCES[name])
    taken, passes, real = [], [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: (taken.append(1), real(*a, **k))[1])
    features = method.network.encoder.register_forward_hook(
        lambda module, given, made: made.register_hook(lambda gradient: passes.append(1)) and None
    )
    method(two_tasks(), START)["loss"].backward()
    features.remove()
    assert len(taken) == len(passes) == (2 if name == "norm_ratio" else 3)


@each
def test_under_bf16_the_gradient_is_that_of_the_plain_sum(name):
    method = make_method(**BALANCES[name])
    start = weights_of(method)
    lambda_cl = start.get("dr", 1.0)
    plain = make_method(lambda_cl=lambda_cl)
    for kind in (method, plain):
        with torch.autocast("cpu", torch.bfloat16):
            logs = kind(Batch(one_task(8, 1, labeled=True)), START)
        logs["loss"].backward()
        assert logs["loss"].dtype == torch.float32
    found, expected = gradients_of(method), gradients_of(plain)
    for parameter, gradient in found.items():
        assert gradient.dtype == torch.float32
        assert (gradient - expected[parameter]).norm() < 0.03 * expected[parameter].norm() + 1e-6, parameter


@each
def test_the_scale_of_half_precision_changes_nothing(name):
    """Times 2 ** 10 and back is exact."""
    methods = [make_method(**BALANCES[name]) for _ in range(2)]
    for method, scale in zip(methods, (1.0, 1024.0), strict=True):
        method(Batch(one_task(8, 1, labeled=True)), replace(START, loss_scale=scale))["loss"].backward()
        method.after_step(START)
    plain, scaled = methods
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), scaled.parameters(), strict=True))
    assert torch.equal(plain.balance.weights, scaled.balance.weights)


@each
def test_half_precision_that_overflows_skips_the_step_and_moves_no_weight(name):
    """The gradients reach the scaler, which sees that they are infinite; the loss stays finite."""
    method = make_method(**BALANCES[name])
    batch = Batch(one_task(8, 1, labeled=True))
    update(method, batch)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    with torch.autocast("cpu", torch.float16):
        logs = method(batch, replace(START, loss_scale=scaler.get_scale()))
    scaler.scale(logs["loss"]).backward()
    scaler.step(optimizer)
    scaler.update()
    method.after_step(START)
    assert torch.isfinite(logs["loss"])
    assert scaler.get_scale() == 2.0**39
    assert not {"grad_norm_ae", "grad_norm_cl"} & logs.keys()
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    # What it saw is forgotten: the next update moves the weights as if it had not been.
    method.zero_grad(set_to_none=True)
    twin = make_method(**BALANCES[name])
    update(twin, batch)
    update(twin, batch)
    update(method, batch)
    assert torch.equal(method.balance.weights, twin.balance.weights)


# What moves the weights


def test_each_rule_follows_the_norms_of_the_encoders_gradients():
    batch = two_tasks()
    methods = {name: make_method(outputs=TWO_TASKS, **BALANCES[name]) for name in BALANCES}
    losses = losses_of(methods["eq4"], batch)
    ae, dr, severity = (encoder_norm(methods["eq4"], losses[term]) for term in ("ae", "dr", "severity"))
    cl = encoder_norm(methods["eq4"], losses["dr"] + losses["severity"])
    for method in methods.values():
        update(method, batch)
    found = weights_of(methods["eq4"])
    assert found == {
        "ae": 1.0,
        "dr": pytest.approx(ae / dr / 2, rel=1e-4),
        "severity": pytest.approx(ae / severity / 2, rel=1e-4),
    }
    assert weights_of(methods["norm_ratio"]) == {"ae": pytest.approx(0.5 * cl / ae, rel=1e-4), "cl": 1.0}
    # GradNorm's first update: all ratios are 1, the aims are the mean.
    pulls = np.array([ae, 2 * dr, 2 * severity])
    moved = np.array([1, 2, 2]) * np.exp(-0.1 * np.sign(pulls - pulls.mean()) * pulls / pulls.mean())
    assert list(weights_of(methods["gradnorm"]).values()) == pytest.approx(list(moved * 5 / moved.sum()), rel=1e-4)
    assert methods["gradnorm"].balance.first.tolist() == pytest.approx(
        [float(loss.detach()) for loss in losses.values()], rel=1e-4
    )


def test_the_logs_name_the_weights_of_this_step_and_the_norms_that_compete():
    batch = two_tasks()
    names = {
        "eq4": {"lambda_dr", "lambda_severity"},
        "norm_ratio": {"mu"},
        "gradnorm": {"weight_ae", "weight_dr", "weight_severity"},
    }
    for name, parameters in BALANCES.items():
        method = make_method(outputs=TWO_TASKS, **parameters)
        update(method, batch)
        weights, losses = weights_of(method), losses_of(method, batch)
        logs = method(batch, START)
        always = {"loss", "loss_ae", "loss_dr", "loss_severity", "grad_norm_ae", "grad_norm_cl"}
        assert logs.keys() == always | names[name]
        assert all(not value.requires_grad for key, value in logs.items() if key != "loss")
        cl = sum(weights.get(task, 1.0) * losses[task] for task in ("dr", "severity"))
        assert float(logs["grad_norm_ae"]) == pytest.approx(
            weights["ae"] * encoder_norm(method, losses["ae"]), rel=1e-4
        )
        assert float(logs["grad_norm_cl"]) == pytest.approx(encoder_norm(method, cl), rel=1e-4)
        if name == "norm_ratio":  # the same batch again: the reconstruction pulls rho = 0.5 times as strongly
            assert float(logs["grad_norm_ae"] / logs["grad_norm_cl"]) == pytest.approx(0.5, rel=1e-4)
            assert float(logs["mu"]) == pytest.approx(weights["ae"])


def test_fixed_logs_lambda_with_the_norms():
    method = make_method(lambda_cl=3.0)
    logs = method(Batch(one_task(4, 1, labeled=True)), START)
    assert float(logs["lambda_dr"]) == 3.0
    assert "balance" not in "".join(method.state_dict())


@each
def test_an_absent_task_keeps_the_bits_of_its_weight_and_does_not_touch_the_others(name):
    method = make_method(outputs=TWO_TASKS, **BALANCES[name])
    update(method, two_tasks())
    before, first = weights_of(method), method.balance.first.clone()
    update(method, two_tasks(severity_known=False))
    after = weights_of(method)
    if name != "norm_ratio":
        assert after["severity"] == before["severity"]
        assert after["dr"] != before["dr"]
    if name == "gradnorm":
        assert after["ae"] + after["dr"] == pytest.approx(before["ae"] + before["dr"])
        assert torch.equal(first, method.balance.first)


@each
def test_unlabeled_updates_and_updates_without_known_targets_move_nothing(name):
    method = make_method(outputs=TWO_TASKS, **BALANCES[name])
    update(method, two_tasks())
    before = {key: value.clone() for key, value in method.state_dict().items() if "balance" in key}
    assert before
    unlabeled = Batch(unlabeled=photographs(8, 9, labeled=False))
    whole = two_tasks(severity_known=False).labeled
    unknown = Batch(Photographs(whole.views, whole.rows, {**whole.targets, "dr": torch.full((8, 1), torch.nan)}))
    for batches in ((unlabeled,), (unlabeled, unlabeled), (unknown,)):
        update(method, *batches)
        assert all(torch.equal(method.state_dict()[key], value) for key, value in before.items())


def test_gradnorm_compares_with_the_first_loss_that_was_seen_also_without_labels():
    method = make_method(**BALANCES["gradnorm"])
    unlabeled, labeled = Batch(unlabeled=photographs(8, 9, labeled=False)), Batch(one_task(8, 1, labeled=True))
    update(method, unlabeled)
    first = losses_of(method, unlabeled)["ae"].item()
    assert method.balance.first.tolist() == [pytest.approx(first, rel=1e-5), 0.0]
    update(method, labeled)
    assert method.balance.first.tolist() == [
        pytest.approx(first, rel=1e-5),
        pytest.approx(losses_of(method, labeled)["dr"].item(), rel=1e-5),
    ]


@each
def test_an_update_of_both_kinds_counts_as_what_it_is(name):
    """L_ae over the photographs of both, L_cl over the labelled ones, of which there are a third; so do the norms."""
    labeled, unlabeled = Batch(one_task(4, 1, labeled=True)), Batch(unlabeled=photographs(8, 9, labeled=False))
    method, expected = make_method(**BALANCES[name]), make_method(**BALANCES[name])
    ae = sum(n / 12 * losses_of(expected, b)["ae"] for n, b in ((4, labeled), (8, unlabeled)))
    dr = losses_of(expected, labeled)["dr"]
    task = "cl" if name == "norm_ratio" else "dr"
    sizes = {"ae": encoder_norm(expected, ae), task: encoder_norm(expected, dr)}
    expected.balance.next({"ae": ae.item(), task: dr.item()}, sizes)
    update(method, unlabeled, labeled)
    torch.testing.assert_close(method.balance.weights, expected.balance.weights, rtol=1e-4, atol=1e-7)


def test_evaluation_neither_notes_nor_moves():
    method = make_method(balance={"name": "gradnorm"}).eval()
    with torch.no_grad():
        logs = method(Batch(one_task(4, 1, labeled=True)), START)
        method(Batch(unlabeled=photographs(4, 1, labeled=False)), START)
    method.after_step(START)
    assert torch.isfinite(logs["loss"])
    assert method.balance.weights.tolist() == [1.0, 1.0]
    assert method.balance.first.tolist() == [0.0, 0.0]


# One batch, accumulated halves, two processes, channels last


@each
def test_accumulated_halves_equal_the_whole_batch(name):
    whole, halves = make_method(**BALANCES[name]), make_method(**BALANCES[name])
    expected, found = run(whole), run(halves, accumulate=2)
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(expected)]
    assert moved == list(UPDATES[1:])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    close(dict(halves.network.named_parameters()), dict(whole.network.named_parameters()))


@each
def test_channels_last_changes_no_weight_beyond_rounding(name):
    expected = run(make_method(**BALANCES[name]))
    found = run(make_method(**BALANCES[name]).to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """And agree where one of them has no known target of a task; there the mean over known ones is another."""
    cases = BALANCES | {f"{name}-absent": {**own, "outputs": TWO_TASKS} for name, own in BALANCES.items()}
    run_two([sys.executable, balance_runs.__file__, json.dumps(cases), str(tmp_path)], timeout=120)
    for name, parameters in cases.items():
        first, second = (torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1))
        assert torch.equal(first["held"], second["held"]), name
        assert all(torch.equal(first["network"][key], second["network"][key]) for key in first["network"]), name
        assert not torch.equal(first["held"][0], first["held"][-1]), name
        if name in BALANCES:
            method = make_method(**parameters)
            torch.testing.assert_close(first["held"], run(method), rtol=1e-4, atol=1e-6)
            close(first["network"], method.network.state_dict())


# In the engine


class Stopped(Exception):
    pass


@each
def test_stopped_and_resumed_the_weights_have_the_same_bits(name, make_config, make_stage, tmp_path):
    held = []

    def watched(stop_at):
        class Watched(METHODS["balanced"]):
            def forward(self, batch, progress):
                if (progress.epoch, progress.step) == stop_at:
                    raise Stopped
                return super().forward(batch, progress)

            def finish(self):
                held.append(torch.cat([self.balance.weights, self.balance.first]))
                return super().finish()

        return {"balanced": Watched}

    stage = make_stage("balanced", epochs=3, optimizer={"accumulate": 2}, **BALANCES[name])
    config = make_config(stage)
    semiretina.train(config, tmp_path / "straight", methods=watched(None))
    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path / "stopped", methods=watched((2, 1)))
    semiretina.train(config, tmp_path / "stopped", methods=watched(None))
    straight, resumed = held
    assert torch.equal(straight, resumed)
    assert not torch.equal(straight, torch.ones_like(straight))
    for file in ("grader.safetensors", "predictions-test.csv"):
        assert (tmp_path / "straight" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()


# Settings


def test_the_weights_start_where_the_settings_say():
    assert weights_of(make_method()) == {"ae": 1.0, "cl": 1.0}
    assert make_method().balance.rho == 1.0
    assert weights_of(make_method(outputs=TWO_TASKS, lambda_cl={"dr": 3.0}, balance={"name": "gradnorm"})) == {
        "ae": 1.0,
        "dr": 3.0,
        "severity": 1.0,
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"balance": {"name": "norm_ratio", "rho": 0.0}}, "method.balance.rho: must be above 0, not 0.0"),
        ({"balance": {"name": "norm_ratio", "rho": float("nan")}}, "method.balance.rho: must be above 0, not nan"),
        ({"balance": {"name": "gradnorm", "asymmetry": -1.0}}, "method.balance.asymmetry: must be at least 0, not -1"),
        ({"balance": {"name": "gradnorm", "weight_rate": 0.0}}, "method.balance.weight_rate: must be above 0, not 0.0"),
        ({"balance": {"name": "gradnorm", "rho": 2.0}}, "method.balance: unknown parameter 'rho'; known are asymmetry"),
        ({"balance": {"rho": 2.0}}, "method.balance: unknown name 'None'; known are norm_ratio, gradnorm, eq4"),
        ({"balance": {"name": "gradnrom"}}, "unknown name 'gradnrom'; did you mean 'gradnorm'?"),
        (
            {"balance": {"name": "eq4"}, "lambda_cl": 0.0},
            "method.lambda_cl: 0.0 for dr must be above 0 where weights move",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(parameters, message):
    with pytest.raises(BadConfig) as refusal:
        make_method(**parameters)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("method", [{"balance": "balanced"}, {"balance": "gradnorm", "lambda_cl": 2.0}, {}])
def test_a_configuration_of_the_old_form_gets_one_message(method, make_config, make_stage, tmp_path):
    with pytest.raises(BadConfig, match=r'method "balanced": \{ name = "balanced", balance = ') as refusal:
        semiretina.train(make_config(make_stage("combined", **method)), tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()
