"""Two gloo processes on this machine, as torchrun would start them, against one process."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import semiretina
from paired_method import Paired
from semiretina.errors import BadConfig
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES
from semiretina.tasks import TASKS
from semiretina.training.ranks import find_place
from two_processes import run_two

LOSSES = [name for name in RECONSTRUCTION_LOSSES if name != "mse"]  # "alternate" has that one

# Each process writes the weights that it held after its last update, and the kinds of its steps.
PROCESS = """
import json, os, sys
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[3])
from paired_method import Paired
import semiretina
from semiretina.methods import METHODS

KINDS = {**METHODS, "paired": Paired}
rank = os.environ["RANK"]

def watched(kind):
    class Watched(KINDS[kind]):
        def forward(self, batch, progress):
            rows = {side: [int(r) for r in getattr(batch, side).rows]
                    for side in ("labeled", "unlabeled") if getattr(batch, side) is not None}
            steps.append(rows)
            return super().forward(batch, progress)

        def after_step(self, progress):
            last.update({n: p.detach().clone() for n, p in self.network.named_parameters()})
    return Watched

for name, config in json.loads(sys.argv[1]).items():
    steps, last = [], {}
    out = os.path.join(sys.argv[2], name)
    semiretina.train(config, out, methods={kind: watched(kind) for kind in KINDS})
    if last:
        save_file(last, f"{out}-{rank}.safetensors")
    with open(f"{out}-{rank}.json", "w") as file:
        json.dump(steps, file)
"""


def run_configs(configs, folder):
    command = [sys.executable, "-c", PROCESS, json.dumps(configs), str(folder), str(Path(__file__).parents[1])]
    run_two(command, timeout=300)


@pytest.fixture(scope="module")
def two(tmp_path_factory, photographs, pixel_cache):
    """Runs by two processes, all in one start: name -> configuration, and the folder that holds them."""
    folder = tmp_path_factory.mktemp("two")

    def config(*stages, model=None, **top):
        return {
            "data": {"manifest": str(photographs), "size": 32, "crop": "none", "cache": str(pixel_cache)},
            "model": {"name": "aecl1", "widths": [4, 6, 8], **(model or {})},
            "stages": [
                {"batch": 8, "epochs": 2, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, **stage}
                for stage in stages
            ],
            "engine": {"device": "cpu", "eval_batch": 8},
            **top,
        }

    configs = {
        "frozen": config({"method": {"name": "supervised"}}, model={"batch_norm": "frozen"}),
        "absent": config({"method": {"name": "supervised"}}, model={"batch_norm": "frozen"}, tasks=["dr", "lesions"]),
        "paired": config(
            {
                "method": {"name": "paired"},
                "unlabeled_batch": 10,
                "optimizer": {"name": "sgd", "lr": 0.05, "accumulate": 2},
            },
            model={"batch_norm": "frozen"},
            tasks=["dr", "lesions"],
        ),
        "alternate": config({"method": {"name": "balanced"}}),
        "stages": config(
            {"method": {"name": "reconstruction"}, "epochs": 1}, {"method": {"name": "supervised"}}, refit="train+val"
        ),
        "probe": config({"method": {"name": "linear_probe"}, "epochs": 1}, model={"hidden": 0}),
        "tasks": config({"method": {"name": "balanced"}}, tasks=[name for name in TASKS if name != "dme"]),
        **{loss: config({"method": {"name": "balanced", "reconstruction": loss}}) for loss in LOSSES},
    }
    run_configs(configs, folder)
    return folder, configs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frozen", "absent", "paired", "alternate", "stages", "tasks", *LOSSES])
def test_both_processes_end_with_equal_weights(two, name):
    first, second = (load_file(two[0] / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    handed = load_file(two[0] / name / "grader.safetensors")
    assert all(torch.equal(first[key], handed[key]) for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frozen", "alternate", "stages", "probe"])
def test_the_run_folder_is_complete(two, name):
    run = two[0] / name
    for file in ("config.toml", "split.csv", "log.jsonl", "result.json", "environment.json", "predictions-test.csv"):
        assert (run / file).is_file(), file
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    epochs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    epochs = [(row["phase"], row["stage"], row["epoch"]) for row in epochs if row["kind"] == "epoch"]
    assert len(epochs) == len(set(epochs)) == {"frozen": 2, "alternate": 2, "stages": 6, "probe": 1}[name]


@pytest.mark.slow
def test_alternate_steps_agree_over_processes_and_share_the_photographs(two):
    first, second = (json.loads((two[0] / f"alternate-{rank}.json").read_text()) for rank in (0, 1))
    assert [step.keys() for step in first] == [step.keys() for step in second]
    assert len({tuple(step) for step in first}) == 2, "both kinds of step occur"
    for one, other in zip(first, second, strict=True):
        for side in one:
            assert not set(one[side]) & set(other[side])
    counts = json.loads((two[0] / "alternate" / "result.json").read_text())["counts"]
    epoch = [step for steps in (first, second) for step in steps[: len(first) // 2]]
    rows = [row for step in epoch for side in step.values() for row in side]
    assert sorted(rows) == sorted(set(rows))
    assert len(rows) == counts["train"] + counts["unlabeled"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frozen", "absent", "paired"])
def test_two_processes_equal_one_at_the_same_batch(two, name, tmp_path):
    """Also where one of them lacks a label, or steps have two sides and are added up.

    Compared without batch statistics (batch norm frozen, no decoder), where the mean over both shards is the mean
    over the batch: the trained weights agree up to rounding. The last batch of an epoch is smaller (four)."""
    semiretina.train(two[1][name], tmp_path, methods={"paired": Paired})
    one, both = load_file(tmp_path / "grader.safetensors"), load_file(two[0] / name / "grader.safetensors")
    for key in one:
        torch.testing.assert_close(one[key], both[key], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_linear_probe_reads_the_photographs_of_both_processes(two, tmp_path):
    semiretina.train(two[1]["probe"], tmp_path)
    one, both = load_file(tmp_path / "grader.safetensors"), load_file(two[0] / "probe" / "grader.safetensors")
    for name in one:
        torch.testing.assert_close(one[name], both[name], atol=1e-3, rtol=1e-3)


def test_one_process_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    place = find_place("cpu")
    assert (place.rank, place.ranks, place.first, place.device) == (0, 1, True, torch.device("cpu"))
    place.wait()
    place.send_weights(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("device", ["gpu", "mps", "meta", *([] if torch.cuda.is_available() else ["cuda", "cuda:1"])])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(BadConfig, match=rf"engine\.device: '{device}'"):
        find_place(device)
