"""What semi-supervised methods ask of every kind of task: by hand, and what must hold of any logits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semiretina.losses.classification import CLASSIFICATION_LOSSES
from semiretina.tasks import TASKS, make_task

NAN = float("nan")
EACH = [pytest.param(make_task(name, "icdr"), id=name) for name in ("dr", "lesions", "severity", "severity-ordinal")]
DR, LESIONS, SEVERITY, ORDINAL = (each.values[0] for each in EACH)
assert {type(task("icdr")) for task in TASKS.values()} == {type(task) for task in (DR, LESIONS, SEVERITY, ORDINAL)}


def log_odds(*p):
    return torch.logit(torch.tensor([p], dtype=torch.float64)).float()


def some_logits(task, scale=3.0, n=40, seed=0):
    return scale * torch.randn(n, task.num_logits, generator=torch.Generator().manual_seed(seed))


def unknown(targets):
    """[n] or [n, outputs], as the contract's numbers a photograph."""
    return targets.isnan() if targets.is_floating_point() else targets < 0


def class_probabilities(task, soft):
    """[n, classes], or [n, outputs, 2] of yes and no: what sums to 1."""
    if task is ORDINAL:
        ends = torch.ones(len(soft), 1)
        return torch.cat([ends, soft], dim=1) - torch.cat([soft, 0 * ends], dim=1)
    return soft if task is SEVERITY else torch.stack([soft, 1 - soft], dim=-1)


def test_confidence_by_hand():
    torch.testing.assert_close(LESIONS.confidence(log_odds(0.9, 0.2, 0.5, 0.01)), torch.tensor([[0.9, 0.8, 0.5, 0.99]]))
    z = torch.log(torch.tensor([[0.1, 0.2, 0.4, 0.25, 0.05]]))
    torch.testing.assert_close(SEVERITY.confidence(z), torch.tensor([0.4]))
    # Above grade 0, 1, 2, 3: 0.8, 0.8 (0.9 contradicts), 0.3, 0.3: grades 0.2, 0, 0.5, 0, 0.3
    torch.testing.assert_close(ORDINAL.confidence(log_odds(0.8, 0.9, 0.3, 0.3)), torch.tensor([0.5]))


def test_targets_by_hand():
    z = log_odds(0.9, 0.2, 0.6, 0.01)
    torch.testing.assert_close(LESIONS.soft_targets(z), torch.tensor([[0.9, 0.2, 0.6, 0.01]]))
    assert LESIONS.hard_targets(z).tolist() == [[1, 0, 1, 0]]
    torch.testing.assert_close(LESIONS.hard_targets(z, least=0.85), torch.tensor([[1, NAN, NAN, 0]]), equal_nan=True)
    z = torch.log(torch.tensor([[0.1, 0.2, 0.4, 0.25, 0.05], [0.9, 0.025, 0.025, 0.025, 0.025]]))
    assert SEVERITY.hard_targets(z).tolist() == [2, 0]
    assert SEVERITY.hard_targets(z, least=0.5).tolist() == [-1, 0]
    assert SEVERITY.hard_targets(z).dtype == torch.int64
    z = torch.cat([log_odds(0.8, 0.9, 0.3, 0.3), log_odds(0.95, 0.94, 0.93, 0.92)])
    torch.testing.assert_close(ORDINAL.soft_targets(z), torch.tensor([[0.8, 0.8, 0.3, 0.3], [0.95, 0.94, 0.93, 0.92]]))
    assert ORDINAL.hard_targets(z).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert ORDINAL.hard_targets(z, least=0.6)[0].isnan().all()
    assert ORDINAL.hard_targets(z, least=0.6)[1].tolist() == [1, 1, 1, 1]


def test_sharpening_by_hand():
    # Squares: 0.81 : 0.01 and 0.04 : 0.64.
    sharp = LESIONS.sharpen(torch.tensor([[0.9, 0.2, 0.5, NAN]]), 0.5)
    torch.testing.assert_close(sharp, torch.tensor([[81 / 82, 4 / 68, 0.5, NAN]]), equal_nan=True)
    sharp = SEVERITY.sharpen(torch.tensor([[0.5, 0.3, 0.2, 0.0, 0.0], [NAN] * 5]), 0.5)
    torch.testing.assert_close(sharp[0], torch.tensor([25 / 38, 9 / 38, 4 / 38, 0, 0]))
    assert sharp[1].isnan().all()
    # Grades 0.2, 0, 0.5, 0, 0.3: squares 4, 0, 25, 0, 9 of 38.
    sharp = ORDINAL.sharpen(torch.tensor([[0.8, 0.8, 0.3, 0.3], [NAN] * 4]), 0.5)
    torch.testing.assert_close(sharp[0], torch.tensor([34 / 38, 34 / 38, 9 / 38, 9 / 38]))
    assert sharp[1].isnan().all()


