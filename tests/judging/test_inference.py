"""From a network to probabilities and scores, and the grader that a run hands over."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semiretina
from semiretina.data.pixels import Pixels
from semiretina.errors import BadData, MissingInput
from semiretina.judging.grader import Grader, load, task_of
from semiretina.judging.inference import infer_rows, quick_scores, reconstruct_rows
from semiretina.models import build_network
from semiretina.tasks import TASKS, Binary, Classes, Ordinal, make_task

NAN = float("nan")
DR, SEVERITY, LESIONS = TASKS["dr"]("icdr"), TASKS["severity"]("messidor"), TASKS["lesions"]("icdr")
ORDINAL = make_task("severity-ordinal:icdr", "messidor")
OUTPUTS = {"dr": 1, "severity": 4, "lesions": 4, "severity-ordinal:icdr": 4}


@pytest.fixture(scope="module")
def grader():
    torch.manual_seed(4)
    network = build_network("aecl1", OUTPUTS, 32, {"widths": [4, 6, 8]})
    # Batch statistics and heads as after a training, so that probabilities differ from photograph to photograph.
    for _ in range(3):
        network(torch.rand(16, 3, 32, 32))
    for parameter in network.classifier.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tasks = {"dr": DR, "severity": SEVERITY, "lesions": LESIONS, "severity-ordinal:icdr": ORDINAL}
    return Grader(network.eval(), tasks, 32, "none", 0.5, torch.device("cpu"), batch=8)


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(9).integers(0, 256, (21, 32, 32, 3))
    return (noise * np.linspace(0.3, 1, 21)[:, None, None, None]).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_a_photograph_gets_the_same_bits_in_any_company(grader, pictures, chosen):
    alone = {place: grader.grade(pictures[place : place + 1]) for place in set(chosen)}
    together = grader.grade(pictures[chosen])
    for number, place in enumerate(chosen):
        for task in OUTPUTS:
            assert np.array_equal(together[task][number], alone[place][task][0])


def test_probabilities_are_those_of_the_network(grader, pictures):
    found = grader.grade(pictures)
    with torch.no_grad():
        logits = grader.network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255.0)
    assert found["dr"].shape == (21, 1)
    np.testing.assert_allclose(found["dr"], 1 / (1 + np.exp(-logits["dr"].numpy())), atol=1e-5)
    np.testing.assert_allclose(found["severity"].sum(axis=1), 1, atol=1e-6)
    odds = np.exp(logits["severity"].numpy())
    np.testing.assert_allclose(found["severity"], odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    ordinal = found["severity-ordinal:icdr"]
    assert ordinal.shape == (21, 5)
    np.testing.assert_allclose(ordinal.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        ordinal[:, 0], 1 / (1 + np.exp(logits["severity-ordinal:icdr"][:, 0].numpy())), atol=1e-5
    )
    assert np.ptp(found["dr"]) > 0.01


def test_features_are_the_pooled_map(grader, pictures):
    found = grader.features(pictures)
    with torch.no_grad():
        encoded = grader.network.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255.0)
    assert found.shape == (21, 8)
    np.testing.assert_allclose(found, encoded.numpy().mean(axis=(2, 3)), atol=1e-5)


def test_a_saved_grader_comes_back(grader, pictures, tmp_path):
    grader.save(tmp_path / "grader")
    again = load(tmp_path, torch.device("cpu"), batch=8)
    assert (again.size, again.crop, again.threshold) == (32, "none", 0.5)
    assert (again.temperatures, again.own_thresholds) == ({}, {})
    assert {name: task.outputs for name, task in again.tasks.items()} == {
        "dr": ("dr",),
        "severity": ("grade 0", "grade 1", "grade 2", "grade 3"),
        "lesions": ("MA", "HE", "EX", "SE"),
        "severity-ordinal:icdr": ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"),
    }
    assert {name: (type(task), task.scale) for name, task in again.tasks.items()} == {
        "dr": (Binary, ""),
        "severity": (Classes, "messidor"),
        "lesions": (Binary, ""),
        "severity-ordinal:icdr": (Ordinal, "icdr"),
    }
    ours, theirs = grader.grade(pictures), again.grade(pictures)
    assert all(np.array_equal(ours[task], theirs[task]) for task in OUTPUTS)
    assert not again.network.training


def test_a_grader_that_is_not_there_or_damaged(grader, tmp_path):
    with pytest.raises(MissingInput, match="no grader here"):
        load(tmp_path)
    grader.save(tmp_path / "grader")
    facts = json.loads((tmp_path / "grader.json").read_text())
    (tmp_path / "grader.json").write_text(json.dumps({**facts, "schema": 99}))
    with pytest.raises(BadData, match="schema 99, this program reads 1"):
        load(tmp_path)
    (tmp_path / "grader.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadData, match="checksum fails"):
        load(tmp_path)
    with pytest.raises(BadData, match="task 'dr' with the outputs a, b is unknown"):
        task_of("dr", ["a", "b"])
    with pytest.raises(BadData, match="task 'stage' with the outputs a is unknown"):
        task_of("stage", ["a"])
    with pytest.raises(BadData, match="task 'severity:icdr' with the outputs grade 0, grade 1 is unknown"):
        task_of("severity:icdr", ["grade 0", "grade 1"])


def test_a_grader_of_before_names_no_scale_and_still_loads():
    five = [f"grade {grade}" for grade in range(5)]
    assert (task_of("severity", five).scale, task_of("severity", five[:4]).scale) == ("icdr", "messidor")
    assert task_of("referable", ["referable"]).scale == ""


def test_the_temperature_divides_logits():
    logits = torch.tensor([[2.0]])
    assert float(DR.probabilities(logits, 2.0)[0, 0]) == pytest.approx(1 / (1 + np.exp(-1.0)))
    cool = torch.logit(torch.tensor([[0.9, 0.6, 0.3, 0.2]]))
    np.testing.assert_allclose(ORDINAL.probabilities(3 * cool, 3.0), ORDINAL.probabilities(cool), atol=1e-6)
    halved = ORDINAL.probabilities(cool, 2.0)[0]
    assert halved[0] == pytest.approx(1 - 3 / (1 + 3))  # odds of 9 become 3


def test_probabilities_of_grades_by_hand():
    above = torch.tensor([[0.9, 0.6, 0.3, 0.2], [0.5, 0.7, 0.1, 0.4]])
    found = ORDINAL.probabilities(torch.logit(above))
    # In the second row "above grade 1" may not exceed "above grade 0", nor "above grade 3" "above grade 2".
    np.testing.assert_allclose(found, [[0.1, 0.3, 0.3, 0.1, 0.2], [0.5, 0.0, 0.4, 0.0, 0.1]], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), min_size=1, max_size=5),
    temperature=st.floats(0.05, 20),
)
def test_probabilities_of_grades_are_probabilities(logits, temperature):
    found = ORDINAL.probabilities(torch.tensor(logits), temperature)
    assert found.shape == (len(logits), 5)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_quick_scores_of_a_binary_task_by_hand():
    # Probabilities 0.9, 0.4, 0.6, 0.2 for labels 1, 1, 0, 0: three of four pairs in order; two right at 0.5.
    p = torch.tensor([0.9, 0.4, 0.6, 0.2, 0.7])
    targets = torch.tensor([1.0, 1.0, 0.0, 0.0, NAN])[:, None]
    found = quick_scores(DR, torch.logit(p)[:, None], targets, threshold=0.5)
    assert found["auroc"] == pytest.approx(0.75)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.8]).mean(), rel=1e-5)
    # Above 0.3 three are called diseased, and three are right; the AUROC does not move.
    moved = quick_scores(DR, torch.logit(p)[:, None], targets, threshold=0.3)
    assert (moved["accuracy"], moved["auroc"]) == (pytest.approx(0.75), pytest.approx(0.75))


def test_quick_scores_average_outputs_and_skip_what_is_undefined():
    logits = torch.tensor([[1.0, -1.0, 3.0, 0.0], [-1.0, 1.0, 3.0, 0.0]])
    targets = torch.tensor([[1.0, 1.0, 1.0, NAN], [0.0, 0.0, 1.0, NAN]])
    found = quick_scores(LESIONS, logits, targets, threshold=0.5)
    assert found["auroc"] == pytest.approx((1 + 0) / 2)
    assert found["accuracy"] == pytest.approx((1 + 0 + 1) / 3)
    one_class = torch.tensor([[1.0, 0.0, 1.0, NAN]] * 3)
    assert np.isnan(quick_scores(LESIONS, torch.ones(3, 4), one_class, 0.5)["auroc"])
    nothing = quick_scores(LESIONS, logits, torch.full((2, 4), NAN), threshold=0.5)
    assert np.isnan(nothing["auroc"])
    assert np.isnan(nothing["accuracy"])


def test_quick_scores_of_classes():
    logits = torch.log(torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.2, 0.5, 0.2, 0.1]]))
    found = quick_scores(SEVERITY, torch.cat([logits, logits[:1]]), torch.tensor([0, 1, 1, -1]), threshold=0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["auroc"] == pytest.approx(1.0)
    assert found["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.5]).mean(), rel=1e-5)


def test_quick_scores_of_grades_in_their_order():
    # Answers 0, 4, 2 and 2 (the most probable grade) to the grades 0, 4, 1 and an unknown one.
    above = torch.tensor([[0.3, 0.1, 0.1, 0.1], [0.9, 0.9, 0.8, 0.8], [0.9, 0.8, 0.1, 0.1], [0.9, 0.8, 0.1, 0.1]])
    targets = torch.tensor([[0.0] * 4, [1.0] * 4, [1.0, 0, 0, 0], [NAN] * 4])
    found = quick_scores(ORDINAL, torch.logit(above), targets, threshold=0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    right = [0.7, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.9, 0.2, 0.9, 0.9]
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)
    # P(grade 0) is 0.7, 0.1, 0.1; P(grade 1) 0.2, 0, 0.1; P(grade 4) 0.1, 0.8, 0.1: areas 1, 1/2 and 1.
    assert found["auroc"] == pytest.approx((1 + 0.5 + 1) / 3)
    nothing = quick_scores(ORDINAL, torch.logit(above), torch.full((4, 4), NAN), threshold=0.5)
    assert np.isnan(nothing["accuracy"])
    assert np.isnan(nothing["auroc"])


def test_inference_puts_the_network_back_and_learns_nothing(grader, pictures):
    network = grader.network
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = Pixels(pictures, np.arange(21), torch.device("cpu"))
    rows = np.array([3, 20, 0])
    logits = infer_rows(network, pixels, rows, 2)
    error, decoded = reconstruct_rows(network, pixels, rows, 2)
    assert network.training
    network.eval()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    np.testing.assert_allclose(logits["dr"].sigmoid().numpy(), grader.grade(pictures[rows])["dr"], atol=1e-6)
    images = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        expected = network.decode(network.encode(images))
    assert error == pytest.approx(float((expected - images).square().mean()), rel=1e-5)
    torch.testing.assert_close(decoded, expected[:2], atol=1e-5, rtol=0)
    assert infer_rows(network, pixels, rows[:0], 2) == {}


def test_a_run_hands_over_what_it_was_scored_with(make_config, make_stage, tmp_path):
    semiretina.train(make_config(make_stage("supervised")), tmp_path)
    grader = semiretina.load(tmp_path)
    for row in csv.DictReader((tmp_path / "predictions-test.csv").open()):
        found = grader.grade(grader.read(Path(row["path"]))[None])["dr"][0, 0]
        assert float(row["probability"]) == pytest.approx(found, abs=1e-6)
