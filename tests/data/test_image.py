"""One photograph: formats, orientation, field of view, masks. Every file is written by the test itself."""

import io
import os
import struct
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from semiretina.data import field_of_view
from semiretina.data.image import UnreadablePhotograph, read_mask, read_photograph

DATA = Path(os.environ.get("SEMIRETINA_DATA", Path(__file__).parents[3] / "shared" / "data"))

# EXIF orientation -> the stored rows and columns as they are to be seen (Exif 2.32, tag 0x0112), in numpy's words.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def encode(pixels, kind="PNG", **options):
    out = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(out, kind, **options)
    return out.getvalue()


def smooth(height, width, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3))
    return ndimage.gaussian_filter(noise, (4, 4, 0)).clip(0, 255).astype(np.uint8)


def fundus(width, height, x, y, radius, *, level=150, noise=0.0, seed=0):
    """A disc with light falling off to 60 % at its rim on noisy black, and its truth is the arguments."""
    ys, xs = np.mgrid[0.5:height, 0.5:width]
    distance = np.hypot(xs - x, ys - y)
    light = level * (1 - 0.4 * (distance / radius) ** 2) * np.clip(radius - distance + 0.5, 0, 1)
    rgb = light[..., None] * np.array([1.0, 0.5, 0.25])
    rgb += np.abs(np.random.default_rng(seed).normal(0, noise, rgb.shape)) if noise else 0
    return rgb.clip(0, 255).astype(np.uint8)