def test_divergence_by_hand():
    def kl(t, p):
        return sum(a * np.log(a / b) for a, b in zip(t, p, strict=True) if a)

    found = LESIONS.divergence(log_odds(0.9, 0.2, 0.5, 0.3), torch.tensor([[0.7, 1.0, 0.5, NAN]]))
    expected = [kl([0.7, 0.3], [0.9, 0.1]), kl([1.0], [0.2]), 0, 0]
    torch.testing.assert_close(found, torch.tensor([expected]), check_dtype=False)
    p, t = [0.1, 0.2, 0.4, 0.25, 0.05], [0.3, 0.0, 0.4, 0.1, 0.2]
    found = SEVERITY.divergence(torch.log(torch.tensor([p, p])), torch.tensor([t, [NAN] * 5]))
    torch.testing.assert_close(found, torch.tensor([kl(t, p), 0]), check_dtype=False)
    # Whole classes are as one-hot rows.
    found = SEVERITY.divergence(torch.log(torch.tensor([p, p])), torch.tensor([2, -1]))
    torch.testing.assert_close(found, torch.tensor([-np.log(0.4), 0]), check_dtype=False)
    found = ORDINAL.divergence(log_odds(0.8, 0.6, 0.3, 0.1), torch.tensor([[0.9, 0.6, 0.3, 0.2]]))
    torch.testing.assert_close(
        found, torch.tensor([(kl([0.9, 0.1], [0.8, 0.2]) + kl([0.2, 0.8], [0.1, 0.9])) / 4]), check_dtype=False
    )


def test_mixing_by_hand():
    first, second = torch.tensor([[1.0, 0.0, NAN, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, NAN]])
    expected = torch.tensor([[0.75, 0.0, NAN, NAN]])
    torch.testing.assert_close(LESIONS.mix(first, second, 0.75), expected, equal_nan=True)
    # Known with unknown is unknown, whatever the share.
    assert LESIONS.mix(first, second, 1.0).isnan().tolist() == [[False, False, True, True]]
    mixed = SEVERITY.mix(torch.tensor([0, 2, -1]), torch.tensor([1, -1, 3]), torch.tensor([0.9, 0.5, 0.2]))
    torch.testing.assert_close(mixed[0], torch.tensor([0.9, 0.1, 0, 0, 0]))
    assert mixed[1:].isnan().all()
    soft = SEVERITY.mix(torch.tensor([0]), torch.full((1, 5), 0.2), 0.5)
    torch.testing.assert_close(soft, torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1]]))
    mixed = ORDINAL.mix(torch.tensor([[1.0, 1, 0, 0]]), torch.tensor([[1.0, 0, 0, 0]]), 0.3)
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 0.3, 0, 0]]))


def test_evidence_by_hand():
    z = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    output, yes, no = torch.tensor([2]), torch.tensor([1]), torch.tensor([0])
    assert (LESIONS.evidence(z, output, yes).item(), LESIONS.evidence(z, output, no).item()) == (3, -3)
    assert SEVERITY.evidence(z, output, torch.tensor([4])).item() == 5
    z = torch.tensor([[5.0, 3.0, 2.0, -1.0]]).repeat(5, 1).requires_grad_()
    found = ORDINAL.evidence(z, torch.zeros(5, dtype=torch.long), torch.arange(5))
    assert found.tolist() == [-5, 2, 1, 3, -1]
    found.sum().backward()
    assert z.grad[1].tolist() == [1, -1, 0, 0]


@pytest.mark.parametrize("task", EACH)
def test_targets_have_no_gradient_and_its_loss_takes_them(task):
    z = some_logits(task).requires_grad_()
    soft, hard = task.soft_targets(z), task.hard_targets(z)
    derived = (task.confidence(z), soft, hard, task.sharpen(soft, 0.5), task.mix(soft, hard, 0.5))
    assert not any(each.requires_grad for each in derived)
    assert task.confidence(z).shape == task.divergence(z, soft).shape
    loss_of = CLASSIFICATION_LOSSES[task.loss]
    for targets in (hard, soft, derived[3], derived[4], task.soft(hard)):
        z.grad = None
        loss = loss_of(z, targets, 1.0)
        loss.backward()
        assert loss > 0
        # The mean over rows, or over outputs, of what the network answers less the target; a mean over known ones.
        answers = z.detach().softmax(dim=1) if task is SEVERITY else z.detach().sigmoid()
        count = len(z) if task is SEVERITY else z.numel()
        torch.testing.assert_close(z.grad, (answers - task.soft(targets)) / count, atol=1e-7, rtol=1e-4)
    lacking = soft.clone()
    lacking[1::2] = NAN
    torch.testing.assert_close(loss_of(z, lacking, 1.0), loss_of(z[::2], soft[::2], 1.0))


