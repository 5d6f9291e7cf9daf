"""The vessels of a drawn retina: four arcades of an artery and a vein each, which branch and taper away from the disc.

Everything is in units of the field's radius, in a right eye as the camera sees it: nose and optic disc to the right
(+x), y down.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float64]

# Control points of the arcades, relative to the disc's centre: superior and inferior temporal, which arch round the
# macula, superior and inferior nasal.
_ARCADES = np.array(
    [
        [[0.0, 0.0], [0.10, -0.40], [-0.46, -0.84], [-1.40, -0.36]],
        [[0.0, 0.0], [0.10, 0.40], [-0.46, 0.90], [-1.40, 0.46]],
        [[0.0, 0.0], [0.16, -0.16], [0.24, -0.34], [0.42, -0.80]],
        [[0.0, 0.0], [0.16, 0.16], [0.26, 0.34], [0.44, 0.80]],
    ]
)
_STEPS = 28


@dataclass(frozen=True, slots=True)
class Tree:
    """One generation of vessels, n polylines."""

    points: Array  # [n, steps, 2]
    widths: Array  # [n, steps], over the diameter of the field
    dark: Array  # [n] in (0, 1], how much light they take


def grow(rng: np.random.Generator, disc: Array, density: float, tortuosity: float) -> list[Tree]:
    """The vessels that leave `disc` [2], generation by generation: trunks, branches, twigs.

    `density` scales the number of branches (1 = usual), `tortuosity` how much they wind (1 = usual).
    """
    trunks = _trunks(rng, disc, tortuosity)
    branches = _branch(rng, trunks, round(7 * density), (0.35, 0.75), (0.42, 0.62), tortuosity)
    twigs = _branch(rng, branches, max(1, round(3 * density)), (0.15, 0.4), (0.5, 0.75), tortuosity)
    return [trunks, branches, twigs]


def draw(trees: list[Tree], mirror: bool, diameter: float, width: int, blur: float) -> npt.NDArray[np.float32]:
    """How much of each pixel's light the vessels take, float32 [width, width] in [0, 1].

    The field of view has `diameter` pixels and is centred; `mirror` turns the right eye into a left one; `blur` is in
    pixels.
    """
    over = 2 if width <= 512 else 1  # drawn twice as large: a line's width is a whole number of pixels there
    canvas = Image.new("L", (width * over, width * over))
    pen = ImageDraw.Draw(canvas)
    scale = np.array([-1.0 if mirror else 1.0, 1.0]) * diameter * over / 2
    for tree, pieces in zip(reversed(trees), (1, 2, 5), strict=True):  # the thick ones lie on top of their branches
        pixels = tree.points * scale + width * over / 2
        cuts = np.linspace(0, pixels.shape[1] - 1, pieces + 1).astype(int).tolist()
        for start, stop in pairwise(cuts):
            paths = pixels[:, start : stop + 1].reshape(len(pixels), -1).tolist()
            widths = tree.widths[:, start : stop + 1].mean(axis=1) * (diameter * over)
            whole = np.maximum(1, np.rint(widths))
            fills = np.rint(255 * tree.dark * np.minimum(1.0, widths / whole))
            for path, fill, thick in zip(paths, fills.astype(int).tolist(), whole.astype(int).tolist(), strict=True):
                pen.line(path, fill=fill, width=thick)
                if thick >= 6:  # the light that a broad vessel's wall throws back
                    pen.line(path, fill=round(0.75 * fill), width=thick // 4)
    if over > 1:
        canvas = canvas.reduce(over)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(blur)), np.float32) / np.float32(255)


def _trunks(rng: np.random.Generator, disc: Array, tortuosity: float) -> Tree:
    t = np.linspace(0, 1, _STEPS)[:, None]
    control = np.repeat(_ARCADES, 2, axis=0)  # [8, 4, 2]: an artery and a vein along each arcade
    control = control + rng.normal(0, 1, control.shape) * np.array([0.012, 0.05, 0.09, 0.12])[:, None]
    control[::2, 1:3] *= 0.9  # arteries run a little inside the veins
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])[..., 0]  # [4, steps]
    points = np.einsum("ks,nkd->nsd", weights, control) + disc
    across = np.gradient(points, axis=1)[..., ::-1] * np.array([-1, 1])
    across /= np.linalg.norm(across, axis=2, keepdims=True)
    phase, waves = rng.uniform(0, 2 * np.pi, (8, 1)), rng.uniform(2, 4.5, (8, 1))
    sway = 0.016 * tortuosity * np.sin(2 * np.pi * waves * t[:, 0] + phase) * np.minimum(1, 4 * t[:, 0])
    artery = np.arange(8) % 2 == 0
    first = np.where(artery, 0.0105, 0.0140) * rng.uniform(0.85, 1.15, 8) * np.repeat([1.0, 1.0, 0.75, 0.75], 2)
    return Tree(points + across * sway[..., None], first[:, None] * (1 - 0.6 * t[:, 0]), np.where(artery, 0.68, 1.0))


def _branch(
    rng: np.random.Generator,
    parent: Tree,
    count: int,
    lengths: tuple[float, float],
    narrower: tuple[float, float],
    tortuosity: float,
) -> Tree:
    n, steps = parent.widths.shape
    spread = (np.arange(count) + rng.uniform(0.1, 0.9, (n, count))) / count
    at = np.minimum((0.12 + 0.86 * spread) * (steps - 1), steps - 2).astype(int)  # [n, count] where they leave
    who = np.repeat(np.arange(n), count)
    at = at.ravel()
    along = parent.points[who, at + 1] - parent.points[who, at]
    odd = np.arange(n * count) % 2 == 1
    side = np.where(odd ^ (rng.random(n * count) < 0.15), 1.0, -1.0)  # mostly alternating
    heading = np.arctan2(along[:, 1], along[:, 0]) + side * rng.uniform(0.45, 1.1, n * count)
    steps = 14
    bend = -side[:, None] * rng.uniform(0.0, 1.1, (n * count, 1)) / steps  # back towards the parent's direction
    wind = rng.normal(0, 0.13 * tortuosity, (n * count, steps - 1))
    headings = heading[:, None] + np.cumsum(bend + wind, axis=1)
    length = rng.uniform(*lengths, (n * count, 1)) / steps
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=2) * length[..., None]
    start = parent.points[who, at][:, None]
    points = np.concatenate([start, start + np.cumsum(moves, axis=1)], axis=1)
    first = parent.widths[who, at] * rng.uniform(*narrower, n * count)
    taper = first[:, None] * np.linspace(1, 0.45, steps)
    return Tree(points, taper, parent.dark[who])
