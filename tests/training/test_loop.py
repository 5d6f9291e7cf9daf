"""The loop: its arithmetic against short scripts of the same objective, and stopping and going on."""

import copy
import json
import math
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import semiretina
from paired_method import Paired
from semiretina.errors import BadConfig, NonFiniteLoss
from semiretina.methods import METHODS

ADAM = {"name": "adam", "lr": 0.01, "momentum": 0.0}


def weights(run):
    return load_file(run / "grader.safetensors")


def log_rows(run, kind=None):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in row.items() if key != "seconds"} for row in rows if kind in (None, row["kind"])
    ]


def close(left, right, tolerance=1e-6):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=tolerance, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def same_ending(left, right):
    """Whether two runs ended with the same bits: weights, log, predictions, scores."""
    predictions = [sorted(file.name for file in run.glob("predictions-*.csv")) for run in (left, right)]
    assert predictions[0] == predictions[1]
    assert "predictions-test.csv" in predictions[0]
    for name in ("grader.safetensors", *predictions[0]):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
    assert log_rows(left) == log_rows(right)
    results = [json.loads((run / "result.json").read_text()) for run in (left, right)]
    assert results[0] | {"name": ""} == results[1] | {"name": ""}


def spy(name):
    """The method `name`, and a list that it fills: its first weights, then every batch that it gets."""
    seen = []

    class Spy(METHODS[name]):
        def forward(self, batch, progress):
            if not seen:
                seen.append(copy.deepcopy(self.network))
            seen.append(batch)
            return super().forward(batch, progress)

    return Spy, seen


# The objectives once more, in plain torch.


def cross(network, features, targets):
    p = torch.sigmoid(network.classifier(features)["dr"])
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).sum() / len(p)


def objective(name, network, batch):
    part = batch.labeled or batch.unlabeled
    images = part.views["weak"]
    features = network.encoder(images)
    loss = 0
    if name in ("reconstruction", "combined"):
        loss = loss + ((images - network.decoder(features)) ** 2).sum() / images.numel()
    if name in ("supervised", "combined") and batch.labeled:
        loss = loss + (4.0 if name == "combined" else 1.0) * cross(network, features, part.targets["dr"])
    return loss


def descend(parameters, velocities, lr, momentum, decay):
    """SGD with momentum and weight decay (Sutskever's form as torch has it), for what has a gradient."""
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            if parameter.grad is None:
                continue
            step = parameter.grad + decay * parameter
            velocities[number] = momentum * velocities[number] + step if number in velocities else step
            parameter.sub_(lr * velocities[number])
            parameter.grad = None


@pytest.mark.parametrize("name", ["supervised", "reconstruction", "combined"])
def test_the_first_steps_equal_an_independent_script(name, make_config, make_stage, tmp_path):
    own = {"lambda_cl": 4.0} if name == "combined" else {}
    stage = make_stage(name, updates=3, batch=5, optimizer={"weight_decay": 0.01}, **own)
    method, seen = spy(name)
    semiretina.train(make_config(stage), tmp_path, methods={name: method})
    network, batches = seen[0], seen[1:]
    assert len(batches) == 3 if name != "combined" else sum(b.labeled is not None for b in batches) == 3
    network.train()
    parameters, velocities = list(network.parameters()), {}
    for batch in batches:
        objective(name, network, batch).backward()
        descend(parameters, velocities, lr=0.05, momentum=0.9, decay=0.01)
    close(network.state_dict(), weights(tmp_path))


def test_momentum_and_weight_decay_leave_the_classifier_alone_on_unlabeled_steps(make_config, make_stage, tmp_path):
    """Bit for bit it stays what it was at an unlabelled step, and moves at every labelled one."""
    method, seen = spy("balanced")
    states = []

    class Watched(method):
        def after_step(self, progress):
            states.append(copy.deepcopy(self.network.classifier.state_dict()))

    stage = make_stage("balanced", epochs=2, optimizer={"weight_decay": 0.1})
    semiretina.train(make_config(stage), tmp_path, methods={"balanced": Watched})
    assert len(states) == len(seen) - 1
    kinds = [batch.labeled is not None for batch in seen[1:]]
    assert not all(kinds[1:])
    for before, after, labeled in zip(states, states[1:], kinds[1:], strict=False):
        assert labeled != all(torch.equal(before[name], after[name]) for name in before)


