"""Photographs that came inside another file, written once as PNG, since records point to files that Pillow reads."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from semiretina.files import write_bytes


def write_png(pixels: npt.NDArray[np.uint8], file: Path) -> None:
    """Writes uint8 [height, width, 3] or [height, width] in one step, see `write_bytes`; a file that stands is kept.

    So the name must tell one content from another.
    """
    if file.exists():
        return
    content = io.BytesIO()
    # Level 1: a photograph is noise to the compressor, so that the higher levels cost seconds and gain little.
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    write_bytes(file, content.getvalue())
