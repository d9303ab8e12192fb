"""What a run is made of: the settings, the data, the machine and the processes, and the folder it fills."""

from __future__ import annotations

from dataclasses import dataclass

from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset
from unetctl.trainer.machine import Machine
from unetctl.trainer.network import UNet
from unetctl.trainer.processes import Processes
from unetctl.trainer.runs import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """All that does not change while a run goes on."""

    config: Config
    dataset: Dataset
    machine: Machine
    processes: Processes
    folder: RunFolder

    @property
    def validation_interval(self) -> int:
        """Steps between validations."""
        every = self.config.train.validate_every
        samples = self.config.train.batch * self.processes.count
        return -(-len(self.dataset.train) // samples) if every == "epoch" else every

    def new_network(self) -> UNet:
        """Make the network, with random weights."""
        settings = self.config.network
        return UNet(
            channels=len(self.dataset.channel_names),
            classes=len(self.dataset.classes.classes),
            depth=settings.depth,
            base_channels=settings.base_channels,
            dropout=settings.dropout,
        )
