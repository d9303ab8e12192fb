from __future__ import annotations

import pytest
import torch

from unetctl.trainer.optimise import make_optimizer, rate_at
from unetctl.trainer.settings import TrainConfig


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    settings = TrainConfig(steps=100, learning_rate=0.01)
    rates = [rate_at(step, settings) for step in range(1, 101)]
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) + 1 == 25
    assert rates[:25] == sorted(rates[:25])
    assert rates[24:] == sorted(rates[24:], reverse=True)
    assert 0 < rates[-1] < 1e-5
    assert 0 < rates[0] < 0.001


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_cycle_of_few_steps_has_rates_too(steps: int) -> None:
    settings = TrainConfig(steps=steps)
    assert all(0 < rate_at(step, settings) <= settings.peak_rate for step in range(1, steps + 1))


def test_a_constant_rate_is_constant() -> None:
    settings = TrainConfig(schedule="constant", learning_rate=0.3)
    assert {rate_at(step, settings) for step in range(1, 50)} == {0.3}


def test_sgd_has_the_papers_momentum() -> None:
    network = torch.nn.Linear(1, 1)
    optimizer = make_optimizer(network, TrainConfig(optimizer="sgd"))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.99
    assert isinstance(make_optimizer(network, TrainConfig()), torch.optim.AdamW)
