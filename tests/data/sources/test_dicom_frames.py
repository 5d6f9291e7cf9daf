"""Pictures that are known, stored in DICOM in every way that is read, and found again."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image
from pydicom import examples
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from semiretina.data.image import read_photograph
from semiretina.data.sources.dicom import frames as dicom_frames

HEIGHT, WIDTH = 32, 48
Y, X = np.mgrid[:HEIGHT, :WIDTH]
PICTURE = np.stack([X * 5, Y * 7, (X + Y) * 2 + 20], axis=2).astype(np.uint8)  # smooth, so that JPEG keeps it
GRAY = PICTURE[..., 2]
NOISE = np.random.default_rng(5).integers(0, 256, PICTURE.shape, dtype=np.uint8)
ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"  # + the transform: 0 RGB, 1 YCbCr


def dataset(frames: Sequence[bytes], syntax: UID, interpretation: str, bits: int = 8, **header: object) -> Dataset:
    """The pixels' part of a data set, as a camera would fill it in."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.Rows, made.Columns = HEIGHT, WIDTH
    made.PhotometricInterpretation = interpretation
    made.SamplesPerPixel = 1 if interpretation.startswith(("MONO", "PAL")) else 3
    made.BitsStored, made.BitsAllocated, made.HighBit = bits, 8 if bits <= 8 else 16, bits - 1
    made.PixelRepresentation = 0
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    if len(frames) > 1:
        made.NumberOfFrames = len(frames)
    made.PixelData = encapsulate(list(frames)) if syntax.is_compressed else b"".join(frames)
    made["PixelData"].VR = "OB" if bits <= 8 else "OW"
    for name, value in header.items():
        setattr(made, name, value)
    return made


def encoded(picture: np.ndarray, kind: str = "JPEG", mode: str | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    Image.frombuffer(mode or ("RGB" if picture.ndim == 3 else "L"), (WIDTH, HEIGHT), picture.tobytes()).save(
        out, kind, **options
    )
    return out.getvalue()


def silent(jpeg: bytes, marker: bytes = b"") -> bytes:
    """A JPEG stream without its JFIF marker, and with another one."""
    assert jpeg[2:4] == b"\xff\xe0"
    return jpeg[:2] + marker + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]


def ybr(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("YCbCr"))


def j2k(picture: np.ndarray, **options: object) -> bytes:
    return encoded(picture, "JPEG2000", no_jp2=True, irreversible=False, **options)


def difference(made: Dataset, picture: np.ndarray, index: int = 0, frames: int = 1) -> int:
    assert not dicom_frames.defects(made)
    found = dicom_frames.frame(made, index, frames)
    assert found.dtype == np.uint8
    assert found.shape == picture.shape
    return int(np.abs(found.astype(int) - picture).max())


JPEG = encoded(PICTURE, quality=95, subsampling=1)
# What Pillow itself makes of the stream: no way of storing it may add to that.
LOSS = int(np.abs(np.asarray(Image.open(io.BytesIO(JPEG))).astype(int) - PICTURE).max())
RAW = ExplicitVRLittleEndian

