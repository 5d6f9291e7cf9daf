"""Heat maps against gradients by hand, on planted lesions, and without a trace in the network."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from semiretina.judging.grader import Grader
from semiretina.judging.heatmaps import heat_maps, overlay
from semiretina.judging.mistakes import MISTAKES, write_mistakes
from semiretina.judging.test_set import TestSet
from semiretina.models import build_network
from semiretina.models.classifier import Classifier
from semiretina.models.network import Network
from semiretina.records import Record
from semiretina.tasks import make_task

DR, LESIONS = make_task("dr", "icdr"), make_task("lesions", "icdr")
SEVERITY, ORDINAL = make_task("severity", "messidor"), make_task("severity-ordinal", "messidor")


def linear(task, weights):
    """A network whose map is the photograph itself, and whose logits are weights @ the mean colour."""
    network = Network(nn.Identity(), Classifier(3, {task.name: task.num_logits}, hidden=0))
    head = network.classifier.heads[task.name]
    head.weight.data = torch.tensor(weights, dtype=torch.float32)
    head.bias.data = torch.linspace(-1, 1, len(weights))
    return network


def photographs(count=2, side=8, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def expected(image, weights):
    """Grad-CAM by hand: dy/dA is the weight over the number of places, everywhere; its positive part, highest 1."""
    colors = image.numpy().astype(np.float64) / 255
    heat = np.clip(colors @ np.array(weights, np.float64), 0, None)
    return heat / heat.max() if heat.max() > 0 else heat


@pytest.mark.parametrize(
    ("task", "weights", "output", "answer", "combined"),
    [
        (DR, [[1, -2, 0.5]], 0, 1, [1, -2, 0.5]),
        (DR, [[1, -2, 0.5]], 0, 0, [-1, 2, -0.5]),
        (LESIONS, [[1, 0, 0], [0, 1, 0], [-1, 3, 1], [0, 0, 1]], 2, 1, [-1, 3, 1]),
        (SEVERITY, [[1, 0, 0], [0, 2, -1], [0, 0, 1], [1, 1, 1]], 0, 1, [0, 2, -1]),
        # Grade 1 of 0 to 3: above grade 0 and not above grade 1.
        (ORDINAL, [[1, 0, 0], [0, 2, -1], [0, 0, 1]], 0, 1, [1, -2, 1]),
        (ORDINAL, [[1, 0, -1], [0, 2, -1], [0, 0, 1]], 0, 0, [-1, 0, 1]),
        (ORDINAL, [[1, 0, 0], [0, 2, -1], [0, 3, -1]], 0, 3, [0, 3, -1]),
    ],
)
def test_the_map_of_a_linear_network_is_its_weights_by_hand(task, weights, output, answer, combined):
    images = photographs()
    found = heat_maps(linear(task, weights), images, task, [output] * 2, [answer] * 2)
    for image, heat in zip(images, found, strict=True):
        np.testing.assert_allclose(heat.numpy(), expected(image, combined), atol=1e-6)


def test_nothing_that_speaks_for_the_answer_gives_an_empty_map():
    found = heat_maps(linear(DR, [[-1, -1, -1]]), photographs(), DR, [0, 0], [1, 1])
    assert (found == 0).all()


def test_a_trained_network_looks_at_the_planted_lesion():
    """Bright spots tell the classes apart, so after a few steps the map is hottest where the spot is."""
    draw = np.random.default_rng(3)
    images = draw.integers(40, 60, (48, 64, 64, 3), dtype=np.uint8)
    labels = np.arange(48) % 2
    places = draw.integers(8, 56, (48, 2))
    for image, label, (y, x) in zip(images, labels, places, strict=True):
        image[y - 5 : y + 5, x - 5 : x + 5] = 235 if label else image[y - 5 : y + 5, x - 5 : x + 5]
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.BatchNorm2d(8), nn.ReLU())
    network = Network(encoder, Classifier(8, {"dr": 1}, hidden=0))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(inputs)["dr"][:, 0], torch.from_numpy(labels).float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    ill = np.flatnonzero(labels)
    maps = heat_maps(network, torch.from_numpy(images[ill]), DR, [0] * len(ill), [1] * len(ill)).numpy()
    for heat, (y, x) in zip(maps, places[ill], strict=True):
        highest = np.unravel_index(heat.argmax(), heat.shape)
        assert max(abs(highest[0] - y), abs(highest[1] - x)) <= 8


@pytest.mark.parametrize(("name", "size"), [("aecl1-small", 64), ("resnet18", 64), ("inceptionv3", 96)])
@pytest.mark.parametrize("mode", [True, False])
def test_the_network_is_left_as_it_was(name, size, mode):
    torch.manual_seed(0)
    network = build_network(name, {"dr": 1}, size, {})
    network.train(mode)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = photographs(2, size)
    first = heat_maps(network, images, DR, [0, 0], [1, 0])
    assert network.training is mode
    assert all(part.training is mode for part in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert first.shape == (2, size, size)
    assert torch.equal(first, heat_maps(network, images, DR, [0, 0], [1, 0]))
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_frozen_batch_norms_stay_frozen():
    network = build_network("resnet18", {"dr": 1}, 64, {"batch_norm": "frozen"})
    heat_maps(network, photographs(2, 64), DR, [0, 0], [1, 1])
    assert network.training
    assert not any(m.training for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d))


def test_an_encoder_of_timm_has_maps_too_unless_the_photograph_is_small():
    pytest.importorskip("timm")
    network = build_network("timm", {"dr": 1}, 64, {"encoder": "resnet10t", "decoder": False})
    assert heat_maps(network, photographs(2, 128), DR, [0, 0], [1, 0]).shape == (2, 128, 128)
    assert heat_maps(network, photographs(2, 64), DR, [0, 0], [1, 0]) is None


@pytest.mark.parametrize(
    ("name", "size", "level", "answer"), [("aecl1-small", 64, 3, 0), ("resnet18", 64, 6, 1), ("aeres18", 128, 7, 1)]
)
def test_of_a_chain_the_last_map_of_four_by_four_counts(name, size, level, answer):
    """The gradient of that level's map by hand, the levels run one after the other."""
    torch.manual_seed(1)
    network = build_network(name, {"dr": 1}, size, {}).eval()
    images = photographs(2, size)
    x = (images.permute(0, 3, 1, 2) / 255 - network.mean) / network.std
    levels = list(network.encoder)
    with torch.no_grad():
        for step in levels[: level + 1]:
            x = step(x)
    assert x.shape[2:] == (4, 4)
    x.requires_grad_()
    features = x
    for step in levels[level + 1 :]:
        features = step(features)
    (network.classify(features)["dr"].sum() * (2 * answer - 1)).backward()
    heat = (x.grad.mean(dim=(2, 3), keepdim=True) * x).sum(dim=1, keepdim=True).clamp(min=0).detach()
    heat = nn.functional.interpolate(heat, size=(size, size), mode="bilinear")[:, 0]
    found = heat_maps(network, images, DR, [0, 0], [answer, answer])
    np.testing.assert_allclose(found, heat / heat.amax(dim=(1, 2), keepdim=True), atol=1e-5)


