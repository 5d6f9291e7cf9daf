"""Figure 2: a network as it was built, its maps drawn as boxes; and how many parameters it has.

A network is built again from a run's configuration on the meta device: shapes and counts, but neither memory nor
weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from semiretina.report.pictures import COLORS, FAINT, INK, Picture, svg_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn


class Level(NamedTuple):
    """A map of a network: `channels` values at side x side places."""

    channels: int
    side: int

    def __str__(self) -> str:
        return f"{self.channels}@{self.side}²"


@dataclass(frozen=True)
class Built:
    """A network's shapes and numbers of parameters."""

    name: str
    size: int
    encoder: list[Level]  # from the first halving to the map
    hidden: int  # units of the classifier's trunk; 0 = none
    relu: bool
    outputs: Mapping[str, int]  # task -> logits
    decoder: list[Level]  # from the first doubling to the photograph; empty without a decoder
    transposed: int  # transposed convolutions in the decoder
    tied: bool
    classifier_parameters: int  # of C alone
    without_decoder: int  # parameters of encoder and classifier, E + C
    parameters: int  # all

    @property
    def classifier(self) -> list[str]:
        """C in words, from the encoder's map to the answers."""
        trunk = [f"fc {self.hidden}{', ReLU' if self.relu else ', linear'}"] if self.hidden else []
        heads = [f"fc {number}: {task}" for task, number in self.outputs.items()]
        return [f"average pool: {self.encoder[-1].channels}", *trunk, *heads]


def built(config: Mapping[str, Any]) -> Built:
    """The network of a run's configuration."""
    import torch  # noqa: PLC0415  (slow to import)

    from semiretina.models import build_network  # noqa: PLC0415
    from semiretina.models.decoder import TiedDecoder  # noqa: PLC0415

    size, model = int(config["data"]["size"]), config["model"]
    parameters = {name: value for name, value in model.items() if name not in ("name", "weights")}
    with torch.device("meta"):
        network = build_network(str(model["name"]), dict.fromkeys(config["tasks"], 1), size, parameters).eval()
        shapes: dict[nn.Module, tuple[Level | None, Level | None]] = {}
        with torch.no_grad():
            hooks = [part.register_forward_hook(_noting(shapes)) for part in network.modules()]
            features = network.encode(torch.empty((1, 3, size, size)))
            if network.decoder is not None:
                network.decode(features)
            for hook in hooks:
                hook.remove()
    decoder, tied = network.decoder, isinstance(network.decoder, TiedDecoder)
    transposed = [m for m in decoder.modules() if isinstance(m, torch.nn.ConvTranspose2d)] if decoder else []
    decoding = _levels(decoder, shapes) if decoder is not None else []
    total = sum(p.numel() for p in network.parameters())
    of_decoder = sum(p.numel() for p in decoder.parameters()) if decoder is not None else 0
    classifier = network.classifier
    return Built(
        name=str(model["name"]),
        size=size,
        encoder=_levels(network.encoder, shapes),
        hidden=next((m.out_features for m in classifier.trunk if isinstance(m, torch.nn.Linear)), 0),
        relu=any(isinstance(m, torch.nn.ReLU) for m in classifier.trunk),
        outputs=dict.fromkeys(config["tasks"], 1),
        decoder=decoding,
        transposed=len(decoding) if tied else len(transposed),
        tied=tied,
        classifier_parameters=sum(p.numel() for p in classifier.parameters()),
        without_decoder=total - of_decoder,
        parameters=total,
    )


def _noting(shapes: "dict[nn.Module, tuple[Level | None, Level | None]]") -> Any:
    """A hook that writes down which map enters a module and which leaves it; None for what is no map."""

    def note(module: "nn.Module", given: tuple[Any, ...], result: Any) -> None:
        shapes[module] = _level(given[0]) if given else None, _level(result)

    return note


def _level(value: Any) -> Level | None:
    shape = tuple(getattr(value, "shape", ()))
    return Level(int(shape[1]), int(shape[3])) if len(shape) == 4 else None


def _levels(part: "nn.Module", shapes: "Mapping[nn.Module, tuple[Level | None, Level | None]]") -> list[Level]:
    """The last map at each side, in order; a module that halves or doubles more than once is looked into."""
    levels: list[Level] = []
    for level in _maps(part, shapes):
        if levels and levels[-1].side == level.side:
            levels.pop()
        levels.append(level)
    return levels


