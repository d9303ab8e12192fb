"""How membranes of the ISBI 2012 challenge are scored here: all is chosen on three slices, and told on six others.

    slices   0 ............ 14 | 15 16 17 | 18 ... 23
             training          | choices  | scored once, at the thresholds chosen

The challenge takes for each measure the threshold that suits its test images best. Here the threshold, too, is chosen
on 15-17; the scored slices are those of the public training stack, because the labels of the test stack are not public.

Over several slices each measure is what the challenge's Fiji plugin (Trainable_Segmentation, `metrics`) makes of a
stack: pixels and pairs of pixels of all slices are counted together; warping errors and V_Info are means over slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.membrane_data import CELL
from unetctl.trainer.measures import confusion_matrix, dice, pixel_error
from unetctl.trainer.partition_measures import PartitionScores, partition_scores, thinned
from unetctl.trainer.splits_and_mergers import splits_and_mergers
from unetctl.trainer.warping import warp
from unetctl.trainer.weight_map import connected_regions

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""0.05, 0.1, ... 0.95: a pixel is cell where its probability is above."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slices:
    """Truth and prediction of some slices."""

    truths: tuple[NDArray[np.bool_], ...]
    """`[H, W]` each, True is cell."""
    probabilities: tuple[NDArray[np.floating], ...]
    """`[H, W]` each, 0..1, of cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A column of the challenge's table."""

    key: str
    name: str
    paper: float | None = None
    """U-Net's figure on the test stack: Ronneberger et al. 2015, table 1."""
    human: float | None = None
    is_error: bool = True
    """Lower is better."""
    fixed_threshold: float | None = None
    """0.5 is the arg-max, what `unetctl segment` writes; None: chosen on the validation slices."""
    highest_threshold: float = THRESHOLDS[-1]
    """The highest that may be chosen."""

    @property
    def decimals(self) -> int:
        """Figures after the point in tables: a warping error counts single pixels of a slice."""
        return 6 if self.name.startswith("warping") else 4


MEASURES = (
    Measure(key="pixel_error_arg_max", name="pixel error, 1 - accuracy, as labelled", fixed_threshold=0.5),
    Measure(key="pixel_error", name="pixel error, 1 - accuracy"),
    Measure(key="pixel_error_f_score", name="pixel error, 1 - F-score of cells", paper=0.0611, human=0.0010),
    Measure(key="rand_error", name="Rand error, as in 2015 (not thinned)", paper=0.0382, human=0.0021),
    Measure(key="rand_error_thinned", name="Rand error, 1 - V_Rand (thinned)"),
    Measure(key="warping_error", name="warping error, all that is left"),
    Measure(
        key="splits_and_mergers",
        name="warping error, splits and mergers",
        paper=0.000353,
        human=0.000005,
        highest_threshold=0.9,  # where all is membrane nothing splits or merges: the challenge stops here
    ),
    Measure(key="info_score_thinned", name="V_Info (thinned); higher is better", is_error=False),
)
"""The paper's Rand error is older than thinning, which the challenge took up later, in November 2015;
its warping error is the challenge's of that time, pixels that split or merge cells.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one measure says of the test slices, and the choice that was made before."""

    threshold: float
    validation: float
    test: float


def pooled_rand(scores: Sequence[PartitionScores], areas: Sequence[NDArray[np.integer]]) -> float:
    """Return V_Rand over pairs of pixels of all slices; `areas` are those of each slice's true cells."""
    in_truth = [float((one.astype(np.float64) ** 2).sum()) for one in areas]
    in_both = [score.rand_split * pairs for score, pairs in zip(scores, in_truth, strict=True)]
    in_found = [both / score.rand_merge for score, both in zip(scores, in_both, strict=True)]
    return 2 * sum(in_both) / (sum(in_truth) + sum(in_found))


def pixel_scores(slices: Slices, threshold: float) -> dict[str, float]:
    """Return the measures that count pixels."""
    counts = np.zeros((2, 2), np.int64)
    for truth, one in zip(slices.truths, slices.probabilities, strict=True):
        counts += confusion_matrix(truth.astype(np.uint8), (one > threshold).astype(np.uint8), 2)
    error = pixel_error(counts)
    return {
        "pixel_error_arg_max": error,
        "pixel_error": error,
        "pixel_error_f_score": 1 - float(dice(counts)[CELL]),
    }


def partition_measures(slices: Slices, threshold: float) -> dict[str, float]:
    """Return the measures that compare whole cells."""
    regions = [
        (connected_regions(truth), connected_regions(one > threshold))
        for truth, one in zip(slices.truths, slices.probabilities, strict=True)
    ]
    plain = [partition_scores(truth, one) for truth, one in regions]
    thin = [partition_scores(truth, thinned(one)) for truth, one in regions]
    areas = [np.bincount(truth[truth > 0]) for truth, _ in regions]
    return {
        "rand_error": 1 - pooled_rand(plain, areas),
        "rand_error_thinned": 1 - pooled_rand(thin, areas),
        "info_score_thinned": float(np.mean([one.info for one in thin])),
    }


def warping_measures(slices: Slices, threshold: float) -> dict[str, float]:
    """Return what is left when the truth has been warped; of a bad prediction it takes minutes."""
    each = [
        (truth, one > threshold, np.abs(one - threshold))
        for truth, one in zip(slices.truths, slices.probabilities, strict=True)
    ]
    left = [warp(truth, found, sureness=sureness).error for truth, found, sureness in each]
    changed = [splits_and_mergers(*one).error for one in each]
    return {"warping_error": float(np.mean(left)), "splits_and_mergers": float(np.mean(changed))}


FAMILIES: dict[str, Callable[[Slices, float], dict[str, float]]] = {
    "pixels": pixel_scores,
    "cells": partition_measures,
    "warping": warping_measures,
}
"""What is computed together, for it shares its work."""


def scores_at(slices: Slices, threshold: float, families: Sequence[str] = tuple(FAMILIES)) -> dict[str, float]:
    """Return the measures of some families by their keys, with one threshold for all slices."""
    return {key: value for family in families for key, value in FAMILIES[family](slices, threshold).items()}


def choose_and_score(validation: Slices, test: Slices, families: Sequence[str] = tuple(FAMILIES)) -> dict[str, Scored]:
    """Choose each measure's threshold on `validation`, the lowest of equals, and score `test` with it."""
    scans = {threshold: scores_at(validation, threshold, families) for threshold in THRESHOLDS}
    wanted = [one for one in MEASURES if one.key in scans[THRESHOLDS[0]]]
    chosen = {one.key: one.fixed_threshold or _best(one, scans) for one in wanted}
    told = {threshold: scores_at(test, threshold, families) for threshold in sorted(set(chosen.values()))}
    return {
        key: Scored(threshold=threshold, validation=scans[threshold][key], test=told[threshold][key])
        for key, threshold in chosen.items()
    }


def _best(measure: Measure, scans: dict[float, dict[str, float]]) -> float:
    sign = 1 if measure.is_error else -1
    allowed = [threshold for threshold in scans if threshold <= measure.highest_threshold]
    return min(allowed, key=lambda threshold: sign * scans[threshold][measure.key])
