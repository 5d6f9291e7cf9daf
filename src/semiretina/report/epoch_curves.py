"""Scores and errors over the epochs of a training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semiretina.report.columns import title_of
from semiretina.report.pictures import FAINT, Picture, Reference, Style, dashes, one_axes, svg_picture
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Pictures, Section, section

# Errors are drawn on a logarithmic axis: what the axis is called, and the title of the picture.
ERRORS = {
    "mse": ("mean squared error", "reconstruction"),
    "mse_unlabeled": ("mean squared error, unlabelled", "reconstruction of unlabelled photographs"),
}
MEASURES = ("auroc", "accuracy", *ERRORS)


@dataclass(frozen=True)
class Line:
    """A curve over epochs: one series of values a seed (None where not measured), from epoch 1 on."""

    label: str
    style: Style
    seeds: Sequence[Sequence[float | None]]
    selected: Sequence[int | None] = ()  # of each seed: the epoch that was chosen


def validation_curves(runs: RunSet) -> Section | None:
    """Validation scores over epochs, a picture a measure; a run's stages are never drawn on one axis."""
    note = (
        "Scores on the validation photographs. Each stage of a run has its own axis of epochs. A dot marks the "
        "selected epoch; of several seeds the line is the mean and the band reaches from the lowest to the highest."
    )
    return section("", Pictures("Validation curves", curves_by_epoch(runs, "val", MEASURES), runs.styles, [note]))


def curves_by_epoch(runs: RunSet, role: str, measures: Sequence[str]) -> list[Picture]:
    """The measures that the log holds on the photographs of a role ("val", "test"), reconstruction last."""
    logged = dict.fromkeys(
        (task, measure)
        for run in runs.runs
        for row in run.epochs()
        for task, values in row.get(role, {}).items()
        for measure in measures
        if measure in values
    )
    logged_last = sorted(logged, key=lambda pair: pair[0] == "reconstruction")
    return [picture for task, measure in logged_last for picture in _pictures(runs, role, task, measure)]


def _pictures(runs: RunSet, role: str, task: str, measure: str) -> list[Picture]:
    """A picture for the first stage of every run that has the measure, one for the second that has it, and so on."""
    unit, what = ERRORS[measure] if measure in ERRORS else (title_of(measure), f"{task}: {title_of(measure)}")
    title = f"{what} on validation" if role == "val" else f"{what} on {role}, every epoch"
    series = {run.label: _series(run, role, task, measure) for run in runs.runs}
    pictures = []
    for number in range(max(map(len, series.values()), default=0)):
        lines, stages = [], []
        for name, style in runs.styles.items():
            seeds = [run for run in runs.runs if run.name == name and len(series[run.label]) > number]
            if not seeds:
                continue
            stage = list(series[seeds[0].label])[number]
            methods = [settings["method"]["name"] for settings in seeds[0].config["stages"]]
            chosen = stage == len(methods) - 1 and role == "val"
            values = [list(series[run.label].values())[number] for run in seeds]
            lines.append(Line(name, style, values, [run.result["selected_epoch"] if chosen else None for run in seeds]))
            if len(methods) > 1:
                stages.append(f"{name}: stage {stage + 1} of {len(methods)}, {methods[stage]}.")
        reference = _reference(runs.runs, role, task, measure)
        logarithmic = measure in ERRORS
        pictures.append(
            epoch_picture(title, lines, unit, logarithmic=logarithmic, reference=reference, caption=" ".join(stages))
        )
    return pictures


def _series(run: Run, role: str, task: str, measure: str) -> dict[int, Sequence[float | None]]:
    """Stage -> values by epoch, for the stages that have the measure, in the last phase that has it."""
    phases: dict[str, dict[int, list[float | None]]] = {}
    for row in run.epochs():
        value = (row.get(role) or {}).get(task, {}).get(measure)
        phases.setdefault(row["phase"], {}).setdefault(row["stage"], []).append(value)
    measured = [
        {stage: values for stage, values in stages.items() if any(v is not None for v in values)}
        for stages in phases.values()
    ]
    return dict(next((stages for stages in reversed(measured) if stages), {}))


def _reference(runs: Sequence[Run], role: str, task: str, measure: str) -> Reference:
    if measure == "auroc":
        return "chance", 0.5
    if measure != "accuracy":
        return None
    votes = {round(v, 3) for run in runs if (v := run.result.get(role, {}).get(task, {}).get("majority")) is not None}
    return ("majority vote", votes.pop()) if len(votes) == 1 else None


def epoch_picture(
    title: str, lines: Sequence[Line], unit: str, *, logarithmic: bool, reference: Reference, caption: str
) -> Picture:
    """Curves over epochs; of several seeds the mean of those that got there, and a band from the lowest to the highest.

    A `reference` is a level to compare with. The axis is one of shares, which ends at 1, or `logarithmic` as soon as
    the values span more than a factor of five.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415

    figure, axes = one_axes(title)
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
