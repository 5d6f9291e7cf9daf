"""Checkpoints: tensors as safetensors, everything else as JSON; never pickles.

A checkpoint is two files, `NAME.safetensors` and `NAME.json`, each written in one step and the JSON last: it holds the
tensors' sha256, so a checkpoint without its JSON, or whose tensors do not match, does not exist for us.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from semiretina.errors import BadData, MissingInput
from semiretina.files import write_bytes

KEPT = 2


def save(file: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes `file`.safetensors and `file`.json; what stood there before stays whole until it is replaced."""
    # Tied weights appear under two names; safetensors wants each name to own its memory.
    owned = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = save_tensors(owned)
    write_bytes(_with(file, ".safetensors"), data)
    description = {**facts, "sha256": hashlib.sha256(data).hexdigest()}
    write_bytes(_with(file, ".json"), json.dumps(description, indent=1).encode())


def load(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a checkpoint. Raises MissingInput or BadData (which says that the checksum fails)."""
    try:
        facts = json.loads(_with(file, ".json").read_text("utf-8"))
        data = _with(file, ".safetensors").read_bytes()
    except FileNotFoundError as error:
        raise MissingInput(f"{error.filename}: no such file; its other half is of no use alone") from None
    except ValueError:
        raise BadData(f"{_with(file, '.json')}: not valid JSON; the file is damaged") from None
    if hashlib.sha256(data).hexdigest() != facts.get("sha256"):
        raise BadData(f"{_with(file, '.safetensors')}: its checksum fails; the file is damaged")
    return load_tensors(data), facts


def numbered(folder: Path) -> list[Path]:
    """The numbered checkpoints of a folder, newest first, without suffix; `load` tells whether they are whole."""
    names = {path.stem for path in folder.glob("epoch-*.json")}
    return [folder / name for name in sorted(names, reverse=True)]


def save_next(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Saves under the next number and keeps only the newest `KEPT`."""
    newest = numbered(folder)
    number = int(newest[0].name.removeprefix("epoch-")) + 1 if newest else 1
    save(folder / f"epoch-{number:06d}", tensors, facts)
    forget_old(folder)


def forget_old(folder: Path) -> None:
    """Removes all but the newest `KEPT` numbered checkpoints, and what a kill left half-written."""
    kept = {file.name for file in numbered(folder)[:KEPT]}
    for path in [*folder.glob("epoch-*.json"), *folder.glob("epoch-*.safetensors")]:
        if path.stem not in kept:
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def remove(file: Path) -> None:
    """Takes a checkpoint away, whole or not; the JSON first, so that no half of it counts."""
    for suffix in (".json", ".safetensors"):
        _with(file, suffix).unlink(missing_ok=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors; single numbers (Adam's step count) become tensors of shape ()."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{i}.{name}": torch.as_tensor(v)
        for i, slots in state.items()
        for name, v in slots.items()
        if v is not None
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`; the settings stay those of the configuration."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _with(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
