"""Figures of training: plain numbers in, a picture out. Nothing here knows of runs.

Each panel is a picture of its own, so that a page can set them side by side or one under the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semiretina.report.pictures import (
    FAINT,
    INK,
    Picture,
    Reference,
    Style,
    dashes,
    one_panel,
    stacked_panels,
    styles,
    svg_picture,
)


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


def curve_panel(
    title: str, lines: Sequence[Line], unit: str, *, logarithmic: bool, reference: Reference, caption: str
) -> Picture:
    """Curves over epochs; of several seeds the mean of those that got there, and a band from the lowest to the highest.

    A `reference` is a level to compare with. The axis is one of shares, which ends at 1, or `logarithmic` as soon as
    the values span more than a factor of five.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415

    figure, axes = one_panel(title)
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
        axes.plot(epochs + 1, mean, color=line.style.color, linestyle=dashes(line.style), linewidth=1.8, marker=marker)
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
    figure, axes = one_panel(title, height=3.3)
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

    figure, axes = stacked_panels(title, 1.8 * len(parts) + 0.6, len(parts))
    axes[0].set_title(axes[0].get_title(), fontsize=10.5, color=INK, pad=22)  # above the legend
    said = []
    for place, (axis, (measured, traces)) in enumerate(zip(axes, parts, strict=True)):
        for trace, (color, dash) in zip(traces, styles([t.label for t in traces]).values(), strict=True):
            groups = np.array_split(np.arange(len(trace.values)), min(len(trace.values), most))
            values, epochs = np.array(trace.values), np.array(trace.epochs)
            middle = [np.median(values[group]) for group in groups]
            x = [epochs[group].mean() for group in groups]
            marker = "o" if len(groups) <= 30 else None
            line = dashes(Style(color, dash))
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
