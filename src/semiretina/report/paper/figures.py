"""The paper's figures from the runs of a reproduction, each with a caption that says which reading it depends on."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semiretina.data.image import UnreadablePhotograph, read_mask, read_photograph
from semiretina.data.split import Split
from semiretina.records import LESIONS, Record
from semiretina.report.minibatch_schedule import schedule_pictures
from semiretina.report.paper.network_figure import built, network_picture
from semiretina.report.paper.study import Study, Trained
from semiretina.report.pictures import Picture, Style, data_uri
from semiretina.report.reconstructions import sample_grids
from semiretina.report.section import Table
from semiretina.report.share import source_of

PHOTOGRAPH = 800  # side of figure 1, in pixels
LESION_NAMES = {"MA": "microaneurysms", "HE": "haemorrhages", "EX": "hard exudates", "SE": "soft exudates"}
# Outlines on orange: light colours, told apart by colour-blind readers too.
LESION_COLORS = {"MA": "#56B4E9", "HE": "#F0E442", "EX": "#00E6A0", "SE": "#FFFFFF"}
AUTOENCODERS = {"AECL1": "aecl1", "AERes18": "aeres18"}


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper: its pictures, what is not drawn and why, and what it depends on, in words."""

    number: str
    title: str
    reading: str
    pictures: Sequence[Picture] = ()
    holes: Sequence[str] = ()  # a sentence each
    look: Mapping[str, Style] = field(default_factory=dict)  # of the lines, for a legend
    legend: Sequence[tuple[str, str]] = ()  # (colour, words) of what is outlined
    grids: Sequence[Table] = ()
    wide: bool = False  # one picture as wide as the page


def lesion_figure(split: Split | None, share: bool = False) -> PaperFigure:
    """Figure 1: the photograph with the most kinds of outlined lesions, else one of the highest grade.

    With `share` a sentence stands in its place.
    """
    figure = PaperFigure(
        "1",
        "A photograph with its lesions",
        "The abbreviations are IDRiD's: MA microaneurysms, HE haemorrhages, EX hard exudates, SE soft exudates; the "
        "paper writes HE for two of them (reading 35).",
    )
    graded = [] if split is None else [r for r in split.records if r.grade is not None and r.quality != "ungradable"]
    if not graded:
        return replace(figure, holes=["No run has a labelled photograph yet."])
    outlined = max(len(_masks(record)) for record in graded)
    # `max` takes the first of equals, so the same split always shows the same photograph.
    record = max(graded, key=lambda r: (len(_masks(r)), r.grade or 0))
    if share:
        what = "with its lesions outlined" if outlined else "of the highest grade"
        return replace(figure, holes=[_left_out(f"One photograph {what}", "stands", split)])
    try:
        pixels, box = read_photograph(record.path, PHOTOGRAPH)
        masks = {name: read_mask(file, box, PHOTOGRAPH) for name, file in _masks(record).items()}
    except (OSError, UnreadablePhotograph) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return replace(figure, holes=[f"{record.path.name} or its masks cannot be read any more: {reason}."])
    said = f"{record.path.name}, grade {record.grade} ({record.scale})"
    if not outlined:
        caption = f"{said}, a photograph of the highest grade: this data set has no outlines of lesions."
        return replace(figure, pictures=[Picture(_jpeg(pixels), f"Photograph {said}.", caption)])
    counted = {name: _outline(pixels, mask, LESION_COLORS[name]) for name, mask in masks.items()}
    legend = [(LESION_COLORS[name], f"{name}, {LESION_NAMES[name]}: {number}") for name, number in counted.items()]
    alt = f"Photograph {said}, outlined: {', '.join(f'{n} {LESION_NAMES[name]}' for name, n in counted.items())}."
    return replace(figure, pictures=[Picture(_jpeg(pixels), alt, said)], legend=legend)


