"""Losses that compare distributions of grey values: locally, and jointly (the paper's section 6).

A histogram has BINS bins on the grey values k / (BINS - 1). A value is shared by the two bins around it in proportion
to its nearness, and the bins are then smoothed by a Gaussian: a Parzen window, differentiable in the value, of which
only two bins a value are ever held in memory. Values beyond [0, 1] count as 0 or 1 and pay their squared excess, which
leads them back.
"""

import torch
from torch import Tensor
from torch.nn import functional

BINS = 64
NOTHING = 1e-30  # probability that stands for 0 in a logarithm


def histogram_divergence(reconstruction: Tensor, images: Tensor, *, cell: int = 4, bandwidth: float = 4.0) -> Tensor:
    """KL(p || q) = sum_k p_k log(p_k / q_k) of local histograms, p the photograph's, q the reconstruction's.

    Both [n, 3, h, w]. A histogram covers 2 x 2 cells of `cell` px a side, so windows overlap by half; the mean runs
    over windows, channels and photographs. `bandwidth` is the Parzen window's sigma in bins. Two flat windows whose
    values differ by d bins have a divergence near d^2 / (2 bandwidth^2), so that the gradient leads also where the
    histograms are far apart (by default three quarters of the range; that is some 120 times their squared error). How
    values are arranged inside a window does not count.
    """
    smooth = _parzen(bandwidth, images)
    p = _local_histograms(images, cell) @ smooth
    q = _local_histograms(reconstruction, cell) @ smooth
    # A difference of logarithms: the derivative of a quotient by 1e-30 would overflow.
    divergences = (p * (torch.log(p + NOTHING) - torch.log(q + NOTHING))).sum(dim=-1)
    return divergences.mean() + _excess(reconstruction)


def lost_information(reconstruction: Tensor, images: Tensor, *, bandwidth: float = 2.0) -> Tensor:
    """max(0, I(X; X) - I(X; X^)): the mutual information that the reconstruction has lost, in nats.

    Both [n, 3, h, w]; I(X; Y) = sum_kl p_kl log(p_kl / (p_k p_l)) from the joint histogram of a photograph's and its
    reconstruction's grey values at all pixels, for each channel (Viola, Wells, Int J Comput Vis 1997; 24(2):137); the
    mean runs over channels and photographs. In the limit of narrow bins I(X; X) is the entropy H(X). With a Parzen
    window of `bandwidth` bins it is less, and a reconstruction of more contrast can tell more of X than X itself; it
    scores 0 as well, so that none is better than the perfect one. Mutual information does not see which grey value
    stands for which: any one-to-one map of them, a negative too, loses nothing.
    """
    smooth = _parzen(bandwidth, images)
    with torch.no_grad():
        most = _information(smooth.T @ _joint_histograms(images, images) @ smooth)
    shared = _information(smooth.T @ _joint_histograms(images, reconstruction) @ smooth)
    return functional.relu(most - shared).mean() + _excess(reconstruction)


def _information(joint: Tensor) -> Tensor:
    """Mutual information in nats of joint probabilities [..., k, l]."""
    independent = joint.sum(dim=-1, keepdim=True) * joint.sum(dim=-2, keepdim=True)
    return (joint * (torch.log(joint + NOTHING) - torch.log(independent + NOTHING))).sum(dim=(-2, -1))


def _local_histograms(images: Tensor, cell: int) -> Tensor:
    """Shares [windows, BINS] of the values in each window of 2 x 2 cells, over all channels of all photographs."""
    n, channels, height, width = images.shape
    rows, columns = -(-height // cell), -(-width // cell)
    row = torch.arange(height, device=images.device) // cell
    column = torch.arange(width, device=images.device) // cell
    plane = torch.arange(n * channels, device=images.device).reshape(n, channels, 1, 1)
    place = (plane * rows + row[:, None]) * columns + column  # [n, c, h, w]
    lower, upper_share = _bins(images)
    start = place * BINS + lower
    counts = images.new_zeros(n * channels * rows * columns * BINS)
    counts = counts.index_add(0, start.flatten(), (1 - upper_share).flatten())
    counts = counts.index_add(0, start.flatten() + 1, upper_share.flatten())
    cells = counts.reshape(n * channels, rows, columns, BINS).permute(0, 3, 1, 2)
    window = (min(2, rows), min(2, columns))
    windows = functional.avg_pool2d(cells, window, stride=1).permute(0, 2, 3, 1).reshape(-1, BINS)
    return windows / windows.sum(dim=-1, keepdim=True)


def _joint_histograms(x: Tensor, y: Tensor) -> Tensor:
    """Shares [n, 3, BINS of x, BINS of y] of the pairs of values at the same pixel."""
    n, channels, height, width = x.shape
    plane = torch.arange(n * channels, device=x.device).reshape(n, channels, 1, 1)
    (lower_x, share_x), (lower_y, share_y) = _bins(x), _bins(y)
    start = (plane * BINS + lower_x) * BINS + lower_y
    counts = x.new_zeros(n * channels * BINS * BINS)
    for step_x, weight_x in ((0, 1 - share_x), (1, share_x)):
        for step_y, weight_y in ((0, 1 - share_y), (1, share_y)):
            counts = counts.index_add(0, (start + step_x * BINS + step_y).flatten(), (weight_x * weight_y).flatten())
    return counts.reshape(n, channels, BINS, BINS) / (height * width)


def _bins(values: Tensor) -> tuple[Tensor, Tensor]:
    """The lower of the two bins that share a value, and the share of the upper one."""
    # Not `clamp` alone, whose derivative at 0 and at 1 is 0: a value that stands there could not leave.
    inside = torch.where((values >= 0) & (values <= 1), values, values.detach().clamp(0, 1))
    bins = inside * (BINS - 1)
    # A value that is no number has no bin, and must reach the loss to be noticed: its share stays NaN.
    lower = bins.detach().nan_to_num(0.0).floor().clamp(max=BINS - 2)
    return lower.long(), bins - lower


def _parzen(bandwidth: float, like: Tensor) -> Tensor:
    """[BINS, BINS]: how a count in one bin is spread over all, in rows that sum to 1."""
    bins = torch.arange(BINS, dtype=like.dtype, device=like.device)
    spread = torch.exp(-(bins[:, None] - bins).square() / (2 * bandwidth**2))
    return spread / spread.sum(dim=-1, keepdim=True)


def _excess(reconstruction: Tensor) -> Tensor:
    """Mean squared distance to [0, 1]."""
    return (reconstruction - reconstruction.clamp(0, 1)).square().mean()
