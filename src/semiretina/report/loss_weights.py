"""How the terms of the loss were weighed against each other: their weights, and what they ask of the encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semiretina.report.pictures import INK, Picture, Style, dashes, stacked_axes, styles, svg_picture
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Pictures, Section, section
from semiretina.scoring.intervals import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NORMS = {"grad_norm_ae": "autoencoder", "grad_norm_cl": "classifier"}
GREEK = {"mu": "μ", "lambda": "λ", "weight": "w"}
NOTE = (
    "Above: the weight of each loss, λ and w as factors of a classifier's loss (w also of the autoencoder's), μ as the "
    "factor of the autoencoder's. Below: how strongly autoencoder and classifier pull the encoder, as the norm of each "
    "gradient at single steps, weights included: the larger one dominates the encoder's update. With fixed weights "
    "the norms are measured now and then."
)


@dataclass(frozen=True)
class Trace:
    """A value over the steps of a stage: at which part of which epoch (2.5: in the middle of the third), and what."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


def loss_weights(runs: RunSet) -> Section | None:
    """The pictures of every run, folded away."""
    title, pictures = "Weights of the losses", loss_weight_pictures(runs.runs)
    drawn = Pictures(f"{title} and norms of their gradients", pictures, notes=[NOTE])
    return section(title, drawn, folded=True)


def loss_weight_pictures(runs: Sequence[Run]) -> list[Picture]:
    """For every stage that logged both gradients' norms: the weights over them, where it logged some."""
    pictures = []
    for run in runs:
        lengths = {_epoch(row): len(row["losses"]) for row in run.epochs()}
        stages: dict[int, list[Mapping[str, Any]]] = {}
        for row in run.steps():
            # A row of an epoch that has not ended belongs to nothing that is shown.
            if row["phase"] == "train" and "grad_norm_ae" in row and _epoch(row) in lengths:
                stages.setdefault(row["stage"], []).append(row)
        for stage, rows in stages.items():
            at = [row["epoch"] + row["step"] / lengths[_epoch(row)] for row in rows]
            weights = [name for name in dict.fromkeys(key for row in rows for key in row) if _is_weight(name)]
            axes = [("weight", [_trace(_symbol(name), name, rows, at) for name in weights])] if weights else []
            axes.append(("norm of dL/dE", [_trace(label, name, rows, at) for name, label in NORMS.items()]))
            several = f", stage {stage + 1}" if len(run.config["stages"]) > 1 else ""
            pictures.append(trace_picture(f"{run.label}{several}: weights and gradients", axes))
    return pictures


def _epoch(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["phase"], row["stage"], row["epoch"]


def _is_weight(name: str) -> bool:
    return name == "mu" or name.startswith(("lambda_", "weight_"))


def _symbol(logged: str) -> str:
    """As the formulas write it: mu of the autoencoder, lambda of a task, w of a term."""
    kind, _, term = logged.partition("_")
    return f"{GREEK[kind]} {term}".strip()


def _trace(label: str, name: str, rows: Sequence[Mapping[str, Any]], at: Sequence[float]) -> Trace:
    known = [(epoch, row[name]) for epoch, row in zip(at, rows, strict=True) if row.get(name) is not None]
    return Trace(label, [epoch for epoch, _ in known], [value for _, value in known])


def trace_picture(title: str, measured: Sequence[tuple[str, Sequence[Trace]]], most: int = 300) -> Picture:
    """Traces over steps, an axes for each of `measured` (what it is, its traces), one under the other.

    Of more than `most` points neighbours are drawn together: their median, and a band from the lowest to the highest.
    Each axis is logarithmic as soon as its values, all positive, span more than a factor of five.
    """
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure, made = stacked_axes(title, 1.8 * len(measured) + 0.6, len(measured))
    made[0].set_title(made[0].get_title(), fontsize=10.5, color=INK, pad=22)  # above the legend
    said = []
    for axes, (what, traces) in zip(made, measured, strict=True):
        for trace, style in zip(traces, styles([t.label for t in traces]).values(), strict=True):
            said.append(_draw(axes, trace, style, most))
        _scale(axes, np.concatenate([trace.values for trace in traces]))
        axes.set_ylabel(what, fontsize=9)
        # Above the axes, where no line can run below it.
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False, handlelength=1.8, borderpad=0.1
        )
        axes.tick_params(labelbottom=axes is made[-1])
    made[-1].set_xlabel("epoch")
    made[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return Picture(svg_picture(figure), f"{title}: {'; '.join(said)}.")


def _draw(axes: "Axes", trace: Trace, style: Style, most: int) -> str:
    """Draws one trace, and says it in words."""
    groups = np.array_split(np.arange(len(trace.values)), min(len(trace.values), most))
    values, epochs = np.array(trace.values), np.array(trace.epochs)
    middle, x = [np.median(values[group]) for group in groups], [epochs[group].mean() for group in groups]
    marker = "o" if len(groups) <= 30 else None
    line = dashes(style)
    axes.plot(x, middle, color=style.color, linestyle=line, linewidth=1.4, marker=marker, ms=3.5, label=trace.label)
    if len(groups) < len(values):
        low, high = ([f(values[group]) for group in groups] for f in (np.min, np.max))
        axes.fill_between(x, low, high, color=style.color, alpha=0.18, linewidth=0)
    return f"{trace.label} from {values.min():.3g} to {values.max():.3g}, at last {values[-1]:.3g}"


def _scale(axes: "Axes", values: Floats) -> None:
    """A logarithmic axis with plain numbers, where the values ask for it."""
    from matplotlib.ticker import LogLocator  # noqa: PLC0415

    if values.min() > 0 and values.max() > 5 * values.min():
        axes.set_yscale("log")
        if values.max() < 100 * values.min():
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
