"""The structural similarity of a reconstruction and its photograph."""

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 11  # pixels
SIGMA = 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 for values in [0, 1]


def structural_dissimilarity(reconstruction: Tensor, images: Tensor) -> Tensor:
    """1 - SSIM, in [0, 2]; both [n, 3, h, w], sides of at least 11 px.

    SSIM = mean of (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2)) over channels and all
    places where the window lies wholly inside, with means m, variances s^2 and covariance s_xy under a Gaussian window
    of 11 x 11 px, sigma 1.5 px, C1 = 0.01^2, C2 = 0.03^2 (Wang, Bovik, Sheikh, Simoncelli, IEEE Trans Image Process
    2004; 13(4):600). A flat patch scores by its brightness alone.
    """
    x, y = images, reconstruction
    mean_x, mean_xx = _windowed(torch.cat([x, x * x])).chunk(2)
    mean_y, mean_yy, mean_xy = _windowed(torch.cat([y, y * y, x * y])).chunk(3)
    # Rounding can leave a variance of -1e-8, of no weight beside C2 = 9e-4.
    variances = mean_xx - mean_x.square() + mean_yy - mean_y.square()
    covariance = mean_xy - mean_x * mean_y
    brightness = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return 1 - (brightness * (2 * covariance + C2) / (variances + C2)).mean()


def _windowed(values: Tensor) -> Tensor:
    """Gaussian means over windows, [n, c, h, w] -> [n, c, h - 10, w - 10]; the two directions one after the other."""
    offsets = torch.arange(SIDE, dtype=values.dtype, device=values.device) - SIDE // 2
    kernel = torch.exp(-offsets.square() / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    channels = values.shape[1]
    across = functional.conv2d(values, kernel.expand(channels, 1, 1, SIDE), groups=channels)
    return functional.conv2d(across, kernel[:, None].expand(channels, 1, SIDE, 1), groups=channels)
