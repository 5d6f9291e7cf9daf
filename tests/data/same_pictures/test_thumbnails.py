"""The same picture and the same eye: found where they are, and only there."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from semiretina.data.same_pictures.thumbnails import find_pairs
from semiretina.errors import BadData


def vessels(number: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal((300, 400)), 5)
    return np.exp(-2 * np.abs(noise) / noise.std())


def photograph(
    lines: np.ndarray, *, top: int = 61, left: int = 66, color: tuple[int, int, int] = (210, 110, 60)
) -> Image.Image:
    lines = lines[top : top + 178, left : left + 268, None]
    y, x = np.mgrid[:178, :268]
    inside = (y - 89) ** 2 + (x - 134) ** 2 < 110**2
    return Image.fromarray((np.array(color) * (1 - 0.6 * lines) * inside[..., None]).astype(np.uint8))


def save(folder: Path, *images: Image.Image) -> list[Path]:
    files = [folder / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    return files


def test_another_encoding_is_the_same_picture(tmp_path: Path) -> None:
    image = photograph(vessels(1)).resize((536, 356), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=70)
    files = save(tmp_path, photograph(vessels(2)), image, Image.open(encoded))
    (pair,) = find_pairs(files)
    assert (pair.first, pair.second, pair.kind) == (1, 2, "copy")
    assert 0.95 < pair.score <= 1


@pytest.mark.parametrize(("down", "right", "degrees"), [(0, 3, 0), (9, -14, 0), (-12, 6, 3), (4, 20, -6)])
def test_a_moved_and_turned_eye_in_other_light_is_the_same_eye(
    tmp_path: Path, down: int, right: int, degrees: float
) -> None:
    lines = vessels(3)
    again = photograph(
        ndimage.rotate(lines, degrees, reshape=False, order=1), top=61 + down, left=66 + right, color=(150, 90, 70)
    )
    (pair,) = find_pairs(save(tmp_path, photograph(lines), photograph(vessels(4)), again))
    assert (pair.first, pair.second, pair.kind) == (0, 2, "eye")


def test_other_eyes_are_not_taken_for_one(tmp_path: Path) -> None:
    assert find_pairs(save(tmp_path, *(photograph(vessels(number)) for number in range(10, 24)))) == []


def test_one_photograph_or_none_has_no_pair(tmp_path: Path) -> None:
    assert find_pairs([]) == []
    assert find_pairs(save(tmp_path, photograph(vessels(1)))) == []


def test_black_photographs_do_not_break_the_comparison(tmp_path: Path) -> None:
    black = Image.new("RGB", (268, 178))
    assert find_pairs(save(tmp_path, black, photograph(vessels(1)), black)) == []


def test_unreadable_files_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(BadData, match=r"2 defects: .*a\.png: .*b\.png: "):
        find_pairs([tmp_path / "a.png", tmp_path / "b.png"])


def test_a_damaged_file_is_told_without_noise(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (64, 64)).save(whole, "TIFF", compression="tiff_lzw", description="a long text " * 20)
    for name in "ab":
        (tmp_path / f"{name}.tif").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(BadData, match="2 defects: "):
        find_pairs([tmp_path / "a.tif", tmp_path / "b.tif"])
    assert not recwarn.list