def padded(pixels):
    """The photograph in the middle of a black square of its longer side."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    square[(side - height) // 2 :][:height, (side - width) // 2 :][:, :width] = pixels
    return square


def whole(data, side):
    return read_photograph(data, side, "none")[0]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation(kind, orientation):
    stored = smooth(32, 48)
    if kind == "TIFF":
        data = encode(stored, kind, tiffinfo={274: orientation})
    else:
        exif = Image.Exif()
        exif[274] = orientation
        data = encode(stored, kind, exif=exif)
    decoded = np.asarray(Image.open(io.BytesIO(encode(stored, kind))))
    pixels, box = read_photograph(data, 48, "none")
    np.testing.assert_array_equal(pixels, padded(UPRIGHT[orientation](decoded)))
    assert box == ((0, -8, 48, 40) if orientation < 5 else (-8, 0, 40, 48))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_of_a_photograph_that_is_reduced_in_decoding(orientation):
    stored = fundus(1201, 803, 530, 410, 390)
    exif = Image.Exif()
    exif[274] = orientation
    pixels, box = read_photograph(encode(stored, "JPEG", exif=exif, quality=95), 64)
    expected, expected_box = read_photograph(encode(np.ascontiguousarray(UPRIGHT[orientation](stored))), 64)
    assert np.abs(np.subtract(box, expected_box)).max() <= 10  # a reduced pixel or two
    assert np.abs(pixels.astype(int) - expected).mean() < 2


def test_damaged_exif_does_not_matter():
    data = encode(smooth(32, 32), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(40)))
    assert whole(data, 32).mean() > 100


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_rescaled_not_clipped(kind, order):
    values = np.linspace(0, 65535, 64 * 64).round().astype(order).reshape(64, 64)
    pixels = whole(encode(values, kind), 64)
    assert np.abs(pixels - values[..., None].astype(float) / 257).max() <= 1
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_sixteen_bits_of_color():
    """Pillow writes none: a TIFF by hand, 64 x 64, three samples of 16 bits, one strip, little-endian."""
    values = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype("<u2")
    entries = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 200)]
    entries += [(277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, values.nbytes), (284, 3, 1, 1)]
    head = b"II*\0" + struct.pack("<I", 16) + struct.pack("<3H", 16, 16, 16) + bytes(2)
    head += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    pixels = whole(head.ljust(200, b"\0") + values.tobytes(), 64)
    assert np.abs(pixels - values / 257).max() <= 1


def test_cmyk_jpeg():
    inks = np.zeros((48, 48, 4), np.uint8)
    inks[:24, :, 1:3] = 255  # magenta and yellow: red
    inks[24:, :, 3] = 255  # black
    pixels = whole(encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=95), 48).astype(int)
    assert np.abs(pixels[4:20] - [255, 0, 0]).max() < 12
    assert pixels[28:].max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_gray(kind):
    gray = smooth(32, 32)[..., 0]
    decoded = np.asarray(Image.open(io.BytesIO(encode(gray, kind))))
    np.testing.assert_array_equal(whole(encode(gray, kind), 32), np.repeat(decoded[..., None], 3, 2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_one_bit(kind):
    bits = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(bool)
    pixels = whole(encode(bits, kind), 32)
    np.testing.assert_array_equal(pixels, np.repeat(bits[..., None] * np.uint8(255), 3, 2))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_laid_over_black(mode):
    color = smooth(32, 32)
    alpha = np.tile(np.arange(32, dtype=np.uint8) * 8, (32, 1))
    values = color if mode == "RGBA" else color[..., :1]
    data = encode(Image.fromarray(np.dstack([values, alpha]), mode))
    expected = np.broadcast_to(values, color.shape) * (alpha[..., None] / 255)
    assert np.abs(whole(data, 32) - expected).max() <= 1


@pytest.mark.parametrize("transparency", [None, 2, b"\xff\xff\x80"])
def test_palette(transparency):
    """Three colours, of which the last may be transparent, wholly or by half."""
    image = Image.fromarray(np.repeat(np.arange(3, dtype=np.uint8), 11)[None].repeat(33, 0), "P")
    image.putpalette([10, 20, 30, 200, 100, 50, 40, 80, 120])
    data = encode(image) if transparency is None else encode(image, transparency=transparency)
    pixels = whole(data, 33).astype(int)
    last = {None: [40, 80, 120], 2: [0, 0, 0]}.get(transparency, [20, 40, 60])
    for column, color in ((5, [10, 20, 30]), (16, [200, 100, 50]), (27, last)):
        assert np.abs(pixels[:, column] - color).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "reason"), [(np.ones((8, 8), np.float32), "floating-point"), (np.ones((8, 8), np.int32), "32 bits")]
)
def test_unknown_ranges_are_refused(pixels, reason):
    with pytest.raises(UnreadablePhotograph, match=reason):
        read_photograph(encode(pixels, "TIFF"), 8)


def huge(kind):
    """A small file whose header says that it is 60,000 x 50,000 pixels."""
    data = bytearray(encode(smooth(8, 8), kind))
    if kind == "PNG":
        data[16:24] = struct.pack(">II", 60000, 50000)
        import zlib

        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "JPEG":
        start = data.index(b"\xff\xc0") + 5  # start of frame: length, precision, then height and width
        data[start : start + 4] = struct.pack(">HH", 50000, 60000)
    else:
        (directory,) = struct.unpack("<I", data[4:8])
        for number in range(struct.unpack("<H", data[directory : directory + 2])[0]):
            at = directory + 2 + 12 * number
            tag = struct.unpack("<H", data[at : at + 2])[0]
            if tag in (256, 257):
                data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, {256: 60000, 257: 50000}[tag])
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_too_many_pixels_are_refused_by_the_header(kind):
    with pytest.raises(UnreadablePhotograph, match="60000x50000 are more than 100 megapixels"):
        read_photograph(huge(kind), 64)


def test_limit_is_our_own(monkeypatch):
    """Pillow's guard belongs to others: neither does theirs stop us, nor do we warn by it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert whole(encode(smooth(32, 32)), 32).any()
    monkeypatch.setattr("semiretina.data.image.MAX_PIXELS", 32 * 32 - 1)
    with pytest.raises(UnreadablePhotograph, match="32x32"):
        whole(encode(smooth(32, 32)), 32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"left_eye,grade\n1,2\n", "not a JPEG, PNG or TIFF file"),
        (encode(smooth(8, 8), "GIF"), "not a JPEG, PNG or TIFF file"),
        (b"\xff\xd8\xff" + bytes(100), "damaged or truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged or truncated"),
        (b"II*\0" + b"\xff" * 100, "damaged or truncated"),
    ],
)
def test_what_is_no_photograph(tmp_path, data, reason):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(UnreadablePhotograph, match=reason) as error:
        read_photograph(tmp_path / "a.jpg", 32)
    assert "\n" not in str(error.value)
    assert "a.jpg" not in str(error.value)


