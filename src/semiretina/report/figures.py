"""Figures: plain numbers in, a picture out that stands in the page's own text (a data URI). Nothing here knows of runs.

Each panel is a picture of its own, so that a page can set them side by side or one under the other. Drawn with
matplotlib's objects, never with pyplot's global state, and imported inside the functions, because matplotlib takes long
to import.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semiretina.report.tables import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (jfly.uni-koeln.de/color), told apart by colour-blind readers; their yellow is lost on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "6 2", "2 2", "8 2 2 2", "1 1.5")  # lengths in line widths, as SVG and matplotlib read them
PHOTOGRAPH = 320  # largest side of an embedded photograph, in pixels
INK, FAINT = "#222222", "#767676"

Reference = tuple[str, float] | None  # a level to compare with, and what it is called


class Style(NamedTuple):
    """How the lines of one name look in every panel."""

    color: str
    dash: str


@dataclass(frozen=True)
class Picture:
    """A picture in a page: its data URI, what it shows in words, and its caption."""

    src: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Line:
    """A curve over epochs: one series of values a seed (None where not measured), from epoch 1 on."""

    label: str
    style: Style
    seeds: Sequence[Sequence[float | None]]
    selected: Sequence[int | None] = ()  # of each seed: the epoch that was chosen


@dataclass(frozen=True)
class Trace:
    """A value over the steps of a stage: at which part of which epoch (2.5: in the middle of the third), and what."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Curve:
    """The answers behind a ROC curve, and (1 - specificity, sensitivity) at the threshold in use."""

    style: Style
    labels: Sequence[int]
    probabilities: Sequence[float]
    point: tuple[float, float] | None


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name; either tells the first five apart."""
    return {
        name: Style(COLORS[i % len(COLORS)], DASHES[i % len(DASHES)]) for i, name in enumerate(dict.fromkeys(names))
    }


def curve_panel(
    title: str, lines: Sequence[Line], unit: str, *, logarithmic: bool, reference: Reference, caption: str
) -> Picture:
    """Curves over epochs; of several seeds the mean of those that got there, and a band from the lowest to the highest.

    A `reference` is a level to compare with. The axis is one of shares, which ends at 1, or `logarithmic` as soon as
    the values span more than a factor of five.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415

    figure, axes = _panel(title)
    lowest = [] if reference is None else [reference[1]]
    last = []
    for line in lines:
        length = max(len(values) for values in line.seeds)
        grid = np.full((len(line.seeds), length), np.nan)
        for row, values in enumerate(line.seeds):
            grid[row, : len(values)] = [np.nan if v is None else v for v in values]
        epochs = np.flatnonzero(~np.isnan(grid).all(axis=0))
        grid = grid[:, epochs]
        mean = np.nanmean(grid, axis=0)
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs + 1, mean, color=line.style.color, linestyle=_dash(line.style), linewidth=1.8, marker=marker)
        if len(line.seeds) > 1:
            low, high = np.nanmin(grid, axis=0), np.nanmax(grid, axis=0)
            axes.fill_between(epochs + 1, low, high, color=line.style.color, alpha=0.18, linewidth=0)
        elif line.selected and line.selected[0] is not None and line.selected[0] - 1 in epochs:
            at = int(np.searchsorted(epochs, line.selected[0] - 1))
            axes.plot(
                [line.selected[0]], [mean[at]], "o", color=line.style.color, markersize=6, markeredgecolor="white"
            )
        lowest.append(float(np.nanmin(grid)))
        last.append(f"{line.label} {mean[-1]:.3g}")
    if logarithmic and axes.dataLim.ymax > 5 * axes.dataLim.ymin > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    elif not logarithmic:
        axes.set_ylim(max(0.0, min(lowest, default=0.5) - 0.04), 1.005)
    if reference is not None:
        axes.axhline(reference[1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            reference[0],
            (0.99, reference[1]),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color=FAINT,
        )
    axes.set(xlabel="epoch", ylabel=unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return Picture(svg_picture(figure), f"{title}, by epoch. At the last epoch: {'; '.join(last)}.", caption)


def interval_panel(title: str, items: Sequence[tuple[str, Style, Score]], reference: Reference) -> Picture:
    """Each run's score as a dot with its 95 % interval, one under the other."""
    figure, axes = _panel(title, height=max(2.2, 1.0 + 0.3 * len(items)))
    said = []
    for place, (label, style, score) in enumerate(items):
        if score.value is None:
            continue
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [place, place], color=style.color, linewidth=2, solid_capstyle="butt")
        axes.plot([score.value], [place], "o", color=style.color, markersize=6)
        said.append(
            f"{label} {score.value:.3f}" + (f" [{score.low:.3f}, {score.high:.3f}]" if score.low is not None else "")
        )
    if reference is not None:
        axes.axvline(reference[1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"dashed: {reference[0]} {reference[1]:.3f}", fontsize=8, color=FAINT)
    axes.set_yticks(range(len(items)), [_short(label) for label, _, _ in items])
    axes.set_ylim(len(items) - 0.5, -0.5)
    return Picture(svg_picture(figure), f"{title} with 95 % intervals: {'; '.join(said)}.", "")


def roc_panel(title: str, curves: Sequence[Curve], said: Sequence[str]) -> Picture:
    """ROC curves, each with a dot at the threshold in use; `said` are the areas in words."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415  (slow to import)

    figure, axes = _panel(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for curve in curves:
        false_positives, true_positives, _ = roc_curve(curve.labels, curve.probabilities)
        axes.plot(false_positives, true_positives, color=curve.style.color, linestyle=_dash(curve.style), linewidth=1.8)
        if curve.point is not None:
            axes.plot(*([x] for x in curve.point), "o", color=curve.style.color, markersize=7, markeredgecolor="white")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    return Picture(svg_picture(figure), f"{title}.", f"{'; '.join(said)}.")


def schedule_panel(title: str, losses: Sequence[Sequence[float | None]], labeled: Sequence[Sequence[int]]) -> Picture:
    """Figure 3: a row an epoch, a column a minibatch; labelled ones coloured by their loss, unlabelled ones white."""
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.colors import ListedColormap, LogNorm, Normalize  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    width = max(len(row) for row in losses)
    grid, beyond = np.full((len(losses), width), np.nan), np.ones((len(losses), width))
    for epoch, (values, marks) in enumerate(zip(losses, labeled, strict=True)):
        beyond[epoch, : len(values)] = np.nan
        grid[epoch, : len(values)] = [
            v if mark and v is not None else np.nan for v, mark in zip(values, marks, strict=True)
        ]
    known = grid[~np.isnan(grid)]
    low, high = np.quantile(known, [0.02, 0.98]) if len(known) else (0.0, 1.0)
    high = high if high > low else low + 1e-9
    # viridis without its last yellow, which would pass for white.
    colors = ListedColormap(colormaps["viridis"](np.linspace(0, 0.88, 256)))
    figure, axes = _panel(title, height=3.3)
    norm = LogNorm(low, high) if low > 0 and high > 10 * low else Normalize(low, high)
    extent = (0.5, width + 0.5, len(losses) + 0.5, 0.5)
    axes.imshow(beyond, cmap=ListedColormap(["#dddddd"]), aspect="auto", interpolation="nearest", extent=extent)
    image = axes.imshow(grid, cmap=colors, norm=norm, aspect="auto", interpolation="nearest", extent=extent)
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    figure.colorbar(image, ax=axes, label="classifier's loss, labelled minibatch", extend="both")
    axes.set(xlabel="minibatch of the epoch", ylabel="epoch")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    seen = sum(sum(row) for row in labeled)
    total = sum(len(row) for row in labeled)
    alt = f"Schedule of {title}: {seen} of {total} minibatches in {len(losses)} epochs were labelled."
    return Picture(svg_picture(figure), alt, "")


def trace_panel(title: str, parts: Sequence[tuple[str, Sequence[Trace]]], most: int = 300) -> Picture:
    """Traces over steps in one axes for each of `parts` (what is measured, its traces), one under the other.

    Of more than `most` points neighbours are drawn together: their median, and a band from the lowest to the highest.
    Each axis is logarithmic as soon as its values, all positive, span more than a factor of five.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415

    figure, axes = _panels(title, 1.8 * len(parts) + 0.6, len(parts))
    axes[0].set_title(axes[0].get_title(), fontsize=10.5, color=INK, pad=22)  # above the legend
    said = []
    for place, (axis, (measured, traces)) in enumerate(zip(axes, parts, strict=True)):
        for trace, (color, dash) in zip(traces, styles([t.label for t in traces]).values(), strict=True):
            groups = np.array_split(np.arange(len(trace.values)), min(len(trace.values), most))
            values, epochs = np.array(trace.values), np.array(trace.epochs)
            middle = [np.median(values[group]) for group in groups]
            x = [epochs[group].mean() for group in groups]
            marker = "o" if len(groups) <= 30 else None
            line = _dash(Style(color, dash))
            axis.plot(x, middle, color=color, linestyle=line, linewidth=1.4, marker=marker, ms=3.5, label=trace.label)
            if len(groups) < len(values):
                low, high = ([f(values[group]) for group in groups] for f in (np.min, np.max))
                axis.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
            said.append(f"{trace.label} from {values.min():.3g} to {values.max():.3g}, at last {values[-1]:.3g}")
        every = np.concatenate([trace.values for trace in traces])
        if every.min() > 0 and every.max() > 5 * every.min():
            axis.set_yscale("log")
            if every.max() < 100 * every.min():
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("")
        axis.set_ylabel(measured, fontsize=9)
        # Above the axes, where no line can run below it.
        axis.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, frameon=False, handlelength=1.8, borderpad=0.1
        )
        if place < len(parts) - 1:
            axis.tick_params(labelbottom=False)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return Picture(svg_picture(figure), f"{title}: {'; '.join(said)}.", "")


def photograph(file: Path) -> str:
    """A stored photograph as a data URI, at most `PHOTOGRAPH` pixels wide."""
    from PIL import Image  # noqa: PLC0415

    out = io.BytesIO()
    with Image.open(file) as image:
        image.thumbnail((PHOTOGRAPH, PHOTOGRAPH))
        image.convert("RGB").save(out, "JPEG", quality=92, subsampling=0)
    return data_uri(out.getvalue(), "image/jpeg")


def _panel(title: str, height: float = 3.0) -> "tuple[Figure, Axes]":
    figure, [axes] = _panels(title, height, 1)
    return figure, axes


def _panels(title: str, height: float, count: int) -> "tuple[Figure, list[Axes]]":
    """Axes one under the other, over the same x."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches
    figure = Figure(figsize=(4.2, height), layout=layout, facecolor="white")
    made = list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])
    made[0].set_title(_short(title, 44), fontsize=10.5, color=INK)
    for axes in made:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
    return figure, made


def svg_picture(figure: "Figure") -> str:
    """A drawing as a data URI; the same numbers give the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415

    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "semiretina"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(out.getvalue(), "image/svg+xml")


def data_uri(content: bytes, kind: str) -> str:
    """Content as text that stands in a page; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _dash(style: Style) -> tuple[int, tuple[float, ...]] | str:
    return (0, tuple(float(length) for length in style.dash.split())) if style.dash else "-"


def _short(label: str, most: int = 22) -> str:
    # matplotlib reads what stands between dollars as a formula.
    return (label if len(label) <= most else f"{label[: most - 1]}…").replace("$", r"\$")
