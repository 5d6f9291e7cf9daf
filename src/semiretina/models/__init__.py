"""Models by name, and `build_network`, which makes one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from semiretina.lookup import arguments, lookup
from semiretina.models.aecl1 import SMALL_WIDTHS, aecl1
from semiretina.models.aeres18 import aeres18
from semiretina.models.network import Network
from semiretina.models.plain import inceptionv3, resnet18
from semiretina.models.timm_encoder import timm_autoencoder

__all__ = ["MODELS", "Model", "Network", "build_network", "configured_network"]


@dataclass(frozen=True, slots=True)
class Model:
    """How a network is built, the sides it takes with its default parameters, and what it is in a line."""

    build: Callable[..., Network]  # (outputs, size, *, parameters)
    smallest: int  # pixels
    multiple: int  # of which the side must be a multiple
    about: str
    defaults: Mapping[str, Any] = field(default_factory=dict)  # where they differ from the function's

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, with their defaults."""
        taken = inspect.signature(self.build).parameters.values()
        return {p.name: self.defaults.get(p.name, p.default) for p in taken if p.kind is p.KEYWORD_ONLY}


MODELS: Mapping[str, Model] = {
    "aecl1": Model(aecl1, 256, 256, "the paper's symmetric autoencoder of eight levels (figure 2)"),
    "aecl1-small": Model(
        aecl1, 64, 64, "AECL1 with six narrow levels, for small photographs", defaults={"widths": SMALL_WIDTHS}
    ),
    "aeres18": Model(aeres18, 32, 32, "the paper's autoencoder around ResNet18"),
    "res18": Model(resnet18, 32, 1, "AERes18's encoder and classifier, without decoder"),
    "resnet18": Model(resnet18, 32, 1, "plain ResNet18 with a linear head a task", defaults={"hidden": 0}),
    "inceptionv3": Model(inceptionv3, 75, 1, "plain InceptionV3 with a linear head a task"),
    "timm": Model(timm_autoencoder, 32, 32, "an autoencoder around any convolutional encoder of timm"),
}


def build_network(name: str, outputs: Mapping[str, int], size: int, params: Mapping[str, Any]) -> Network:
    """The named model for photographs of side `size`, with a head of `outputs[task]` logits a task.

    `params` are keyword parameters of the model's function. `build_network(**network.facts)` builds the same network
    again, with random weights. Raises BadConfig for an unknown name or parameter, a side that the model does not take
    and weights of another architecture, MissingInput for weights that are not there, BadData for a damaged file of
    them.
    """
    model = lookup(MODELS, name, "model.name")
    given = arguments(model.build, params, "model", skip=("outputs", "size"))
    resolved = {**model.parameters, **given}
    network = model.build(outputs, size, **resolved)
    resolved.pop("weights", None)
    network.facts = {"name": name, "outputs": dict(outputs), "size": size, "params": resolved}
    return network


def configured_network(
    model: Mapping[str, Any], outputs: Mapping[str, int], size: int, *, weights: bool = True
) -> Network:
    """The network that a configuration's section `model` describes; without `weights` none are read."""
    left_out = ("name",) if weights else ("name", "weights")
    params = {name: value for name, value in model.items() if name not in left_out}
    return build_network(str(model["name"]), outputs, size, params)
