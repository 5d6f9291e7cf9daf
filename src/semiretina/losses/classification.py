"""Classification losses, from logits; unknown targets are masked out."""

from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, targets: Tensor, alpha: float = 1.0) -> Tensor:
    """L_cl = -1/n sum_i [ alpha y_i log p_i + (1 - y_i) log(1 - p_i) ], p = sigmoid(logit): equation 2, sign mended.

    `logits` and `targets` [n, outputs], targets 0, 1 or NaN where unknown; the mean runs over the known ones and is
    0 without any. `alpha` weighs the positive class. log p = -softplus(-logit) and log(1 - p) = -softplus(logit), so
    nothing overflows.
    """
    known = ~targets.isnan()
    z, y = logits[known], targets[known]
    terms = alpha * y * functional.softplus(-z) + (1 - y) * functional.softplus(z)
    return terms.sum() / max(1, terms.numel())


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-1/n sum_i log softmax(logits_i)[y_i] over the known targets; 0 without any.

    `logits` [n, classes], `targets` long [n], -1 where unknown.
    """
    known = targets >= 0
    total = functional.cross_entropy(logits[known], targets[known], reduction="sum")
    return total / max(1, int(known.sum()))


def classification_loss(logits: Tensor, targets: Tensor, alpha: float = 1.0) -> Tensor:
    """The loss that fits the targets: float ones are independent yes-or-no outputs, whole ones classes (no alpha)."""
    if targets.is_floating_point():
        return binary_cross_entropy(logits, targets, alpha)
    return cross_entropy(logits, targets)