@pytest.mark.parametrize("task", EACH)
def test_hard_targets_are_the_decisions_of_the_graders_probabilities(task):
    z = some_logits(task)
    hard = task.labels(task.hard_targets(z).numpy())
    for key, p in task.by_key(task.probabilities(z.numpy())).items():
        np.testing.assert_array_equal(hard[key], task.decide(p))
    for least in (0.0, 0.5, 0.7, 0.9, 1.01):
        low = task.confidence(z) < least
        lacks = unknown(task.hard_targets(z, least))
        assert torch.equal(lacks, low.unsqueeze(1).expand_as(lacks) if task is ORDINAL else low)


@pytest.mark.parametrize("task", EACH)
def test_a_divergence_pulls_the_logits_alone_and_towards_the_target(task):
    z, theirs = some_logits(task, 1.0).requires_grad_(), some_logits(task, 1.0, seed=1).requires_grad_()
    target = torch.rand(len(z), task.num_logits, requires_grad=True)
    torch.autograd.backward(task.divergence(z, task.soft_targets(theirs)).sum())
    assert theirs.grad is None
    before = task.divergence(z, task.soft_targets(theirs)).sum()
    after = task.divergence(z - 0.1 * z.grad, task.soft_targets(theirs)).sum()
    assert after < before
    task.divergence(z, target).sum().backward()
    assert target.grad is None
    # ... as cross-entropy does, from which it differs by the target's own entropy.
    p = z.detach().softmax(dim=1) if task is SEVERITY else z.detach().sigmoid()
    z.grad = None
    task.divergence(z, task.soft_targets(theirs)).sum().backward()
    scale = 1 / task.num_logits if task is ORDINAL else 1
    torch.testing.assert_close(z.grad, scale * (p - task.soft_targets(theirs)), atol=1e-6, rtol=1e-5)


any_logits = st.floats(-1e4, 1e4, width=32)
BY_KIND = [DR, LESIONS, SEVERITY, ORDINAL]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(BY_KIND), st.floats(0.05, 2))
def test_sharpening_keeps_sums_and_order(data, task, temperature):
    z = torch.from_numpy(data.draw(arrays(np.float32, (3, task.num_logits), elements=any_logits)))
    soft = task.soft_targets(z)
    sharp = task.sharpen(soft, temperature)
    assert ((sharp >= 0) & (sharp <= 1)).all()
    if task is ORDINAL:
        assert (soft.diff(dim=1) <= 0).all()
        assert (sharp.diff(dim=1) <= 0).all()
    if task is SEVERITY:
        torch.testing.assert_close(sharp.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(task.sharpen(soft, 1.0), soft, atol=1e-6, rtol=1e-5)
    most, before = (class_probabilities(task, each).amax(dim=-1) for each in (sharp, soft))
    assert (most >= before - 1e-5).all() if temperature <= 1 else (most <= before + 1e-5).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(BY_KIND), st.floats(0, 1, width=32))
def test_a_mix_lies_between_and_a_divergence_is_zero_where_answers_are_equal(data, task, share):
    ours, theirs = (
        torch.from_numpy(data.draw(arrays(np.float32, (3, task.num_logits), elements=any_logits))) for _ in "ab"
    )
    first, second = task.soft_targets(ours), task.soft_targets(theirs)
    mixed = task.mix(first, second, share)
    assert (mixed >= torch.minimum(first, second) - 1e-6).all()
    assert (mixed <= torch.maximum(first, second) + 1e-6).all()
    if task is ORDINAL:
        assert (mixed.diff(dim=1) <= 1e-7).all()
    ordered = ours.sort(dim=1, descending=True).values if task is ORDINAL else ours  # answers without contradiction
    z = ordered.clone().requires_grad_()
    same, other = task.divergence(z, task.soft_targets(ordered)), task.divergence(z, second)
    assert (same.abs() <= 1e-5).all()
    assert (other >= -1e-5).all()
    other.sum().backward()
    assert z.grad.isfinite().all()
    apart = (task.soft_targets(ordered) - second).abs()
    apart = apart.amax(dim=1) if same.dim() == 1 else apart
    assert (other[apart > 0.05] > 1e-4).all()


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(BY_KIND))
def test_unknown_targets_neither_count_nor_pull(data, task):
    z = torch.from_numpy(data.draw(arrays(np.float32, (4, task.num_logits), elements=any_logits))).requires_grad_()
    soft = task.soft_targets(z)
    gone = torch.from_numpy(data.draw(arrays(np.bool_, soft.shape if task is LESIONS else (4, 1))))
    targets = task.soft_targets(some_logits(task, n=4)).masked_fill(gone, NAN)
    found = task.divergence(z, targets)
    lacks = gone.expand_as(targets) if found.dim() == 2 else gone[:, 0]
    assert (found[lacks] == 0).all()
    found.sum().backward()
    assert z.grad.isfinite().all()
    assert (z.grad[gone.expand_as(z)] == 0).all()
    assert torch.equal(task.sharpen(targets, 0.5).isnan(), targets.isnan())
    assert torch.equal(task.mix(targets, soft, 0.3).isnan(), targets.isnan())
    assert torch.equal(task.mix(soft, targets, 0.3).isnan(), targets.isnan())
