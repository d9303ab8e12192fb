"""Several processes that train one network, one to a GPU, as PyTorch's `torchrun` starts them.

    torchrun --nproc-per-node 4 --no-python -- unetctl train

Each process makes and learns its own samples, and the mean of all gradients changes all copies of the weights alike.
The first process keeps the run's folder; the others compute, and write nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from unetctl.trainer.network import UNet

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other: the first one draws and saves while the others do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Which of how many this process is."""

    rank: int
    count: int

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the run's folder and speaks."""
        return self.rank == 0

    def shared(self, value: T) -> T:
        """Return the first process's `value` in every process."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]

    def gathered(self, values: Sequence[T]) -> list[T]:
        """Return the values of all processes, in every process: the first of each, then the second of each."""
        if self.count == 1:
            return list(values)
        boxes: list[list[T]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(boxes, list(values))
        longest = max(len(box) for box in boxes)
        return [box[index] for index in range(longest) for box in boxes if index < len(box)]

    def mean(self, value: float) -> float:
        """Return the mean of all processes' values."""
        return sum(self.gathered([value])) / self.count

    def joined_gradients(self, network: UNet) -> torch.nn.Module:
        """Return `network` so that going backward through it leaves the mean of all processes' gradients."""
        return network if self.count == 1 else DistributedDataParallel(network)


ALONE = Processes(rank=0, count=1)


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that `torchrun` started with this one, by what it left in the environment; else be alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or distributed.is_initialized():
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank=distributed.get_rank(), count=count)
    finally:
        distributed.destroy_process_group()
