"""InceptionV3's auxiliary head: torchvision's own, in the loss of training alone."""

from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from semiretina.batch import Batch, Photographs, Progress
from semiretina.errors import BadConfig
from semiretina.methods import METHODS
from semiretina.models import build_network
from semiretina.models.classifier import Classifier
from semiretina.models.inception import AUXILIARY_SIDE, Inception
from tasks_of import tasks_of

OUTPUTS = {"dr": 1, "severity": 5}


@pytest.fixture
def network():
    """The auxiliary head on a small encoder that has the map it reads."""
    torch.manual_seed(0)
    layers = {"first": nn.Conv2d(3, 4, 1), "Mixed_6e": nn.Conv2d(4, 768, 1), "last": nn.Conv2d(768, 8, 1)}
    return Inception(nn.Sequential(OrderedDict(layers)), Classifier(8, OUTPUTS, hidden=0))


def test_it_is_torchvisions_head_with_an_output_a_logit():
    with torch.device("meta"):
        network = build_network("inceptionv3", OUTPUTS, AUXILIARY_SIDE, {"aux": True}).train()
        whole = torchvision.models.inception_v3(weights=None, num_classes=6, init_weights=False)
        plain = build_network("inceptionv3", OUTPUTS, AUXILIARY_SIDE, {})
        (_, _), (weight, early) = network.answers(network.encode(torch.empty(2, 3, AUXILIARY_SIDE, AUXILIARY_SIDE)))
    assert weight == 0.4
    assert {task: logits.shape for task, logits in early.items()} == {"dr": (2, 1), "severity": (2, 5)}
    shapes, expected = (
        {name: value.shape for name, value in head.state_dict().items()}
        for head in (network.auxiliary, whole.AuxLogits)
    )
    assert shapes == expected
    assert not hasattr(plain, "auxiliary")
    assert build_network("inceptionv3", OUTPUTS, AUXILIARY_SIDE, {}).facts["params"]["aux"] is False
    assert network.facts["params"]["aux"] is True


def test_it_reads_the_map_in_the_middle(network):
    images = torch.rand(2, 3, 17, 17)
    (_, late), (_, early) = network.train().answers(network.encode(images))
    middle = network.encoder[:2](images)
    expected = network.auxiliary(middle)
    torch.testing.assert_close(torch.cat([early["dr"], early["severity"]], 1), expected)
    torch.testing.assert_close(late, network.classify(network.encoder[2](middle)))


def test_the_loss_is_that_of_the_answer_and_two_fifths_of_the_early_one(network):
    images, targets = torch.rand(2, 3, 17, 17), torch.tensor([[1.0], [0.0]])
    method = METHODS["supervised"](network, tasks_of(network)).train()
    logs = method(Batch(labeled=Photographs({"weak": images}, None, {"dr": targets})), Progress(0, 0, 0, 1, 0, 1, 0))
    (_, late), (_, early) = network.answers(network.encode(images))
    own, other = (functional.binary_cross_entropy_with_logits(logits["dr"], targets) for logits in (late, early))
    torch.testing.assert_close(logs["loss"], own + 0.4 * other)
    logs["loss"].backward()
    assert network.auxiliary.fc.weight.grad[0].abs().sum() > 0
    assert not network.auxiliary.fc.weight.grad[1:].any()  # of severity, which has no target here


def test_evaluation_leaves_it_out(network):
    network.eval()
    assert len(network.answers(network.encode(torch.rand(1, 3, 17, 17)))) == 1


def test_photographs_that_are_too_small_for_it_are_refused():
    with pytest.raises(BadConfig, match="InceptionV3 with aux = true needs a side of at least 299; 298 was asked for"):
        build_network("inceptionv3", OUTPUTS, 298, {"aux": True})
