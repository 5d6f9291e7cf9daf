"""How the terms of a loss are weighed against each other: from the sizes of their gradients to the next weights.

A norm is that of g = dL/dE, the gradient of a term, without its weight, with respect to the encoder's parameters.
Section 4.4: "the loss with larger gradients will dominate the weight updates".
"""

import math
from collections.abc import Mapping

MEMORY = 0.7  # of the balanced mu: how much of the running means of both norms stays at each update
LEAST = 1e-4  # of its first value: what a norm counts at least, once it has all but vanished


def equation_4(weight: float, norm_ae: float, norm_cl: float) -> float:
    """lambda' = || g_ae / (g_cl lambda) ||, equation 4 as printed, read as ||g_ae|| / (||g_cl|| lambda).

    A constant ratio r = ||g_ae|| / ||g_cl|| gives r / lambda: lambda jumps to and fro with period 2 around the fixed
    point sqrt(r), at which lambda g_cl is still sqrt(r) times as small as g_ae. Without a gradient on either side, or
    where the new value would not be finite, lambda stays.
    """
    divisor = norm_cl * weight
    moved = norm_ae / divisor if divisor > 0 else math.inf
    return moved if 0 < moved < math.inf else weight


def balanced(mean: float, norm: float, first: float) -> float:
    """The next running mean of a gradient's norm: mean' = 0.7 mean + 0.3 max(norm, first / 10000).

    The balanced training, L_cl + mu L_ae, has mu = rho M_cl / M_ae of two such means, which begin at 0: started
    together, they lack the same factor 1 - 0.7^n of their due after n updates, so their ratio is right from the first
    on. A mean over few updates follows norms that fall a hundredfold within a stage. `first` is the norm's first value:
    held to a part of it, mu stays finite and above 0 when either loss has converged.
    """
    return MEMORY * mean + (1 - MEMORY) * max(norm, LEAST * first)


def gradnorm(
    weights: Mapping[str, float],
    norms: Mapping[str, float],
    ratios: Mapping[str, float],
    asymmetry: float,
    rate: float,
) -> dict[str, float]:
    """One step of GradNorm (Chen et al., 2018) over the terms that an update had; the others are not given.

    With G_i = w_i ||g_i||, its mean G over these terms, `ratios` L_i / L_i(0) and r_i = ratio_i / mean ratio, the aim
    of term i is A_i = G r_i^asymmetry, held constant in L_grad = sum |G_i - A_i|. A step of length `rate` / G down
    L_grad, taken in log w so that no weight can turn negative and no unit matters, is

        w_i <- w_i exp(-rate sign(G_i - A_i) G_i / G),

    after which these weights are scaled so that their sum stays what it was. One term alone stays, and so do all where
    none has a gradient.
    """
    sizes = {term: weights[term] * norms[term] for term in norms}
    mean = sum(sizes.values()) / len(sizes) if sizes else 0.0
    if len(sizes) < 2 or mean == 0:
        return {term: weights[term] for term in norms}
    slowness = sum(ratios[term] for term in norms) / len(norms)
    moved = {}
    for term, size in sizes.items():
        aim = mean * (ratios[term] / slowness) ** asymmetry
        moved[term] = weights[term] * math.exp(-rate * ((size > aim) - (size < aim)) * size / mean)
    scale = sum(weights[term] for term in norms) / sum(moved.values())
    return {term: value * scale for term, value in moved.items()}
