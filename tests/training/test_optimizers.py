"""Schedules as pure functions of progress; torch's optimisers with their arguments."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semiretina.config import Optimizer
from semiretina.training.optimizers import learning_rate, make_optimizer

fractions = st.floats(0, 1, exclude_max=True)
schedules = st.sampled_from(["constant", "cosine", "linear"])


def settings(**given):
    return Optimizer.model_validate({"lr": 0.1, **given})


@given(fraction=fractions, schedule=schedules, warmup=st.floats(0, 0.9))
def test_the_rate_lies_between_zero_and_lr(fraction, schedule, warmup):
    assert 0 <= learning_rate(settings(schedule=schedule, warmup=warmup), fraction) <= 0.1


@given(schedule=schedules, warmup=st.floats(0.01, 0.9), parts=st.tuples(fractions, fractions))
def test_it_rises_in_the_warm_up_and_never_after(schedule, warmup, parts):
    low, high = sorted(parts)
    s = settings(schedule=schedule, warmup=warmup)
    assert learning_rate(s, low * warmup) <= learning_rate(s, high * warmup)
    rest = [warmup + part * (1 - warmup) for part in (low, high)]
    if rest[1] < 1:
        assert learning_rate(s, rest[0]) >= learning_rate(s, rest[1]) - 1e-15


def test_rates_by_hand():
    assert learning_rate(settings(), 0.999) == 0.1
    assert learning_rate(settings(schedule="linear"), 0.25) == pytest.approx(0.075)
    assert learning_rate(settings(schedule="cosine"), 1 / 3) == pytest.approx(0.1 * 0.75)
    warm = settings(schedule="cosine", warmup=0.2)
    assert learning_rate(warm, 0.05) == pytest.approx(0.025)
    assert learning_rate(warm, 0.2) == 0.1
    assert learning_rate(warm, 0.6) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("given", "kind", "facts"),
    [
        (
            {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        ),
        ({"name": "adam", "betas": [0.8, 0.99], "eps": 1e-6}, torch.optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-6}),
        ({"name": "adamw", "weight_decay": 0.05}, torch.optim.AdamW, {"weight_decay": 0.05}),
    ],
)
def test_the_settings_reach_torch(given, kind, facts):
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], settings(**given))
    assert type(optimizer) is kind
    assert {name: optimizer.param_groups[0][name] for name in facts} == facts
    assert math.isclose(optimizer.param_groups[0]["lr"], 0.1)
