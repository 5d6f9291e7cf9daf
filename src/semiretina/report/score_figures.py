"""Figures of test scores: plain numbers in, a picture out. Nothing here knows of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from semiretina.report.pictures import FAINT, Picture, Reference, Style, dashes, one_panel, short, svg_picture
from semiretina.report.tables import Score
from semiretina.scoring.curves import Band
from semiretina.scoring.intervals import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Curve:
    """A ROC or precision-recall curve with its band, and the points (x, y) at the thresholds in use."""

    style: Style
    band: Band
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Reliability:
    """Answers by their probability, bin by bin: mean probability, and the share that came true; [b] each."""

    label: str
    style: Style
    stated: Floats
    seen: Floats
    low: Floats
    high: Floats
    counts: Sequence[int]


@dataclass(frozen=True)
class Stratum:
    """A part of the test photographs, and each run's score there."""

    name: str
    n: int
    scores: Sequence[tuple[str, Style, Score]]


def interval_panel(title: str, items: Sequence[tuple[str, Style, Score]], reference: Reference) -> Picture:
    """Each run's score as a dot with its 95 % interval, one under the other."""
    figure, axes = one_panel(title, height=max(2.2, 1.0 + 0.3 * len(items)))
    said = []
    for place, (label, style, score) in enumerate(items):
        if score.value is not None:
            _dot(axes, place, style, score)
            said.append(f"{label} {_said(score)}")
    if reference is not None:
        axes.axvline(reference[1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"dashed: {reference[0]} {reference[1]:.3f}", fontsize=8, color=FAINT)
    axes.set_yticks(range(len(items)), [short(label) for label, _, _ in items])
    axes.set_ylim(len(items) - 0.5, -0.5)
    return Picture(svg_picture(figure), f"{title} with 95 % intervals: {'; '.join(said)}.", "")


def forest_panel(title: str, strata: Sequence[Stratum], reference: Reference) -> Picture:
    """Each stratum's scores, one run under the other, with their 95 % intervals."""
    rows = [max(1, len(stratum.scores)) for stratum in strata]
    figure, axes = one_panel(title, height=1.1 + 0.28 * sum(rows) + 0.12 * len(rows))
    top, ticks, said = 0.0, [], []
    for stratum, height in zip(strata, rows, strict=True):
        ticks.append(top + (height - 1) / 2)
        known = [(place, *item) for place, item in enumerate(stratum.scores) if item[2].value is not None]
        for place, _, style, score in known:
            _dot(axes, top + place, style, score)
        values = ", ".join(f"{label} {_said(score)}" for _, label, _, score in known)
        said.append(f"{stratum.name} ({stratum.n} photographs): {values or 'undefined'}")
        top += height + 0.45
    if reference is not None:
        axes.axvline(reference[1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(f"dashed: {reference[0]} {reference[1]:.3f}", fontsize=8, color=FAINT)
    axes.set_yticks(ticks, [f"{short(stratum.name, 18)} ({stratum.n})" for stratum in strata])
    axes.set_ylim(top - 0.8, -0.65)
    return Picture(svg_picture(figure), f"{title} with 95 % intervals: {'; '.join(said)}.", "")


def roc_panel(title: str, curves: Sequence[Curve], said: Sequence[str]) -> Picture:
    """ROC curves with their bands; `said` are the areas in words."""
    figure, axes = one_panel(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for curve in curves:
        # The highest sensitivity at a specificity holds on until the next one: a step.
        _band(axes, curve, step="post")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    return Picture(svg_picture(figure), f"{title}.", f"{'; '.join(said)}.")


def precision_panel(title: str, curves: Sequence[Curve], share: float, said: Sequence[str]) -> Picture:
    """Precision-recall curves with their bands; `share` is that of the positives, chance's precision."""
    figure, axes = one_panel(title, height=3.6)
    axes.axhline(share, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for curve in curves:
        _band(axes, curve, step="pre")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    chance = f"Dashed: the share of positives, {share:.3f}."
    return Picture(svg_picture(figure), f"{title}.", f"{'; '.join(said)}. {chance}" if said else chance)


def reliability_panel(title: str, diagrams: Sequence[Reliability], said: Sequence[str]) -> Picture:
    """What came true over what was said, above the number of photographs in each bin; `said` are the errors."""
    figure, axes = one_panel(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    words = []
    for diagram in diagrams:
        color = diagram.style.color
        sizes = [12 + 90 * count / max(diagram.counts) for count in diagram.counts]
        if np.isfinite(diagram.low).any():
            axes.vlines(diagram.stated, diagram.low, diagram.high, color=color, linewidth=1.2, alpha=0.6)
        axes.plot(diagram.stated, diagram.seen, color=color, linestyle=dashes(diagram.style), linewidth=1.4)
        axes.scatter(diagram.stated, diagram.seen, s=sizes, color=color, edgecolor="white", linewidth=0.7, zorder=3)
        bins = zip(diagram.stated, diagram.seen, diagram.counts, strict=True)
        words.append(f"{diagram.label}: " + ", ".join(f"{x:.2f} came true in {y:.2f} of {n}" for x, y, n in bins))
    axes.set(xlabel="probability that was said", ylabel="share that came true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    return Picture(svg_picture(figure), f"{title}. {'; '.join(words)}.", f"{'; '.join(said)}." if said else "")


def _band(axes: "Axes", curve: Curve, step: Literal["pre", "post"]) -> None:
    band, color = curve.band, curve.style.color
    axes.step(band.x, band.value, where=step, color=color, linestyle=dashes(curve.style), linewidth=1.8)
    if np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, step=step, color=color, alpha=0.13, linewidth=0)
    for x, y in curve.points:
        axes.plot([x], [y], "o", color=color, markersize=7, markeredgecolor="white")


def _dot(axes: "Axes", place: float, style: Style, score: Score) -> None:
    assert score.value is not None
    if score.low is not None and score.high is not None:
        axes.plot([score.low, score.high], [place, place], color=style.color, linewidth=2, solid_capstyle="butt")
    axes.plot([score.value], [place], "o", color=style.color, markersize=6)


def _said(score: Score) -> str:
    return f"{score.value:.3f}" + (f" [{score.low:.3f}, {score.high:.3f}]" if score.low is not None else "")
