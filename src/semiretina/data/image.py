"""Reads one photograph: upright, eight bits of RGB, cropped to the square of the field of view, resized.

`DECODER_VERSION` is part of the pixel cache's name: it goes up whenever the same file would give other pixels or
another box.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from semiretina.data.field_of_view import find_disc

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the upright original; may reach outside it
Pixels = npt.NDArray[np.uint8]

DECODER_VERSION = 1
FILTER = "lanczos"
CROPS = ("field-of-view", "none")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")  # by which photographs are found
MAX_PIXELS = 100_000_000

# How much larger than the output a photograph still is when the filter runs over it; coarser steps before are cheap.
GAP = 2.0

# The plugins themselves, not `Image.open`: its bomb guard is a module global that other users of Pillow own, and warns
# where we refuse. What `_upright_rgb` and `_open` check replaces it.
PLUGINS: tuple[tuple[bytes, Callable[[io.BytesIO], Image.Image]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"II\x2a\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00\x2a", TiffImagePlugin.TiffImageFile),
    (b"II\x2b\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00\x2b", TiffImagePlugin.TiffImageFile),
)

# EXIF orientation: what turns the stored picture upright (Exif 2.32, tag 0x0112).
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadablePhotograph(ValueError):
    """A file that holds no photograph we can use. The message is the reason, without the path."""


def photographs_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The folder's files that are photographs by their name, sorted; the pattern "**/*" searches its subfolders too."""

    def wanted(file: Path) -> bool:
        # A Mac leaves "._name.jpg" beside name.jpg, and viewers keep their thumbnails in hidden folders.
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()

    return sorted(file for file in folder.glob(pattern) if wanted(file))


def read_photograph(file: Path | bytes | Image.Image, size: int, crop: str = "field-of-view") -> tuple[Pixels, Box]:
    """A photograph as uint8 [size, size, 3] RGB and the square of the original that it shows.

    `crop` is "field-of-view", the bounding square of the bright disc, or "none", the whole photograph. Where the square
    reaches outside the photograph it is black. A photograph without a field of view that stands out (no dark
    surround, nothing but black) is shown whole: nothing is lost. Of a file with several pictures, the first counts.

    `file` may be the file's content, or a picture of Pillow's, which gives what a PNG file of its pixels would. Raises
    UnreadablePhotograph, and OSError when the file cannot be opened.
    """
    assert crop in CROPS, crop
    data = file.read_bytes() if isinstance(file, Path) else file
    # The disc is hardly ever smaller than the shorter side; where it is, the photograph is decoded again, finer.
    image, scale, full = _decode(data, lambda width, height: min(width, height) / (GAP * size))
    disc = find_disc(image) if crop == "field-of-view" else None
    if disc is None:
        box = _whole(*full)
    else:
        side = max(1, round(2 * disc.radius * scale))
        left, top = round((disc.x - disc.radius) * scale), round((disc.y - disc.radius) * scale)
        box = (left, top, left + side, top + side)
        if scale > 1 and side / scale < GAP * size:
            image, scale, full = _decode(data, lambda width, height: side / (GAP * size))
    return _resize(image, box, scale, full, size), box


