"""Figures 5a, 5b, 6a and 6b, accuracy over epochs, and the loss in training beside that on held-out photographs."""

from collections.abc import Sequence

import numpy as np

from semiretina.report.epoch_curves import Line, epoch_picture
from semiretina.report.paper.cells import CELLS
from semiretina.report.paper.figures import PaperFigure, lacking
from semiretina.report.paper.numbers import curves, majority
from semiretina.report.paper.study import Study, Trained
from semiretina.report.pictures import Picture, Reference, styles

TITLES = {
    "5a": "InceptionV3 and ResNet18, pretrained and not",
    "5b": "Res18, pretrained and not",
    "6a": "AECL1: three trainings",
    "6b": "AERes18: three trainings",
}
OVERFITTING = ("resnet18-scratch", "inceptionv3-scratch", "resnet18-pretrained", "inceptionv3-pretrained")


def curve_figures(study: Study) -> list[PaperFigure]:
    """Figures 5a, 5b, 6a and 6b."""
    return [_curve_figure(number, title, study) for number, title in TITLES.items()]


def _curve_figure(number: str, title: str, study: Study) -> PaperFigure:
    cells = [study.cells[name] for name, cell in CELLS.items() if number in cell.figures]
    look = styles([trained.cell.title for trained in cells])
    lines = []
    for trained in cells:
        seeds = [[value / 100 for value in curve] for curve in curves(trained.runs, study.role)]
        if any(seeds):
            chosen = [run.result["selected_epoch"] if study.role == "val" else None for run in trained.runs]
            kept = [(seed, at) for seed, at in zip(seeds, chosen, strict=True) if seed]
            name = trained.cell.title
            lines.append(Line(name, look[name], [seed for seed, _ in kept], [at for _, at in kept]))
    pictures = []
    if lines:
        papers = "; ".join(f"{t.cell.title} {t.cell.paper:g} ({t.cell.read_off})" for t in cells)
        pictures.append(
            epoch_picture(
                f"Figure {number}: accuracy on {_role_in_words(study)}",
                lines,
                "accuracy",
                logarithmic=False,
                reference=_majority_line(cells, study.role),
                caption=f"The paper's, in %: {papers}.",
            )
        )
    return PaperFigure(
        number, title, _reading(number, study), pictures, lacking(cells), {line.label: line.style for line in lines}
    )


def _majority_line(cells: Sequence[Trained], role: str) -> Reference:
    """The majority vote; validation photographs are drawn anew for each seed, so that theirs may differ a little."""
    votes = [vote for trained in cells for run in trained.runs if (vote := majority(run, role)) is not None]
    if not votes:
        return None
    words = "majority vote" if np.ptp(votes) < 0.01 else "majority vote, mean of the seeds"
    return words, float(np.mean(votes)) / 100


def _reading(number: str, study: Study) -> str:
    said = (
        "The test set is looked at after every epoch, as in the paper; nothing may be chosen by it (reading 31)."
        if study.role == "test"
        else "Accuracy on validation photographs: the test set is looked at once, after the number of epochs is chosen "
        "(reading 31); a dot marks that epoch, the last one where validation photographs are too few to choose by."
    )
    said += " Photographs are evaluated as they are; the paper turned them at random even then, which is noise (9)."
    if number.startswith("5"):
        if number == "5a":
            return f"{said} The paper tabulates none of these; its numbers were read off its figure (33)."
        return (
            f"{said} Res18, pretrained, is the baseline of AERes18 in table 2, whose decoder it leaves away; the "
            "number of the other was read off the figure (33)."
        )
    return (
        f"{said} “AE then CL” is drawn from the first epoch of its classifier. The paper counts the autoencoder's 60 "
        "epochs on the same axis: its flat beginning is an untrained classifier that always gives the larger class, "
        "135 of 238 photographs, and no effect of pretraining (26)."
        + (" The paper's own curves stem from two different lists of test photographs (4)." if number == "6a" else "")
    )


def loss_pictures(study: Study) -> list[Picture]:
    """Section 5.3's remark on overfitting: the loss of each baseline in training and on held-out photographs."""
    pictures = []
    for name in OVERFITTING:
        trained = study.cells[name]
        series = {"training": curves(trained.runs, "train", "loss")}
        series[_role_in_words(study)] = curves(trained.runs, study.role, "loss")
        look = styles(list(series))
        lines = [Line(words, look[words], [s for s in seeds if s]) for words, seeds in series.items() if any(seeds)]
        if len(lines) == len(series):
            caption = "Training: the mean over an epoch's steps, of turned and scaled photographs."
            drawing = epoch_picture(
                f"{trained.cell.title}: loss", lines, "loss", logarithmic=True, reference=None, caption=caption
            )
            pictures.append(drawing)
    return pictures


def _role_in_words(study: Study) -> str:
    return "test" if study.role == "test" else "validation"
