from __future__ import annotations

import pytest
import torch

from unetctl.trainer.moving_average import MovingAverage
from unetctl.trainer.network import UNet


def weight_of(network: UNet) -> float:
    return network.classify.bias[0].item()


def set_weight(network: UNet, value: float) -> None:
    with torch.no_grad():
        network.classify.bias.fill_(value)


def test_the_copy_is_the_weighted_mean_of_what_it_saw() -> None:
    network = UNet(depth=1, base_channels=2)
    set_weight(network, 1.0)
    average = MovingAverage(network, 0.25)
    expected = 1.0
    for step, value in enumerate((3.0, -2.0, 5.0), start=1):
        set_weight(network, value)
        average.update(step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert weight_of(average.network) == pytest.approx(expected)
    assert weight_of(network) == 5.0
    assert not any(one.requires_grad for one in average.network.parameters())


def test_without_decay_it_is_the_network_itself() -> None:
    network = UNet(depth=1, base_channels=2)
    average = MovingAverage(network, 0.0)
    average.update(1)
    assert average.network is network


def test_the_first_weights_are_soon_forgotten() -> None:
    network = UNet(depth=1, base_channels=2)
    set_weight(network, 1000.0)
    average = MovingAverage(network, 0.999)
    set_weight(network, 0.0)
    for step in range(1, 31):
        average.update(step)
    assert abs(weight_of(average.network)) < 0.01
