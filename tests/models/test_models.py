"""Every model, through the one function that makes them."""

import json
import re

import pytest
import torch
from torch import nn

from semiretina.errors import BadConfig
from semiretina.models import MODELS, build_network

OUTPUTS = {"dr": 1, "severity": 5, "lesions": 4}
# The smallest version of each that a test can run quickly, and the sides it is tried at.
TRIALS = {
    "aecl1": ({"widths": [4, 6, 8]}, 8, 24),
    "aecl1-small": ({}, 64, 128),
    "aeres18": ({}, 32, 64),
    "res18": ({}, 32, 75),
    "resnet18": ({}, 32, 75),
    "inceptionv3": ({}, 75, 96),
    "timm": ({}, 32, 64),
}


def test_every_model_is_tried():
    assert TRIALS.keys() == MODELS.keys()


def check_shapes(network, size):
    images = torch.rand(2, 3, size, size)
    features = network.encode(images)
    logits = {task: tuple(values.shape) for task, values in network.classify(features).items()}
    assert logits == {"dr": (2, 1), "severity": (2, 5), "lesions": (2, 4)}
    if network.decoder is not None:
        assert network.decode(features).shape == images.shape


@pytest.mark.parametrize("name", MODELS)
def test_shapes_at_two_sizes(name):
    params, small, large = TRIALS[name]
    with torch.device("meta"):
        network = build_network(name, OUTPUTS, small, params)
        check_shapes(network, small)
        check_shapes(network, large)
        check_shapes(build_network(name, OUTPUTS, 2 * MODELS[name].smallest, {}), 2 * MODELS[name].smallest)


@pytest.mark.parametrize("name", MODELS)
def test_other_sizes_are_refused_and_the_advice_is_taken(name):
    model = MODELS[name]
    wrong = [model.smallest - 1] + (
        [model.smallest + 1, 2 * model.smallest + model.multiple // 2] if model.multiple > 1 else []
    )
    with torch.device("meta"):
        for size in wrong:
            with pytest.raises(BadConfig, match=f"{size} was asked for; try") as refusal:
                build_network(name, OUTPUTS, size, {})
            advice = int(re.search(r"try (\d+)", str(refusal.value))[1])
            build_network(name, OUTPUTS, advice, {})


def test_refusal_reads_well():
    with pytest.raises(BadConfig) as refusal:
        build_network("aecl1", {"dr": 1}, 200, {})
    assert str(refusal.value) == (
        "model: an AECL1 of 8 levels needs a side that is a multiple of 256, at least 256; 200 was asked for; try 256"
    )


@pytest.mark.parametrize("name", MODELS)
def test_state_round_trip(name):
    params, size, _ = TRIALS[name]
    torch.manual_seed(0)
    first = build_network(name, OUTPUTS, size, params)
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        first(images)  # in training mode, so that the batch norms' statistics are not the initial ones
    facts = json.loads(json.dumps(first.facts))
    second = build_network(**facts)
    second.load_state_dict(first.state_dict())
    assert json.loads(json.dumps(second.facts)) == facts
    first.eval()
    second.eval()
    with torch.no_grad():
        for task, logits in first(images).items():
            assert torch.equal(logits, second(images)[task])
        assert torch.equal(first.embed(images), second.encode(images).mean((2, 3)))
        if first.decoder is not None:
            assert torch.equal(first.decode(first.encode(images)), second.decode(second.encode(images)))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name):
    params, size, _ = TRIALS[name]
    torch.manual_seed(0)
    # At these sides some maps are a single point; four photographs give the batch norms something to normalise.
    network = build_network(name, OUTPUTS, size, params)
    images = torch.rand(4, 3, size, size)
    features = network.encode(images)
    loss = sum(logits.square().mean() for logits in network.classify(features).values())
    if network.decoder is not None:
        loss = loss + (network.decode(features) - images).square().mean()
    loss.backward()
    for label, parameter in network.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_listed_with_their_defaults(name):
    parameters = MODELS[name].parameters
    assert {"hidden", "activation", "batch_norm"} <= parameters.keys()
    assert not {"outputs", "size"} & parameters.keys()
    with torch.device("meta"):
        network = build_network(name, {"dr": 1}, MODELS[name].smallest, {})
    assert network.facts["params"] == {key: value for key, value in parameters.items() if key != "weights"}


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("aecl2", {}, "did you mean 'aecl1'"),
        ("aecl1", {"tide": True}, "did you mean 'tied'"),
        ("aecl1", {"weights": "IMAGENET1K_V1"}, "unknown parameter 'weights'"),
        ("aecl1", {"tied": "yes"}, "model.tied"),
        ("aecl1", {"widths": []}, "model.widths"),
        ("aecl1", {"widths": [4, 0]}, "model.widths"),
        ("aeres18", {"bottleneck": "poled"}, "model.bottleneck"),
        ("res18", {"hidden": -1}, "model.hidden"),
        ("res18", {"activation": "gelu"}, "model.activation"),
        ("inceptionv3", {"dropout": 1.0}, "model.dropout"),
    ],
)
def test_wrong_parameters(name, params, message):
    with pytest.raises(BadConfig, match=re.escape(message)):
        build_network(name, {"dr": 1}, 256, params)


