"""What a baseline has to say of itself, and what all of them share with the U-Net."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetctl.runtime.plan import Window
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset, Pair
from unetctl.trainer.sample import Sample, cut, draw_sample
from unetctl.trainer.streams import generator, shuffled

CELL = 1
"""The class whose probability is thresholded; 0 is membrane."""

Probability = NDArray[np.float32]
"""Of cell, `[H, W]`, or the first rows of that."""
Predict = Callable[[Any, Pair], Probability]
"""Labels an image by a network in eval mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A network to compare with, and how it is trained and run."""

    name: str
    build: Callable[[int, int], nn.Module]
    """From the number of channels and that of classes."""
    make_sample: Callable[[Dataset, Config, int], Sample]
    """Makes what step n, from 1, is trained on: images, and labels and weights of the shape of their logits."""
    rate: float
    """The peak; the better of those tried for a minute each on the validation images."""
    predict: Predict
    """The whole image."""
    ways: Mapping[str, Predict]
    """What is timed, by name: all give what `predict` does, of some first rows at least."""


def initialise(network: nn.Module) -> None:
    """Draw the weights of convolutions as the U-Net's are, from a Gaussian of standard deviation sqrt(2 / N)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def image_of(pair: Pair, window: Window, network: nn.Module) -> Tensor:
    """Return a window of an image as the network sees it, `[1, C, h, w]`, mirrored where it reaches beyond."""
    shift, scale = (one[:, None, None] for one in (pair.shift, pair.scale))
    pixels = (cut(pair.image, window).astype(np.float32) - shift) * scale
    device = next(network.parameters()).device
    return torch.from_numpy(pixels[None]).to(device, memory_format=torch.channels_last)


def sample_of(dataset: Dataset, config: Config, tile_px: int, step: int) -> Sample:
    """Draw the tile of a step as the U-Net's loader does: labels `[1, t + 4, t + 4]` with 2 px of image around them."""
    return draw_sample(
        dataset.train[shuffled(step, len(dataset.train), config.train.seed)],
        tile=tile_px,
        depth=0,
        settings=config.augment,
        class_weights=torch.ones(len(dataset.classes.classes)),
        random=generator(config.train.seed, "sample", step),
    )
