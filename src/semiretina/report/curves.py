"""The ROC, precision-recall and calibration curves of each output."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import numpy as np

from semiretina.report.columns import ratio, title_of
from semiretina.report.labeled_answers import LabeledAnswers
from semiretina.report.pictures import FAINT, Picture, Style, dashes, one_axes, svg_picture
from semiretina.report.results import Row
from semiretina.report.run_set import RunSet
from semiretina.report.section import Pictures, Section, section
from semiretina.scoring.curves import Band, precision_band, roc_band
from semiretina.scoring.intervals import share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 10  # of a reliability diagram; the ECE has its own 15
CHANCE = (0, (4, 3))  # dashes
BANDS = (
    "Bands hold 95 % of 1,000 bootstrap resamples of patients, not of trainings, at each place by itself (pointwise) "
    "and not along the whole curve; of several seeds the curve is their mean at equal specificity, or equal recall. "
    "Dots mark the thresholds in use."
)
CALIBRATION = (
    "Calibration: how often what was said with a probability came true, in ten bins; a larger dot stands for more "
    "photographs, a bar is the 95 % interval (Wilson, over patients) of one run. On the dashed line a probability "
    "means what it says. Of a choice among classes: how often the answer was right. ECE: the mean distance from the "
    "line, over 15 bins. Chance alone lifts it above 0: “by chance” is the error of a grader whose probabilities are "
    "exactly right."
)


def curves(runs: RunSet) -> Section | None:
    """Of each output two curves, where its labels are of both kinds, and its calibration."""
    pictures, banded = [], False
    for key, rows in runs.outputs.items():
        drawn = _curve_pictures(key, rows, runs)
        pictures += drawn + _calibration_pictures(key, rows, runs)
        banded = banded or bool(drawn)
    title = "ROC curves, precision and recall, calibration"
    notes = [BANDS, CALIBRATION] if banded else [CALIBRATION]
    return section(title, Pictures(title, pictures, runs.styles, notes))


def _curve_pictures(key: str, rows: Sequence[Row], runs: RunSet) -> list[Picture]:
    """A line and a band for each name whose labels are of both kinds; no picture without any."""
    both = {
        name: [answers for _, answers in seeds]
        for name, seeds in runs.methods(key).items()
        if seeds[0][1].values.ndim == 1 and len(np.unique(seeds[0][1].labels)) == 2
    }
    if not both:
        return []
    roc, roc_axes = one_axes(f"{key}: ROC curves on test", height=3.6)
    roc_axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=CHANCE)
    roc_axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    precision, precision_axes = one_axes(f"{key}: precision and recall on test", height=3.6)
    positives = float(next(iter(both.values()))[0].labels.mean())
    precision_axes.axhline(positives, color=FAINT, linewidth=1, linestyle=CHANCE)
    precision_axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    numbers: list[dict[str, dict[str, list[float]]]] = [{}, {}]
    for name, seeds in both.items():
        values, style = np.stack([answers.values for answers in seeds]), runs.styles[name]
        labels, patients = seeds[0].labels, seeds[0].groups
        bands = roc_band(labels, values, patients), precision_band(labels, values, patients)
        # The highest sensitivity at a specificity holds on until the next one: a step.
        _draw(roc_axes, style, bands[0], "post", _roc_points(rows, name))
        _draw(precision_axes, style, bands[1], "pre", [_precision(one) for one in seeds if one.chosen.any()])
        for at, band in zip(numbers, bands, strict=True):
            at[name] = {part: [round(float(x), 5) for x in xs] for part, xs in asdict(band).items()}
    for axes in (roc_axes, precision_axes):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    precise = f"{_said(rows, 'average_precision')} Dashed: the share of positives, {positives:.3f}.".strip()
    return [
        Picture(svg_picture(roc), f"{key}: ROC curves on test.", _said(rows, "auroc"), data=numbers[0]),
        Picture(svg_picture(precision), f"{key}: precision and recall on test.", precise, data=numbers[1]),
    ]


def _draw(
    axes: "Axes", style: Style, band: Band, step: Literal["pre", "post"], points: Sequence[tuple[float, float]]
) -> None:
    """A curve with its band, and the points at the thresholds in use."""
    axes.step(band.x, band.value, where=step, color=style.color, linestyle=dashes(style), linewidth=1.8)
    if np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, step=step, color=style.color, alpha=0.13, linewidth=0)
    for x, y in points:
        axes.plot([x], [y], "o", color=style.color, markersize=7, markeredgecolor="white")


def _roc_points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    points = [(row.score("specificity").value, row.score("sensitivity").value) for row in rows if row.name == name]
    return [(1 - specificity, y) for specificity, y in points if specificity is not None and y is not None]


def _precision(answers: LabeledAnswers) -> tuple[float, float]:
    """Recall and precision at the threshold in use."""
    hits = float((answers.chosen * answers.labels).sum())
    return hits / float(answers.labels.sum()), hits / float(answers.chosen.sum())


def _said(rows: Sequence[Row], measure: str, beside: str = "") -> str:
    """The measure in words: with its interval for one run, from lowest to highest for several seeds of one name.

    A second measure may stand `beside` that of one run.
    """
    said = []
    for name in dict.fromkeys(row.name for row in rows):
        alike = [row for row in rows if row.name == name]
        values = [value for row in alike if (value := row.score(measure).value) is not None]
        if len(alike) == 1 and values:
            other = ratio(alike[0].score(beside))
            more = f", {title_of(beside).removeprefix(f'{title_of(measure)} ')} {other}" if other.text else ""
            said.append(f"{name}: {title_of(measure)} {ratio(alike[0].score(measure))}{more}")
        elif values:
            said.append(f"{name}: {title_of(measure)} {min(values):.3f} to {max(values):.3f} in {len(alike)} seeds")
    return f"{'; '.join(said)}." if said else ""


def _calibration_pictures(key: str, rows: Sequence[Row], runs: RunSet) -> list[Picture]:
    """The reliability diagram of one output: of a choice among classes, how often its answer was right.

    A bin holds the answers of all seeds; the interval of one seed's share is Wilson's, over patients.
    """
    methods = runs.methods(key)
    if not methods:
        return []
    title = f"{key}: calibration on test"
    figure, axes = one_axes(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=CHANCE)
    words = []
    for name, seeds in methods.items():
        answered, style = [answers for _, answers in seeds], runs.styles[name]
        yes_or_no = answered[0].values.ndim == 1
        stated = np.stack([one.values if yes_or_no else one.values.max(axis=1) for one in answered])
        right = np.stack([one.labels == 1 if yes_or_no else one.chosen == one.labels for one in answered])
        bins = np.minimum((stated * BINS).astype(int), BINS - 1)
        used = [number for number in range(BINS) if (bins == number).any()]
        x, y = ([float(values[bins == number].mean()) for number in used] for values in (stated, right))
        counts = [int((bins == number).sum()) for number in used]
        if len(answered) == 1:
            shares = [share(right[0][bins[0] == n], answered[0].groups[bins[0] == n]) for n in used]
            low, high = [one.low for one in shares], [one.high for one in shares]
            axes.vlines(x, low, high, color=style.color, linewidth=1.2, alpha=0.6)
        axes.plot(x, y, color=style.color, linestyle=dashes(style), linewidth=1.4)
        sizes = [12 + 90 * count / max(counts) for count in counts]
        axes.scatter(x, y, s=sizes, color=style.color, edgecolor="white", linewidth=0.7, zorder=3)
        shares_said = (f"{a:.2f} came true in {b:.2f} of {n}" for a, b, n in zip(x, y, counts, strict=True))
        words.append(f"{name}: {', '.join(shares_said)}")
    axes.set(xlabel="probability that was said", ylabel="share that came true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    said = _said(rows, "ece", beside="ece_by_chance")
    return [Picture(svg_picture(figure), f"{title}. {'; '.join(words)}.", said)]
