"""Judge a network on whole images, cut into the runtime's tiles with mirrored windows, as it will be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.runtime.geometry import CROP_PX
from unetctl.runtime.plan import Window, plan_tiles
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.dataset import Pair
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine
from unetctl.trainer.measures import Counts, confusion_matrix, mean_dice, pixel_error, plain_scores
from unetctl.trainer.network import UNet
from unetctl.trainer.processes import ALONE, Processes
from unetctl.trainer.sample import cut

MAX_TILE_AREA_PX = 1024 * 1024
"""Kept pixels of a tile: a gigabyte of activations at the paper's 64 channels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What a network reached on a set of images."""

    loss: float
    """Weighted cross-entropy, as in training."""
    matrix: Counts
    """Confusion over all pixels of all images."""

    @property
    def mean_dice(self) -> float:
        """What the best weights are chosen by."""
        return mean_dice(self.matrix)

    @property
    def pixel_error(self) -> float:
        """1 - accuracy."""
        return pixel_error(self.matrix)

    def to_dict(self, classes: Sequence[ClassInfo]) -> dict[str, Any]:
        """Return plain JSON values; a measure of a class that does not occur is None."""
        return {"loss": round(self.loss, 6), **plain_scores(self.matrix, [one.name for one in classes])}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """One whole image as the network sees it."""

    labels: NDArray[np.uint8]
    """`[H, W]`"""
    loss: float


class Network(Protocol):
    """What can be run over an image: a `UNet`, or an `Averaged` one."""

    depth: int

    def __call__(self, image: torch.Tensor, /) -> torch.Tensor:
        """Return the logits of `[N, C, H, W]`."""


def tiled_logits(
    network: Network,
    image: NDArray[Any],
    *,
    shift: NDArray[np.float32],
    scale: NDArray[np.float32],
    machine: Machine,
) -> Iterator[tuple[Window, torch.Tensor]]:
    """Run `network`, in eval mode, over a whole image `[C, H, W]`, tile by tile.

    Yields windows, which cover the image once, and their logits: float32 `[K, h, w]` on the CPU. They are not put
    together here, because what is made of them is smaller.
    """
    shift, scale = shift[:, None, None], scale[:, None, None]
    for tile in plan_tiles(image.shape[-2:], depth=network.depth, max_area_px=MAX_TILE_AREA_PX).tiles():
        pixels = (cut(image, tile.read).astype(np.float32) - shift) * scale
        with torch.inference_mode(), machine.autocast():
            logits = network(machine.place_image(torch.from_numpy(pixels[None])))
        height, width = tile.write.shape
        yield tile.write, logits[0, :, CROP_PX : CROP_PX + height, CROP_PX : CROP_PX + width].float().cpu()


def predict(network: Network, pair: Pair, class_weights: torch.Tensor, machine: Machine) -> Prediction:
    """Run `network`, in eval mode, over a whole image."""
    labels = np.zeros(pair.labels.shape, np.uint8)
    loss = 0.0
    for window, logits in tiled_logits(network, pair.image, shift=pair.shift, scale=pair.scale, machine=machine):
        kept = slice(window.y0, window.y1), slice(window.x0, window.x1)
        truth = torch.from_numpy(pair.labels[kept]).long()
        weights = class_weights[truth] + torch.from_numpy(pair.border[kept]).float()
        loss += float(weighted_cross_entropy(logits[None], truth[None], weights[None])) * truth.numel()
        labels[kept] = logits.argmax(dim=0).numpy()
    return Prediction(labels=labels, loss=loss / labels.size)


def judge(
    network: UNet,
    pairs: Sequence[Pair],
    class_weights: torch.Tensor,
    machine: Machine,
    processes: Processes = ALONE,
) -> tuple[Scores, list[Prediction]]:
    """Score `network` on whole images; its mode is what it was before. Returns the predictions too.

    Several processes share the images, and each gets all scores and predictions.
    """
    was_training = network.training
    network.eval()
    own = [predict(network, pair, class_weights, machine) for pair in pairs[processes.rank :: processes.count]]
    predictions = processes.gathered(own)
    network.train(was_training)
    count = len(class_weights)
    matrix = sum(
        (confusion_matrix(pair.labels, one.labels, count) for pair, one in zip(pairs, predictions, strict=True)),
        np.zeros((count, count), np.int64),
    )
    pixels = [pair.labels.size for pair in pairs]
    loss = float(np.average([one.loss for one in predictions], weights=pixels))
    return Scores(loss=loss, matrix=matrix), predictions
