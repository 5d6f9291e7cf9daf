"""Reconstruction losses against other implementations, closed forms and numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.special import rel_entr
from sklearn.metrics import mutual_info_score
from torch.autograd import gradcheck

from semiretina.errors import BadConfig
from semiretina.losses.histograms import BINS, histogram_divergence, lost_information
from semiretina.losses.reconstruction import RECONSTRUCTION_LOSSES, check_reconstruction, reconstruction_loss
from semiretina.losses.structure import structural_dissimilarity
from semiretina.methods import METHODS
from tasks_of import tasks_of

ALL = list(RECONSTRUCTION_LOSSES)
STEP = 1 / (BINS - 1)


def pictures(n=2, side=16, seed=0, dtype=torch.float64):
    return torch.rand(n, 3, side, side, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# By hand and by other implementations


def test_absolute_error_by_hand():
    # Two photographs of 3 x 1 x 2 values; one value off by 0.5, another by 1: distances sum to 1.5.
    images = torch.zeros(2, 3, 1, 2)
    reconstruction = images.clone()
    reconstruction[0, 0, 0, 1], reconstruction[1, 2, 0, 0] = 0.5, -1.0
    assert float(reconstruction_loss(reconstruction, images, "l1")) == pytest.approx(1.5 / 12)
    assert float(reconstruction_loss(reconstruction, images, "l1", "image")) == pytest.approx(1.5 / 2)
    assert float(reconstruction_loss(reconstruction, images)) == pytest.approx(1.25 / 12)
    assert float(reconstruction_loss(reconstruction, images, "mse", "image")) == pytest.approx(1.25 / 2)


def spread(bandwidth):
    """How one count is spread over the bins, from the definition."""
    table = np.array([[math.exp(-((j - k) ** 2) / (2 * bandwidth**2)) for k in range(BINS)] for j in range(BINS)])
    return table / table.sum(axis=1, keepdims=True)


def histogram_by_hand(values, bandwidth):
    """A Parzen histogram, a value at a time."""
    counts, table = np.zeros(BINS), spread(bandwidth)
    for value in values.ravel():
        place = min(max(value, 0.0), 1.0) * (BINS - 1)
        lower = min(int(place), BINS - 2)
        counts += (1 - (place - lower)) * table[lower] + (place - lower) * table[lower + 1]
    return counts / values.size


@pytest.mark.parametrize("side", [16, 13])  # 13: the last cells are cut off
def test_kl_equals_a_loop_over_windows(side):
    images, decoded = pictures(2, side), pictures(2, side, seed=1) * 0.9
    starts = range(0, side - 4, 4)
    divergences = [
        rel_entr(*(histogram_by_hand(a.numpy()[n, c, y : y + 8, x : x + 8], 4.0) for a in (images, decoded))).sum()
        for n, c, y, x in itertools.product(range(2), range(3), starts, starts)
    ]
    assert float(histogram_divergence(decoded, images)) == pytest.approx(np.mean(divergences), rel=1e-9)


def test_kl_of_flat_windows_is_that_of_two_gaussians():
    # Far from the ends, where no Gaussian is cut: d^2 / (2 sigma^2), here with d = 12 bins and sigma = 4.
    images = torch.full((1, 3, 16, 16), 26 * STEP, dtype=torch.float64)
    assert float(histogram_divergence(images + 12 * STEP, images)) == pytest.approx(144 / 32, rel=1e-3)


def test_kl_does_not_see_how_values_are_arranged_inside_a_window():
    # Windows overlap by half a window, so the cell is the largest patch that may be shuffled.
    images = pictures(1, 16)
    cells = images.unfold(2, 4, 4).unfold(3, 4, 4)  # [1, 3, 4, 4, 4, 4]
    shuffled = cells.flip(4).flip(5).permute(0, 1, 2, 4, 3, 5).reshape(1, 3, 16, 16)
    assert float(histogram_divergence(shuffled, images)) == pytest.approx(0, abs=1e-12)
    assert float((shuffled - images).abs().mean()) > 0.1


def test_mutual_information_of_narrow_bins_is_that_of_counted_pairs():
    random = np.random.default_rng(3)
    x = random.integers(0, BINS, (2, 3, 12, 12))
    y = np.where(random.random(x.shape) < 0.6, x, random.integers(0, BINS, x.shape))
    lost = [
        mutual_info_score(x[n, c].ravel(), x[n, c].ravel()) - mutual_info_score(x[n, c].ravel(), y[n, c].ravel())
        for n, c in itertools.product(range(2), range(3))
    ]
    values = lost_information(torch.from_numpy(y * STEP), torch.from_numpy(x * STEP), bandwidth=0.01)
    assert float(values) == pytest.approx(np.mean(lost), rel=1e-6)


def test_mutual_information_equals_a_loop_over_pixels():
    images, decoded = pictures(1, 8), pictures(1, 8) * 0.5 + pictures(1, 8, seed=1) * 0.5

    def information(x, y):
        joint = np.zeros((BINS, BINS))
        for a, b in zip(x.ravel(), y.ravel(), strict=True):
            joint += np.outer(histogram_by_hand(a, 2.0), histogram_by_hand(b, 2.0))
        joint /= x.size
        return rel_entr(joint, np.outer(joint.sum(axis=1), joint.sum(axis=0))).sum()

    x, y = images.numpy()[0], decoded.numpy()[0]
    lost = [max(0, information(x[c], x[c]) - information(x[c], y[c])) for c in range(3)]
    assert float(lost_information(decoded, images)) == pytest.approx(np.mean(lost), rel=1e-9)


def test_mutual_information_forgives_a_negative_and_no_flat_picture():
    images = pictures(1, 16)
    assert float(lost_information(1 - images, images)) == pytest.approx(0, abs=1e-9)
    # One bit: half the pixels black, half white; a flat picture tells nothing of it.
    halves = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    halves[..., 4:] = 1
    assert float(lost_information(torch.full_like(halves, 0.5), halves)) == pytest.approx(math.log(2), rel=1e-6)


def test_ssim_equals_scipys_gaussian_filter():
    images = pictures(2, 24)
    decoded = 0.7 * images + 0.3 * pictures(2, 24, seed=1) - 0.05

    def mean(values):  # truncate: 5 px to either side, that is 11 x 11
        blurred = gaussian_filter(values, sigma=(0, 0, 1.5, 1.5), truncate=5 / 1.5)
        return blurred[..., 5:-5, 5:-5]

    x, y = images.numpy(), decoded.numpy()
    m_x, m_y = mean(x), mean(y)
    s_xx, s_yy, s_xy = mean(x * x) - m_x**2, mean(y * y) - m_y**2, mean(x * y) - m_x * m_y
    ssim = (2 * m_x * m_y + 1e-4) * (2 * s_xy + 9e-4) / ((m_x**2 + m_y**2 + 1e-4) * (s_xx + s_yy + 9e-4))
    assert float(structural_dissimilarity(decoded, images)) == pytest.approx(1 - ssim.mean(), rel=1e-10)


def test_ssim_of_flat_patches_by_hand():
    # (2 * 0.2 * 0.6 + 0.0001) / (0.04 + 0.36 + 0.0001)
    flat = torch.full((1, 3, 12, 12), 0.2, dtype=torch.float64)
    assert float(structural_dissimilarity(flat + 0.4, flat)) == pytest.approx(1 - 0.2401 / 0.4001, rel=1e-9)


# What holds for all of them


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 2**20), kind=st.sampled_from(["noise", "flat", "negative", "beyond", "sharper", "near"]))
@settings(max_examples=20, deadline=None)
def test_no_reconstruction_is_better_than_the_perfect_one(name, seed, kind):
    images = pictures(2, 16, seed)
    images[0] = images[0].round()  # one of two values
    other = {
        "noise": pictures(2, 16, seed + 1),
        "flat": torch.full_like(images, (seed % 97) / 96),
        "negative": 1 - images,
        "beyond": 3 * images - 1,
        "sharper": (1.5 * images - 0.25).clamp(0, 1),
        "near": images + 1e-3 * (pictures(2, 16, seed + 1) - 0.5),
    }[kind]
    perfect = float(reconstruction_loss(images, images, name))
    assert perfect == pytest.approx(0, abs=1e-12)
    assert float(reconstruction_loss(other, images, name)) >= perfect - 1e-12


@pytest.mark.parametrize("name", ALL)
def test_fading_to_gray_costs_ever_more(name):
    images = pictures(2, 24)
    rising = [
        float(reconstruction_loss((1 - share) * images + share * 0.5, images, name)) for share in (0.0, 0.2, 0.5, 1.0)
    ]
    assert rising == sorted(rising)
    assert len(set(rising)) == 4


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_photographs_does_not_matter(name):
    images, decoded = pictures(3), pictures(3, seed=1)
    order = [2, 0, 1]
    value = float(reconstruction_loss(decoded, images, name))
    assert float(reconstruction_loss(decoded[order], images[order], name)) == pytest.approx(value, rel=1e-12)
    # ... and one of them alone is what it adds to the mean.
    parts = [float(reconstruction_loss(decoded[i : i + 1], images[i : i + 1], name)) for i in range(3)]
    assert np.mean(parts) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_the_formulas(name):
    images = pictures(1, 12)
    decoded = (0.6 * images + 0.5 * pictures(1, 12, seed=1) - 0.03).requires_grad_()  # some beyond [0, 1]
    assert gradcheck(lambda y: reconstruction_loss(y, images, name), [decoded], eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seen", ["black", "white", "noise"])
@pytest.mark.parametrize("answer", ["same", "gray", "black", "white", "far beyond"])
def test_gradients_stay_finite(name, seen, answer):
    noise = pictures(2, 16, dtype=torch.float32)
    images = {"black": torch.zeros_like(noise), "white": torch.ones_like(noise), "noise": noise}[seen]
    decoded = {
        "same": images.clone(),
        "gray": torch.full_like(noise, 0.5),
        "black": torch.zeros_like(noise),
        "white": torch.ones_like(noise),
        "far beyond": 20 * noise - 10,
    }[answer].requires_grad_()
    loss = reconstruction_loss(decoded, images, name)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(decoded.grad).all()
    assert decoded.grad.abs().max() < 100


@pytest.mark.parametrize("name", ALL)
@given(seen=st.integers(0, 126), shown=st.integers(0, 126), noise=st.sampled_from([0.0, 0.01]))
@settings(max_examples=60, deadline=None)
def test_gradients_stay_finite_at_every_distance(name, seen, shown, noise):
    images = torch.full((1, 3, 12, 12), seen / 126)
    decoded = (torch.full_like(images, shown / 126) + noise * torch.randn(images.shape)).requires_grad_()
    loss = reconstruction_loss(decoded, images, name)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(decoded.grad).all()


def test_the_gradient_of_kl_leads_back_over_three_quarters_of_the_range():
    for seen, shown in ((0.0, 0.75), (1.0, 0.25), (0.2, 0.95), (0.5, 0.0), (0.5, 1.0)):
        decoded = torch.full((1, 3, 16, 16), shown, requires_grad=True)
        histogram_divergence(decoded, torch.full((1, 3, 16, 16), seen)).backward()
        assert (decoded.grad.sign() == math.copysign(1, shown - seen)).all()


@pytest.mark.parametrize("name", ALL)
def test_descending_leads_from_gray_noise_towards_the_photograph(name):
    images = torch.zeros(1, 3, 24, 24)
    images[:, :, 8:16, 8:16] = 0.9
    images[:, :, :, 12:] += 0.1
    pixels = (0.5 + 0.05 * torch.randn(images.shape)).requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=0.02)
    first = float(reconstruction_loss(pixels, images, name).detach())
    for _ in range(120):
        optimizer.zero_grad()
        loss = reconstruction_loss(pixels, images, name)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.25 * first
    assert -0.2 < float(pixels.detach().min()) <= float(pixels.detach().max()) < 1.2


@pytest.mark.parametrize("name", ALL)
def test_autocast_and_half_precision_do_not_reach_the_loss(name):
    images, decoded = pictures(2, 16, dtype=torch.float32), pictures(2, 16, seed=1, dtype=torch.bfloat16)
    expected = float(reconstruction_loss(decoded.float(), images, name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = reconstruction_loss(decoded, images, name)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_a_number_that_is_none_reaches_the_loss(name):
    decoded = pictures(1, 16)
    decoded[0, 1, 3, 4] = math.nan
    assert math.isnan(float(reconstruction_loss(decoded, pictures(1, 16), name)))


# In a method


def test_names_and_reductions_are_checked():
    for name in ALL:
        check_reconstruction(name)
    check_reconstruction("mse", "image")
    check_reconstruction("l1", "image")
    for name in ("kl", "mutual_information", "ssim"):
        with pytest.raises(BadConfig, match=rf"method\.reduction: 'image' .*'{name}' is no such sum"):
            check_reconstruction(name, "image")
    with pytest.raises(BadConfig, match=r"no loss 'psnr'; known are mse, l1, kl, mutual_information, ssim"):
        check_reconstruction("psnr")


@pytest.mark.parametrize("name", ALL)
def test_the_method_takes_every_loss(name, make_network, at_start):
    from semiretina.batch import Batch, Photographs

    network = make_network()
    images = pictures(4, 32, dtype=torch.float32)
    batch = Batch(labeled=None, unlabeled=Photographs({"weak": images}, np.arange(4), {}))
    method = METHODS["reconstruction"](network, tasks_of(network), reconstruction=name)
    torch.manual_seed(1)
    loss = method(batch, at_start)["loss"]
    loss.backward()
    with torch.no_grad():
        decoded = network.decode(network.encode(images))
    assert float(loss.detach()) == pytest.approx(float(reconstruction_loss(decoded, images, name)), rel=1e-5)
    assert any(p.grad is not None and p.grad.any() for p in network.encoder.parameters())
    with pytest.raises(BadConfig, match="no loss"):
        METHODS["reconstruction"](network, tasks_of(network), reconstruction="psnr")
