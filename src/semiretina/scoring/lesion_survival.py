"""Which lesions survive reconstruction.

A lesion, one 8-connected component of a mask, survives when the reconstruction shows at least half of its contrast to
its surroundings, with the same sign. An error averaged over the photograph says little of that: microaneurysms cover a
ten-thousandth of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from semiretina.scoring.intervals import Estimate, group_numbers, share

Picture = npt.NDArray[np.floating]  # [h, w, 3] RGB in [0, 1]
Mask = npt.NDArray[np.bool_]  # [h, w]

GREEN = 1  # where lesions differ most from the retina: haemoglobin absorbs green, and red is nearly saturated
GAP, REACH = 1, 4  # the ring lies more than GAP and at most REACH pixels off: a mask's edge is mixed with its ground
LEAST_RING = 8  # pixels
LEAST_CONTRAST = 2 / 255  # two steps of the stored photograph
STANDARD_ERRORS = 2.0
DARK = 20 / 255  # the field of view is where the brightest channel is above this
SURVIVING_SHARE = 0.5
ANY_NEIGHBOR = np.ones((3, 3), np.bool_)

# size class: its least area in pixels
SIZES = {"1-9": 1, "10-29": 10, "30-99": 30, "100+": 100}


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion: its type, area in pixels, contrast before and after, and whether it survives.

    Contrasts are in [-1, 1]. `survives` is None where the original's contrast cannot be measured: its ring has fewer
    than 8 pixels (`contrast` is NaN then), or it does not stand out from what the ring's own spread lets one expect.
    """

    type: str
    pixels: int
    contrast: float
    contrast_after: float
    survives: bool | None


@dataclass(frozen=True, slots=True)
class Survival:
    """The lesions of one type and size class: how many, how many measurable, which share of these survives.

    `sizes` is "1-9", "100+" or "all". The interval is Wilson's, the lesions of a photograph counting as a group.
    """

    type: str
    sizes: str
    lesions: int
    measurable: int
    surviving: Estimate


def lesion_survival(original: Picture, reconstruction: Picture, masks: Mapping[str, Mask]) -> list[Lesion]:
    """The lesions of one photograph, by type and then from top to bottom.

    Contrast is the mean of the green channel inside the lesion minus that in its ring, 2 to 4 px off, without pixels of
    any lesion and outside the field of view of the original.
    """
    ground = ~np.logical_or.reduce(list(masks.values())) & (original.max(axis=2) > DARK) if masks else None
    before, after = original[..., GREEN].astype(np.float64), reconstruction[..., GREEN].astype(np.float64)
    lesions = []
    for name, mask in masks.items():
        assert ground is not None
        labels, _ = ndimage.label(mask, ANY_NEIGHBOR)
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            around = tuple(slice(max(0, side.start - REACH), side.stop + REACH) for side in box)
            inside = labels[around] == number
            near = ndimage.binary_dilation(inside, ANY_NEIGHBOR, GAP)
            ring = ndimage.binary_dilation(inside, ANY_NEIGHBOR, REACH) & ~near & ground[around]
            lesions.append(_lesion(name, before[around], after[around], inside, ring))
    return lesions


def _lesion(name: str, before: Picture, after: Picture, inside: Mask, ring: Mask) -> Lesion:
    pixels, around = int(inside.sum()), int(ring.sum())
    if around < LEAST_RING:
        return Lesion(name, pixels, nan, nan, None)
    contrast = float(before[inside].mean() - before[ring].mean())
    contrast_after = float(after[inside].mean() - after[ring].mean())
    noise = STANDARD_ERRORS * float(before[ring].std()) * sqrt(1 / pixels + 1 / around)
    measurable = abs(contrast) >= max(LEAST_CONTRAST, noise)
    # As a product, so that a contrast of the other sign is never enough.
    kept = contrast_after * contrast >= SURVIVING_SHARE * contrast**2
    return Lesion(name, pixels, contrast, contrast_after, kept if measurable else None)


def survival_table(photographs: Sequence[Sequence[Lesion]]) -> list[Survival]:
    """The lesions of many photographs by type, each type in size classes and as a whole; empty classes are left out."""
    every = [(lesion, str(number)) for number, lesions in enumerate(photographs) for lesion in lesions]
    table = []
    for name in dict.fromkeys(lesion.type for lesion, _ in every):
        of_type = [(lesion, photograph) for lesion, photograph in every if lesion.type == name]
        classes = {sizes: [pair for pair in of_type if size_class(pair[0].pixels) == sizes] for sizes in SIZES}
        for sizes, members in {**classes, "all": of_type}.items():
            if not members:
                continue
            known = [(lesion.survives, photograph) for lesion, photograph in members if lesion.survives is not None]
            hits = np.array([survives for survives, _ in known], np.bool_)
            surviving = share(hits, group_numbers([photograph for _, photograph in known]))
            table.append(Survival(name, sizes, len(members), len(known), surviving))
    return table


def size_class(pixels: int) -> str:
    """The class in `SIZES` of a lesion of so many pixels."""
    return [sizes for sizes, least in SIZES.items() if pixels >= least][-1]
