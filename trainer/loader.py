"""The samples of all steps, made one ahead of the network by a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset
from unetctl.trainer.sample import Sample, draw_sample
from unetctl.trainer.streams import generator, shuffled
from unetctl.trainer.weight_map import class_weights


class Loader:
    """Makes the sample of any step; what it makes is a function of the seed and the step alone."""

    def __init__(self, dataset: Dataset, config: Config) -> None:
        self._pairs = dataset.train
        self._config = config
        pixels = dataset.class_pixels()
        self.class_weights = torch.ones(len(pixels))
        if config.train.class_balance:
            self.class_weights = torch.from_numpy(class_weights(pixels))
        self.samples = 0
        self.seconds = 0.0
        """What making `samples` took, so that the report can say whether the network waited."""

    def sample(self, step: int) -> Sample:
        """Make the sample of step `step`, from 1."""
        started = time.perf_counter()
        train = self._config.train
        made = draw_sample(
            self._pairs[shuffled(step, len(self._pairs), train.seed)],
            tile=train.tile,
            depth=self._config.network.depth,
            settings=self._config.augment,
            class_weights=self.class_weights,
            random=generator(train.seed, "sample", step),
        )
        self.samples += 1
        self.seconds += time.perf_counter() - started
        return made

    def samples_from(self, first: int, last: int) -> Iterator[Sample]:
        """Yield the samples of the steps `first` to `last`, both included, the next always in the making.

        The thread computes on one core: torch's teams of threads wait by spinning, and two teams on a busy machine were
        measured to need twenty times as long.
        """
        if first > last:
            return
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(1, "sample", initializer=torch.set_num_threads, initargs=(1,)) as thread:
            coming = thread.submit(self.sample, first)
            coming.result()
            torch.set_num_threads(threads)  # the thread keeps its one; threads made later get what they did before
            for step in range(first, last + 1):
                sample = coming.result()
                if step < last:
                    coming = thread.submit(self.sample, step + 1)
                yield sample