def read_mask(file: Path, box: Box, size: int, shape: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
    """A lesion mask as bool [size, size], following the crop box of its photograph; beyond the mask is no lesion.

    A pixel is set where any source pixel under it is set, so that lesions of a few pixels stay. A source pixel is set
    where its colour is not black. `shape` is the photograph's (height, width), which the mask must have.
    PNG and TIFF only, since JPEG smears. Raises UnreadablePhotograph, and OSError when the file cannot be opened.
    """
    data = file.read_bytes()
    if data.startswith(b"\xff\xd8\xff"):
        raise UnreadablePhotograph("a mask in JPEG format, whose edges are not sharp; save it as PNG or TIFF")
    rgb = np.asarray(_decode(data, lambda width, height: 1.0)[0])
    if shape is not None and rgb.shape[:2] != shape:
        (height, width), (right_height, right_width) = rgb.shape[:2], shape
        raise UnreadablePhotograph(f"the mask is {width}x{height} pixels, its photograph {right_width}x{right_height}")
    marked: npt.NDArray[np.bool_] = np.asarray(rgb.any(axis=2))  # [height, width]
    left, top, right, _ = box
    return _any_in_bins(_any_in_bins(marked, left, right - left, size).T, top, right - left, size).T


def _decode(
    data: bytes | Image.Image, reduction: Callable[[int, int], float]
) -> tuple[Image.Image, int, tuple[int, int]]:
    """The upright RGB picture, the whole factor it was reduced by in decoding, and the full (width, height) upright.

    `reduction(width, height)` is the largest factor wanted. Only JPEG is reduced while it is decoded (by 1, 2, 4, 8).
    """
    image = _open(data) if isinstance(data, bytes) else data
    width, height = stored = image.size
    if width * height > MAX_PIXELS:
        raise UnreadablePhotograph(f"{width}x{height} are more than {MAX_PIXELS // 1_000_000} megapixels")
    try:
        scale = 1
        if isinstance(data, bytes) and isinstance(image, JpegImagePlugin.JpegImageFile):
            wanted = reduction(*stored)
            scale = next((s for s in (8, 4, 2) if s <= wanted), 1)
            if scale > 1:
                image.draft(None, (stored[0] // scale, stored[1] // scale))
        upright, turned = _upright_rgb(image)
    except UnreadablePhotograph:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsing stumbles over
        raise UnreadablePhotograph(_reason(error)) from None
    full = upright.size if scale == 1 else stored[::-1] if turned else stored
    return upright, scale, full


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadablePhotograph("the file is empty")
    plugin = next((plugin for signature, plugin in PLUGINS if data.startswith(signature)), None)
    if plugin is None:
        raise UnreadablePhotograph("not a JPEG, PNG or TIFF file")
    try:
        return plugin(io.BytesIO(data))
    except Exception as error:  # as above: the header's parsing raises SyntaxError, struct.error, KeyError ...
        raise UnreadablePhotograph(_reason(error)) from None


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"damaged or truncated: {text[0] if text else type(error).__name__}"


def _upright_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """The decoded picture in RGB with its orientation applied, and whether its sides were swapped for that."""
    if image.mode == "F":
        raise UnreadablePhotograph("floating-point pixels, whose range is unknown; save it with 8 or 16 bits")
    if image.mode == "I" and image.format != "PNG":
        raise UnreadablePhotograph("pixels of 32 bits or with a sign; save it with 8 or 16 bits")
    image.load()
    rgb = _rgb(image)
    try:
        # After loading: Pillow itself turns TIFF then, and drops the tag.
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        orientation = 1
    return (rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb), orientation in (5, 6, 7, 8)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode in 8-bit RGB: 16 bits divided by 257, transparent parts over black."""
    if image.mode.startswith("I"):  # "I;16" in either byte order, and "I" for 16-bit PNG in older Pillow
        values = np.asarray(image).astype(np.uint32)
        # Nothing becomes black that was not: 1 marks the lesion in some masks.
        gray = np.maximum((values + 128) // 257, values > 0)
        return Image.fromarray(gray.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        colors = image.convert("RGBA")
        black = Image.new("RGB", image.size)
        black.paste(colors, mask=colors)
        return black
    if image.mode in ("RGB", "L", "1", "P", "CMYK", "YCbCr"):
        return image.convert("RGB")
    raise UnreadablePhotograph(f"pixels of the kind '{image.mode}'; save it as RGB")


def _whole(width: int, height: int) -> Box:
    side = max(width, height)
    left, top = -((side - width) // 2), -((side - height) // 2)
    return left, top, left + side, top + side


def _resize(image: Image.Image, box: Box, scale: int, full: tuple[int, int], size: int) -> Pixels:
    """The box, in full pixels, of a picture that was reduced by `scale`, as uint8 [size, size, 3].

    Only output pixels that lie wholly inside the photograph are computed: padding first would cost a large copy, and
    would bleed black into the rim.
    """
    left, top, right, _ = box
    step = (right - left) / size  # full pixels per output pixel
    columns, rows = _inside(left, step, full[0], size), _inside(top, step, full[1], size)
    pixels = np.zeros((size, size, 3), np.uint8)
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return pixels
    source = (
        max((left + columns[0] * step) / scale, 0.0),  # rounding may leave -1e-14, which Pillow refuses
        max((top + rows[0] * step) / scale, 0.0),
        min((left + columns[1] * step) / scale, image.width),
        min((top + rows[1] * step) / scale, image.height),
    )
    extent = (columns[1] - columns[0], rows[1] - rows[0])
    shown = image.resize(extent, Image.Resampling.LANCZOS, box=source, reducing_gap=GAP)
    pixels[rows[0] : rows[1], columns[0] : columns[1]] = np.asarray(shown)
    return pixels


def _inside(start: int, step: float, length: int, size: int) -> tuple[int, int]:
    """First and one past the last of `size` output pixels, `step` wide from `start`, that lie within [0, length]."""
    tolerance = 1e-6
    first = int(np.ceil(max(0.0, -start / step) - tolerance))
    last = int(np.floor(min(float(size), (length - start) / step) + tolerance))
    return first, last


def _any_in_bins(marked: npt.NDArray[np.bool_], start: int, side: int, size: int) -> npt.NDArray[np.bool_]:
    """Columns [height, width] gathered into `size` bins of [start, start + side): set where any that it touches is."""
    edges = np.arange(size + 1, dtype=np.int64) * side
    first = np.clip(start + edges[:-1] // size, 0, marked.shape[1])
    last = np.clip(start - (-edges[1:] // size), 0, marked.shape[1])
    counts = np.zeros((marked.shape[0], marked.shape[1] + 1), np.int32)
    np.cumsum(marked, axis=1, out=counts[:, 1:])
    return counts[:, last] > counts[:, first]
