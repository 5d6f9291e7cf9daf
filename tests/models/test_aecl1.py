"""AECL1 against figure 2, and its tied weights."""

import copy

import pytest
import torch
from torch import nn

from semiretina.errors import BadConfig
from semiretina.models import build_network

TINY = {"widths": (4, 6, 8)}


def convolution_weights(module):
    return sum(p.numel() for p in module.parameters() if p.dim() == 4)


def test_full_encoder_has_the_papers_parameters():
    with torch.device("meta"):
        network = build_network("aecl1", {"dr": 1}, 512, {})
    # 9 (3·128 + 128·256 + 256·512 + 512·512 + 512·1024 + 1024·1024 + 1024·2048 + 2048·4096)
    assert convolution_weights(network.encoder) == 112_364_928


def test_maps_are_those_of_figure_2():
    with torch.device("meta"):
        network = build_network("aecl1", {"dr": 1}, 512, {"kernel": "k2s2"})
        maps = []
        for level in network.encoder:
            level.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
        for layer in network.decoder:
            if isinstance(layer, nn.ConvTranspose2d):
                layer.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
        network.decode(network.encode(torch.rand(1, 3, 512, 512)))
    widths = [128, 256, 512, 512, 1024, 1024, 2048, 4096, 2048, 1024, 1024, 512, 512, 256, 128, 3]
    sides = [256, 128, 64, 32, 16, 8, 4, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert maps == [(width, side, side) for width, side in zip(widths, sides, strict=True)]


def test_order_of_an_encoder_level():
    network = build_network("aecl1", {"dr": 1}, 8, TINY)
    assert [type(m) for m in network.encoder[0]] == [nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.BatchNorm2d]


@pytest.mark.parametrize("tied", [False, True])
def test_last_layer_is_bare_or_a_sigmoid(tied):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8)
    kernel = {} if tied else {"kernel": "k3s2p1"}
    bare = build_network("aecl1", {"dr": 1}, 8, {**TINY, **kernel, "tied": tied})
    squashed = build_network("aecl1", {"dr": 1}, 8, {**TINY, **kernel, "tied": tied, "output": "sigmoid"})
    squashed.load_state_dict(bare.state_dict())
    bare.eval()
    squashed.eval()
    with torch.no_grad():
        reconstruction = bare.decode(bare.encode(images) * 1e4)
        assert (reconstruction < 0).any()
        assert torch.allclose(squashed.decode(squashed.encode(images) * 1e4), torch.sigmoid(reconstruction))


def test_tying_halves_the_weights_of_the_convolutions():
    with torch.device("meta"):
        tied = build_network("aecl1", {"dr": 1}, 256, {"tied": True})
        loose = build_network("aecl1", {"dr": 1}, 256, {"kernel": "k3s2p1"})
    assert convolution_weights(tied) * 2 == convolution_weights(loose)
    assert convolution_weights(tied) == convolution_weights(tied.encoder)
    saved = [key for key, value in tied.state_dict().items() if value.dim() == 4]
    assert len(saved) == 8
    # All else is as in the untied one: biases, batch norms, classifier.
    assert sum(p.numel() for p in loose.parameters()) - sum(p.numel() for p in tied.parameters()) == 112_364_928


def test_a_shared_kernel_gets_the_gradients_of_both_its_uses():
    torch.manual_seed(0)
    tied = build_network("aecl1", {"dr": 1}, 16, {**TINY, "tied": True}).double()
    loose = build_network("aecl1", {"dr": 1}, 16, {**TINY, "kernel": "k3s2p1"}).double()
    loose.encoder.load_state_dict(tied.encoder.state_dict())
    down = [m for m in tied.encoder.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in loose.decoder if isinstance(m, nn.ConvTranspose2d)]
    with torch.no_grad():
        for mine, theirs, bias in zip(up, reversed(down), tied.decoder.biases, strict=True):
            mine.weight.copy_(theirs.weight)
            mine.bias.copy_(bias)
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    for network in (tied, loose):
        (network.decode(network.encode(images)) - images).square().mean().backward()
    loose_down = [m for m in loose.encoder.modules() if isinstance(m, nn.Conv2d)]
    for shared, encoding, decoding in zip(down, loose_down, reversed(up), strict=True):
        assert torch.allclose(shared.weight.grad, encoding.weight.grad + decoding.weight.grad, rtol=1e-9, atol=1e-15)
        assert encoding.weight.grad.norm() > 0
        assert decoding.weight.grad.norm() > 0


def test_the_copy_of_a_tied_network_is_tied_to_itself():
    torch.manual_seed(0)
    network = build_network("aecl1", {"dr": 1}, 8, {**TINY, "tied": True}).eval()
    teacher = copy.deepcopy(network)
    features = torch.rand(1, 8, 1, 1)
    with torch.no_grad():
        before = teacher.decode(features)
        for parameter in network.parameters():
            parameter.add_(1.0)
        assert torch.equal(teacher.decode(features), before)
        for parameter in teacher.encoder.parameters():
            parameter.add_(1.0)
        assert not torch.equal(teacher.decode(features), before)


def test_tied_weights_fix_the_kernel():
    with pytest.raises(BadConfig, match="leave kernel away"):
        build_network("aecl1", {"dr": 1}, 8, {**TINY, "tied": True, "kernel": "k2s2"})


@pytest.mark.parametrize("params", [{}, {"kernel": "k2s2"}, {"output": "sigmoid"}])
def test_reconstruction_starts_near_mid_gray_and_learns(params):
    torch.manual_seed(0)
    network = build_network("aecl1", {"dr": 1}, 16, {"widths": (16, 32), **params})
    images = torch.rand(8, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    errors = []
    for _ in range(60):
        loss = (network.decode(network.encode(images)) - images).square().mean()
        errors.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Gray everywhere errs by the variance, 1/12.
    assert errors[0] < 1.5 / 12
    assert errors[-1] < 0.25 / 12
