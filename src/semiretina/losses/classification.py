"""Classification losses, from logits; unknown targets are masked out.

An ordinal choice among K grades is K - 1 questions "is the grade above k?", y_k = 1[grade > k], each with a logit of
its own and the binary cross-entropy: extended binary classification (Li, Lin, NIPS 2006; in a network Niu et al., CVPR
2016). The answers may contradict each other. Cao et al. (Pattern Recognition Letters 2020; 140:325) rule that out by
weights that all questions share; here it is settled where probabilities are made (`tasks.ordinal`).
"""

from collections.abc import Callable, Mapping

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


def cross_entropy(logits: Tensor, targets: Tensor, alpha: float = 1.0) -> Tensor:
    """-1/n sum_i sum_k y_ik log softmax(logits_i)_k over the known targets; 0 without any.

    `logits` [n, classes]; `targets` are classes, long [n], -1 where unknown, or soft ones, float [n, classes], rows of
    NaN where unknown. No class is the positive one: `alpha` says nothing here.
    """
    known = ~targets.isnan().any(dim=1) if targets.is_floating_point() else targets >= 0
    total = functional.cross_entropy(logits[known], targets[known], reduction="sum")
    return total / max(1, int(known.sum()))


# name -> loss of (logits, targets, alpha): the mean over the known targets
CLASSIFICATION_LOSSES: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
}


def num_known(targets: Tensor, loss: str = "binary_cross_entropy") -> int:
    """How many known targets the mean of that loss runs over; without any there is no loss.

    Each output's is one to "binary_cross_entropy", a photograph's whole row to "cross_entropy".
    """
    known = ~targets.isnan() if targets.is_floating_point() else targets >= 0
    return int((known.all(dim=-1) if loss == "cross_entropy" and known.dim() > 1 else known).sum())
