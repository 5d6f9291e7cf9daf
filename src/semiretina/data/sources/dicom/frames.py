"""The pixels of a DICOM photograph, frame by frame, in eight bits of RGB or gray, whatever they were stored as.

pydicom decodes. Colour is settled here, since headers and decoders disagree about it:

- Baseline JPEG is decoded by Pillow, as every other photograph is. Where the stream says what its components are (JFIF,
  Adobe's marker, component names), it is believed; the header counts where the stream is silent.
- JPEG 2000 whose stream declares a colour transform comes out as RGB, whatever the header says.
- Everything else is what `Photometric Interpretation` says.

16 bits are divided by 257, as `data.image` does, other depths in the same way.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import JpegImagePlugin
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.pixels.utils import get_j2k_parameters, pixel_array
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit

from semiretina.data.image import MAX_PIXELS

Pixels = npt.NDArray[np.uint8]

# Photometric interpretation -> samples per pixel (PS3.3, C.7.6.3.1.2), as far as it can be read.
SAMPLES: Mapping[str, int] = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
ONLY_JPEG2000 = ("YBR_ICT", "YBR_RCT")
NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
# What brings the decoders that pydicom itself does not have.
DECODERS = "python -m pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


class UnusablePixels(ValueError):
    """Pixel data that give no photograph. The message is the reason, without the path."""


def defects(dataset: Dataset) -> list[str]:
    """Everything in the header that keeps the pixels from being read; the pixels themselves are not looked at."""
    if not dataset.get("PixelData"):
        return ["no pixels in it (a header alone, or cut short)"]
    wrong = [f"no {_spaced(name)}" for name in (*NUMBERS, "SamplesPerPixel") if dataset.get(name) is None]
    syntax = transfer_syntax(dataset)
    interpretation = str(dataset.get("PhotometricInterpretation") or "")
    samples = dataset.get("SamplesPerPixel")
    if not interpretation:
        wrong.append("no Photometric Interpretation")
    elif interpretation not in SAMPLES:
        wrong.append(f"Photometric Interpretation '{interpretation}' is none of {', '.join(SAMPLES)}")
    elif samples is not None and samples != SAMPLES[interpretation]:
        wrong.append(f"Photometric Interpretation {interpretation} with {samples} samples per pixel")
    elif interpretation in ONLY_JPEG2000 and syntax not in JPEG2000TransferSyntaxes:
        wrong.append(f"Photometric Interpretation {interpretation} in {syntax.name}; it stands for JPEG 2000 alone")
    if wrong:
        return wrong + _undecodable(syntax)
    rows, columns, bits = dataset.Rows, dataset.Columns, dataset.BitsAllocated
    if rows * columns > MAX_PIXELS:
        wrong.append(f"{columns}x{rows} are more than {MAX_PIXELS // 1_000_000} megapixels")
    if rows * columns == 0:
        wrong.append(f"{columns}x{rows} pixels")
    if bits not in (8, 16) or not 1 <= dataset.BitsStored <= bits:
        wrong.append(f"{dataset.BitsStored} bits stored in {bits}; 8 or 16 can be read")
    if dataset.PixelRepresentation != 0:
        wrong.append("pixels with a sign")
    return wrong + _undecodable(syntax)


def transfer_syntax(dataset: Dataset) -> UID:
    """The UID of how the file is coded; "" where it does not say."""
    return UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))


def frame(dataset: Dataset, index: int, frames: int) -> Pixels:
    """Frame `index` (of `frames`, from 0) as uint8 [height, width, 3], or [height, width] where it is gray.

    The header has no `defects`. Raises UnusablePixels.
    """
    with _reasons():
        stream = _stream(dataset, index, frames)
        if _is_pillows(dataset):
            return _jpeg(dataset, stream)
        values, bits = pixel_array(dataset, index=index, raw=True), int(dataset.BitsStored)
        if transfer_syntax(dataset) in JPEG2000TransferSyntaxes:
            said = get_j2k_parameters(stream)
            if not said:
                raise UnusablePixels(
                    f"no JPEG 2000 stream, though the transfer syntax is {transfer_syntax(dataset).name}"
                )
            bits = said["precision"]  # where headers say 12 of 16 and the stream has 8, the stream is right
        color = _color(dataset, stream)
        if color == "PALETTE COLOR":
            return _through_palette(values, dataset)
        pixels = _eight_bits(values, bits)
        if color.startswith("MONOCHROME"):
            return _shown(pixels, dataset)
        return _to_rgb(pixels) if color == "YBR_FULL" else pixels


def contradicted(dataset: Dataset, frames: int) -> bool:
    """Whether the stream of the first frame says, against the header, what its colours are, so that it was believed."""
    header = str(dataset.PhotometricInterpretation)
    with _reasons():
        color = _color(dataset, _stream(dataset, 0, frames))
    if header == "RGB":
        return color != "RGB"
    if header in ONLY_JPEG2000:
        return not _has_transform(_stream(dataset, 0, frames))
    return header.startswith("YBR") and color == "RGB"


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except UnusablePixels:
        raise
    except Exception as error:  # the decoders raise whatever their parsing stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnusablePixels(f"pixel data damaged, truncated, or not what the header says: {reason}") from None


def _undecodable(syntax: UID) -> list[str]:
    if not syntax:
        return ["no Transfer Syntax UID"]
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        named = (
            "unknown transfer syntax" if syntax.name == syntax else f"transfer syntax {syntax.name}, not a picture's:"
        )
        return [f"{named} {syntax}; export it again as JPEG, JPEG 2000 or uncompressed"]
    if not decoder.is_available:
        return [f"transfer syntax {syntax.name} ({syntax}) needs a decoder that is not installed: {DECODERS}"]
    return []


def _is_pillows(dataset: Dataset) -> bool:
    syntax = transfer_syntax(dataset)
    return syntax == JPEGBaseline8Bit or (syntax == JPEGExtended12Bit and dataset.BitsStored == 8)


def _stream(dataset: Dataset, index: int, frames: int) -> bytes:
    """A compressed frame; b"" where the pixels are not compressed."""
    if not transfer_syntax(dataset).is_encapsulated:
        return b""
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    offsets = (table, lengths) if table and lengths else None
    return get_frame(dataset.PixelData, index, number_of_frames=frames, extended_offsets=offsets)


def _color(dataset: Dataset, stream: bytes) -> str:
    """What a pixel's samples are: the header's word, where the stream does not know better."""
    header = str(dataset.PhotometricInterpretation)
    if SAMPLES[header] == 3 and _is_pillows(dataset):
        return _jpeg_color(JpegImagePlugin.JpegImageFile(io.BytesIO(stream))) or header.removesuffix("_422")
    if header in ONLY_JPEG2000:
        return "RGB"
    if header.startswith("YBR"):
        jpeg2000 = transfer_syntax(dataset) in JPEG2000TransferSyntaxes
        return "RGB" if jpeg2000 and _has_transform(stream) else "YBR_FULL"
    return header


def _jpeg_color(image: JpegImagePlugin.JpegImageFile) -> str:
    """What a stream of three components says that they are; "" where it is silent."""
    if "jfif" in image.info:
        return "YBR_FULL"
    if "adobe_transform" in image.info:
        return "YBR_FULL" if image.info["adobe_transform"] else "RGB"
    return "RGB" if [component[0] for component in image.layer] == [ord(letter) for letter in "RGB"] else ""


def _jpeg(dataset: Dataset, stream: bytes) -> Pixels:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(stream))
    interpretation, samples = dataset.PhotometricInterpretation, dataset.SamplesPerPixel
    if image.size != (dataset.Columns, dataset.Rows) or len(image.layer) != samples:
        width, height = image.size
        raise UnusablePixels(
            f"a JPEG stream of {width}x{height} pixels with {len(image.layer)} components under a header of "
            f"{dataset.Columns}x{dataset.Rows} with {samples} ({interpretation})"
        )
    if samples == 1:
        return _shown(np.array(image), dataset)
    if interpretation == "RGB" and not _jpeg_color(image):
        # Pillow takes a silent stream for YCbCr; asked for YCbCr, it hands its components on as they are.
        image.draft("YCbCr", image.size)
        return np.array(image)
    return np.array(image.convert("RGB"))


def _has_transform(stream: bytes) -> bool:
    """Whether a JPEG 2000 codestream declares a multiple component transform (ISO/IEC 15444-1, A.6.1: COD)."""
    place = stream.index(b"\xff\x4f\xff\x51") + 2  # past SOC, at SIZ
    while (marker := stream[place : place + 2]) != b"\xff\x52":
        if marker[:1] != b"\xff" or marker == b"\xff\x90":  # SOT: the main header is over
            raise UnusablePixels("a JPEG 2000 stream without a coding style")
        place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return stream[place + 8] == 1  # after the marker: length 2, style 1, progression 1, layers 2


def _through_palette(values: npt.NDArray[np.generic], dataset: Dataset) -> Pixels:
    entries, _, bits = dataset.RedPaletteColorLookupTableDescriptor
    if bits == 8 and (entries == 0 or entries > 256):
        raise UnusablePixels(f"a palette of {entries or 65536} colours of 8 bits; export it again as RGB")
    return _eight_bits(apply_color_lut(values, dataset)[..., :3], bits)


def _shown(gray: Pixels, dataset: Dataset) -> Pixels:
    return 255 - gray if dataset.PhotometricInterpretation == "MONOCHROME1" else gray


def _to_rgb(colors: Pixels) -> Pixels:
    rgb: Pixels = convert_color_space(colors, "YBR_FULL", "RGB")
    return rgb


def _eight_bits(values: npt.NDArray[np.generic], bits: int) -> Pixels:
    """Values of `bits` bits scaled to 0 to 255, rounded; nothing becomes black that was not."""
    if bits == 8:
        return values.astype(np.uint8)
    most = 2**bits - 1
    wide = np.minimum(values.astype(np.uint32), most)
    scaled: Pixels = np.maximum((wide * 255 + most // 2) // most, wide > 0).astype(np.uint8)
    return scaled


def _spaced(keyword: str) -> str:
    return "".join(f" {letter}" if letter.isupper() else letter for letter in keyword).strip()
