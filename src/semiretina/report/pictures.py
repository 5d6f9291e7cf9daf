"""The plumbing of pictures: axes of one look, colours, and a drawing or a photograph as text that stands in a page.

Drawn with matplotlib's objects, never with pyplot's global state, and imported inside the functions, because
matplotlib takes long to import.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (jfly.uni-koeln.de/color), told apart by colour-blind readers; their yellow is lost on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "6 2", "2 2", "8 2 2 2", "1 1.5")  # lengths in line widths, as SVG and matplotlib read them
PHOTOGRAPH = 320  # largest side of an embedded photograph, in pixels
INK, FAINT = "#222222", "#767676"

Reference = tuple[str, float] | None  # a level to compare with, and what it is called


class Style(NamedTuple):
    """How the lines of one name look in every picture."""

    color: str
    dash: str


@dataclass(frozen=True)
class Picture:
    """A picture in a page: its data URI, what it shows in words, and its caption, which `title` opens in bold.

    `data` are the numbers that it draws, for JSON; `beside` are further pictures under the same caption.
    """

    src: str
    alt: str
    caption: str = ""
    title: str = ""
    data: Mapping[str, Any] | None = None
    beside: "Sequence[Picture]" = ()


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each name; either tells the first five apart."""
    return {
        name: Style(COLORS[i % len(COLORS)], DASHES[i % len(DASHES)]) for i, name in enumerate(dict.fromkeys(names))
    }


def photograph(file: Path) -> str:
    """A stored photograph as a data URI, at most `PHOTOGRAPH` pixels wide."""
    from PIL import Image  # noqa: PLC0415

    out = io.BytesIO()
    with Image.open(file) as image:
        image.thumbnail((PHOTOGRAPH, PHOTOGRAPH))
        image.convert("RGB").save(out, "JPEG", quality=92, subsampling=0)
    return data_uri(out.getvalue(), "image/jpeg")


def one_axes(title: str, height: float = 3.0) -> "tuple[Figure, Axes]":
    """One axes with its title; `height` in inches."""
    figure, [axes] = stacked_axes(title, height, 1)
    return figure, axes


def stacked_axes(title: str, height: float, count: int) -> "tuple[Figure, list[Axes]]":
    """Axes one under the other, over the same x."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches
    figure = Figure(figsize=(4.2, height), layout=layout, facecolor="white")
    made = list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])
    made[0].set_title(short(title, 44), fontsize=10.5, color=INK)
    for axes in made:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
    return figure, made


def svg_picture(figure: "Figure") -> str:
    """A drawing as a data URI; the same numbers give the same bytes."""
    from matplotlib import rc_context  # noqa: PLC0415

    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "semiretina"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return data_uri(out.getvalue(), "image/svg+xml")


def data_uri(content: bytes, kind: str) -> str:
    """Content as text that stands in a page; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def dashes(style: Style) -> tuple[int, tuple[float, ...]] | str:
    """A style's dashes as matplotlib takes them."""
    return (0, tuple(float(length) for length in style.dash.split())) if style.dash else "-"


def short(label: str, most: int = 22) -> str:
    """A label cut to `most` letters, for matplotlib's axes."""
    # matplotlib reads what stands between dollars as a formula.
    return (label if len(label) <= most else f"{label[: most - 1]}…").replace("$", r"\$")