def test_accumulating_two_batches_of_four_equals_one_of_eight(make_config, make_stage, tmp_path):
    """Without batch statistics (frozen) and augmentation (whose draws depend on the step), the mean over two halves is
    the mean over the whole. Sixteen labels make whole batches."""
    for batch, accumulate in ((8, 1), (4, 2)):
        stage = make_stage("supervised", epochs=2, batch=batch, optimizer={"accumulate": accumulate})
        still = {"rotation": 0.0, "scale": [1.0, 1.0], "flip": False}
        config = make_config(stage, model={"batch_norm": "frozen"}, data={"labels": 16}, augment=still)
        semiretina.train(config, tmp_path / f"{batch}")
        assert [row["labeled_updates"] for row in log_rows(tmp_path / f"{batch}", "epoch")] == [2, 4]
    assert [len(row["losses"]) for row in log_rows(tmp_path / "4", "epoch")] == [4, 4]
    close(weights(tmp_path / "8"), weights(tmp_path / "4"), 1e-5)


def test_clipping_bounds_the_step(make_config, make_stage, tmp_path):
    method, seen = spy("supervised")
    stage = make_stage("supervised", updates=1, optimizer={"momentum": 0.0, "clip": 0.01, "lr": 1.0}, lambda_cl=100.0)
    semiretina.train(make_config(stage), tmp_path, methods={"supervised": method})
    start, end = dict(seen[0].named_parameters()), weights(tmp_path)
    moved = torch.cat([(end[name] - start[name].detach()).flatten() for name in start]).norm()
    assert float(moved) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_runs_and_stays_finite(precision, make_config, make_stage, tmp_path):
    config = make_config(make_stage("balanced", epochs=2), engine={"device": "cpu", "precision": precision})
    semiretina.train(config, tmp_path)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())
    assert all(value.dtype in (torch.float32, torch.int64) for value in weights(tmp_path).values())
    full = tmp_path / "full"
    semiretina.train(make_config(make_stage("balanced", epochs=2)), full)
    first, reference = log_rows(tmp_path, "epoch")[0]["losses"][0], log_rows(full, "epoch")[0]["losses"][0]
    assert first != reference
    assert first == pytest.approx(reference, rel=0.05)


def test_channels_last_changes_no_result_beyond_rounding(make_config, make_stage, tmp_path):
    semiretina.train(make_config(make_stage("supervised", epochs=1)), tmp_path / "a")
    engine = {"device": "cpu", "eval_batch": 8, "channels_last": True}
    semiretina.train(make_config(make_stage("supervised", epochs=1), engine=engine), tmp_path / "b")
    close(weights(tmp_path / "a"), weights(tmp_path / "b"), 1e-4)


# Stopping and going on


class Stopped(Exception):
    pass


def stopping(name, after):
    """The method `name` that dies at its forward pass number `after`, counted over all stages and phases."""
    count = iter(range(10**6))

    class Stopping({**METHODS, "paired": Paired}[name]):
        def forward(self, batch, progress):
            if next(count) == after:
                raise Stopped
            return super().forward(batch, progress)

    return Stopping


