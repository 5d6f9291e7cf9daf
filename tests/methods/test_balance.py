"""The rules that move the weights of a loss's terms, against numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semiretina.methods.balance import LEAST, NormRatio, equation_4, gradnorm, running_mean

norms = st.floats(1e-6, 1e6)


def follow(rule, start, count):
    values = [start]
    for _ in range(count):
        values.append(rule(values[-1]))
    return values


# Equation 4


def test_equation_4_as_printed_oscillates_with_period_two():
    """||g_ae|| = 18 and ||g_cl|| = 2: a constant ratio of 9."""
    assert follow(lambda weight: equation_4(weight, 18.0, 2.0), 1.0, 5) == [1, 9, 1, 9, 1, 9]
    assert follow(lambda weight: equation_4(weight, 18.0, 2.0), 6.0, 3) == [6, 1.5, 6, 1.5]


def test_equation_4_has_its_fixed_point_at_the_root_of_the_ratio_which_balances_nothing():
    fixed = equation_4(3.0, 18.0, 2.0)
    assert fixed == 3.0
    assert fixed * 2.0 == 18.0 / 3.0  # lambda ||g_cl|| is a third of ||g_ae||


@pytest.mark.parametrize(("norm_ae", "norm_cl"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1e300, 1e-300)])
def test_equation_4_stays_where_there_is_nothing_to_compare(norm_ae, norm_cl):
    assert equation_4(2.5, norm_ae, norm_cl) == 2.5


# Balanced


def mus(steps, rho=1.0):
    """mu after each update of these norms, (||g_ae||, ||g_cl||)."""
    balance, found = NormRatio({}, rho=rho), []
    for norm_ae, norm_cl in steps:
        balance.next({}, {"ae": norm_ae, "cl": norm_cl})
        found.append(float(balance.weights[0]))
    return found


def test_balanced_by_hand():
    """Means of |g_ae|: 0.3 * 2 = 0.6, then 0.7 * 0.6 + 0.3 * 1 = 0.72; of ||g_cl||: 1.8, then 1.26 + 0.3 * 3 = 2.16."""
    assert mus([(2.0, 6.0), (1.0, 3.0)], rho=0.5) == [pytest.approx(1.5), pytest.approx(0.5 * 2.16 / 0.72)]
    assert running_mean(0.6, 1.0, 2.0) == pytest.approx(0.72)


def test_balanced_does_not_lag_where_a_gradient_of_the_decoder_starts_tiny():
    """||g_ae|| grows tenfold over five updates, as that of a decoder whose last layer starts near zero: the first mu is
    200, and the reconstruction pulls at most 2.5 times as strongly as it should, and soon as it should. (As a geometric
    mean of old mu, mu' = mu^0.9 aim^0.1, it would pull 6.6 times as strongly at the sixth update.)"""
    sizes = [0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.1, 0.1]
    found = mus([(size, 2.0) for size in sizes])
    assert found[0] == pytest.approx(200)
    pulls = [mu * size / 2.0 for mu, size in zip(found, sizes[1:], strict=False)]
    assert max(pulls) < 2.5
    assert pulls[-1] < 1.4
    lagging = 200.0
    for size in sizes[1:5]:
        lagging = lagging**0.9 * (2.0 / size) ** 0.1
    assert lagging * sizes[5] / 2.0 > 6


def test_balanced_follows_a_classifier_down_to_a_thousandth():
    """||g_cl|| falls by 3 % an update to less than a thousandth, ||g_ae|| stays: so does the ratio of their pulls."""
    norms = [(0.5, 8.0 * 0.97**step) for step in range(240)]
    assert norms[-1][1] < norms[0][1] / 1000
    found = mus(norms)
    pulls = [mu * ae / cl for mu, (ae, cl) in zip(found, norms[1:], strict=False)]
    assert max(pulls) < 1.15
    assert min(pulls) > 1.0


def test_balanced_comes_to_rest_where_both_pull_alike():
    assert mus([(1.0, 1.0), *[(0.3, 4.5)] * 40], rho=2.0)[-1] * 0.3 == pytest.approx(2.0 * 4.5, rel=1e-4)


def test_a_reconstruction_that_converges_does_not_silence_the_classifier():
    """||g_ae|| falls from 1 to 1e-12. A lambda on L_cl of ||g_ae|| / ||g_cl|| would leave the classifier nothing."""
    norms = [(10.0 ** (-step / 20), 1.0) for step in range(241)]
    found = mus([*norms, (0.0, 1.0)])
    assert all(1.0 / (1.0 + mu * ae) >= 0.49 for mu, (ae, _) in zip(found, norms, strict=False))
    assert found[-1] <= 1.001 / LEAST


def test_a_classifier_that_converges_does_not_silence_the_reconstruction():
    assert mus([(1.0, 1.0), *[(1.0, 1e-9)] * 300])[-1] == pytest.approx(LEAST)


@pytest.mark.parametrize("steps", [[(1.0, 0.0)], [(0.0, 0.0)], [(0.0, 3.0)]])
def test_balanced_does_not_begin_without_both_gradients(steps):
    assert mus(steps) == [1.0]
    assert mus([*steps, (2.0, 6.0)])[-1] == pytest.approx(3.0)


def test_balanced_stays_without_a_gradient_of_the_classifier():
    first, after = mus([(1.0, 4.0), (9.0, 0.0)])
    assert after == first


@given(st.lists(st.tuples(norms, norms), min_size=1, max_size=20), st.floats(0.01, 100))
def test_balanced_lies_between_the_ratios_that_it_saw(steps, rho):
    """A ratio of means lies between the smallest and the largest ratio, norms counting a 10,000th of the first."""
    held = [(max(ae, LEAST * steps[0][0]), max(cl, LEAST * steps[0][1])) for ae, cl in steps]
    for number, mu in enumerate(mus(steps, rho), start=1):
        seen = [rho * cl / ae for ae, cl in held[:number]]
        assert min(seen) * (1 - 1e-9) <= mu <= max(seen) * (1 + 1e-9)


# GradNorm


def test_gradnorm_by_hand():
    """Two terms of weight 1, asymmetry 1, rate 0.1.

    G = (3, 1), mean 2. Ratios (0.5, 1), mean 0.75, so r = (2/3, 4/3) and the aims are (4/3, 8/3). The first is above
    its aim and becomes exp(-0.1 * 3/2) = 0.8607080; the second is below and becomes exp(0.1 * 1/2) = 1.0512711.
    Their sum 1.9119791 is brought back to 2 by 1.0460365.
    """
    moved = gradnorm({"ae": 1.0, "dr": 1.0}, {"ae": 3.0, "dr": 1.0}, {"ae": 0.5, "dr": 1.0}, 1.0, 0.1)
    assert moved == {"ae": pytest.approx(0.9003320, abs=1e-7), "dr": pytest.approx(1.0996680, abs=1e-7)}


def test_gradnorm_by_hand_with_an_absent_term():
    """Of weights (0.5, 1, 1.5) the third is absent; G = (0.5 * 4, 1 * 1) = (2, 1), mean 1.5; equal ratios: aims 1.5.

    exp(-0.15 * 2/1.5) = exp(-0.2) = 0.8187308 halves to 0.4093654; exp(0.15 * 1/1.5) = exp(0.1) = 1.1051709. Sum
    1.5145363, brought back to 0.5 + 1 = 1.5 by 0.9904021: (0.4054363, 1.0945637), and nothing for the third.
    """
    weights = {"ae": 0.5, "dr": 1.0, "lesions": 1.5}
    moved = gradnorm(weights, {"ae": 4.0, "dr": 1.0}, {"ae": 0.25, "dr": 0.25}, 0.7, 0.15)
    assert moved == {"ae": pytest.approx(0.4054363, abs=1e-7), "dr": pytest.approx(1.0945637, abs=1e-7)}


terms = st.dictionaries(
    st.sampled_from(["ae", "dr", "severity", "lesions"]),
    st.tuples(st.floats(1e-3, 1e3), norms, st.floats(1e-3, 10)),
    min_size=1,
)


@given(terms, st.floats(0, 3), st.floats(1e-3, 1))
def test_gradnorm_steps_down_its_loss_keeps_the_sum_and_stays_positive(drawn, asymmetry, rate):
    weights, sizes, ratios = ({term: value[place] for term, value in drawn.items()} for place in range(3))
    moved = gradnorm(weights, sizes, ratios, asymmetry, rate)
    assert moved.keys() == weights.keys()
    assert all(value > 0 for value in moved.values())
    assert math.fsum(moved.values()) == pytest.approx(math.fsum(weights.values()))
    # The step by autograd, down L_grad / mean G in log w.
    logs = torch.tensor([math.log(w) for w in weights.values()], dtype=torch.float64, requires_grad=True)
    pulls = logs.exp() * torch.tensor(list(sizes.values()), dtype=torch.float64)
    rates = torch.tensor(list(ratios.values()), dtype=torch.float64)
    aims = (pulls.mean() * (rates / rates.mean()) ** asymmetry).detach()
    (pulls - aims).abs().sum().div(pulls.mean().detach()).backward()
    clear = ((pulls - aims).abs() > 1e-9 * aims).all()  # else rounding decides the sign
    expected = (logs - rate * logs.grad).exp().detach()
    expected *= sum(weights.values()) / expected.sum()
    if clear and len(drawn) > 1:
        assert list(moved.values()) == pytest.approx(expected.tolist(), rel=1e-6)


def test_gradnorm_makes_the_terms_pull_alike():
    weights, sizes = {"ae": 1.0, "dr": 1.0, "lesions": 1.0}, {"ae": 900.0, "dr": 1.0, "lesions": 30.0}
    for _ in range(2000):
        weights = gradnorm(weights, sizes, dict.fromkeys(sizes, 1.0), 0.0, 0.025)
    pulls = [weights[term] * sizes[term] for term in sizes]
    assert max(pulls) / min(pulls) < 1.1


def test_gradnorm_gives_more_to_the_term_that_learns_slowly():
    """r = (0.1, 0.9) / 0.5, so the aims are 0.2 ** 0.5 = 0.447 and 1.8 ** 0.5 = 1.342 of the mean. They do not sum to
    two means, so both cannot be met; the larger pull settles at its aim, because it moves faster."""
    weights = {"ae": 1.0, "dr": 1.0}
    for _ in range(500):
        weights = gradnorm(weights, {"ae": 2.0, "dr": 2.0}, {"ae": 0.1, "dr": 0.9}, 0.5, 0.01)
    assert weights["dr"] / ((weights["ae"] + weights["dr"]) / 2) == pytest.approx(1.342, rel=0.02)


def test_gradnorm_leaves_a_term_alone_and_terms_without_gradient():
    assert gradnorm({"ae": 0.3, "dr": 1.7}, {"ae": 5.0}, {"ae": 0.5}, 1.0, 0.1) == {"ae": 0.3}
    assert gradnorm({"ae": 0.3}, {}, {}, 1.0, 0.1) == {}
    still = {"ae": 0.3, "dr": 1.7}
    assert gradnorm(still, {"ae": 0.0, "dr": 0.0}, {"ae": 0.5, "dr": 0.5}, 1.0, 0.1) == still