def network_figures(study: Study) -> PaperFigure:
    """Figure 2: both autoencoders, as the runs built them."""
    pictures, holes = [], []
    for title, start in AUTOENCODERS.items():
        trainings = [t for name, t in study.cells.items() if name.startswith(start) and t.cell.training != "baseline"]
        run = next((run for trained in trainings for run in trained.runs), None)
        if run is None:
            holes.append(f"{title}: {trainings[0].hole}.")
        else:
            pictures.append(network_picture(title, built(run.config)))
    return PaperFigure(
        "2",
        "The networks as they were built",
        "Channels@side² of every map after its halving or doubling. The paper draws AECL1 with eight levels, from "
        "128@256² to 4096@2², at 512 pixels (reading 11); its decoder has no pooling, which cannot be undone (12); "
        "kernels of two leave seams and stand in the preset paper alone (13). What AERes18's decoder reads, the "
        "average-pooled features or the map before it, is not in the text (15), nor whether a ReLU follows the four "
        "units (16).",
        pictures,
        holes,
        wide=True,
    )


def schedule_figure(study: Study) -> PaperFigure:
    """Figure 3: the first seed of either combined training."""
    combined = [study.cells[f"{start}-combined"] for start in AUTOENCODERS.values()]
    runs = [trained.runs[0] for trained in combined if trained.runs]
    return PaperFigure(
        "3",
        "The schedule of combined training",
        "A row is an epoch, a column a minibatch. White: unlabelled. Coloured: labelled, by the classifier's loss; "
        "grey: past the end. Minibatches of either kind are shuffled in proportion to the two sets (reading 27), so "
        "with few labels few updates see one. The unlabelled set is split like the labelled one (3), which decides how "
        "many minibatches an epoch has. The paper draws 80 epochs (28).",
        schedule_pictures(runs),
        lacking(combined),
    )


def reconstruction_figure(study: Study, share: bool = False) -> PaperFigure:
    """Figure 4: the first seed of every training with a decoder; with `share` a sentence stands in its place."""
    decoders = [t for name, t in study.cells.items() if name.startswith(tuple(AUTOENCODERS.values())) and _decodes(t)]
    runs = [trained.runs[0] for trained in decoders if trained.runs]
    holes = lacking(decoders)
    if share and runs:
        what = f"Test photographs, and what the decoders of {' and '.join(run.name for run in runs)} made of them,"
        holes = [_left_out(what, "stand", runs[0].split()), *holes]
    return PaperFigure(
        "4",
        "Originals beside reconstructions",
        "Test photographs as the network sees them, cropped to the field of view (reading 8), and what each decoder "
        "made of them when its own training ended. Seams with a period of 16 pixels come from kernels that do not "
        "overlap, as in the preset paper (13); through AERes18's pooled bottleneck passes a photograph as 512 numbers "
        "(15). A mean squared error (equation 1) is small without any small lesion in the picture (25).",
        holes=holes,
        grids=[]
        if share
        else sample_grids(runs, "In the rows: what came out.", "None of these trainings has a decoder."),
    )


def lacking(trainings: Sequence[Trained]) -> list[str]:
    """A sentence for each training that has no number, or lacks a seed."""
    return [f"{t.cell.title}: {t.hole or t.note}." for t in trainings if t.hole or t.note]


def _left_out(what: str, verb: str, split: Split | None) -> str:
    """The sentence in a picture's place: what it shows, and how who may see it gets it."""
    names = dict.fromkeys(record.dataset for record in split.records) if split else {}
    where = [f"{name}: {source.get}" for name in names if (source := source_of(name)) and not source.redistributable]
    got = f" ({'; '.join(where)})" if where else ""
    return (
        f"{what} {verb} here in the page that the same command writes with --no-share, for whoever has the "
        f"photographs{got}; this page may be passed on and leaves them out."
    )


def _decodes(trained: Trained) -> bool:
    return trained.cell.training != "baseline"


def _masks(record: Record) -> dict[str, Path]:
    files = {name: getattr(record, f"mask_{name}") for name in LESIONS}
    return {name: file for name, file in files.items() if file}


def _outline(pixels: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], color: str) -> int:
    """Draws a line around every lesion, a little outside, so that the smallest stay visible; how many there are."""
    from scipy.ndimage import binary_dilation, label  # noqa: PLC0415

    near, far = (binary_dilation(mask, iterations=steps) for steps in (2, 4))
    pixels[far & ~near] = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    return int(label(mask, np.ones((3, 3)))[1])


def _jpeg(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image  # noqa: PLC0415

    out = io.BytesIO()
    image: Image.Image = Image.fromarray(pixels)
    image.save(out, "JPEG", quality=90, subsampling=0)
    return data_uri(out.getvalue(), "image/jpeg")
