"""A sliding-window patch classifier after Ciresan et al. (2012), what the U-Net paper calls "the prior best method".

    window 65x65 -> [4x4, pool] -> [4x4, pool] -> [5x5, pool] -> [4x4, pool] -> 200 -> classes of the centre pixel

Four convolutions of 48 maps, each with 2x2 max-pooling, and one hidden layer: their design with the smallest of their
windows; their best network reads 95x95. Rectifiers, AdamW and the augmentation of the U-Net stand for what they had,
so that only the architecture differs; their foveation, their average of four networks and their calibration are left
out (every measure chooses its own threshold instead).

Every pixel of an image is classified in one of two ways, and both give the same:

    sliding    the window of each pixel goes through the network by itself: neighbours share nothing
    dense      each layer once over the whole image, with pooling of stride 1 and taps 2, 4, 8 px apart after it. It
               computes what the "max-pooling fragments" of Giusti et al. (2013, ICIP) do, a year after the original

Source: Ciresan, Giusti, Gambardella, Schmidhuber 2012, "Deep neural networks segment neuronal membranes in electron
microscopy images", NIPS 25, section 2.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from benchmarks.baselines.recipe import CELL, Baseline, Probability, image_of, initialise, sample_of
from unetctl.runtime.plan import Window
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset, Pair
from unetctl.trainer.sample import Sample
from unetctl.trainer.streams import generator

KERNELS = (4, 4, 5, 4)
WINDOW_PX = 65
"""After each convolution an even size is left (62, 28, 10, 2), or the two ways of evaluation would not agree."""
REACH_PX = WINDOW_PX // 2
PATCHES = 128
"""Windows a step."""
TILE_PX = 312
"""Of the tile from which the windows of a step are cut: their centres then cover 256 x 256 px."""
BATCH = 64
"""Windows at once when an image is labelled: on a processor faster than 256 or 1024, whose maps leave its cache."""


class PatchClassifier(nn.Module):
    """Logits `[N, K, 1, 1]` of the centre pixels of windows, float32 `[N, C, 65, 65]`."""

    def __init__(self, *, channels: int = 1, classes: int = 2, maps: int = 48, hidden: int = 200) -> None:
        super().__init__()
        inputs = (channels, *[maps] * (len(KERNELS) - 1))
        self.stages = nn.ModuleList(nn.Conv2d(one, maps, size) for one, size in zip(inputs, KERNELS, strict=True))
        self.hidden = nn.Conv2d(maps, hidden, 1)  # of one pixel: a fully connected layer that can also be run densely
        self.classify = nn.Conv2d(hidden, classes, 1)
        initialise(self)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the logits of each window."""
        for stage in self.stages:
            windows = max_pool2d(stage(windows), 2).relu()  # rectified before or after: the same, and here a quarter
        return self._classified(windows)

    def dense(self, image: Tensor) -> Tensor:
        """Return the logits `[N, K, H - 64, W - 64]` of every window inside images `[N, C, H, W]`."""
        apart = 1
        for stage in self.stages:
            image = conv2d(image, stage.weight, stage.bias, dilation=apart)
            image = max_pool2d(image, 2, stride=1, dilation=apart).relu()
            apart *= 2
        return self._classified(image)

    def _classified(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.hidden(maps).relu())
        return logits


def balanced_patches(sample: Sample, count: int, random: torch.Generator) -> Sample:
    """Cut `count` windows, as many of each class of their centre pixels, at random places of a sample of depth 0.

    A class that the sample does not show is left out. All windows weigh the same.
    """
    margin = (sample.image.shape[-1] - sample.labels.shape[-1]) // 2
    inside = REACH_PX - margin  # labels this near to the edge have no whole window
    labels = sample.labels[0, inside:-inside, inside:-inside]
    places, classes = [], labels.unique().tolist()
    for one in classes:
        found = (labels == one).nonzero()
        places.append(found[torch.randint(len(found), (count // len(classes),), generator=random)])
    top, left = torch.cat(places).unbind(dim=1)
    steps = torch.arange(WINDOW_PX)
    windows = sample.image[0][:, (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]]
    truth = labels[top, left].view(-1, 1, 1)
    return Sample(image=windows.transpose(0, 1), labels=truth, weights=torch.ones(truth.shape))


def make_sample(dataset: Dataset, config: Config, step: int) -> Sample:
    """Draw one tile and cut the windows of a step from it."""
    tile = sample_of(dataset, config, TILE_PX, step)
    return balanced_patches(tile, PATCHES, generator(config.train.seed, "patches", step))


def predict_dense(network: PatchClassifier, pair: Pair) -> Probability:
    """Return the probability of cell `[H, W]`, every layer once over the mirrored image."""
    height, width = pair.labels.shape
    window = Window(y0=-REACH_PX, x0=-REACH_PX, y1=height + REACH_PX, x1=width + REACH_PX)
    with torch.inference_mode():
        logits = network.dense(image_of(pair, window, network))
        return np.asarray(logits.softmax(dim=1)[0, CELL].cpu().numpy())


def predict_sliding(network: PatchClassifier, pair: Pair, rows: range) -> Probability:
    """Return the probability of cell `[len(rows), W]` of some rows, window after window, as the original was run."""
    width = pair.labels.shape[1]
    window = Window(y0=rows.start - REACH_PX, x0=-REACH_PX, y1=rows.stop + REACH_PX, x1=width + REACH_PX)
    found = []
    with torch.inference_mode():
        image = image_of(pair, window, network)[0]
        windows = image.unfold(1, WINDOW_PX, 1).unfold(2, WINDOW_PX, 1)  # a view `[C, h, W, 65, 65]`: nothing is copied
        for row in windows.permute(1, 2, 0, 3, 4):
            for first in range(0, width, BATCH):
                batch = row[first : first + BATCH].contiguous(memory_format=torch.channels_last)
                found.append(network(batch).softmax(dim=1)[:, CELL].flatten())
        return np.asarray(torch.cat(found).view(len(rows), width).cpu().numpy())


def predict_first_rows(network: PatchClassifier, pair: Pair) -> Probability:
    """Slide over some rows: every pixel costs the same, and a whole image would take many minutes."""
    return predict_sliding(network, pair, range(min(4, len(pair.labels))))


BASELINE = Baseline(
    name="patch classifier",
    build=lambda channels, classes: PatchClassifier(channels=channels, classes=classes),
    make_sample=make_sample,
    rate=1e-3,
    predict=predict_dense,
    ways={"sliding window": predict_first_rows, "dense": predict_dense},
)
