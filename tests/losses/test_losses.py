"""Losses against numbers worked out by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from semiretina.losses.classification import (
    CLASSIFICATION_LOSSES,
    binary_cross_entropy,
    cross_entropy,
    num_known,
)
from semiretina.losses.reconstruction import squared_error

NAN = float("nan")
LOG2 = math.log(2)


def column(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1)


def logit(p):
    return math.log(p / (1 - p))


def test_binary_cross_entropy_by_hand():
    # p = 0.8 for a diseased eye and p = 0.25 for a healthy one: (-log 0.8 - log 0.75) / 2.
    loss = binary_cross_entropy(column(logit(0.8), logit(0.25)), column(1.0, 0.0))
    assert float(loss) == pytest.approx((0.2231435513 + 0.2876820724) / 2, rel=1e-9)


def test_alpha_weighs_the_positive_term_only():
    loss = binary_cross_entropy(column(logit(0.8), logit(0.25)), column(1.0, 0.0), alpha=3.0)
    assert float(loss) == pytest.approx((3 * 0.2231435513 + 0.2876820724) / 2, rel=1e-9)
    assert float(binary_cross_entropy(column(0.0), column(0.0), alpha=3.0)) == pytest.approx(LOG2)


def test_the_mean_runs_over_known_targets():
    logits = torch.tensor([[0.0, logit(0.8)], [5.0, logit(0.25)]], dtype=torch.float64)
    targets = torch.tensor([[NAN, 1.0], [NAN, 0.0]], dtype=torch.float64)
    alone = binary_cross_entropy(column(logit(0.8), logit(0.25)), column(1.0, 0.0))
    assert float(binary_cross_entropy(logits, targets)) == pytest.approx(float(alone), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("binary_cross_entropy", torch.full((3, 2), NAN)),
        ("cross_entropy", torch.full((3, 2), NAN)),
        ("cross_entropy", torch.full((3,), -1)),
    ],
)
def test_without_a_known_target_the_loss_is_zero_and_so_is_its_gradient(name, targets):
    logits = torch.randn(3, 2, requires_grad=True)
    loss = CLASSIFICATION_LOSSES[name](logits, targets, 1.0)
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_an_unknown_target_sends_no_gradient_and_no_nan():
    logits = torch.randn(2, 2, requires_grad=True)
    binary_cross_entropy(logits, torch.tensor([[1.0, NAN], [NAN, 0.0]])).backward()
    assert logits.grad[0, 1] == 0
    assert logits.grad[1, 0] == 0
    assert logits.grad[0, 0] < 0 < logits.grad[1, 1]


@pytest.mark.parametrize("size", [1e4, 88.8, -1e4])
def test_extreme_logits_stay_finite(size):
    logits = torch.tensor([[size], [-size]], requires_grad=True)
    loss = binary_cross_entropy(logits, torch.tensor([[0.0], [1.0]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    # Wrong by |z| costs |z|, right by |z| costs nothing.
    assert loss.item() == pytest.approx(max(size, 0.0), rel=1e-6)
    assert torch.isfinite(cross_entropy(torch.tensor([[size, -size]]), torch.tensor([1])))


def test_no_sigmoid_is_applied_twice():
    # With a second sigmoid a perfect grader could not get below -log sigmoid(1) = 0.313, and its gradient would be
    # damped by p (1 - p) <= 1/4. The authors' own code had it for a while (readings, row 21).
    assert float(binary_cross_entropy(column(12.0), column(1.0))) == pytest.approx(6.144e-6, rel=1e-3)
    z = column(0.0).requires_grad_()
    binary_cross_entropy(z, column(1.0)).backward()
    assert float(z.grad) == pytest.approx(-0.5)


def test_cross_entropy_by_hand():
    # softmax of log weights (1, 2, 5) is (1/8, 2/8, 5/8); the third row is unknown.
    logits = torch.log(torch.tensor([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0], [9.0, 1.0, 1.0]], dtype=torch.float64))
    expected = (math.log(8) + math.log(8 / 5)) / 2
    assert float(cross_entropy(logits, torch.tensor([0, 2, -1]))) == pytest.approx(expected, rel=1e-12)


def test_two_questions_and_one_choice_of_the_same_logits():
    logits = torch.tensor([[0.0, 2.0]])
    choice, questions = CLASSIFICATION_LOSSES["cross_entropy"], CLASSIFICATION_LOSSES["binary_cross_entropy"]
    assert float(choice(logits, torch.tensor([1]), 3.0)) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    # Two independent sigmoids: -log 1/2 and -log sigmoid(2); alpha weighs both.
    expected = 3 * (LOG2 + math.log(1 + math.exp(-2))) / 2
    assert float(questions(logits, torch.ones(1, 2), 3.0)) == pytest.approx(expected, rel=1e-5)


def test_squared_error_by_hand():
    # Two photographs of 3 x 1 x 2 values; one value off by 0.5, another by 1: squares sum to 1.25.
    images = torch.zeros(2, 3, 1, 2)
    reconstruction = images.clone()
    reconstruction[0, 0, 0, 1], reconstruction[1, 2, 0, 0] = 0.5, -1.0
    assert float(squared_error(reconstruction, images)) == pytest.approx(1.25 / 12)
    assert float(squared_error(reconstruction, images, "image")) == pytest.approx(1.25 / 2)


def test_gradients_are_those_of_the_formulas():
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 2, (5, 3)).double()
    targets[1, 2] = targets[4, 0] = NAN
    assert gradcheck(lambda z: binary_cross_entropy(z, targets, alpha=2.5), [logits])
    assert gradcheck(lambda z: cross_entropy(z, torch.tensor([0, 2, -1, 1, 1])), [logits])
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    decoded = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: squared_error(x, images), [decoded])
    assert gradcheck(lambda x: squared_error(x, images, "image"), [decoded])


def test_cross_entropy_of_soft_targets_by_hand():
    """Odds 1 : 2 : 5 of three classes; half of each of the first two, then a whole one, then an unknown one."""
    logits = torch.tensor([[1.0, 2.0, 5.0]] * 3, dtype=torch.float64).log()
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [NAN] * 3], dtype=torch.float64)
    first, second = -(0.5 * math.log(1 / 8) + 0.5 * math.log(2 / 8)), -math.log(5 / 8)
    assert float(cross_entropy(logits, targets)) == pytest.approx((first + second) / 2)
    hard = torch.tensor([0, 2, -1])
    one_hot = torch.tensor([[1.0, 0, 0], [0, 0, 1], [NAN] * 3], dtype=torch.float64)
    assert float(cross_entropy(logits, one_hot)) == pytest.approx(float(cross_entropy(logits, hard)))
    assert float(cross_entropy(logits[2:], targets[2:])) == 0.0


def test_every_classification_loss_takes_soft_targets_and_a_weight():
    for name, loss in CLASSIFICATION_LOSSES.items():
        logits = torch.zeros(2, 2, dtype=torch.float64)
        soft = torch.tensor([[0.3, 0.7], [NAN, NAN]], dtype=torch.float64)
        assert float(loss(logits, soft, 1.0)) == pytest.approx(LOG2), name
    counts = [num_known(torch.tensor([[1.0, NAN], [0.0, 0.5]])), num_known(torch.tensor([2, -1, 0]))]
    assert counts == [3, 2]
    rows = torch.tensor([[0.5, 0.5, 0.0], [NAN] * 3, [0.0, 0.0, 1.0]])
    assert [num_known(rows, name) for name in ("binary_cross_entropy", "cross_entropy")] == [6, 2]
