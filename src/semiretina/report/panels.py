"""What of the training goes into which picture: curves over epochs, schedules, reconstructions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semiretina.report.figures import Line, curve_panel, schedule_panel
from semiretina.report.pictures import Picture, Style, photograph
from semiretina.report.runs import Run

Epochs = Mapping[str, Sequence[Mapping[str, Any]]]  # label of a run -> the log's rows of its epochs
Styles = Mapping[str, Style]
SCORES = {"auroc": "AUROC", "accuracy": "accuracy"}
ERRORS = {"mse": "mean squared error", "mse_unlabeled": "mean squared error, unlabelled"}
MEASURES = SCORES | ERRORS


@dataclass(frozen=True)
class SampleGrid:
    """Figure 4: originals, and under them what the decoder of each run makes of them (a data URI, or None)."""

    names: list[str]
    originals: list[str]
    reconstructions: list[tuple[str, list[str | None]]]


def validation_panels(runs: Sequence[Run], epochs: Epochs, styles: Styles) -> list[Picture]:
    """Validation scores over epochs, one panel a measure; a run's stages are never drawn on one axis."""
    pictures = []
    for task, measure in _measures(epochs, "val"):
        title = {"mse": "reconstruction", "mse_unlabeled": "reconstruction of unlabelled photographs"}.get(
            measure, f"{task}: {MEASURES[measure]}"
        )
        pictures += _curves(runs, epochs, styles, "val", task, measure, f"{title} on validation")
    return pictures


def test_panels(runs: Sequence[Run], epochs: Epochs, styles: Styles) -> list[Picture]:
    """The accuracy on the test photographs over epochs, for runs that tracked it under the paper's protocol."""
    pictures = []
    for task, measure in _measures(epochs, "test"):
        if measure == "accuracy":
            pictures += _curves(runs, epochs, styles, "test", task, measure, f"{task}: accuracy on test, every epoch")
    return pictures


def _measures(epochs: Epochs, role: str) -> list[tuple[str, str]]:
    found = dict.fromkeys(
        (task, measure)
        for rows in epochs.values()
        for row in rows
        for task, values in row.get(role, {}).items()
        for measure in MEASURES
        if measure in values
    )
    return sorted(found, key=lambda pair: pair[0] == "reconstruction")


def _curves(
    runs: Sequence[Run], epochs: Epochs, styles: Styles, role: str, task: str, measure: str, title: str
) -> list[Picture]:
    """A panel for the first stage of every run that has the measure, one for the second that has it, and so on."""
    series = {run.label: _series(epochs[run.label], role, task, measure) for run in runs}
    panels = []
    for place in range(max(map(len, series.values()), default=0)):
        lines, stages = [], []
        for name in dict.fromkeys(run.name for run in runs):
            own = [run for run in runs if run.name == name and len(series[run.label]) > place]
            if not own:
                continue
            stage, _ = list(series[own[0].label].items())[place]
            methods = [settings["method"]["name"] for settings in own[0].config["stages"]]
            ends_here = stage == len(methods) - 1 and role == "val"
            lines.append(
                Line(
                    name,
                    styles[name],
                    [list(series[run.label].values())[place] for run in own],
                    [run.result["selected_epoch"] if ends_here else None for run in own],
                )
            )
            if len(methods) > 1:
                stages.append(f"{name}: stage {stage + 1} of {len(methods)}, {methods[stage]}.")
        panels.append(
            curve_panel(
                title,
                lines,
                MEASURES[measure],
                logarithmic=measure in ERRORS,
                reference=_reference(runs, role, task, measure),
                caption=" ".join(stages),
            )
        )
    return panels


def _series(rows: Sequence[Mapping[str, Any]], role: str, task: str, measure: str) -> dict[int, Sequence[float | None]]:
    """Stage -> values by epoch, for the stages that have the measure, in the last phase that has it."""
    phases: dict[str, dict[int, list[float | None]]] = {}
    for row in rows:
        value = (row.get(role) or {}).get(task, {}).get(measure)
        phases.setdefault(row["phase"], {}).setdefault(row["stage"], []).append(value)
    measured = [
        {stage: values for stage, values in stages.items() if any(v is not None for v in values)}
        for stages in phases.values()
    ]
    return dict(next((stages for stages in reversed(measured) if stages), {}))


def _reference(runs: Sequence[Run], role: str, task: str, measure: str) -> tuple[str, float] | None:
    if measure == "auroc":
        return "chance", 0.5
    if measure != "accuracy":
        return None
    votes = {round(v, 3) for run in runs if (v := run.result.get(role, {}).get(task, {}).get("majority")) is not None}
    return ("majority vote", votes.pop()) if len(votes) == 1 else None


def schedule_panels(runs: Sequence[Run], epochs: Epochs) -> list[Picture]:
    """Figure 3 for every stage that alternates between labelled and unlabelled minibatches."""
    pictures = []
    for run in runs:
        stages: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
        for row in epochs[run.label]:
            stages.setdefault((row["phase"], row["stage"]), []).append(row)
        for (phase, _), rows in stages.items():
            if phase == "train" and {mark for row in rows for mark in row["labeled"]} == {0, 1}:
                pictures.append(schedule_panel(run.label, [r["losses_cl"] for r in rows], [r["labeled"] for r in rows]))
    return pictures


def sample_grids(runs: Sequence[Run], epochs: Epochs) -> list[SampleGrid]:
    """Figure 4; runs that show the same photographs share one grid. A decoder that was never trained is left out."""
    grids: dict[str, list[Run]] = {}
    for run in runs:
        originals = [(run.folder.samples / sample["original"]).read_bytes() for sample in run.samples()]
        grids.setdefault(hashlib.sha256(b"".join(originals)).hexdigest(), []).append(run)
    return [grid for own in grids.values() if (grid := _sample_grid(own, epochs)).originals]


def _sample_grid(runs: Sequence[Run], epochs: Epochs) -> SampleGrid:
    shown = runs[0].samples()
    rows = []
    for run in runs:
        files = [sample["reconstruction"] for sample in run.samples()]
        if any(files) and any("loss_ae" in row["train"] or "reconstruction" in row["val"] for row in epochs[run.label]):
            rows.append((run.label, [photograph(run.folder.samples / file) if file else None for file in files]))
    return SampleGrid(
        names=[str(sample["path"]).replace("\\", "/").rsplit("/", 1)[-1] for sample in shown],
        originals=[photograph(runs[0].folder.samples / sample["original"]) for sample in shown],
        reconstructions=rows,
    )