EXACT: dict[str, Callable[[], tuple[Dataset, np.ndarray]]] = {
    "explicit": lambda: (dataset([NOISE.tobytes()], RAW, "RGB"), NOISE),
    "implicit": lambda: (dataset([NOISE.tobytes()], ImplicitVRLittleEndian, "RGB"), NOISE),
    "planes": lambda: (dataset([NOISE.transpose(2, 0, 1).tobytes()], RAW, "RGB", PlanarConfiguration=1), NOISE),
    "gray": lambda: (dataset([GRAY.tobytes()], RAW, "MONOCHROME2"), GRAY),
    "inverted": lambda: (dataset([(255 - GRAY).tobytes()], RAW, "MONOCHROME1"), GRAY),
    "16 bits of gray": lambda: (dataset([(GRAY * np.uint16(257)).tobytes()], RAW, "MONOCHROME2", 16), GRAY),
    "16 bits, inverted": lambda: (dataset([((255 - GRAY) * np.uint16(257)).tobytes()], RAW, "MONOCHROME1", 16), GRAY),
    "16 bits of colour": lambda: (dataset([(NOISE * np.uint16(257)).tobytes()], RAW, "RGB", 16), NOISE),
    "big endian": lambda: (
        dataset([(NOISE * np.uint16(257)).astype(">u2").tobytes()], ExplicitVRBigEndian, "RGB", 16),
        NOISE,
    ),
    "12 bits": lambda: (dataset([np.full(GRAY.shape, 4095, "<u2").tobytes()], RAW, "MONOCHROME2", 12), GRAY * 0 + 255),
    "J2K": lambda: (dataset([j2k(NOISE, mct=1)], JPEG2000Lossless, "YBR_RCT"), NOISE),
    "J2K that says RGB": lambda: (dataset([j2k(NOISE, mct=1)], JPEG2000Lossless, "RGB"), NOISE),
    "J2K that says YBR_FULL": lambda: (dataset([j2k(NOISE, mct=1)], JPEG2000Lossless, "YBR_FULL"), NOISE),
    "J2K without transform": lambda: (dataset([j2k(NOISE, mct=0)], JPEG2000Lossless, "RGB"), NOISE),
    "J2K of RGB that says YBR_RCT": lambda: (dataset([j2k(NOISE, mct=0)], JPEG2000Lossless, "YBR_RCT"), NOISE),
    "J2K in a JP2 file": lambda: (
        dataset([encoded(NOISE, "JPEG2000", mct=1, irreversible=False)], JPEG2000Lossless, "YBR_RCT"),
        NOISE,
    ),
    "gray J2K": lambda: (dataset([j2k(GRAY)], JPEG2000Lossless, "MONOCHROME2"), GRAY),
    "8 bits of J2K in 16": lambda: (dataset([j2k(GRAY)], JPEG2000Lossless, "MONOCHROME2", 16), GRAY),
    "JPEG of RGB": lambda: (
        dataset(
            [encoded(GRAY[..., None].repeat(3, 2) // 64 * 64, quality=100, keep_rgb=True)], JPEGBaseline8Bit, "RGB"
        ),
        GRAY[..., None].repeat(3, 2) // 64 * 64,
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_what_is_stored_without_loss_comes_back(case: str) -> None:
    made, picture = EXACT[case]()
    assert difference(made, picture) <= (1 if case.startswith("JPEG") else 0)


STREAMS: dict[str, tuple[bytes, str, bool]] = {
    # what: stream, header, whether the two contradict each other
    "JFIF": (JPEG, "YBR_FULL_422", False),
    "JFIF that says RGB": (JPEG, "RGB", True),
    "silent": (silent(JPEG), "YBR_FULL_422", False),
    "Adobe's YCbCr": (silent(JPEG, ADOBE + b"\1"), "YBR_FULL_422", False),
    "Adobe's YCbCr that says RGB": (silent(JPEG, ADOBE + b"\1"), "RGB", True),
    "RGB by its names": (encoded(PICTURE, quality=95, keep_rgb=True), "RGB", False),
    "RGB by its names that says YBR": (encoded(PICTURE, quality=95, keep_rgb=True), "YBR_FULL_422", True),
    # A picture whose RGB is put into the stream as if it were YCbCr.
    "silent RGB": (silent(encoded(PICTURE, quality=95, subsampling=0, mode="YCbCr")), "RGB", False),
    "Adobe's RGB": (silent(encoded(PICTURE, quality=95, subsampling=0, mode="YCbCr"), ADOBE + b"\0"), "RGB", False),
    "Adobe's RGB that says YBR": (
        silent(encoded(PICTURE, quality=95, subsampling=0, mode="YCbCr"), ADOBE + b"\0"),
        "YBR_FULL",
        True,
    ),
}


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_a_jpeg_streams_own_word_on_its_colours_is_believed(case: str, syntax: UID) -> None:
    stream, header, contradicted = STREAMS[case]
    made = dataset([stream], syntax, header)
    assert difference(made, PICTURE) <= max(LOSS, 4)
    assert dicom_frames.contradicted(made, 1) is contradicted


def test_jpeg_is_decoded_as_pillow_does() -> None:
    made = dataset([JPEG], JPEGBaseline8Bit, "YBR_FULL_422")
    assert difference(made, np.asarray(Image.open(io.BytesIO(JPEG)))) == 0
    gray = encoded(GRAY, quality=80)
    made = dataset([gray], JPEGBaseline8Bit, "MONOCHROME1")
    assert difference(made, 255 - np.asarray(Image.open(io.BytesIO(gray)))) == 0


@pytest.mark.parametrize(
    ("header", "transform", "contradicted"),
    [("YBR_RCT", 1, False), ("RGB", 1, False), ("YBR_FULL", 1, True), ("YBR_RCT", 0, True), ("RGB", 0, False)],
)
def test_jpeg_2000_that_contradicts_its_header_is_told(header: str, transform: int, contradicted: bool) -> None:
    made = dataset([j2k(NOISE, mct=transform)], JPEG2000Lossless, header)
    assert dicom_frames.contradicted(made, 1) is contradicted


def test_ycbcr_in_every_uncompressed_and_jpeg_2000_form() -> None:
    colors = ybr(PICTURE)
    assert difference(dataset([colors.tobytes()], RAW, "YBR_FULL"), PICTURE) <= 3
    planes = dataset([colors.transpose(2, 0, 1).tobytes()], RAW, "YBR_FULL", PlanarConfiguration=1)
    assert difference(planes, PICTURE) <= 3
    assert difference(dataset([j2k(colors, mct=0)], JPEG2000Lossless, "YBR_FULL"), PICTURE) <= 3
    assert difference(dataset([(colors * np.uint16(257)).tobytes()], RAW, "YBR_FULL", 16), PICTURE) <= 3
    lossy = encoded(PICTURE, "JPEG2000", no_jp2=True, mct=1, irreversible=True, quality_layers=[4])
    assert difference(dataset([lossy], JPEG2000, "YBR_ICT"), PICTURE) <= 12
    # Two pixels share a Cb and a Cr: Y1 Y2 Cb Cr (PS3.3, C.7.6.3.1.2). Here they are of one colour.
    pairs = np.repeat(NOISE[:, ::2], 2, axis=1)
    stored = ybr(pairs)
    halved = np.stack([stored[:, ::2, 0], stored[:, 1::2, 0], stored[:, ::2, 1], stored[:, ::2, 2]], axis=2)
    assert difference(dataset([halved.tobytes()], RAW, "YBR_FULL_422"), pairs) <= 3


@pytest.mark.parametrize(("picture", "interpretation", "bits"), [(NOISE, "RGB", 8), (GRAY * 257.0, "MONOCHROME2", 16)])
def test_run_lengths(picture: np.ndarray, interpretation: str, bits: int) -> None:
    stored = picture.astype(np.uint8 if bits == 8 else np.uint16)
    made = dataset([stored.tobytes()], RAW, interpretation, bits)
    made.SOPInstanceUID = "1.2.3"
    made.compress(RLELossless)
    assert made.file_meta.TransferSyntaxUID == RLELossless
    assert difference(made, NOISE if bits == 8 else GRAY) == 0


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("first", [0, 10])
def test_palettes(depth: int, first: int) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (200, 3), dtype=np.uint8)
    # Indices before the first map to the first colour, those past the last to the last (PS3.3, C.7.6.3.1.5).
    indices = (X * Y % 256).astype(np.uint8)
    made = dataset([indices.tobytes()], RAW, "PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        values = colors[:, number] * (np.uint16(257) if depth == 16 else np.uint8(1))
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [200, first, depth])
        setattr(made, f"{name}PaletteColorLookupTableData", values.tobytes())
    assert difference(made, colors[np.clip(indices.astype(int) - first, 0, 199)]) == 0


def test_several_frames() -> None:
    pictures = [NOISE, NOISE[::-1].copy(), NOISE[:, ::-1].copy()]
    for made in (
        dataset([picture.tobytes() for picture in pictures], RAW, "RGB"),
        dataset([j2k(picture) for picture in pictures], JPEG2000Lossless, "YBR_RCT"),
    ):
        assert [difference(made, picture, n, 3) for n, picture in enumerate(pictures)] == [0, 0, 0]


def test_16_bits_become_8_as_in_a_png(tmp_path) -> None:
    values = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 42 + 1
    Image.fromarray(values).save(tmp_path / "gray.png")
    pixels, _ = read_photograph(tmp_path / "gray.png", WIDTH, crop="none")
    padding = (WIDTH - HEIGHT) // 2
    assert difference(dataset([values.tobytes()], RAW, "MONOCHROME2", 16), pixels[padding:-padding, :, 0]) == 0


@pytest.mark.parametrize("example", ["rgb_color", "ybr_color", "jpeg2k", "palette_color"])
def test_pictures_that_others_made(example: str) -> None:
    made = getattr(examples, example)
    assert not dicom_frames.defects(made)
    frames = int(made.get("NumberOfFrames", 1))
    found = dicom_frames.frame(made, frames - 1, frames)
    expected = pixel_array(made, index=frames - 1)
    if example == "palette_color":
        expected = apply_color_lut(expected, made) // 256
    assert found.shape == (*expected.shape[:2], 3)
    assert np.abs(found.astype(int) - expected).mean() < 1


DAMAGED: dict[str, tuple[Dataset, str]] = {
    "JPEG cut short": (dataset([JPEG[: len(JPEG) // 2]], JPEGBaseline8Bit, "YBR_FULL_422"), "damaged, truncated"),
    "no JPEG": (dataset([b"\x89PNG" * 20], JPEGBaseline8Bit, "YBR_FULL_422"), "damaged, truncated"),
    "J2K cut short": (dataset([j2k(NOISE)[:1000]], JPEG2000Lossless, "YBR_RCT"), "damaged, truncated"),
    "no J2K": (dataset([JPEG], JPEG2000Lossless, "RGB"), "no JPEG 2000 stream, though"),
    "rows cut short": (dataset([NOISE.tobytes()[:-10]], RAW, "RGB"), "4598 vs 4608 bytes"),
    "422 that is whole": (dataset([NOISE.tobytes()], RAW, "YBR_FULL_422"), "Photometric Interpretation.*incorrect"),
    "a gray JPEG": (dataset([encoded(GRAY)], JPEGBaseline8Bit, "YBR_FULL_422"), "48x32 pixels with 1 components"),
    "a coloured JPEG": (
        dataset([JPEG], JPEGBaseline8Bit, "MONOCHROME2"),
        "3 components under a header of 48x32 with 1",
    ),
    "another size": (dataset([JPEG], JPEGBaseline8Bit, "YBR_FULL_422", Rows=16), "48x32 pixels.*header of 48x16"),
    "12 bits of J2K": (dataset([j2k(GRAY)], JPEG2000Lossless, "RGB"), "damaged, truncated, or not what"),
    "no palette": (dataset([GRAY.tobytes()], RAW, "PALETTE COLOR"), "damaged.*Palette"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_pixels_are_no_photograph(case: str) -> None:
    made, why = DAMAGED[case]
    assert not dicom_frames.defects(made)
    with pytest.raises(dicom_frames.UnusablePixels, match=why) as raised:
        dicom_frames.frame(made, 0, 1)
    assert "\n" not in str(raised.value)


def test_a_frame_that_is_not_there() -> None:
    for made in (dataset([JPEG], JPEGBaseline8Bit, "YBR_FULL_422"), dataset([NOISE.tobytes()], RAW, "RGB")):
        made.NumberOfFrames = 2
        with pytest.raises(dicom_frames.UnusablePixels, match="damaged, truncated"):
            dicom_frames.frame(made, 1, 2)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"PhotometricInterpretation": None}, ["no Photometric Interpretation"]),
        ({"PhotometricInterpretation": "HSV"}, ["Photometric Interpretation 'HSV' is none of MONOCHROME1"]),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, ["'YBR_PARTIAL_420' is none of"]),
        ({"PhotometricInterpretation": "MONOCHROME2"}, ["MONOCHROME2 with 3 samples per pixel"]),
        ({"PhotometricInterpretation": "YBR_ICT"}, ["YBR_ICT in Explicit VR Little Endian; it stands for JPEG 2000"]),
        ({"SamplesPerPixel": None, "Rows": None, "BitsStored": None}, ["no Rows", "no Bits Stored", "no Samples Per"]),
        ({"SamplesPerPixel": 4}, ["RGB with 4 samples per pixel"]),
        ({"BitsAllocated": 32, "BitsStored": 32}, ["32 bits stored in 32"]),
        ({"BitsStored": 12}, ["12 bits stored in 8"]),
        ({"PixelRepresentation": 1, "Columns": 0}, ["0x32 pixels", "pixels with a sign"]),
        ({"Rows": 20000, "Columns": 20000}, ["20000x20000 are more than 100 megapixels"]),
        ({"PixelData": b""}, ["no pixels in it"]),
    ],
)
def test_headers_that_cannot_be_read_are_told_whole(header: dict[str, object], why: list[str]) -> None:
    made = dataset([NOISE.tobytes()], RAW, "RGB", **header)
    found = dicom_frames.defects(made)
    assert len(found) == len(why)
    assert all(part in defect for part, defect in zip(why, found, strict=True)), found


@pytest.mark.parametrize(
    ("syntax", "why"),
    [
        ("1.2.840.10008.1.2.4.100", "transfer syntax MPEG2 Main Profile / Main Level, not a picture's"),
        ("1.2.3.4.5", "unknown transfer syntax 1.2.3.4.5"),
        ("", "no Transfer Syntax UID"),
    ],
)
def test_transfer_syntaxes_that_hold_no_picture(syntax: str, why: str) -> None:
    made = dataset([NOISE.tobytes()], RAW, "RGB")
    made.file_meta.TransferSyntaxUID = UID(syntax)
    (found,) = dicom_frames.defects(made)
    assert found.startswith(why)


def test_a_decoder_that_is_absent_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        is_available = False

    monkeypatch.setattr(dicom_frames, "get_decoder", lambda syntax: Absent)
    (found,) = dicom_frames.defects(dataset([b"x"], UID("1.2.840.10008.1.2.4.70"), "YBR_FULL"))
    assert "JPEG Lossless, Non-Hierarchical, First-Order Prediction" in found
    assert "(1.2.840.10008.1.2.4.70) needs a decoder that is not installed: python -m pip install pylibjpeg" in found