def test_frozen_weights_have_a_heat_map():
    network = build_network("aecl1-small", {"dr": 1}, 64, {})
    network.requires_grad_(False)
    assert heat_maps(network, photographs(2, 64), DR, [0, 0], [1, 0]) is not None


def test_without_a_map_the_photograph_stands_alone(tmp_path):
    network = linear(DR, [[1, 1, 1]])
    [mistake] = written(tmp_path, DR, network, photographs(1, side=2), [[0.9]], np.zeros((1, 1)))
    assert (mistake["photograph"], mistake["heat_map"]) == ("mistake-00.png", "")
    assert [file.name for file in tmp_path.glob("*.png")] == ["mistake-00.png"]


def test_an_overlay_is_grey_where_nothing_is_hot():
    image = np.array([[[200, 100, 50], [200, 100, 50]]], np.uint8)
    shown = overlay(image, np.array([[0.0, 1.0]], np.float32))
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert shown[0, 0].tolist() == [round(grey)] * 3
    np.testing.assert_allclose(shown[0, 1], 0.4 * grey + 0.6 * np.array([253, 231, 37]), atol=0.51)


@dataclass
class Stored:
    """The pixels of a split's rows."""

    images: torch.Tensor

    def take(self, rows):
        return self.images[torch.as_tensor(rows)]