def resume_cases(make_config, make_stage):
    schedule = {"schedule": "cosine", "warmup": 0.3}
    return {
        # name -> configuration, method that dies, at which of its forward passes
        "sgd": (make_config(make_stage("supervised", epochs=4, optimizer=schedule)), "supervised", (0, 8)),
        "adam": (make_config(make_stage("balanced", epochs=3, optimizer=ADAM | schedule)), "balanced", (9,)),
        "stages-and-refit": (
            make_config(
                make_stage("reconstruction", epochs=2, optimizer=ADAM),
                make_stage("supervised", epochs=2, optimizer={"nesterov": True}),
                refit="train+val",
            ),
            "supervised",
            # Three steps an epoch on train: at the stage's first step, in its second epoch, and twice in the refit.
            (0, 5, 6, 8),
        ),
        "half": (
            make_config(make_stage("supervised", epochs=3), engine={"device": "cpu", "precision": "fp16"}),
            "supervised",
            (7,),
        ),
        "probe": (
            make_config(make_stage("linear_probe", epochs=2), model={"hidden": 0}),
            "linear_probe",
            (4,),
        ),
        "paired": (
            make_config(make_stage("paired", epochs=4, batch=6, unlabeled_batch=7, optimizer=ADAM)),
            "paired",
            (6,),
        ),
    }


@pytest.mark.parametrize("case", ["sgd", "adam", "stages-and-refit", "half", "probe", "paired"])
def test_stopped_and_resumed_equals_straight_through(case, make_config, make_stage, tmp_path, monkeypatch):
    # Selection on the few validation photographs there are, so that the best checkpoint is part of the test.
    monkeypatch.setattr("semiretina.experiment.SELECT_FROM", 2)
    config, name, places = resume_cases(make_config, make_stage)[case]
    straight, own = tmp_path / "straight", {"paired": Paired}
    semiretina.train(config, straight, methods=own)
    for after in places:
        stopped = tmp_path / f"stopped-{after}"
        with pytest.raises(Stopped):
            semiretina.train(config, stopped, methods={name: stopping(name, after)})
        assert not (stopped / "result.json").exists()
        semiretina.train(config, stopped, methods=own)
        same_ending(straight, stopped)


def test_a_run_that_is_stopped_again_and_again_still_ends_alike(make_config, make_stage, tmp_path):
    config = make_config(make_stage("balanced", epochs=3, optimizer=ADAM))
    semiretina.train(config, tmp_path / "straight")
    torn = tmp_path / "torn"
    for _ in range(2):
        with pytest.raises(Stopped):
            semiretina.train(config, torn, methods={"balanced": stopping("balanced", 5)})
        torch.rand(17)  # what another program draws in between does not matter
    semiretina.train(config, torn)
    same_ending(tmp_path / "straight", torn)


def test_the_log_repeats_no_row_after_a_stop(make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised", epochs=3))
    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path, methods={"supervised": stopping("supervised", 7)})
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"kind": "step", "half a r')
    semiretina.train(config, tmp_path)
    assert [row["epoch"] for row in log_rows(tmp_path, "epoch")] == [0, 1, 2]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(make_config, make_stage, tmp_path, capsys):
    config = make_config(make_stage("supervised", epochs=4))
    semiretina.train(config, tmp_path / "straight")
    torn = tmp_path / "torn"
    with pytest.raises(Stopped):
        semiretina.train(config, torn, methods={"supervised": stopping("supervised", 10)})
    newest = torn / "checkpoints" / "epoch-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    capsys.readouterr()
    semiretina.train(config, torn)
    said = capsys.readouterr().err
    assert "epoch-000003.safetensors: its checksum fails" in said
    assert "going on from the checkpoint before it" in said
    same_ending(tmp_path / "straight", torn)


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(make_config, make_stage, tmp_path):
    config = make_config(make_stage("supervised", epochs=5))
    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path, methods={"supervised": stopping("supervised", 10)})
    newest = tmp_path / "checkpoints" / "epoch-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(Stopped):
        semiretina.train(config, tmp_path, methods={"supervised": stopping("supervised", 4)})
    from semiretina import checkpoint

    found = checkpoint.numbered(tmp_path / "checkpoints")
    assert len(found) == 2
    for file in found:
        checkpoint.load(file)


KILLED = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
import semiretina
from semiretina.methods import METHODS

