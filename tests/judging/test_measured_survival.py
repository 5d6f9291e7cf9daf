"""Which lesions survive, from files to `survival.json`: photographs with masks, crop boxes, controls."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from semiretina.data.pixel_cache import PixelCache
from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.judging.lesion_survival import blurred, survival, write_survival
from semiretina.records import Record

SIZE = 64


def eye(folder, name, *, left=40):
    """A disc of 128 px in a wide black frame, with one broad dark spot and one small bright one, and their masks."""
    y, x = np.mgrid[:160, :240]
    seen = (x - left - 64) ** 2 + (y - 80) ** 2 < 64**2
    picture = np.zeros((160, 240, 3), np.uint8)
    picture[seen] = (180, 100, 40)
    wide = (slice(60, 84), slice(left + 40, left + 64))
    small = (slice(110, 114), slice(left + 70, left + 74))
    picture[(*wide, 1)], picture[(*small, 1)] = 40, 200
    Image.fromarray(picture).save(folder / f"{name}.png")
    masks = {}
    for lesion, place in (("HE", wide), ("EX", small)):
        mask = np.zeros((160, 240), np.uint8)
        mask[place] = 255
        masks[f"mask_{lesion}"] = folder / f"{name}-{lesion}.png"
        Image.fromarray(mask).save(masks[f"mask_{lesion}"])
    return Record(path=folder / f"{name}.png", **masks)


@pytest.fixture
def eyes(tmp_path):
    """Two eyes with masks in the test role, one without, one in training."""
    records = [
        eye(tmp_path, "a"),
        eye(tmp_path, "b", left=70),
        Record(path=eye(tmp_path, "c", left=20).path),
        eye(tmp_path, "d", left=10),
    ]
    cache = PixelCache(tmp_path / "cache", SIZE)
    entries = cache.add([record.path for record in records])
    roles = ["test", "test", "test", "train"]
    split = Split(records, [e.sha256 for e in entries], list("abcd"), roles)
    rows = np.array([entry.row for entry in entries], np.int64)
    return split, Pixels(cache.rows(), rows, torch.device("cpu"), [entry.box for entry in entries])


class Stub(nn.Module):
    """A network whose decoder is a fixed picture-to-picture map."""

    def __init__(self, decode):
        super().__init__()
        self.map = decode

    def encode(self, images):
        assert not self.training
        return images

    def decode(self, features):
        return self.map(features)


def shares(content, picture):
    return {(row["type"], row["sizes"]): row[picture]["value"] for row in content["table"]}


def test_a_perfect_decoder_keeps_all_and_a_flat_one_none(eyes, tmp_path):
    split, pixels = eyes
    file = tmp_path / "survival.json"
    network = Stub(lambda images: images).train()
    write_survival(file, split, "test", pixels, network, batch=1)
    assert network.training
    content = json.loads(file.read_text())
    assert (content["role"], content["photographs"], content["size"], content["left_out"]) == ("test", 2, SIZE, [])
    # Two photographs with one lesion of each type. The spots of 24 and 4 px become 12 and 2 px wide, a pixel more or
    # two where a mask's edge falls inside one.
    assert [(row["type"], row["sizes"], row["lesions"], row["measurable"]) for row in content["table"]] == [
        ("HE", "100+", 2, 2),
        ("HE", "all", 2, 2),
        ("EX", "1-9", 2, 2),
        ("EX", "all", 2, 2),
    ]
    assert set(shares(content, "original").values()) == set(shares(content, "reconstruction").values()) == {1.0}
    # sigma = 2 px: a spot of 12 px stays, one of 2 px loses most of its contrast.
    assert shares(content, "blurred")["HE", "all"] == 1.0
    assert shares(content, "blurred")["EX", "all"] == 0.0

    flat = survival(split, split.rows("test")[:2], pixels, Stub(lambda images: 0 * images + 0.4), 8)
    assert set(shares(flat, "reconstruction").values()) == {0.0}
    assert set(shares(flat, "original").values()) == {1.0}


def test_a_decoder_that_blurs_scores_as_the_control(eyes):
    split, pixels = eyes

    def blur(images):
        pictures = [blurred(image.permute(1, 2, 0).numpy()) for image in images]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    content = survival(split, split.rows("test")[:2], pixels, Stub(blur), 8)
    assert shares(content, "reconstruction") == shares(content, "blurred")


def test_chance_is_the_reconstruction_of_the_photograph_before(eyes, tmp_path):
    # Both eyes look alike once cropped, so a perfect decoder shows the lesions of one where the other has them. A
    # decoder that gives every second photograph without lesions keeps half of them, and shows the other half by chance.
    split, pixels = eyes
    rows = split.rows("test")[:2]
    alike = survival(split, rows, pixels, Stub(lambda images: images), 8)
    assert set(shares(alike, "chance").values()) == {1.0}
    first = pixels.take(rows[:1])[0, :, :, 1].float().div(255)

    def only_second(images):
        is_first = (images[:, 1] - first).abs().amax(dim=(1, 2)) < 1e-6
        return torch.where(is_first[:, None, None, None], 0.4, images)

    # Told apart by a corner that nothing else looks at.
    pixels.stored = pixels.stored.copy()
    pixels.stored[pixels.cache_rows[rows[1]], 0, 0, 1] = 9
    for batch in (1, 2, 8):
        content = survival(split, rows, pixels, Stub(only_second), batch)
        assert set(shares(content, "reconstruction").values()) == {0.5}
        assert set(shares(content, "chance").values()) == {0.5}
    write_survival(tmp_path / "alone.json", split, "train", pixels, Stub(lambda images: images), 8)
    alone = json.loads((tmp_path / "alone.json").read_text())
    assert alone["photographs"] == 1
    assert set(shares(alone, "chance").values()) == {None}
    assert set(shares(alone, "reconstruction").values()) == {1.0}


def test_masks_follow_the_crop(eyes):
    # A decoder that wipes out what lies where the lesions are after cropping, found by colour, takes every lesion.
    split, pixels = eyes

    def wiped(images):
        green = images[:, 1:2]
        spots = ((green < 0.3) | (green > 0.5)) & (images[:, :1] > 0.5)
        return torch.where(spots.expand_as(images), 0.39, images)

    content = survival(split, split.rows("test")[:2], pixels, Stub(wiped), 8)
    assert set(shares(content, "reconstruction").values()) == {0.0}


def test_values_beyond_the_range_are_clamped_as_in_a_picture(eyes):
    split, pixels = eyes
    rows = split.rows("test")[:2]
    # Black and white swapped far beyond [0, 1] on one side: clamped, dark spot and ground are both black.
    content = survival(split, rows, pixels, Stub(lambda images: images - 1), 8)
    assert set(shares(content, "reconstruction").values()) == {0.0}


def test_a_role_without_masks_writes_nothing(eyes, tmp_path):
    split, pixels = eyes
    write_survival(tmp_path / "survival.json", split, "val", pixels, Stub(lambda images: images), 8)
    assert not (tmp_path / "survival.json").exists()


def test_masks_that_cannot_be_read_are_left_out_and_told(eyes, tmp_path, capsys):
    split, pixels = eyes
    split.records[0].mask_EX.unlink()
    split.records[1].mask_HE.write_bytes(b"no picture")
    write_survival(tmp_path / "survival.json", split, "test", pixels, Stub(lambda images: images), 8)
    content = json.loads((tmp_path / "survival.json").read_text())
    assert content["photographs"] == 0
    assert content["table"] == []
    assert [text.split(":")[0] for text in content["left_out"]] == ["a.png", "b.png"]
    told = capsys.readouterr().err
    assert "lesion survival: 2 defects" in told
    assert "not a JPEG, PNG or TIFF file" in told