def written(folder, task, network, images, values, targets, rows=None, **more):
    """The mistakes that are written of these photographs, or of the ones in these rows."""
    rows = np.arange(len(images)) if rows is None else rows
    records = [Record(path=folder / f"eye {row}.jpg") for row in rows]
    test = TestSet({task.name: task}, records, [""] * len(rows), {task.name: np.asarray(targets, np.float32)})
    grader = Grader(network, {task.name: task}, images.shape[1], "none", 0.5, torch.device("cpu"), **more)
    answers = {task.name: np.array(values, np.float32)}
    write_mistakes(folder / "mistakes.json", test, answers, grader, Stored(images), rows)
    return json.loads((folder / "mistakes.json").read_text())


def test_the_surest_wrong_answers_are_written_in_their_order(tmp_path):
    images, rows = photographs(8), np.arange(1, 7)
    labels = [[1.0], [0.0], [0.0], [1.0], [float("nan")], [0.0]]
    yes = [[0.05], [0.9], [0.1], [0.3], [0.99], [0.62]]
    found = written(
        tmp_path / "samples", DR, linear(DR, [[1, 1, 1]]), images, yes, labels, rows, own_thresholds={"dr": 0.6}
    )
    assert [row["path"].rsplit("/")[-1] for row in found] == ["eye 1.jpg", "eye 2.jpg", "eye 4.jpg", "eye 6.jpg"]
    assert [(row["label"], row["answer"]) for row in found] == [
        ("yes", "no"),
        ("no", "yes"),
        ("yes", "no"),
        ("no", "yes"),
    ]
    assert [row["probability"] for row in found] == pytest.approx([0.95, 0.9, 0.7, 0.62])
    for row, place in zip(found, (1, 2, 4, 6), strict=True):
        with Image.open(tmp_path / "samples" / row["photograph"]) as image:
            np.testing.assert_array_equal(np.asarray(image), images[place].numpy())
        with Image.open(tmp_path / "samples" / row["heat_map"]) as image:
            assert image.size == (8, 8)


def test_each_output_has_its_own_threshold(tmp_path):
    thresholds = {"lesions.MA": 0.3, "lesions.HE": 0.5, "lesions.EX": 0.3, "lesions.SE": 0.5}
    values, labels = [[0.4, 0.4, 0.4, 0.4]], [[0.0, 1.0, 1.0, 0.0]]
    network = linear(LESIONS, np.eye(4, 3))
    found = written(tmp_path, LESIONS, network, photographs(1), values, labels, own_thresholds=thresholds)
    assert [(row["output"], row["answer"], row["probability"]) for row in found] == [
        ("HE", "no", pytest.approx(0.6)),
        ("MA", "yes", pytest.approx(0.4)),
    ]


@pytest.mark.parametrize("task", [SEVERITY, ORDINAL])
def test_of_classes_the_chosen_one_counts(tmp_path, task):
    values = [[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1], [0, 0.8, 0.2, 0], [0.2, 0.3, 0.1, 0.4]]
    targets = classes = [2, 3, 0, -1]
    if task is ORDINAL:
        targets = [[float("nan")] * 3 if c < 0 else [float(c > k) for k in range(3)] for c in classes]
    network = linear(task, np.eye(task.num_logits, 3))
    found = written(tmp_path, task, network, photographs(4), values, targets)
    assert [(row["label"], row["answer"]) for row in found] == [("grade 0", "grade 1"), ("grade 3", "grade 0")]
    assert [row["output"] for row in found] == ["", ""]


def test_of_many_mistakes_only_the_worst_are_kept_and_of_none_an_empty_list(tmp_path):
    count = MISTAKES + 5
    values = np.linspace(0.5, 0.9, count, dtype=np.float32)[:, None]
    for labels, kept in ((np.zeros((count, 1)), MISTAKES), (np.ones((count, 1)), 0)):
        found = written(tmp_path / str(kept), DR, linear(DR, [[1, 1, 1]]), photographs(count), values, labels)
        assert len(found) == kept
        assert [row["probability"] for row in found] == sorted((row["probability"] for row in found), reverse=True)