class Slow(METHODS["balanced"]):
    def forward(self, batch, progress):
        if progress.epoch == 2 and progress.step == 2:
            print("in the third epoch", flush=True)
            signal.pause()
        return super().forward(batch, progress)

semiretina.train(json.loads(sys.argv[1]), sys.argv[2], methods={"balanced": Slow})
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_with_the_same_bits(make_config, make_stage, tmp_path):
    config = make_config(make_stage("balanced", epochs=3, optimizer=ADAM))
    semiretina.train(config, tmp_path / "straight")
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, json.dumps(config), str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline().strip() == "in the third epoch"
        # Meanwhile nobody else may train there.
        with pytest.raises(semiretina.errors.Refused, match="another process is training in this run folder"):
            semiretina.train(config, killed)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert len(log_rows(killed, "epoch")) == 2
    semiretina.train(config, killed)
    same_ending(tmp_path / "straight", killed)


# The sides of the paired stream


@pytest.mark.parametrize("images", ["all", "unlabeled"])
def test_labelled_photographs_stand_on_the_unlabelled_side_too_unless_unlabeled_ones_are_asked_for(
    images, make_config, make_stage, tmp_path
):
    seen = {"labeled": set(), "unlabeled": set()}

    class Watched(Paired):
        def forward(self, batch, progress):
            assert len(batch.unlabeled) == 4
            assert not batch.unlabeled.targets
            assert set(batch.unlabeled.views) == {"weak", "weak_2"}
            for side, rows in seen.items():
                rows.update(getattr(batch, side).rows.tolist())
            return super().forward(batch, progress)

    stage = make_stage("paired", epochs=6, images=images, unlabeled_batch=4)
    counts = semiretina.train(make_config(stage), tmp_path, methods={"paired": Watched})["counts"]
    assert len(seen["labeled"]) == counts["train"]
    if images == "all":
        assert seen["labeled"] < seen["unlabeled"]
        assert len(seen["unlabeled"]) == counts["train"] + counts["unlabeled"]
    else:
        assert not seen["labeled"] & seen["unlabeled"]
        assert len(seen["unlabeled"]) == counts["unlabeled"]


def test_what_a_stream_cannot_draw_is_refused_before_anything_is_read(make_config, make_stage, tmp_path):
    methods = {"paired": Paired}
    with pytest.raises(BadConfig, match=r"stages\.0\.unlabeled_batch: every step of 'supervised' has one side"):
        semiretina.train(make_config(make_stage("supervised", unlabeled_batch=4)), tmp_path / "run")
    large = make_stage("paired", images="unlabeled", unlabeled_batch=9)
    with pytest.raises(BadConfig, match="stage paired: a step of 9 photographs without labels repeats none, and there"):
        semiretina.train(make_config(large), tmp_path / "run", methods=methods)
    assert not (tmp_path / "run" / "config.toml").exists()


# The schedule of a refit


@pytest.mark.parametrize("length", [{"epochs": 6}, {"updates": 16}])
def test_a_refit_follows_the_schedule_that_validation_selected(length, make_config, make_stage, tmp_path, monkeypatch):
    """Three labelled batches an epoch, so six epochs either way. Whatever epoch was chosen, the refit stops there on a
    cosine of six, and does not run through a cosine of its own."""
    monkeypatch.setattr("semiretina.experiment.SELECT_FROM", 2)
    monkeypatch.setattr("semiretina.training.epoch.STEP_ROWS_EVERY", 1)
    curve = iter([0.5, 0.6, 0.9, 0.7, 0.9, 0.8])
    monkeypatch.setattr("semiretina.training.epoch.scores_of", lambda *given: {"dr": {"auroc": next(curve)}})
    schedule = {"name": "adam", "lr": 0.02, "momentum": 0.0, "schedule": "cosine"}
    stage = make_stage("supervised", **length, optimizer=schedule)
    result = semiretina.train(make_config(stage, refit="train+val", data={"val": 0.25}), tmp_path)
    chosen = result["selected_epoch"]
    assert chosen == 3
    rows = [row for row in log_rows(tmp_path, "step") if row["phase"] == "refit"]
    assert {row["epoch"] for row in rows} == set(range(chosen))
    an_epoch = sum(row["epoch"] == 0 for row in rows)
    expected = [0.01 * (1 + math.cos(math.pi * number / (6 * an_epoch))) for number in range(chosen * an_epoch)]
    assert [row["lr"] for row in rows] == pytest.approx(expected)


