"""The drawn photographs: the same for ever, true to their masks and grades, and without a short cut to the grade."""

import importlib
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import anatomy
from semiretina.data.simulator.cameras import HOSPITALS
from semiretina.data.simulator.drawings import SITES, UNLABELED_SITE, Drawing, drawings
from semiretina.data.sources.synthetic import records
from semiretina.errors import BadConfig, CannotWrite
from semiretina.records import LESIONS, read_manifest, write_manifest
from semiretina.tasks import make_tasks

DIFFICULTIES = ("easy", "real")


def field_square(image: np.ndarray, site: str, size: int, side: int) -> np.ndarray:
    """The square of the field of view at `side` pixels: what every model gets to see."""
    diameter = HOSPITALS[site].field * size
    height, width = image.shape[:2]
    box = ((width - diameter) / 2, (height - diameter) / 2, (width + diameter) / 2, (height + diameter) / 2)
    square = Image.new("RGB", (side, side))
    scale = side / diameter
    part = Image.fromarray(image).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    square.paste(part, (round(-box[0] * scale), round(-box[1] * scale)))
    return np.asarray(square)


@lru_cache
def squares(photographs: int, size: int, side: int, difficulty: str, *, lesions: bool = True) -> tuple:
    """[n, side, side, 3] in [0, 1], whether each eye is ill, its patient, its hospital's number."""
    pixels, ill, patients, sites = [], [], [], []
    for drawing in drawings(photographs, size, difficulty):
        d = drawing
        image, _ = fundus.draw(d.key, d.grade, d.site, size, d.difficulty, with_lesions=lesions)
        pixels.append(field_square(image, d.site, size, side))
        ill.append(d.grade > 0)
        patients.append(d.patient)
        sites.append(SITES.index(d.site))
    return np.stack(pixels).astype(np.float32) / 255, np.array(ill), np.array(patients), np.array(sites)


