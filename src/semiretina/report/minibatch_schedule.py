"""Figure 3 of the paper: which minibatches of each epoch held labelled photographs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semiretina.report.pictures import Picture, one_axes, svg_picture
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Pictures, Section, section

NOTE = (
    "As the paper's figure 3: every minibatch holds labelled photographs only or unlabelled ones only. White: "
    "unlabelled. Coloured: labelled, by the loss of that step. Grey: past the end of a shorter epoch."
)


def minibatch_schedule(runs: RunSet) -> Section | None:
    """The schedule of every stage that alternates, folded away."""
    pictures = Pictures("Minibatch schedules", schedule_pictures(runs.runs), notes=[NOTE])
    return section("Minibatch schedule", pictures, folded=True)


def schedule_pictures(runs: Sequence[Run]) -> list[Picture]:
    """A picture for every stage that alternates between labelled and unlabelled minibatches."""
    pictures = []
    for run in runs:
        stages: dict[int, list[Mapping[str, Any]]] = {}
        for row in run.epochs():
            if row["phase"] == "train":
                stages.setdefault(row["stage"], []).append(row)
        for rows in stages.values():
            if {mark for row in rows for mark in row["labeled"]} == {0, 1}:
                pictures.append(_picture(run.label, [r["losses_cl"] for r in rows], [r["labeled"] for r in rows]))
    return pictures


def _picture(title: str, losses: Sequence[Sequence[float | None]], labeled: Sequence[Sequence[int]]) -> Picture:
    """A row an epoch, a column a minibatch; labelled ones coloured by their loss, unlabelled ones white."""
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
    figure, axes = one_axes(title, height=3.3)
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
    return Picture(svg_picture(figure), alt)
