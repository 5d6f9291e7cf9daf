"""What people hand to a grader: files, folders and manifests, pictures in memory; and what is none of these."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.data.image import SUFFIXES, photographs_in
from semiretina.errors import BadData, MissingInput
from semiretina.records import read_manifest

Photograph = Path | Image.Image
Images = str | Path | Image.Image | npt.NDArray[np.uint8] | Iterable[str | Path | Image.Image | npt.NDArray[np.uint8]]
WANTED = "give a path, a PIL image, or a uint8 array [height, width, 3] in RGB"


def find_files(inputs: Sequence[Path]) -> Iterator[Path]:
    """The photographs that are meant: files as they are, folders searched whole, manifests row by row.

    A name like a photograph's is one, there or not: it gets its rows in the table. Raises MissingInput that names
    all others that are not there.
    """
    missing = [path for path in inputs if path.suffix.lower() not in (*SUFFIXES, ".csv") and not path.exists()]
    if missing:
        raise MissingInput(f"{', '.join(map(str, missing))}: no such photograph, folder or manifest; check the path")
    for path in inputs:
        if path.is_dir():
            files = photographs_in(path, "**/*")
            if not files:
                raise MissingInput(f"{path}: no photograph in this folder (looked for {', '.join(SUFFIXES)})")
            yield from files
        elif path.suffix.lower() == ".csv":
            yield from (record.path for record in read_manifest(path))
        else:
            yield path


def find_photographs(images: Images) -> list[Photograph]:
    """The photographs of one input, or of several: `find_files` of paths, pictures of PIL and arrays (`pictures_of`).

    Raises MissingInput for what is not there, BadData for what is no photograph.
    """
    one = isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.dtype.kind != "U")
    given: list[Any] = [images] if one else list(images) if isinstance(images, Iterable) else [images]
    photographs: list[Photograph] = []
    for image in given:
        if isinstance(image, (str, Path)):
            photographs += find_files([Path(image)])
        elif isinstance(image, Image.Image):
            photographs.append(image)
        elif isinstance(image, np.ndarray):
            photographs += pictures_of(image)
        else:
            raise BadData(f"photograph {len(photographs)}: a {type(image).__name__} is none; {WANTED}")
    return photographs


def pictures_of(array: npt.NDArray[Any]) -> list[Image.Image]:
    """Pictures of an array: uint8 [h, w, 3], [h, w] in grey, [h, w, 4] with its transparent parts over black.

    [n, h, w, 3] are n. Raises BadData that names what to do for another shape, order of the axes, type or range.
    """
    shape = f"an array of shape ({', '.join(map(str, array.shape))})"
    if array.dtype != np.uint8:
        raise BadData(f"an array of {array.dtype}: pixels are uint8 from 0 to 255; {_conversion(array)}")
    if not array.size or array.ndim not in (2, 3, 4):
        raise BadData(f"{shape} is no photograph; {WANTED}")
    channels = 3 if array.ndim == 2 else array.shape[-1]
    if channels not in (1, 3, 4):
        first = array.shape[array.ndim - 3]
        axes = "1, 2, 0" if array.ndim == 3 else "0, 2, 3, 1"
        advice = f"the colours come last: array.transpose({axes})" if first in (1, 3, 4) else WANTED
        raise BadData(f"{shape} has no colours in its last axis; {advice}")
    pictures = array if array.ndim == 4 else array[np.newaxis]
    return [Image.fromarray(picture[..., 0] if channels == 1 else picture) for picture in pictures]


def _conversion(array: npt.NDArray[Any]) -> str:
    """How an array of another type becomes uint8."""
    if array.dtype.kind == "f":
        top = float(np.nanmax(array)) if array.size else 0.0
        return f"convert it: ({'255 * ' if top <= 1 else ''}array).round().astype(np.uint8)"
    if array.dtype == np.uint16:
        return "of 16 bits take (array / 257).round().astype(np.uint8)"
    return "convert it with array.astype(np.uint8), once its values lie in that range"