def test_a_file_that_cannot_be_opened_is_another_matter(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_photograph(tmp_path / "none.jpg", 32)


@given(st.sampled_from([("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("TIFF", {})]), st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_truncated_anywhere(kind, part):
    data = encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8), kind[0], **kind[1])
    with pytest.raises(UnreadablePhotograph):
        read_photograph(data[: int(part * len(data))], 32)


@given(st.binary(max_size=40), st.integers(0, 2), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_damage_never_raises_anything_else(damage, kind, at):
    data = bytearray(encode(smooth(24, 24), ["JPEG", "PNG", "TIFF"][kind]))
    data[at : at + len(damage)] = damage
    try:
        pixels, _ = read_photograph(bytes(data), 16)
    except UnreadablePhotograph as error:
        assert str(error)  # noqa: PT017  (either outcome is right)
    else:
        assert pixels.shape == (16, 16, 3)


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([16, 33, 64, 100]))
@settings(max_examples=60, deadline=None)
def test_any_shape_is_shown_whole(width, height, size):
    """Of a photograph in one gray, every output pixel shows that gray or padding, in the right number."""
    pixels, box = read_photograph(encode(np.full((height, width, 3), 200, np.uint8)), size)
    assert box[2] - box[0] == box[3] - box[1] == max(width, height)
    assert set(np.unique(pixels)) <= {0, 200}
    shown = size * min(width, height) / max(width, height)  # rows or columns of output pixels; partial ones are black
    filled = (pixels[..., 0] == 200).sum() / size
    assert shown - 2 < filled <= shown + 1e-6


def test_a_start_that_rounds_below_zero():
    pixels, box = read_photograph(encode(np.full((687, 229, 3), 200, np.uint8)), 33, "none")
    assert box == (-229, 0, 458, 687)
    assert (pixels[..., 0] == 200).sum() == 11 * 33


# The field of view


@st.composite
def circles(draw):
    """Frame, circle, light and noise; the circle is whole, or wider than the frame is high."""
    width = draw(st.integers(240, 900))
    height = draw(st.integers(int(0.62 * width), width))
    radius = draw(st.floats(0.30, 0.48)) * width
    slack = max(0.0, width / 2 - radius - 4)
    x = width / 2 + draw(st.floats(-1, 1)) * slack
    cut = max(0.0, height / 2 - radius)
    y = height / 2 + draw(st.floats(-1, 1)) * max(cut, 0.05 * height)
    return (
        width,
        height,
        x,
        y,
        radius,
        draw(st.sampled_from([24, 60, 150, 240])),
        draw(st.sampled_from([0.0, 1.0, 2.0])),
    )


@given(circles(), st.sampled_from(["PNG", "JPEG"]))
@settings(max_examples=40, deadline=None)
def test_field_of_view_of_known_circles(circle, kind):
    width, height, x, y, radius, level, noise = circle
    data = encode(fundus(width, height, x, y, radius, level=level, noise=noise), kind, quality=92)
    pixels, box = read_photograph(data, 64)
    truth = np.array([x - radius, y - radius, x + radius, y + radius])
    assert np.abs(np.array(box) - truth).max() < 0.03 * 2 * radius
    assert box[2] - box[0] == box[3] - box[1]
    assert pixels[32, 32, 0] > 0.6 * level


def box_of(photograph):
    return np.array(read_photograph(encode(photograph), 64)[1])


TRUTH = np.array([90, -20, 510, 400])  # of the next: centre 300, 190, radius 210


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p, id="cut off by the frame at top and bottom"),
        pytest.param(lambda p: np.r_[p[:30] * 0, p[30:350], p[350:] * 0], id="cut off inside the frame"),
        pytest.param(lambda p: put(p, 5, 5, 30, 60, 250), id="text in a corner"),
        pytest.param(lambda p: put(p, 340, 0, 40, 120, 90), id="a bright strip beside it"),
        pytest.param(lambda p: put(p, 170, 490, 40, 40, 150), id="a notch at the rim"),
        pytest.param(lambda p: put(p, 150, 250, 60, 60, 0), id="a black spot inside"),
        pytest.param(lambda p: p // 8, id="dark"),
        pytest.param(lambda p: np.maximum(p, 12), id="gray surround"),
    ],
)
def test_field_of_view_holds(change):
    photograph = change(fundus(600, 380, 300, 190, 210, level=200)).astype(np.uint8)
    assert np.abs(box_of(photograph) - TRUTH).max() < 0.03 * 420


def put(pixels, top, left, height, width, value):
    pixels = pixels.copy()
    pixels[top : top + height, left : left + width] = value
    return pixels


def test_rectangular_field_gives_its_bounding_square():
    photograph = put(np.zeros((400, 600, 3), np.uint8), 100, 150, 200, 300, 180)
    assert np.abs(box_of(photograph) - [150, 50, 450, 350]).max() <= 6


@pytest.mark.parametrize(
    "photograph",
    [
        np.zeros((200, 300, 3), np.uint8),
        np.full((200, 300, 3), 130, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 4, (200, 300, 3)).astype(np.uint8),
        put(np.zeros((200, 300, 3), np.uint8), 90, 140, 6, 6, 255),  # a speck
        255 - fundus(300, 200, 150, 100, 90),  # dark on bright
    ],
)
def test_without_a_field_of_view_all_is_shown(photograph):
    assert tuple(box_of(photograph)) == (0, -50, 300, 250)


def test_opening_is_that_of_scipy():
    for seed in range(5):
        bright = np.random.default_rng(seed).random((23, 31)) < 0.8
        np.testing.assert_array_equal(field_of_view._opened(bright), ndimage.binary_opening(bright, np.ones((3, 3))))


def test_pixels_are_those_of_a_full_decode():
    """Decoded small, reduced and filtered, against everything at full size; also where that was too small."""
    for radius in (560, 150):
        data = encode(put(fundus(1800, 1200, 900, 600, radius), 560, 850, 90, 90, 255), "JPEG", quality=95)
        pixels, box = read_photograph(data, 64)
        exact = Image.open(io.BytesIO(data)).crop(box).resize((64, 64), Image.Resampling.LANCZOS)
        difference = np.abs(pixels.astype(int) - np.asarray(exact))
        assert difference.mean() < 1.5
        assert np.abs(np.subtract(box, [900 - radius, 600 - radius, 900 + radius, 600 + radius])).max() < 0.06 * radius


def test_same_file_same_pixels(tmp_path):
    data = encode(fundus(700, 500, 350, 250, 260, noise=2), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    first, box = read_photograph(data, 96)
    np.random.default_rng().random()
    for source in (data, tmp_path / "a.jpg"):
        again, again_box = read_photograph(source, 96)
        np.testing.assert_array_equal(again, first)
        assert again_box == box


# Masks


def any_by_hand(mask, box, size):
    """Every set source pixel marks each output pixel that it overlaps, in exact fractions."""
    result = np.zeros((size, size), bool)
    step = Fraction(box[2] - box[0], size)
    for y, x in zip(*np.nonzero(mask), strict=True):
        for row in range(size):
            for column in range(size):
                top, left = box[1] + row * step, box[0] + column * step
                if top < y + 1 and y < top + step and left < x + 1 and x < left + step:
                    result[row, column] = True
    return result


@given(st.integers(0, 99), st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 40), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_mask_pixel_is_set_where_any_source_pixel_is(tmp_path_factory, seed, left, top, side, size):
    mask = np.random.default_rng(seed).random((17, 23)) < 0.05
    file = tmp_path_factory.getbasetemp() / "mask.png"
    file.write_bytes(encode(mask))
    box = (left, top, left + side, top + side)
    np.testing.assert_array_equal(read_mask(file, box, size), any_by_hand(mask, box, size))


@pytest.fixture
def spot():
    mask = np.zeros((40, 60), bool)
    mask[20, 30:33] = True
    return mask


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "ones", "16 bits", "P", "RGB", "RGBA"])
def test_mask_in_every_mode(tmp_path, spot, mode, kind):
    if mode == "P":
        image = Image.fromarray(spot.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 0, 128, 0])
    elif mode == "RGBA":  # a lesion in red on opaque black, as in one of IDRiD's
        image = Image.fromarray(np.dstack([spot * np.uint8(76), *2 * [0 * spot], 255 + 0 * spot]).astype(np.uint8))
    else:
        image = Image.fromarray(
            {
                "1": spot,
                "L": spot * np.uint8(255),
                "ones": spot.astype(np.uint8),
                "16 bits": spot.astype(np.uint16),
                "RGB": np.dstack([spot * np.uint8(255), *2 * [0 * spot]]).astype(np.uint8),
            }[mode]
        )
    file = tmp_path / "mask"
    file.write_bytes(encode(image, kind))
    found = read_mask(file, (0, -10, 60, 50), 15, (40, 60))
    assert found.dtype == bool
    assert np.argwhere(found).tolist() == [[7, 7], [7, 8]]