@pytest.mark.parametrize("name", ["res18", "resnet18", "inceptionv3"])
def test_plain_models_cannot_reconstruct(name):
    with torch.device("meta"):
        network = build_network(name, {"dr": 1}, 96, {})
        with pytest.raises(BadConfig, match=f"{name} has no decoder"):
            network.decode(torch.rand(1, 512, 1, 1))


@pytest.mark.parametrize("name", MODELS)
def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_scale(name):
    params, size, _ = TRIALS[name]
    torch.manual_seed(0)
    network = build_network(name, {"dr": 1}, size, {**params, "batch_norm": "frozen"})
    network.eval()
    network.train()
    norms = [m for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    statistics = [(m.running_mean.clone(), m.running_var.clone(), m.num_batches_tracked.clone()) for m in norms]
    scales = [m.weight.detach().clone() for m in norms]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    features = network.encode(torch.rand(2, 3, size, size))
    loss = network.classify(features)["dr"].square().mean() + features.square().mean()
    if network.decoder is not None:
        loss = loss + network.decode(features).square().mean()
    loss.backward()
    optimizer.step()
    assert norms
    for norm, (mean, var, count) in zip(norms, statistics, strict=True):
        assert torch.equal(norm.running_mean, mean)
        assert torch.equal(norm.running_var, var)
        assert torch.equal(norm.num_batches_tracked, count)
        assert norm.weight.grad is not None
    assert any(not torch.equal(norm.weight, scale) for norm, scale in zip(norms, scales, strict=True))
    if network.decoder is not None:
        counts = [m.num_batches_tracked for m in network.decoder.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(count == 1 for count in counts)


def test_trained_batch_norm_moves():
    network = build_network("aecl1", {"dr": 1}, 8, {"widths": [4, 6, 8]})
    network(torch.rand(2, 3, 8, 8))
    assert all(m.num_batches_tracked == 1 for m in network.encoder.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aecl1-small", (0.6, 0.6, 0.6)),
        ("aeres18", (0.50218341, 0.64285714, 0.86222222)),  # (0.6 - 0.485) / 0.229, (0.6 - 0.456) / 0.224, ...
        ("resnet18", (0.50218341, 0.64285714, 0.86222222)),
        ("inceptionv3", (0.2, 0.2, 0.2)),
        ("timm", (0.2, 0.2, 0.2)),
    ],
)
def test_the_encoder_sees_normalised_photographs(name, expected):
    network = build_network(name, {"dr": 1}, 96 if name == "inceptionv3" else 64, {}).eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.full((1, 3, 96, 96), 0.6))
    assert torch.allclose(seen[0][0].mean((1, 2)), torch.tensor(expected), atol=1e-5)
