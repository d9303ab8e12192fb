"""The warping error as the ISBI 2012 challenge published it: splits and mergers only, at the best threshold.

    number of pixels that split or merge cells / number of pixels

after the truth has been warped into `probability > threshold`, each slice on its own; the mean over the slices; the
lowest for thresholds 0, 0.1, ... 0.9, one for all slices. U-Net's 0.000353 are 93 such pixels in a slice of 512 x 512,
the human's 0.000005 are 1.3. Pixels are counted, not places: a gap of three pixels in a thin membrane counts three.

Holes and cells that are lost or invented are no errors here. At threshold 1, where all is membrane, nothing would be
wrong: the challenge stops at 0.9, and the figure means little without a pixel or Rand error beside it.

The figure depends on the order in which the truth is warped. `warping.warp` always takes the surest of the pixels that
can be flipped, as Jain et al. do. The challenge's Fiji plugin goes through all that differ in rounds, and leaves more:
on three slices of the challenge, at thresholds 0.3 to 0.8, 1 to 10 % more pixels that split or merge. To stand beside
published figures, this module goes in rounds too. Nothing is random in either.

Sources: imagej.net, "Minimum Splits and Mergers Warping error" and "Segmentation evaluation metrics - Script" of 2015;
behaviour of Fiji's Trainable Weka Segmentation (`metrics`), without a mask, not clustered, radius 20.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.threshold_scan import ThresholdScan, best_of
from unetctl.trainer.topology import TopologyErrors, topology_errors
from unetctl.trainer.warping import NEIGHBOURS_YX, Warping, simple_points

SPLITS_AND_MERGERS_THRESHOLDS = tuple(step / 10 for step in range(10))
"""0, 0.1, ... 0.9, without 1: those of the challenge's script for this measure."""


def scan_splits_and_mergers(
    truths: Sequence[NDArray[np.bool_]],
    probabilities: Sequence[NDArray[np.floating]],
    thresholds: tuple[float, ...] = SPLITS_AND_MERGERS_THRESHOLDS,
) -> ThresholdScan:
    """Score 1 - error of `probability > threshold`: masks of cells and probabilities 0..1 of cell, `[H, W]`.

    1 - `best_score` is the challenge's number of these images.
    """
    for probability in probabilities:
        if probability.dtype.kind != "f":
            raise ValueError(f"probabilities are {probability.dtype}, not floating point from 0 to 1")
    scores = []
    for threshold in thresholds:
        errors = [
            splits_and_mergers(truth, one > threshold, np.abs(one - threshold)).error
            for truth, one in zip(truths, probabilities, strict=True)
        ]
        scores.append(1 - float(np.mean(errors)))
    return best_of(thresholds, tuple(scores))


def splits_and_mergers_score(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Return 1 - the part of the pixels that splits or merges cells, 0..1, of masks `[H, W]`.

    A `Score` for `scan_thresholds`, with `SPLITS_AND_MERGERS_THRESHOLDS`: at 1 all is membrane, which scores 1.
    """
    return 1 - splits_and_mergers(truth, predicted).error


def splits_and_mergers(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], sureness: NDArray[np.floating] | None = None
) -> TopologyErrors:
    """Return what the pixels do that warping leaves over, of masks of cells `[H, W]`.

    `sureness` is |probability - threshold|, `[H, W]`. None: a mask does not say what the network was sure of; how deep
    a pixel lies inside the predicted cell or membrane stands in for it.
    """
    return topology_errors(warp_in_rounds(truth, predicted, depth_px(predicted) if sureness is None else sureness))


def warp_in_rounds(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], sureness: NDArray[np.floating]) -> Warping:
    """Warp masks of cells `[H, W]` as the challenge's plugin does.

    A round goes through all pixels that differ, from the highest sureness, |probability - threshold|, to the lowest,
    and flips those that are simple when their turn comes; rounds follow until one flips nothing.
    """
    if not truth.shape == predicted.shape == sureness.shape or truth.ndim != 2:
        raise ValueError(f"truth of shape {truth.shape}, prediction {predicted.shape} and sureness {sureness.shape}")
    height, width = truth.shape
    row = width + 2
    cells = bytearray(np.pad(truth, 1).astype(np.uint8))
    now = np.frombuffer(cells, np.uint8).reshape(height + 2, row)
    target, order = np.pad(predicted, 1), np.pad(sureness, 1)
    simple = simple_points().tolist()
    offsets = [y * row + x for y, x in NEIGHBOURS_YX]
    flips = 1
    while flips:
        flips = 0
        x, y = np.nonzero((now != target).T)  # where sureness is alike: column by column, as the plugin
        surest_first = np.argsort(-order[y, x], kind="stable")
        for place in (y * row + x)[surest_first].tolist():
            code = 0
            for bit, offset in enumerate(offsets):
                code |= cells[place + offset] << bit
            if simple[code]:
                cells[place] ^= 1
                flips += 1
    warped = now[1:-1, 1:-1].astype(bool)
    return Warping(warped=warped, wrong=warped != predicted)


def depth_px(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far each pixel `[H, W]` is from the other kind, in pixels; outside the image there is membrane."""
    from scipy import ndimage

    padded = np.pad(cells, 1)
    depth = ndimage.distance_transform_edt(padded)
    if cells.any():
        depth += ndimage.distance_transform_edt(~padded)
    return np.asarray(depth[1:-1, 1:-1])
