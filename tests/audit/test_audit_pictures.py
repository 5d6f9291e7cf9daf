"""Photographs that should not be trained on unlooked at, planted among healthy ones."""

from pathlib import Path

import numpy as np
import pytest
from audit_photographs import draw, save, write
from PIL import Image
from scipy import ndimage

from semiretina.audit import pictures
from semiretina.audit.finding import gather
from semiretina.audit.pictures import BLURRED, SIZE, STATISTICS, look, measure, picture_findings, read_size
from semiretina.records import inspect_manifest


@pytest.fixture(scope="module")
def healthy() -> np.ndarray:
    return draw(1, grade=3)


def judged(folder: Path, rows: list[dict]):
    """kind -> [(rows, column, detail)] of the folder's photographs."""
    reading = inspect_manifest(write(folder, rows))
    assert reading.defects == []
    found = gather(picture_findings(reading, look(reading.records, folder / "cache")))
    return {finding.kind: [(p.rows, p.column, p.detail) for p in finding.places] for finding in found}


def spoilt(picture: np.ndarray, how: str) -> np.ndarray:
    random = np.random.default_rng(0)
    side = picture.shape[0]
    if how == "dark":
        return (picture * 0.08).astype(np.uint8)
    if how == "bright":
        return np.where(picture > 8, np.clip(picture * 2.0 + 120, 0, 255), picture).astype(np.uint8)
    if how == "blurred":
        return ndimage.gaussian_filter(picture, (side / 40, side / 40, 0))
    if how == "blank":
        return np.full_like(picture, 90)
    if how == "no-disc":
        return (120 + 40 * random.normal(0, 1, picture.shape)).clip(0, 255).astype(np.uint8)
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["dark", "bright", "blurred", "blank", "no-disc"])
def test_a_spoilt_photograph_is_told(tmp_path, healthy, how):
    save(healthy, tmp_path / "healthy.jpg")
    save(spoilt(healthy, how), tmp_path / "spoilt.jpg")
    found = judged(tmp_path, [{"path": "healthy.jpg"}, {"path": "spoilt.jpg"}])
    assert {kind: [(rows, column) for rows, column, _ in places] for kind, places in found.items()} == {
        how: [((3,), "path")]
    }
    assert "spoilt.jpg" in found[how][0][2]


def test_an_ungradable_photograph_is_left_alone(tmp_path, healthy):
    save(spoilt(healthy, "dark"), tmp_path / "a.jpg")
    assert judged(tmp_path, [{"path": "a.jpg", "quality": "ungradable"}]) == {}


def test_files_that_cannot_be_read(tmp_path, healthy):
    save(healthy, tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("no photograph")
    rows = [{"path": name} for name in ("whole.jpg", "half.jpg", "empty.jpg", "words.jpg", "gone.jpg")]
    found = judged(tmp_path, rows)
    assert list(found) == ["unreadable"]
    ((half, _, why), (empty, _, nothing), (words, _, other)) = found["unreadable"]
    assert (half, empty, words) == ((3,), (4,), (5,))
    assert why.startswith("half.jpg: damaged or truncated")
    assert (nothing, other) == ("empty.jpg: the file is empty", "words.jpg: not a JPEG, PNG or TIFF file")


def test_tiny_photographs(tmp_path, healthy):
    save(np.asarray(Image.fromarray(healthy).resize((120, 90))), tmp_path / "tiny.png")
    assert judged(tmp_path, [{"path": "tiny.png"}])["tiny"] == [((2,), "path", "tiny.png: 120x90 pixels")]


def test_masks_of_another_size(tmp_path, healthy):
    save(healthy, tmp_path / "a.jpg")
    height, width = healthy.shape[:2]
    Image.new("L", (width, height)).save(tmp_path / "right.png")
    Image.new("L", (width, height + 1)).save(tmp_path / "wrong.png")
    (tmp_path / "words.png").write_text("no mask")
    rows = [{"path": "a.jpg", "mask_MA": "right.png", "mask_HE": "wrong.png", "mask_EX": "words.png"}]
    assert judged(tmp_path, rows) == {
        "mask": [
            ((2,), "mask_HE", f"wrong.png: {width}x{height + 1}, its photograph {width}x{height}"),
            ((2,), "mask_EX", "words.png: not a JPEG, PNG or TIFF file"),
        ]
    }


def test_sizes_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (60, 40)).save(tmp_path / "upright.tif")
    assert (read_size(tmp_path / "turned.jpg"), read_size(tmp_path / "upright.tif")) == ((40, 60), (60, 40))


def test_a_photograph_of_the_cache_that_cannot_be_opened_any_more(tmp_path, healthy, monkeypatch):
    for name in ("a.jpg", "b.jpg"):
        save(healthy, tmp_path / name, comment=name)
    rows = [{"path": "a.jpg"}, {"path": "b.jpg"}]
    assert judged(tmp_path, rows) == {}

    def read(file):
        if file.name == "a.jpg":
            raise PermissionError(13, "Permission denied")
        return read_size(file)

    monkeypatch.setattr(pictures, "read_size", read)
    assert judged(tmp_path, rows) == {"unreadable": [((2,), "path", "a.jpg: permission denied")]}


def numbers_of(picture, covered=None):
    covered = np.ones((1, SIZE, SIZE), bool) if covered is None else covered
    table, surround = measure(picture[None], covered)
    return dict(zip(STATISTICS, table[0], strict=True)), surround[0]


def test_the_numbers_are_those_inside_the_field_of_view():
    picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2 + 0.5
    picture[np.hypot(xs, ys) < SIZE / 2] = (200, 100, 50)
    numbers, surround = numbers_of(picture)
    values = [numbers[name] for name in ("red", "green", "blue", "contrast", "dark", "bright")]
    assert values == pytest.approx([200, 100, 50, 0, 0, 0], abs=1e-3)
    assert surround == 40
    picture[:, : SIZE // 2] = 0
    numbers, _ = numbers_of(picture)
    assert [numbers[name] for name in ("red", "dark")] == pytest.approx([100, 0.5], abs=0.5)


def test_what_lies_beyond_the_photograph_does_not_count():
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    covered = np.zeros((1, SIZE, SIZE), bool)
    covered[0, 64:192] = True
    picture[64:192] = (10, 230, 90)
    numbers, surround = numbers_of(picture, covered)
    assert [numbers[name] for name in ("red", "contrast", "dark", "bright")] == pytest.approx([10, 0, 0, 1], abs=1e-3)
    assert surround == 230
    assert numbers_of(np.full_like(picture, 99), np.zeros_like(covered))[0]["red"] == 0


@pytest.mark.parametrize(("sigma", "blurred"), [(0.0, False), (1.0, False), (3.0, True), (6.0, True)])
def test_sharpness_is_told_from_contrast_and_brightness(sigma, blurred):
    # A spectrum that falls as 1 / f, as photographs have it.
    random = np.random.default_rng(0)
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
    spectrum = np.fft.rfft2(random.normal(0, 1, (SIZE, SIZE))) / np.maximum(f, 1 / SIZE)
    texture = ndimage.gaussian_filter(np.fft.irfft2(spectrum, (SIZE, SIZE)), sigma)
    for contrast, level in ((30, 100), (60, 120), (40, 80)):
        plane = np.clip(level + contrast * texture / texture.std(), 0, 255).round().astype(np.uint8)
        numbers, _ = numbers_of(np.repeat(plane[..., None], 3, axis=2))
        assert (numbers["sharpness"] < BLURRED) == blurred, numbers["sharpness"]
