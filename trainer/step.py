"""One step of training: some samples forward and backward, one change of the weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.parallel import DistributedDataParallel

from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine
from unetctl.trainer.moving_average import MovingAverage
from unetctl.trainer.network import UNet
from unetctl.trainer.optimise import make_optimizer, rate_at
from unetctl.trainer.processes import Processes
from unetctl.trainer.sample import Sample
from unetctl.trainer.settings import TrainConfig
from unetctl.trainer.streams import stream_seed


class Stepper:
    """A network in training: its weights, their averaged copy, and the optimizer."""

    def __init__(self, network: UNet, settings: TrainConfig, machine: Machine, processes: Processes) -> None:
        self.network = network
        self.average = MovingAverage(network, settings.average)
        self.optimizer = make_optimizer(network, settings)
        self._settings = settings
        self._machine = machine
        self._processes = processes
        self._joined = processes.joined_gradients(network)
        self.steps = 0
        self.seconds = 0.0
        """What `steps` took, without waiting for samples."""

    def take(self, step: int, samples: Sequence[Sample], numbers: range) -> float:
        """Take step `step` (from 1) with samples of these numbers, and return its loss: the mean over all processes.

        The samples go through the network one after another and their gradients are added, which is a batch for a
        network without batch normalisation, in the memory of one tile. Dropout follows from each sample's number.
        """
        started = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(step, self._settings)
        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for index, (sample, number) in enumerate(zip(samples, numbers, strict=True), start=1):
            torch.manual_seed(stream_seed(self._settings.seed, "dropout", number))
            placed = self._machine.place_sample(sample)
            with self._exchange(is_last=index == len(samples)):
                with self._machine.autocast():
                    logits = self._joined(placed.image)
                part = weighted_cross_entropy(logits, placed.labels, placed.weights) / len(samples)
                part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        if self._settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.clip_norm)
        self.optimizer.step()
        self.average.update(step)
        loss = self._processes.mean(loss)
        self.steps, self.seconds = self.steps + 1, self.seconds + time.perf_counter() - started
        return loss

    def _exchange(self, *, is_last: bool) -> AbstractContextManager[object]:
        """Let the processes exchange gradients with the last sample only."""
        if is_last or not isinstance(self._joined, DistributedDataParallel):
            return nullcontext()
        return self._joined.no_sync()
