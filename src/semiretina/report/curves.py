"""The ROC, precision-recall and calibration curves of each output."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from semiretina.report.columns import ratio, title_of
from semiretina.report.labeled_answers import LabeledAnswers
from semiretina.report.pictures import FAINT, Picture, Style, dashes, one_axes, svg_picture
from semiretina.report.results import Row
from semiretina.report.run_set import RunSet
from semiretina.report.section import Pictures, Section, section
from semiretina.scoring.curves import Band, precision_band, roc_band
from semiretina.scoring.intervals import Floats, Ints, share

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
    "line, over 15 bins; chance alone lifts it above 0."
)


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


def curves(runs: RunSet) -> Section | None:
    """Of each output two curves, where its labels are of both kinds, and its calibration."""
    pictures, banded = [], False
    for key, rows in runs.outputs.items():
        drawn = _curve_pictures(key, rows, runs)
        calibrated = _calibration_picture(key, rows, runs)
        pictures += [*drawn, *([calibrated] if calibrated else [])]
        banded = banded or bool(drawn)
    if not pictures:
        return None
    title = "ROC curves, precision and recall, calibration"
    notes = [BANDS, CALIBRATION] if banded else [CALIBRATION]
    return section(title, Pictures(title, pictures, runs.styles, notes))


def _curve_pictures(key: str, rows: Sequence[Row], runs: RunSet) -> list[Picture]:
    """A line and a band for each name; none without labels of both kinds."""
    roc, precise, numbers, positives = [], [], {}, 0.0
    for name, seeds in runs.methods(key).items():
        labels, patients = seeds[0][1].labels, seeds[0][1].groups
        if seeds[0][1].values.ndim == 1 and len(set(labels.tolist())) == 2:
            values, style = np.stack([answers.values for _, answers in seeds]), runs.styles[name]
            bands = roc_band(labels, values, patients), precision_band(labels, values, patients)
            roc.append(Curve(style, bands[0], _points(rows, name)))
            precise.append(Curve(style, bands[1], [_precision(a) for _, a in seeds if a.chosen.any()]))
            numbers[name] = bands
            positives = positives or float(labels.mean())
    if not roc:
        return []
    return [
        _roc_picture(key, roc, _said(rows, "auroc"), {name: _numbers(band) for name, (band, _) in numbers.items()}),
        _precision_picture(
            key, precise, positives, _said(rows, "average_precision"), {n: _numbers(b) for n, (_, b) in numbers.items()}
        ),
    ]


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    points = [(row.score("specificity").value, row.score("sensitivity").value) for row in rows if row.name == name]
    return [(1 - specificity, y) for specificity, y in points if specificity is not None and y is not None]


def _precision(answers: LabeledAnswers) -> tuple[float, float]:
    """Recall and precision at the threshold in use."""
    hits = float((answers.chosen * answers.labels).sum())
    return hits / float(answers.labels.sum()), hits / float(answers.chosen.sum())


def _numbers(band: Band) -> dict[str, list[float]]:
    return {name: [round(float(x), 5) for x in values] for name, values in asdict(band).items()}


def _said(rows: Sequence[Row], measure: str) -> str:
    """The measure in words: with its interval for one run, from lowest to highest for several seeds of one name."""
    said = []
    for name in dict.fromkeys(row.name for row in rows):
        scores = [row.score(measure) for row in rows if row.name == name]
        values = [one.value for one in scores if one.value is not None]
        if len(scores) == 1 and values:
            said.append(f"{name}: {title_of(measure)} {ratio(scores[0])}")
        elif values:
            said.append(f"{name}: {title_of(measure)} {min(values):.3f} to {max(values):.3f} in {len(scores)} seeds")
    return "".join(f"{'; '.join(said)}." if said else "")


def _roc_picture(key: str, curves: Sequence[Curve], said: str, numbers: Mapping[str, Any]) -> Picture:
    title = f"{key}: ROC curves on test"
    figure, axes = one_axes(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=CHANCE)
    for curve in curves:
        # The highest sensitivity at a specificity holds on until the next one: a step.
        _draw(axes, curve, step="post")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    return Picture(svg_picture(figure), f"{title}.", said, data=numbers)


def _precision_picture(
    key: str, curves: Sequence[Curve], positives: float, said: str, numbers: Mapping[str, Any]
) -> Picture:
    """`positives` is their share, which is chance's precision."""
    title = f"{key}: precision and recall on test"
    figure, axes = one_axes(title, height=3.6)
    axes.axhline(positives, color=FAINT, linewidth=1, linestyle=CHANCE)
    for curve in curves:
        _draw(axes, curve, step="pre")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    caption = f"{said} Dashed: the share of positives, {positives:.3f}.".strip()
    return Picture(svg_picture(figure), f"{title}.", caption, data=numbers)


def _draw(axes: "Axes", curve: Curve, step: Literal["pre", "post"]) -> None:
    band, color = curve.band, curve.style.color
    axes.step(band.x, band.value, where=step, color=color, linestyle=dashes(curve.style), linewidth=1.8)
    if np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, step=step, color=color, alpha=0.13, linewidth=0)
    for x, y in curve.points:
        axes.plot([x], [y], "o", color=color, markersize=7, markeredgecolor="white")


def _calibration_picture(key: str, rows: Sequence[Row], runs: RunSet) -> Picture | None:
    """The reliability diagram of one output: of a choice among classes, how often its answer was right."""
    diagrams = []
    for name, seeds in runs.methods(key).items():
        answered = [answers for _, answers in seeds]
        if answered[0].values.ndim == 1:
            stated, hits = [a.values for a in answered], [a.labels == 1 for a in answered]
        else:
            stated, hits = [a.values.max(axis=1) for a in answered], [a.chosen == a.labels for a in answered]
        groups = answered[0].groups
        diagrams.append(_reliability(name, runs.styles[name], np.stack(stated), np.stack(hits), groups))
    return _reliability_picture(f"{key}: calibration on test", diagrams, _said(rows, "ece")) if diagrams else None


def _reliability(name: str, style: Style, stated: Floats, hits: npt.NDArray[np.bool_], patients: Ints) -> Reliability:
    """Bins over [s, n] answers of s seeds together; the interval of one seed's share is Wilson's, over patients."""
    bins = np.minimum((stated * BINS).astype(int), BINS - 1)
    used = [k for k in range(BINS) if (bins == k).any()]
    low, high = np.full(len(used), np.nan), np.full(len(used), np.nan)
    for number, k in enumerate(used):
        if len(stated) == 1:
            here = bins[0] == k
            estimate = share(hits[0][here], patients[here])
            low[number], high[number] = estimate.low, estimate.high
    return Reliability(
        name,
        style,
        np.array([stated[bins == k].mean() for k in used]),
        np.array([hits[bins == k].mean() for k in used]),
        low,
        high,
        [int((bins == k).sum()) for k in used],
    )


def _reliability_picture(title: str, diagrams: Sequence[Reliability], said: str) -> Picture:
    """What came true over what was said; a dot grows with the number of photographs in its bin."""
    figure, axes = one_axes(title, height=3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=CHANCE)
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
    return Picture(svg_picture(figure), f"{title}. {'; '.join(words)}.", said)
