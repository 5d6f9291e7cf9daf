"""One process or several under torchrun: who we are, and where we compute."""

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn

from semiretina.errors import BadConfig


@dataclass(frozen=True)
class Place:
    """This process among those of the run, and its device."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes have come this far."""
        if self.ranks > 1:
            distributed.barrier()

    def send_weights(self, network: nn.Module) -> None:
        """Gives every process the first one's weights and statistics."""
        if self.ranks > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)

    def agree(self, number: int) -> int:
        """The first process's number, in all of them: only it scores, so only it knows what was selected."""
        if self.ranks == 1:
            return number
        agreed = torch.tensor(number, device=self.device)
        distributed.broadcast(agreed, 0)
        return int(agreed)


def find_place(device: str) -> Place:
    """Reads torchrun's environment and joins the process group; `device` is "auto", "cpu", "cuda" or "cuda:1".

    Raises BadConfig for a device that this machine does not have.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise BadConfig(f"engine.device: '{device}' is no device; use auto, cpu or cuda") from None
    if chosen.type not in ("cpu", "cuda"):
        raise BadConfig(f"engine.device: '{device}' is not supported; use auto, cpu or cuda")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise BadConfig(f"engine.device: '{device}', but torch {torch.__version__} sees no GPU here; use auto or cpu")
    if chosen.type == "cuda" and ":" not in str(chosen):
        chosen = torch.device("cuda", local)
    if chosen.type == "cuda" and chosen.index >= torch.cuda.device_count():
        raise BadConfig(f"engine.device: '{chosen}', but there are {torch.cuda.device_count()} GPUs, counted from 0")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if ranks > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Place(rank, ranks, chosen)


def set_determinism(deterministic: bool) -> None:
    """Bit-exact repetition, or speed, before the first kernel runs."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Where a GPU has no deterministic kernel, torch warns and goes on; on the CPU all of ours have one.
    torch.use_deterministic_algorithms(deterministic, warn_only=torch.cuda.is_available())
    torch.backends.cudnn.benchmark = not deterministic
