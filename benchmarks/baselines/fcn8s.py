"""FCN-8s after Long, Shelhamer and Darrell (2015): the other fully convolutional network of its year.

    image -> 2 conv -> /2 -> 2 conv -> /4 -> 3 conv -> /8 -> 3 conv -> /16 -> 3 conv -> /32 -> 7x7 -> 1x1
                                                     |                |                                 |
                                                   score            score                             score
                                                     |                |                                 |
    logits <------ up 8x ----------------------------+ <--- up 2x ----+ <------------ up 2x ------------+

VGG-16's stages of padded 3x3 convolutions, its two fully connected layers as convolutions, and scores of the classes
from strides 32, 16 and 8, added on the way up. Upsampling starts bilinear and is learned, scores start at zero.

It differs from the original in what can't be had or compared here: no pretrained weights (with them lies much of its
fame), a width that computes about as much a pixel as a U-Net of 16 base channels, one training at once instead of
32s, 16s, 8s one after the other, and exact sizes instead of 100 px of padding with crops.

Source: Long, Shelhamer, Darrell 2015, "Fully convolutional networks for semantic segmentation", CVPR, section 4.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines.recipe import CELL, Baseline, Probability, image_of, initialise, sample_of
from unetctl.runtime.mirror import mirror_indices
from unetctl.runtime.plan import Window
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import Dataset, Pair
from unetctl.trainer.sample import Sample

CONVOLUTIONS = (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)
"""Of VGG-16's five stages, in base channels; its base is 64."""
STRIDE_PX = 32
BASE_CHANNELS = 24
TILE_PX = 252
"""With 4 px around it 256, a multiple of the stride."""


class FCN8s(nn.Module):
    """Logits `[N, K, H, W]` of images, float32 `[N, C, H, W]`, of any size: what lacks to 32 px is mirrored."""

    def __init__(
        self, *, channels: int = 1, classes: int = 2, base_channels: int = BASE_CHANNELS, dropout: float = 0.5
    ) -> None:
        super().__init__()
        widths = [base_channels * one for one in WIDTHS]
        self.stages = nn.ModuleList(
            _stage(inputs, width, count)
            for inputs, width, count in zip([channels, *widths], widths, CONVOLUTIONS, strict=False)
        )
        deepest = widths[-1]
        self.head = nn.Sequential(
            *(nn.Conv2d(deepest, deepest, 7, padding=3), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            *(nn.Conv2d(deepest, deepest, 1), nn.ReLU(inplace=True), nn.Dropout(dropout)),
        )
        self.score32, self.score16, self.score8 = (nn.Conv2d(one, classes, 1) for one in (deepest, *widths[3:1:-1]))
        self.up32, self.up16, self.up8 = (_upsampling(classes, factor) for factor in (2, 2, 8))
        initialise(self.stages)
        initialise(self.head)
        for score in (self.score32, self.score16, self.score8):
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of `image`."""
        height, width = image.shape[2:]
        rows, columns = (mirror_indices(0, -(-size // STRIDE_PX) * STRIDE_PX, size) for size in (height, width))
        x = image[:, :, torch.from_numpy(rows)][:, :, :, torch.from_numpy(columns)]
        pooled = []
        for stage in self.stages:
            x = stage(x)
            pooled.append(x)
        scores = self.up32(self.score32(self.head(x))) + self.score16(pooled[3])
        scores = self.up16(scores) + self.score8(pooled[2])
        logits: Tensor = self.up8(scores)[:, :, :height, :width]
        return logits


def _stage(inputs: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for each in (inputs, *[width] * (count - 1)):
        layers += [nn.Conv2d(each, width, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def _upsampling(classes: int, factor: int) -> nn.ConvTranspose2d:
    """Return a learned upsampling that starts as the bilinear one of each class by itself."""
    layer = nn.ConvTranspose2d(classes, classes, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    with torch.no_grad():
        layer.weight.copy_(torch.eye(classes)[:, :, None, None] * ramp[:, None] * ramp)
    return layer


def make_sample(dataset: Dataset, config: Config, step: int) -> Sample:
    """Draw a tile whose labels cover its image."""
    tile = sample_of(dataset, config, TILE_PX, step)
    side = (tile.image.shape[-1] - tile.labels.shape[-1]) // 2
    return replace(tile, image=tile.image[..., side:-side, side:-side])


def predict(network: FCN8s, pair: Pair) -> Probability:
    """Return the probability of cell `[H, W]`, the whole image at once."""
    height, width = pair.labels.shape
    with torch.inference_mode():
        logits = network(image_of(pair, Window(y0=0, x0=0, y1=height, x1=width), network))
        return np.asarray(logits.softmax(dim=1)[0, CELL].cpu().numpy())


BASELINE = Baseline(
    name="FCN-8s",
    build=lambda channels, classes: FCN8s(channels=channels, classes=classes),
    make_sample=make_sample,
    rate=2e-3,
    predict=predict,
    ways={"whole image": predict},
)
