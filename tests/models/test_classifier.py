import torch
from torch import nn

from semiretina.models.classifier import Classifier, pool


def test_pool_is_the_mean_over_places():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])
    assert torch.equal(pool(features), torch.tensor([[3.0, 1.0]]))


def test_linear_trunk_and_head_by_hand():
    classifier = Classifier(2, {"dr": 1}, hidden=2, activation="linear")
    set_weights(classifier)
    # pooled (3, 1): units (-3, 2), logit -3·10 + 2·1 + 0.5
    assert torch.equal(classifier(FEATURES)["dr"], torch.tensor([[-27.5]]))


def test_relu_stands_between_trunk_and_head():
    classifier = Classifier(2, {"dr": 1}, hidden=2, activation="relu")
    set_weights(classifier)
    assert torch.equal(classifier(FEATURES)["dr"], torch.tensor([[2.5]]))


def test_no_hidden_units_means_a_direct_head():
    classifier = Classifier(2, {"dr": 1, "severity": 5}, hidden=0, activation="relu")
    assert len(classifier.trunk) == 0
    assert sum(p.numel() for p in classifier.parameters()) == (2 + 1) * 1 + (2 + 1) * 5
    with torch.no_grad():
        classifier.heads["dr"].weight.copy_(torch.tensor([[-2.0, 1.0]]))
        classifier.heads["dr"].bias.zero_()
    assert torch.equal(classifier(FEATURES)["dr"], torch.tensor([[-5.0]]))


def test_tasks_share_the_trunk_and_have_heads_of_their_own():
    classifier = Classifier(8, {"dr": 1, "lesions": 4})
    logits = classifier(torch.rand(3, 8, 5, 7))
    assert {task: tuple(values.shape) for task, values in logits.items()} == {"dr": (3, 1), "lesions": (3, 4)}
    logits["dr"].sum().backward()
    assert classifier.trunk[0].weight.grad is not None
    assert classifier.heads["lesions"].weight.grad is None


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    classifier = Classifier(64, {"dr": 1}, hidden=0, dropout=0.5)
    features = torch.rand(1, 64, 2, 2)
    assert not torch.equal(classifier(features)["dr"], classifier(features)["dr"])
    classifier.eval()
    assert torch.equal(classifier(features)["dr"], classifier(features)["dr"])


FEATURES = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])


def set_weights(classifier):
    trunk, head = classifier.trunk[0], classifier.heads["dr"]
    assert isinstance(trunk, nn.Linear)
    with torch.no_grad():
        trunk.weight.copy_(torch.tensor([[-1.0, 0.0], [0.0, 2.0]]))
        trunk.bias.zero_()
        head.weight.copy_(torch.tensor([[10.0, 1.0]]))
        head.bias.fill_(0.5)
