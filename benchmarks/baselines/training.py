"""Trains a baseline as the U-Net is: its samples, loss, optimizer, rate, clipping and averaged weights.

A budget of time is turned into a number of steps before the first of them, by timing some on a copy. So the rate's
cycle ends with the budget, and the same number of steps repeats the run to the last digit.
"""

from __future__ import annotations

import statistics
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.baselines.recipe import Baseline
from unetctl.runtime.errors import DataError
from unetctl.runtime.system import atomic_path
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine
from unetctl.trainer.moving_average import MovingAverage
from unetctl.trainer.optimise import make_optimizer, rate_at
from unetctl.trainer.streams import stream_seed

TIMED_STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A network and what it took."""

    network: nn.Module
    """In eval mode."""
    steps: int
    seconds: float
    loss: float
    """Mean of the last tenth of the steps; NaN where it is not known."""

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(one.numel() for one in self.network.parameters())


def build(baseline: Baseline, dataset: Dataset, seed: int) -> nn.Module:
    """Return the baseline's network with the first weights of a seed; the caller's random numbers stay its own."""
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, "weights"))
        return baseline.build(len(dataset.channel_names), len(dataset.classes.classes))


def train(baseline: Baseline, network: nn.Module, dataset: Dataset, config: Config, machine: Machine) -> Trained:
    """Take `config.train.steps` steps and return the averaged weights; equal settings give equal weights on a CPU."""
    settings = replace(config.train, learning_rate=baseline.rate)
    with torch.random.fork_rng():
        network = machine.place(network).train()
        optimizer, average = make_optimizer(network, settings), MovingAverage(network, settings.average)
        losses, started = [], time.perf_counter()
        for step in range(1, settings.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, settings)
            sample = machine.place_sample(baseline.make_sample(dataset, config, step))
            torch.manual_seed(stream_seed(settings.seed, "dropout", step))
            with machine.autocast():
                logits = network(sample.image)
            loss = weighted_cross_entropy(logits, sample.labels, sample.weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.clip_norm:
                nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimizer.step()
            average.update(step)
            losses.append(loss.item())
    seconds = time.perf_counter() - started
    last = float(np.mean(losses[-max(1, len(losses) // 10) :]))
    return Trained(network=average.network.eval(), steps=settings.steps, seconds=seconds, loss=last)


def steps_within(
    seconds: float, baseline: Baseline, network: nn.Module, dataset: Dataset, config: Config, machine: Machine
) -> int:
    """Return how many steps fit into a time, from the median of some on a copy of the network."""
    copy = deepcopy(network)
    one = replace(config, train=replace(config.train, steps=1))
    train(baseline, copy, dataset, one, machine)  # the first pays for what is prepared once
    each = statistics.median(train(baseline, copy, dataset, one, machine).seconds for _ in range(TIMED_STEPS))
    return max(1, round(seconds / each))


def saved(path: Path, baseline: Baseline, dataset: Dataset, seed: int) -> Trained:
    """Read what `save` wrote. Raises `DataError` if it was trained on other data."""
    with safe_open(path, "pt") as file:
        told = file.metadata()
    if told["data_sha256"] != dataset.fingerprint:
        raise DataError(f"{path} was trained on other data", hint="remove it, or compare in another folder")
    network = build(baseline, dataset, seed)
    network.load_state_dict(load_file(path))
    return Trained(
        network=network.eval(), steps=int(told["steps"]), seconds=float(told["seconds"]), loss=float(told["loss"])
    )


def save(path: Path, trained: Trained, dataset: Dataset) -> None:
    """Write a trained baseline, so that a comparison that was stopped need not train it again."""
    told = {"steps": trained.steps, "seconds": trained.seconds, "loss": trained.loss}
    metadata = {key: str(value) for key, value in told.items()} | {"data_sha256": dataset.fingerprint}
    weights = {name: one.cpu().contiguous() for name, one in trained.network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, metadata)