def test_mask_lies_on_its_photograph(tmp_path):
    """A mark in the photograph and its mask, both through the field of view found."""
    clean, marked = fundus(800, 530, 420, 260, 300), fundus(800, 530, 420, 260, 300)
    spot = np.zeros((530, 800), bool)
    spot[100:140, 500:530] = True
    marked[spot] = 255
    pixels, box = read_photograph(encode(marked), 96)
    plain, plain_box = read_photograph(encode(clean), 96)
    assert plain_box == box
    (tmp_path / "mask.png").write_bytes(encode(spot))
    mask = read_mask(tmp_path / "mask.png", box, 96, (530, 800))
    seen = np.abs(pixels.astype(int) - plain).max(axis=2) > 60
    assert (seen & mask).sum() / (seen | mask).sum() > 0.7
    assert not (seen & ~mask).any()


def test_masks_that_are_refused(tmp_path, spot):
    (tmp_path / "a.jpg").write_bytes(encode(spot * np.uint8(255), "JPEG"))
    with pytest.raises(UnreadablePhotograph, match="JPEG"):
        read_mask(tmp_path / "a.jpg", (0, 0, 60, 60), 8)
    (tmp_path / "a.png").write_bytes(encode(spot))
    with pytest.raises(UnreadablePhotograph, match="the mask is 60x40 pixels, its photograph 800x530"):
        read_mask(tmp_path / "a.png", (0, 0, 60, 60), 8, (530, 800))
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(UnreadablePhotograph, match="empty"):
        read_mask(tmp_path / "b.png", (0, 0, 60, 60), 8)


# Real photographs


def idrid():
    files = sorted((DATA / "idrid").glob("*/1. Original Images/*/*.jpg"))
    if not files:
        pytest.skip(f"no IDRiD photographs in {DATA}; set SEMIRETINA_DATA")
    return files


def check_idrid(files):
    """Their fields of view are 80 to 90 % of the frame wide, cut off at top and bottom, never at left and right."""
    odd = []
    for file in files:
        left, top, right, bottom = read_photograph(file, 32)[1]
        width, height = Image.open(file).size
        good = 0.78 < (right - left) / width < 0.92 and left > 0 and right < width and top < 0 and bottom > height
        if not good or abs((top + bottom) / 2 - height / 2) > 0.08 * height:
            odd.append((file.name, left, top, right, bottom))
    assert not odd


def test_some_of_idrid():
    check_idrid(idrid()[::40])


@pytest.mark.slow
def test_all_of_idrid():
    check_idrid(idrid())
