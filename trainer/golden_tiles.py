"""Choose the golden tiles of a model: real pixels, small, and with every class in them where that can be had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unetctl.runtime.geometry import align_up, input_px, margin_px
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.plan import Window
from unetctl.runtime.spec import PixelType
from unetctl.trainer.dataset import Pair
from unetctl.trainer.deploy import golden_tile
from unetctl.trainer.network import UNet
from unetctl.trainer.sample import cut

KEPT_PX = 96
"""Kept pixels a side: enough for every tap of the network, and 200 kB with its logits."""


def choose_golden(network: UNet, pairs: Sequence[Pair], pixel_type: PixelType) -> tuple[GoldenTile, ...]:
    """Make two golden tiles of `network` (on the CPU, in eval mode), with pixels of the type that the model takes.

    One lies at the corner of the first image, where most of its margin is mirrored; the other where the labels of all
    images are most mixed.
    """
    depth = network.depth
    kept = align_up(KEPT_PX, depth)
    places = [
        (_evenness(pair, y, x, kept), -index, y, x)
        for index, pair in enumerate(pairs)
        for y in range(0, max(1, pair.labels.shape[0] - kept + 1), kept)
        for x in range(0, max(1, pair.labels.shape[1] - kept + 1), kept)
        if (index, y, x) != (0, 0, 0)
    ]
    chosen = [(0, 0, 0)]
    if places:
        _, index, y, x = max(places)
        chosen.append((-index, y, x))
    return tuple(_make(network, pairs[index], y, x, kept, pixel_type) for index, y, x in chosen)


def _evenness(pair: Pair, y: int, x: int, kept: int) -> float:
    """Return the entropy of the classes in a window: highest where all occur alike."""
    counts = np.bincount(pair.labels[y : y + kept, x : x + kept].ravel())
    parts = counts[counts > 0] / counts.sum()
    return float(-(parts * np.log(parts)).sum())


def _make(network: UNet, pair: Pair, y: int, x: int, kept: int, pixel_type: PixelType) -> GoldenTile:
    margin, side = margin_px(network.depth), input_px(kept, network.depth)
    window = Window(y0=y - margin, x0=x - margin, y1=y - margin + side, x1=x - margin + side)
    return golden_tile(network, cut(pair.image, window).astype(pixel_type.value), shift=pair.shift, scale=pair.scale)