def _maps(part: "nn.Module", shapes: "Mapping[nn.Module, tuple[Level | None, Level | None]]") -> list[Level]:
    before, after = shapes.get(part, (None, None))
    children = list(part.children())
    single = before and after and max(before.side, after.side) <= 2 * min(before.side, after.side)
    if children and not single:
        return [level for child in children for level in _maps(child, shapes)]
    return [after] if after else []


def network_picture(title: str, network: Built) -> Picture:
    """Encoder, classifier and decoder as the paper's figure 2 draws them: a box a map, as high as its side.

    Heights and widths of boxes are logarithmic in side and channels.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    maps = [Level(3, network.size), *network.encoder, *network.decoder]
    figure = Figure(figsize=(max(6.0, 0.72 * len(maps) + 0.6), 4.3), facecolor="white")
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set_axis_off()
    axes.set(xlim=(-0.6, len(maps) - 0.3), ylim=(-1.95, 1.75))
    bottleneck = len(network.encoder)
    for place, level in enumerate(maps):
        color = (
            "#bbbbbb"
            if place in (0, len(maps) - 1) and level.channels == 3
            else COLORS[0 if place <= bottleneck else 2]
        )
        _box(axes, place, level, maps, color)
        if place:
            axes.annotate(
                "", (place - 0.29, 0), (place - 0.71, 0), arrowprops={"arrowstyle": "-|>", "color": FAINT, "lw": 0.8}
            )
    spans = [("Encoder E", 1, bottleneck, COLORS[0])]
    if network.decoder:
        spans.append(("Decoder D", bottleneck + 1, len(maps) - 1, COLORS[2]))
    for words, first, last, color in spans:
        axes.plot([first - 0.35, last + 0.35], [1.38, 1.38], color=color, linewidth=2, solid_capstyle="butt")
        axes.text((first + last) / 2, 1.45, words, ha="center", va="bottom", fontsize=10, color=INK)
    axes.text(0, 1.45, "x", ha="center", va="bottom", fontsize=10, color=INK, style="italic")
    axes.annotate(
        "",
        (bottleneck, -1.42),
        (bottleneck, -_height(maps[bottleneck], maps) / 2 - 0.03),
        arrowprops={"arrowstyle": "-|>", "color": COLORS[1], "lw": 1.2},
    )
    words = f"Classifier C:  {'  →  '.join(network.classifier)}"
    box = {"boxstyle": "round,pad=0.4", "facecolor": "#fff3ec", "edgecolor": COLORS[1]}
    # The words are wider than a box: they may not run out of the drawing on either side.
    axes.text((len(maps) - 0.9) / 2, -1.65, words, ha="center", va="center", fontsize=9.5, color=INK, bbox=box)
    parts = [f"encoder {', '.join(map(str, network.encoder))}", f"classifier {', '.join(network.classifier)}"]
    if network.decoder:
        parts.append(f"decoder {', '.join(map(str, network.decoder))}")
    alt = f"{title}, {network.name} at {network.size} pixels: photograph {maps[0]}; {'; '.join(parts)}."
    return Picture(svg_picture(figure), alt, _words(title, network))


def _box(axes: "Axes", place: int, level: Level, maps: Sequence[Level], color: str) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    height = _height(level, maps)
    width = 0.12 + 0.4 * math.log(level.channels) / math.log(max(m.channels for m in maps))
    axes.add_patch(
        Rectangle((place - width / 2, -height / 2), width, height, facecolor=color, edgecolor="white", alpha=0.85)
    )
    axes.text(place, height / 2 + 0.05, str(level), ha="center", va="bottom", fontsize=7.5, color=INK)


def _height(level: Level, maps: Sequence[Level]) -> float:
    return 0.18 + 1.9 * math.log(level.side) / math.log(max(m.side for m in maps))


def _words(title: str, network: Built) -> str:
    said = f"{title}: {network.name} at {network.size} pixels, {network.parameters:,} parameters"
    if not network.decoder:
        return f"{said}, no decoder."
    tied = ", which use the encoder's kernels" if network.tied else ""
    without = f"of them {network.without_decoder:,} without the decoder"
    return f"{said}, {without}; {network.transposed} transposed convolutions{tied}."
