"""Judge a network on whole images, cut into the runtime's tiles with mirrored windows, as it will be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.runtime.geometry import CROP_PX
from unetctl.runtime.plan import plan_tiles
from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.dataset import Pair
from unetctl.trainer.loss import weighted_cross_entropy
from unetctl.trainer.machine import Machine
from unetctl.trainer.measures import Counts, confusion_matrix, dice, iou, mean_dice, pixel_error
from unetctl.trainer.network import UNet
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

        def by_name(values: NDArray[np.float64]) -> dict[str, float | None]:
            return {
                one.name: None if np.isnan(value) else round(float(value), 6)
                for one, value in zip(classes, values, strict=True)
            }

        return {
            "loss": round(self.loss, 6),
            "pixel_error": round(self.pixel_error, 6),
            "mean_dice": round(self.mean_dice, 6),
            "dice": by_name(dice(self.matrix)),
            "iou": by_name(iou(self.matrix)),
            "confusion": self.matrix.tolist(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """One whole image as the network sees it."""

    labels: NDArray[np.uint8]
    """`[H, W]`"""
    loss: float


def predict(network: UNet, pair: Pair, class_weights: torch.Tensor, machine: Machine) -> Prediction:
    """Run `network`, in eval mode, over a whole image."""
    plan = plan_tiles(pair.labels.shape, depth=network.depth, max_area_px=MAX_TILE_AREA_PX)
    labels = np.zeros(pair.labels.shape, np.uint8)
    shift, scale = (one[:, None, None] for one in (pair.shift, pair.scale))
    loss = 0.0
    with torch.inference_mode(), machine.autocast():
        for tile in plan.tiles():
            image = (cut(pair.image, tile.read).astype(np.float32) - shift) * scale
            logits = network(machine.place_image(torch.from_numpy(image[None])))
            kept = slice(tile.write.y0, tile.write.y1), slice(tile.write.x0, tile.write.x1)
            height, width = tile.write.shape
            logits = logits[:, :, CROP_PX : CROP_PX + height, CROP_PX : CROP_PX + width].float().cpu()
            truth = torch.from_numpy(pair.labels[kept]).long()
            weights = class_weights[truth] + torch.from_numpy(pair.border[kept]).float()
            loss += float(weighted_cross_entropy(logits, truth[None], weights[None])) * truth.numel()
            labels[kept] = logits[0].argmax(dim=0).numpy()
    return Prediction(labels=labels, loss=loss / labels.size)


def judge(
    network: UNet, pairs: Sequence[Pair], class_weights: torch.Tensor, machine: Machine
) -> tuple[Scores, list[Prediction]]:
    """Score `network` on whole images; its mode is what it was before. Returns the predictions too."""
    was_training = network.training
    network.eval()
    predictions = [predict(network, pair, class_weights, machine) for pair in pairs]
    network.train(was_training)
    count = len(class_weights)
    matrix = sum(
        (confusion_matrix(pair.labels, one.labels, count) for pair, one in zip(pairs, predictions, strict=True)),
        np.zeros((count, count), np.int64),
    )
    pixels = [pair.labels.size for pair in pairs]
    loss = float(np.average([one.loss for one in predictions], weights=pixels))
    return Scores(loss=loss, matrix=matrix), predictions
