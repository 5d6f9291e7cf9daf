"""All checks that need a GPU, in one call of under nine minutes; each line is a measurement of this one run.

    python benchmarks/gpu.py [--device cuda] [--size 512] [--seconds 15]

1. Correctness: three steps of the combined objective on the GPU equal those on the CPU (fp32, same weights).
2. Speed and memory: images a second and peak memory of the paper's networks, at its batch sizes, by precision.
3. Bit-exact resume: a run that is stopped after an epoch and goes on ends with the same bytes as one that is not.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from semiretina import train
from semiretina.batch import Batch, Photographs, Progress
from semiretina.data.sources.synthetic import records
from semiretina.methods.combined import Combined
from semiretina.models import build_network
from semiretina.records import write_manifest

AT = Progress(stage=0, epoch=0, step=0, steps=1, update=0, updates=1, labeled_updates=1)
# Section 5.2's batch sizes.
PAPER = {"aeres18": ({}, 48), "aecl1": ({}, 6), "resnet18": ({}, 48)}


def batch_of(count: int, size: int, device: torch.device, *, labeled: bool) -> Batch:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((count, 3, size, size), np.float32)).to(device)
    targets = {"dr": torch.from_numpy(random.integers(0, 2, (count, 1)).astype(np.float32)).to(device)}
    side = Photographs({"weak": images}, np.arange(count), targets if labeled else {})
    return Batch(labeled=side) if labeled else Batch(unlabeled=side)


def correctness(device: torch.device) -> None:
    for name, params, size in (("aecl1", {"widths": (8, 16, 32, 32)}, 64), ("aeres18", {}, 64)):
        after = []
        for place in (torch.device("cpu"), device):
            torch.manual_seed(0)
            method = Combined(build_network(name, {"dr": 1}, size, params).to(place), lambda_cl=1.0)
            optimizer = torch.optim.SGD(method.parameters(), lr=1e-2, momentum=0.9)
            for step in range(3):
                method(batch_of(8, size, place, labeled=step != 1), AT)["loss"].backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            after.append(torch.cat([p.detach().cpu().flatten() for p in method.parameters()]))
        print(f"{name}: three steps, largest difference of a weight {float((after[0] - after[1]).abs().max()):.2e}")


def speed(device: torch.device, size: int, limit: float) -> None:
    for name, (params, count) in PAPER.items():
        for precision in ("fp32", "bf16"):
            network = build_network(name, {"dr": 1}, size, params).to(device, memory_format=torch.channels_last)
            given = batch_of(count, size, device, labeled=True)
            optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            done, began = -3, 0.0  # three steps to warm up
            while done < 3 or time.perf_counter() - began < limit:
                if done == 0:
                    wait(device)
                    began = time.perf_counter()
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    loss = objective(network, given)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                done += 1
            wait(device)
            rate = done * count / (time.perf_counter() - began)
            memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else ""
            print(f"{name}, {size} px, batch {count}, {precision}: {rate:.0f} images/s{memory}")


def objective(network: torch.nn.Module, given: Batch) -> torch.Tensor:
    if network.decoder is not None:
        return Combined(network)(given, AT)["loss"]
    assert given.labeled is not None
    logits = network(given.labeled.views["weak"])["dr"]
    return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), given.labeled.targets["dr"])


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def resume(device: torch.device) -> None:
    class Stopped(Combined):
        """Stops the process, as a person would, when the third epoch begins."""

        armed = True

        def forward(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
            if type(self).armed and progress.epoch == 2:
                type(self).armed = False
                raise KeyboardInterrupt
            return super().forward(batch, progress)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_manifest(records(root / "photographs", photographs=64, unlabeled=32, size=64), root / "manifest.csv")
        stage = {"method": {"name": "combined"}, "epochs": 4, "batch": 8, "optimizer": {"lr": 1e-3}}
        config = {
            "data": {"manifest": str(root / "manifest.csv"), "size": 64, "cache": str(root / "cache")},
            "model": {"name": "aecl1-small"},
            "stages": [stage],
            "engine": {"device": device.type},
        }
        train(config, root / "straight")
        try:
            train(config, root / "stopped", methods={"combined": Stopped})
        except KeyboardInterrupt:
            train(config, root / "stopped", methods={"combined": Stopped})
        same = (root / "straight/grader.safetensors").read_bytes() == (root / "stopped/grader.safetensors").read_bytes()
        print(f"stopped and gone on equals straight through, bit for bit: {same}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each speed measurement")
    given = parser.parse_args()
    place = torch.device(given.device)
    name = torch.cuda.get_device_name() if place.type == "cuda" else "cpu"
    print(f"torch {torch.__version__}, {name}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    correctness(place)
    resume(place)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    speed(place, given.size, given.seconds)