def cross_validated(features: np.ndarray, ill: np.ndarray, patients: np.ndarray, strength: float = 1.0) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500, tol=1e-3))
    scores = cross_val_predict(model, features, ill, groups=patients, cv=GroupKFold(5), method="predict_proba")[:, 1]
    return float(roc_auc_score(ill, scores))


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_same_arguments_draw_the_same_bytes_in_another_process(difficulty):
    drawing = Drawing(3, 17, "left", 3, "birch", 96, difficulty)
    image, masks = drawing.draw()
    code = (
        "from semiretina.data.simulator.drawings import Drawing; from hashlib import sha256;"
        "Drawing(0, 1, 'left', 4, 'alder', 64, 'real').draw();"  # whatever was drawn before
        f"i, m = Drawing(3, 17, 'left', 3, 'birch', 96, {difficulty!r}).draw();"
        "print(sha256(i.tobytes() + b''.join(m[k].tobytes() for k in sorted(m))).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = sha256(image.tobytes() + b"".join(masks[name].tobytes() for name in sorted(masks))).hexdigest()
    assert elsewhere == here


def test_seed_patient_and_eye_each_change_the_photograph():
    base = Drawing(0, 5, "left", 2, "cedar", 64, "easy")
    others = [
        Drawing(1, 5, "left", 2, "cedar", 64, "easy"),
        Drawing(0, 6, "left", 2, "cedar", 64, "easy"),
        Drawing(0, 5, "right", 2, "cedar", 64, "easy"),
    ]
    assert all((base.draw()[0] != other.draw()[0]).mean() > 0.3 for other in others)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("site", SITES)
def test_masks_are_where_the_photograph_differs_from_its_lesion_free_twin(site, difficulty):
    for grade in (1, 2, 3, 4):
        image, masks = fundus.draw((0, grade, "right"), grade, site, 256, difficulty)
        clean, none = fundus.draw((0, grade, "right"), grade, site, 256, difficulty, with_lesions=False)
        assert not any(mask.any() for mask in none.values())
        differs = (image != clean).any(axis=2)
        masked = np.logical_or.reduce(list(masks.values()))
        assert not (differs & ~masked).any(), "something of a lesion lies outside its mask"
        assert differs[masked].mean() > 0.85, "a mask holds much that is no lesion"


def test_dark_lesions_are_darker_and_bright_ones_brighter():
    image, masks = fundus.draw((0, 8, "left"), 3, "alder", 256, "easy")
    clean, _ = fundus.draw((0, 8, "left"), 3, "alder", 256, "easy", with_lesions=False)
    change = image[..., 1].astype(int) - clean[..., 1]
    dark, bright = masks["MA"] | masks["HE"], masks["EX"] | masks["SE"]
    assert change[dark & ~bright].mean() < -15
    assert change[bright & ~dark].mean() > 10


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_lesions_follow_the_definitions_of_the_icdr_grades(difficulty):
    for patient in range(30):
        eye, site = ("left", "right")[patient % 2], SITES[patient % 3]
        kinds = {}
        for grade in range(5):
            lesions, edema = fundus.plan((1, patient, eye), grade, site, difficulty)
            kinds[grade] = {name for name in LESIONS if lesions.has(name)}
            assert edema == 0 or "EX" in kinds[grade]
            haemorrhages = lesions.kind == 1
            if grade == 3:  # in all four quadrants around the fovea
                fovea = anatomy((1, patient, eye)).fovea
                quadrants = {(x > fovea[0], y > fovea[1]) for x, y in zip(lesions.x, lesions.y, strict=True)}
                assert len(quadrants) == 4
            if grade == 4:
                assert lesions.radius[haemorrhages].max() > 0.07
            assert np.all(np.abs(lesions.y) < HOSPITALS[site].reach)
        assert kinds[0] == set()
        assert kinds[1] == {"MA"}
        assert all("MA" in kinds[grade] for grade in (2, 3, 4))
        assert "HE" in kinds[3]
        assert "HE" in kinds[4]


def test_macular_edema_is_an_exudate_within_a_disc_diameter_of_the_fovea():
    found = []
    for patient in range(60):
        key = (0, patient, "right")
        lesions, edema = fundus.plan(key, 2, "alder", "easy")
        place = anatomy(key)
        exudates = [
            np.hypot(x - place.fovea[0], y - place.fovea[1])
            for kind, x, y in zip(lesions.kind, lesions.x, lesions.y, strict=True)
            if LESIONS[kind] == "EX"
        ]
        near = any(distance <= 2 * place.disc_radius for distance in exudates)
        assert edema == (0 if not exudates else 2 if near else 1)
        found.append(edema)
    assert set(found) == {0, 1, 2}


# IDRiD's 54 masked photographs, by benchmarks/lesions.py: diameter of the median lesion in thousandths of the field of
# view's, and its log contrast in green.
MEASURED = {"MA": (5.0, -0.080), "HE": (13.0, -0.092), "EX": (5.2, 0.087), "SE": (30.9, 0.146)}


def test_real_lesions_have_the_sizes_and_contrasts_of_idrid():
    sizes, contrasts = {name: [] for name in LESIONS}, {name: [] for name in LESIONS}
    for number in range(5):
        key = ((0, number, "left"), 2 + number % 3, "birch", 640, "real")
        image, masks = fundus.draw(*key)
        everything = np.logical_or.reduce(list(masks.values()))
        light = np.log(image[..., 1] + 4.0)
        for name, mask in masks.items():
            labels, count = ndimage.label(mask, np.ones((3, 3)))
            area = ndimage.sum_labels(mask, labels, range(1, count + 1))
            sizes[name] += (2000 * np.sqrt(area / np.pi) / (1.18 * 640)).tolist()
            for at in range(1, min(count, 40) + 1):
                own = labels == at
                top, left = (max(0, s.start - 6) for s in ndimage.find_objects(own.astype(int))[0])
                window = (slice(top, top + 80), slice(left, left + 80))
                own = own[window]
                ring = ndimage.binary_dilation(own, iterations=5) & ~ndimage.binary_dilation(own) & ~everything[window]
                if ring.sum() > 8:
                    contrasts[name].append(light[window][own].mean() - light[window][ring].mean())
    for name, (size, contrast) in MEASURED.items():
        assert np.median(sizes[name]) == pytest.approx(size, rel=0.3), name
        assert np.median(contrasts[name]) == pytest.approx(contrast, rel=0.35), name


def test_hospitals_differ_in_shape_and_colour():
    shapes, colors = set(), []
    for site in SITES:
        photographs = [fundus.draw((0, patient, "left"), 0, site, 100, "easy")[0] for patient in range(8)]
        shapes |= {photograph.shape for photograph in photographs}
        colors.append(np.mean([p[35:55, 55:70].mean(axis=(0, 1)) for p in photographs], axis=0))
    assert shapes == {(90, 135, 3), (100, 150, 3), (112, 140, 3)}
    cut = [(fundus.draw((0, 0, "left"), 0, site, 100, "easy")[0][0] > 20).any() for site in SITES]
    assert cut == [False, True, False], "one camera cuts the field of view off at the top"
    differences = [
        np.abs(a - b).max() for a, b in ((colors[0], colors[1]), (colors[1], colors[2]), (colors[0], colors[2]))
    ]
    assert min(differences) > 8


@settings(max_examples=12, deadline=None)
@given(size=st.integers(32, 300), site=st.sampled_from(SITES), difficulty=st.sampled_from(DIFFICULTIES))
def test_any_size_shows_a_round_field_on_black(size, site, difficulty):
    image, masks = fundus.draw((0, 1, "right"), 2, site, size, difficulty)
    camera = HOSPITALS[site]
    assert image.shape == (round(size * camera.height), round(size * camera.width), 3)
    assert all(mask.shape == image.shape[:2] for mask in masks.values())
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    radius = np.hypot(x + 0.5 - image.shape[1] / 2, y + 0.5 - image.shape[0] / 2) / (camera.field * size / 2)
    pixel = 2 / (camera.field * size)
    assert image[radius > 1 + 2 * pixel].max(initial=0) == 0
    assert (image[radius < 1 - 2 * pixel].max(axis=1) > 25).all()


def test_a_larger_size_shows_the_same_eye():
    small = fundus.draw((0, 3, "left"), 0, "birch", 64, "easy")[0].astype(float)
    large = fundus.draw((0, 3, "left"), 0, "birch", 256, "easy")[0].astype(float)
    reduced = large.reshape(len(small), 4, small.shape[1], 4, 3).mean(axis=(1, 3))
    assert np.abs(small - reduced).mean() < 3


def test_twin_eyes_share_their_colour_and_mirror_their_disc():
    twins, strangers = [], []
    for patient in range(0, 24, 2):
        left, right, other = (
            fundus.draw((0, who, eye), 0, "cedar", 64, "easy")[0].astype(float).mean(axis=(0, 1))
            for who, eye in ((patient, "left"), (patient, "right"), (patient + 1, "right"))
        )
        twins.append(np.abs(left - right).mean())
        strangers.append(np.abs(left - other).mean())
        assert anatomy((0, patient, "left")).disc[0] < -0.4
        assert anatomy((0, patient, "right")).disc[0] > 0.4
    assert np.mean(twins) < 0.6 * np.mean(strangers)


def test_grades_are_half_healthy_balanced_over_hospitals_and_mostly_shared_by_twins():
    found = drawings(1200, 64)
    for site in SITES:
        grades = Counter(drawing.grade for drawing in found if drawing.site == site)
        assert sum(grades.values()) == 400
        assert grades[0] == pytest.approx(200, abs=20)
        assert all(grades[grade] >= 25 for grade in (1, 2, 3, 4))
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert all(a.patient == b.patient and a.site == b.site and {a.eye, b.eye} == {"left", "right"} for a, b in pairs)
    steps = Counter(abs(a.grade - b.grade) for a, b in pairs)
    assert set(steps) == {0, 1}
    assert 0.75 < steps[0] / len(pairs) < 0.97
    order = np.argsort([d.grade > 0 for d in found], kind="stable")
    assert abs(np.corrcoef(np.arange(1200), order)[0, 1]) < 1  # grades do not come sorted
    assert abs(np.corrcoef(np.arange(1200), [d.grade > 0 for d in found])[0, 1]) < 0.1


def test_records_are_files_with_the_truth_and_the_unlabelled_ones_come_from_one_hospital(tmp_path):
    found = records(tmp_path, photographs=24, unlabeled=10, size=48, masks=True)
    labeled, hidden = found[:24], found[24:]
    assert len({record.path for record in found}) == 34
    for record in labeled:
        assert record.scale == "icdr"
        assert record.split == ""
        with Image.open(record.path) as image:
            assert image.format == "JPEG"
            shape = image.size
        for lesion in LESIONS:
            mask = np.asarray(Image.open(getattr(record, f"mask_{lesion}")))
            assert mask.dtype == bool
            assert mask.shape == shape[::-1]
            assert mask.any() == (getattr(record, lesion) == 1)
        assert (record.dme > 0) == (record.EX == 1)
    assert {record.site for record in labeled} == set(SITES)
    assert {record.site for record in hidden} == {UNLABELED_SITE}
    assert all(record.grade is None and record.dme is None and record.MA is None for record in hidden)
    assert not {record.patient for record in hidden} & {record.patient for record in labeled}
    assert all(Counter(record.patient for record in found)[record.patient] == 2 for record in found)
    write_manifest(found, tmp_path / "manifest.csv")
    assert read_manifest(tmp_path / "manifest.csv") == found
    make_tasks(["dr", "referable", "severity", "lesions", "dme"], found)


def test_records_draw_only_what_is_missing_and_never_mix_settings(tmp_path):
    first = records(tmp_path, photographs=6, unlabeled=2, size=40)
    before = {record.path: record.path.read_bytes() for record in first}
    first[0].path.unlink()
    first[1].path.write_bytes(b"kept")  # shows that it is not drawn again
    second = records(tmp_path, photographs=8, unlabeled=2, size=40)
    assert second[:6] == first[:6]
    assert first[0].path.read_bytes() == before[first[0].path]
    assert first[1].path.read_bytes() == b"kept"
    other = records(tmp_path, photographs=6, unlabeled=2, size=40, seed=1)
    assert not {record.path for record in other} & {record.path for record in second}
    assert not list(tmp_path.rglob(".*")), "no half-written file is left"


def test_senseless_options_are_refused_in_one_line(tmp_path):
    for options in ({"photographs": 0, "unlabeled": 0}, {"size": 8}, {"difficulty": "hard"}, {"photographs": -1}):
        with pytest.raises(BadConfig, match="synthetic: "):
            records(tmp_path, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="choose another place"):
        records(tmp_path / "file", photographs=1, unlabeled=0, size=40)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_no_short_cut_by_colour_thumbnail_or_hospital(difficulty):
    pixels, ill, patients, sites = squares(360, 64, 16, difficulty)
    color = pixels.mean(axis=(1, 2))
    log_color = np.log(color)
    assert (
        cross_validated(np.concatenate([color, log_color, color.std(axis=1, keepdims=True)], axis=1), ill, patients)
        <= 0.65
    )
    for strength in (1.0, 1e-3):
        assert cross_validated(pixels.reshape(len(pixels), -1), ill, patients, strength) <= 0.65
    assert cross_validated(np.eye(3)[sites], ill, patients) <= 0.65


def test_a_short_cut_would_be_seen():
    pixels, ill, patients, _ = squares(360, 64, 16, "easy")
    tinted = pixels - 0.06 * ill[:, None, None, None] * np.array([0, 1, 0], np.float32)
    assert cross_validated(tinted.mean(axis=(1, 2)), ill, patients) > 0.65


@pytest.mark.slow
def test_a_trained_grader_looks_at_the_lesions_and_at_nothing_else():
    """With its lesions erased, no photograph tells its grade to a network that grades well with them."""
    pixels, ill, _, _ = squares(500, 96, 64, "easy")
    erased = squares(500, 96, 64, "easy", lesions=False)[0]
    torch.manual_seed(0)
    widths = (3, 16, 32, 64, 64)
    layers = [
        layer
        for given, made in pairwise(widths)
        for layer in (nn.Conv2d(given, made, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(made))
    ]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) * 4 - 2
    targets = torch.from_numpy(ill).float()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(16):
        for rows in torch.randperm(260).split(20):
            flips = [dim for dim in (2, 3) if torch.rand(()) < 0.5]
            loss = nn.functional.binary_cross_entropy_with_logits(
                network(images[rows].flip(flips))[:, 0], targets[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        seen = network(images[260:])[:, 0]
        unseen = network(torch.from_numpy(erased[260:]).permute(0, 3, 1, 2) * 4 - 2)[:, 0]
    assert roc_auc_score(ill[260:], seen) >= 0.88
    assert roc_auc_score(ill[260:], unseen) == pytest.approx(0.5, abs=0.1)


def test_the_contact_sheet_shows_every_hospital_and_grade(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    contact_sheet = importlib.import_module("contact_sheet").contact_sheet
    sheet = np.asarray(contact_sheet("easy", size=40))
    rows = [(sheet[top : top + 40].max(axis=(0, 2)) > 60).mean() for top in range(0, sheet.shape[0] - 40, 62)]
    assert min(rows) > 0.6