# What goes wrong in a step


def test_a_loss_that_is_not_finite_names_the_photographs_and_keeps_the_checkpoint(make_config, make_stage, tmp_path):
    seen = []

    class Breaking(METHODS["supervised"]):
        def forward(self, batch, progress):
            logs = super().forward(batch, progress)
            if progress.epoch == 1 and progress.step == 1:
                seen.extend(batch.labeled.rows)
                logs["loss"] = logs["loss"] * float("nan")
            return logs

    config = make_config(make_stage("supervised", epochs=3))
    with pytest.raises(NonFiniteLoss, match="stage 0, epoch 2, step 2") as stop:
        semiretina.train(config, tmp_path, methods={"supervised": Breaking})
    from semiretina.data.split import read_split

    records = read_split(tmp_path / "split.csv").records
    assert seen
    assert all(records[row].path.name in str(stop.value) for row in seen)
    assert "\n" not in str(stop.value)
    assert [p.name for p in sorted((tmp_path / "checkpoints").glob("*.json"))] == ["epoch-000001.json"]
    # The same command, once the cause is gone, goes on to the end that it would have had.
    semiretina.train(config, tmp_path)
    semiretina.train(config, tmp_path / "straight")
    same_ending(tmp_path, tmp_path / "straight")


def test_a_full_disk_stops_the_run_and_the_old_checkpoint_goes_on(make_config, make_stage, tmp_path, monkeypatch):
    config = make_config(make_stage("supervised", epochs=3))
    semiretina.train(config, tmp_path / "straight")
    real = os.fsync

    def full(descriptor):
        # Halfway through the second checkpoint: its tensors are in place, their description is not.
        if (tmp_path / "full" / "checkpoints" / "epoch-000002.safetensors").exists():
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            semiretina.train(config, tmp_path / "full")
    semiretina.train(config, tmp_path / "full")
    same_ending(tmp_path / "straight", tmp_path / "full")


def test_the_rate_of_every_step_is_logged_and_follows_the_schedule(make_config, make_stage, tmp_path, monkeypatch):
    monkeypatch.setattr("semiretina.training.epoch.STEP_ROWS_EVERY", 1)
    stage = make_stage("supervised", epochs=2, optimizer={"schedule": "linear"})
    semiretina.train(make_config(stage), tmp_path)
    rates = [row["lr"] for row in log_rows(tmp_path, "step")]
    count = len(rates)
    assert count == sum(len(row["losses"]) for row in log_rows(tmp_path, "epoch"))
    assert rates == pytest.approx([0.05 * (1 - number / count) for number in range(count)])


def test_an_epoch_row_says_what_happened(make_config, make_stage, tmp_path):
    semiretina.train(make_config(make_stage("balanced", epochs=2)), tmp_path)
    first, second = log_rows(tmp_path, "epoch")
    counts = json.loads((tmp_path / "result.json").read_text())["counts"]
    assert first["images"] == counts["train"] + counts["unlabeled"]
    assert len(first["losses"]) == len(first["labeled"])
    assert first["labeled_updates"] == sum(first["labeled"])
    assert second["labeled_updates"] == sum(first["labeled"]) + sum(second["labeled"])
    assert first["train"]["loss"] == pytest.approx(sum(first["losses"]) / len(first["losses"]))
    assert {"loss_ae", "loss_dr", "grad_norm_ae", "grad_norm_cl"} <= first["train"].keys()
    assert first["val"].keys() == {"dr", "reconstruction"}
