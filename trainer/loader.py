"""The samples of all steps, made one step ahead of the network by a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset
from unetctl.trainer.processes import ALONE, Processes
from unetctl.trainer.sample import Sample, draw_sample
from unetctl.trainer.streams import generator, shuffled
from unetctl.trainer.weight_map import class_weights


class Loader:
    """Makes the samples of any step; what it makes is a function of the seed and the samples' numbers alone.

    Step s of n processes with a batch of b has the samples `(s - 1) n b + 1` to `s n b`, of which each process makes
    its b: so n processes see what one with a batch of n b would.
    """

    def __init__(self, dataset: Dataset, config: Config, processes: Processes = ALONE) -> None:
        self._dataset = dataset
        self._config = config
        self._processes = processes
        pixels = dataset.class_pixels()
        self.class_weights = torch.ones(len(pixels))
        if config.train.class_balance:
            self.class_weights = torch.from_numpy(class_weights(pixels))
        self.samples = 0
        self.seconds = 0.0
        """What making `samples` took, so that the report can say whether the network waited."""

    def numbers(self, step: int) -> range:
        """Return the numbers, from 1, of the samples that this process makes for step `step`, from 1."""
        batch, processes = self._config.train.batch, self._processes
        first = ((step - 1) * processes.count + processes.rank) * batch + 1
        return range(first, first + batch)

    def sample(self, number: int) -> Sample:
        """Make sample `number`, from 1."""
        started = time.perf_counter()
        train, pairs = self._config.train, self._dataset.train
        made = draw_sample(
            pairs[shuffled(number, len(pairs), train.seed)],
            tile=train.tile,
            depth=self._config.network.depth,
            settings=self._config.augment,
            class_weights=self.class_weights,
            random=generator(train.seed, "sample", number),
            foreground=train.foreground,
            background=self._dataset.classes.background,
        )
        self.samples += 1
        self.seconds += time.perf_counter() - started
        return made

    def samples_from(self, first: int, last: int) -> Iterator[tuple[Sample, ...]]:
        """Yield the samples of the steps `first` to `last`, both included, those of the next always in the making.

        The thread computes on one core: torch's teams of threads wait by spinning, and two teams on a busy machine were
        measured to need twenty times as long.
        """
        if first > last:
            return
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(1, "sample", initializer=torch.set_num_threads, initargs=(1,)) as thread:
            coming = thread.submit(self._batch, first)
            coming.result()
            torch.set_num_threads(threads)  # the thread keeps its one; threads made later get what they did before
            for step in range(first, last + 1):
                samples = coming.result()
                if step < last:
                    coming = thread.submit(self._batch, step + 1)
                yield samples

    def _batch(self, step: int) -> tuple[Sample, ...]:
        return tuple(self.sample(number) for number in self.numbers(step))
