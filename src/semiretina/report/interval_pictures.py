"""Scores as dots with their intervals: of runs, and of runs in subgroups of the test photographs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from semiretina.report.columns import Score
from semiretina.report.pictures import FAINT, Picture, Reference, Style, one_axes, short, svg_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scored = tuple[str, Style, Score]  # whose score it is, how that is drawn, and the score


def interval_picture(title: str, scored: Sequence[Scored], reference: Reference) -> Picture:
    """Each run's score as a dot with its 95 % interval, one under the other."""
    figure, axes = one_axes(title, height=max(2.2, 1.0 + 0.3 * len(scored)))
    said = _dots(axes, 0, scored)
    _mark(axes, reference)
    axes.set_yticks(range(len(scored)), [short(label) for label, _, _ in scored])
    axes.set_ylim(len(scored) - 0.5, -0.5)
    return Picture(svg_picture(figure), f"{title} with 95 % intervals: {'; '.join(said)}.")


def forest_picture(title: str, subgroups: Sequence[tuple[str, int, Sequence[Scored]]], reference: Reference) -> Picture:
    """The scores of each subgroup (its name, its number of photographs, its scores), one run under the other."""
    heights = [max(1, len(scored)) for _, _, scored in subgroups]
    figure, axes = one_axes(title, height=1.1 + 0.28 * sum(heights) + 0.12 * len(heights))
    top, ticks, said = 0.0, [], []
    for (name, count, scored), height in zip(subgroups, heights, strict=True):
        ticks.append(top + (height - 1) / 2)
        said.append(f"{name} ({count} photographs): {', '.join(_dots(axes, top, scored)) or 'undefined'}")
        top += height + 0.45
    _mark(axes, reference)
    axes.set_yticks(ticks, [f"{short(name, 18)} ({count})" for name, count, _ in subgroups])
    axes.set_ylim(top - 0.8, -0.65)
    return Picture(svg_picture(figure), f"{title} with 95 % intervals: {'; '.join(said)}.")


def _dots(axes: "Axes", top: float, scored: Sequence[Scored]) -> list[str]:
    """Draws the scores that are defined, and says them."""
    said = []
    for at, (label, style, (value, low, high)) in enumerate(scored):
        if value is None:
            continue
        interval = ""
        if low is not None and high is not None:
            axes.plot([low, high], [top + at, top + at], color=style.color, linewidth=2, solid_capstyle="butt")
            interval = f" [{low:.3f}, {high:.3f}]"
        axes.plot([value], [top + at], "o", color=style.color, markersize=6)
        said.append(f"{label} {value:.3f}{interval}")
    return said


def _mark(axes: "Axes", reference: Reference) -> None:
    if reference is not None:
        axes.axvline(reference[1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"dashed: {reference[0]} {reference[1]:.3f}", fontsize=8, color=FAINT)
