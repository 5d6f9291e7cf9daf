"""AERes18, Res18, ResNet18, InceptionV3 and timm's encoders against the libraries they come from."""

import sys

import pytest
import torch
import torchvision
from torch import nn

from semiretina.errors import BadConfig, MissingInput
from semiretina.models import build_network


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_section_5():
    with torch.device("meta"):
        res18 = build_network("res18", {"dr": 1}, 512, {"activation": "relu"})
        inception = build_network("inceptionv3", {"dr": 1}, 512, {})
        whole_resnet = torchvision.models.resnet18(weights=None)
        whole_inception = torchvision.models.inception_v3(weights=None, init_weights=True)
    assert count(res18) == 11_178_569
    assert count(whole_resnet) == 11_689_512
    assert count(whole_inception) == 27_161_264
    # The paper's numbers are these encoders with the heads of 1000 classes: 512·1000 + 1000; 2048·1000 + 1000
    # and, in the auxiliary one, 768·128 + 2·128 + 25·128·768 + 2·768 + 768·1000 + 1000.
    assert count(res18.encoder) + 513_000 == 11_689_512
    assert count(inception.encoder) + 2_049_000 + 3_326_696 == 27_161_264


def test_resnet18_is_torchvisions():
    torch.manual_seed(0)
    network = build_network("resnet18", {"severity": 5}, 64, {}).eval()
    whole = torchvision.models.resnet18(num_classes=5).eval()
    state = network.encoder.state_dict()
    head = network.classifier.heads["severity"]
    whole.load_state_dict({**state, "fc.weight": head.weight, "fc.bias": head.bias})
    images = torch.rand(2, 3, 64, 64)
    normalised = torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(network(images)["severity"], whole(normalised), atol=1e-5)


def test_inceptionv3_is_torchvisions_with_its_way_of_normalising():
    torch.manual_seed(0)
    network = build_network("inceptionv3", {"severity": 5}, 96, {}).eval()
    with torch.device("meta"):
        whole = torchvision.models.inception_v3(
            num_classes=5, aux_logits=False, transform_input=True, init_weights=True
        )
    head = network.classifier.heads["severity"]
    state = {**network.encoder.state_dict(), "fc.weight": head.weight, "fc.bias": head.bias}
    whole.load_state_dict(state, assign=True)
    whole.eval()
    images = torch.rand(1, 3, 96, 96)
    normalised = torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(network(images)["severity"], whole(normalised), atol=1e-4)


@pytest.mark.parametrize(("bottleneck", "size"), [("pooled", 512), ("spatial", 512), ("spatial", 96)])
def test_aeres18_has_nine_transposed_convolutions(bottleneck, size):
    with torch.device("meta"):
        network = build_network("aeres18", {"dr": 1}, size, {"bottleneck": bottleneck})
        images = torch.rand(1, 3, size, size)
        assert network.encode(images).shape == (1, 512, size // 32, size // 32)
        assert network.decode(network.encode(images)).shape == images.shape
    layers = [m for m in network.decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(layers) == 9
    assert sum(layer.stride == (2, 2) for layer in layers) == (9 if bottleneck == "pooled" else 5)


def test_pooled_bottleneck_passes_no_place():
    torch.manual_seed(0)
    features = torch.rand(2, 512, 2, 2)
    turned = features.flip(2, 3)
    pooled = build_network("aeres18", {"dr": 1}, 64, {"bottleneck": "pooled"}).eval()
    spatial = build_network("aeres18", {"dr": 1}, 64, {"bottleneck": "spatial"}).eval()
    with torch.no_grad():
        assert torch.allclose(pooled.decode(features), pooled.decode(turned), atol=1e-6)
        assert not torch.allclose(spatial.decode(features), spatial.decode(turned), atol=1e-6)


def test_pooled_bottleneck_wants_a_power_of_two():
    with torch.device("meta"):
        build_network("aeres18", {"dr": 1}, 96, {"bottleneck": "spatial"})
        with pytest.raises(BadConfig, match="power of two, at least 32; 96 was asked for; try 128"):
            build_network("aeres18", {"dr": 1}, 96, {"bottleneck": "pooled"})


def test_timm_features_are_timms():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = build_network("timm", {"dr": 1}, 64, {"encoder": "resnet10t", "decoder": False}).eval()
    whole = timm.create_model("resnet10t", num_classes=0).eval()
    whole.load_state_dict(network.encoder.state_dict())
    images = torch.rand(2, 3, 64, 64)
    normalised = torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(network.embed(images), whole(normalised), atol=1e-5)
    with pytest.raises(BadConfig, match="no decoder"):
        network.decode(network.encode(images))


@pytest.mark.parametrize("encoder", ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "regnetx_002"])
def test_other_timm_encoders(encoder):
    pytest.importorskip("timm")
    with torch.device("meta"):
        network = build_network("timm", {"dr": 1}, 64, {"encoder": encoder})
        images = torch.rand(2, 3, 64, 64)
        assert network.decode(network.encode(images)).shape == images.shape
        assert network(images)["dr"].shape == (2, 1)


def test_timm_decoder_widths():
    pytest.importorskip("timm")
    with torch.device("meta"):
        network = build_network("timm", {"dr": 1}, 256, {"width": 8})
    layers = [m for m in network.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in layers] == [(1280, 64), (64, 32), (32, 16), (16, 8), (8, 3)]


@pytest.mark.parametrize(
    ("encoder", "size", "message"),
    [
        ("tf_efficientnet_light0", 64, "did you mean tf_efficientnet_lite0"),
        ("vit_tiny_patch16_224", 224, "not a map"),
        ("vit_tiny_patch16_224", 64, "cannot take 64 px"),
        ("swin_tiny_patch4_window7_224", 224, "not a map"),
        ("inception_v3", 256, "no doubling brings back"),
        ("resnet10t", 70, "try 64"),
    ],
)
def test_timm_refusals(encoder, size, message):
    pytest.importorskip("timm")
    with torch.device("meta"), pytest.raises(BadConfig, match=message):
        build_network("timm", {"dr": 1}, size, {"encoder": encoder})


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingInput, match=r"pip install 'semiretina\[timm\]'"):
        build_network("timm", {"dr": 1}, 64, {})
