"""The best threshold of a probability, scanned as the ISBI 2012 challenge does before it scores.

A network's 0.5 is as arbitrary as its class weights, so the challenge takes for each measure the threshold that suits
it best. Choose it on validation images and keep it: the best threshold of the images that are scored flatters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.measures import confusion_matrix, dice
from unetctl.trainer.partition_measures import membrane_scores

Score = Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
"""Judges masks of cells `[H, W]`, truth and prediction; higher is better."""

THRESHOLDS = tuple(step / 10 for step in range(11))
"""0, 0.1, ... 1, those of the challenge's Fiji script; a pixel is cell where its probability is above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdScan:
    """What each threshold scored."""

    thresholds: tuple[float, ...]
    scores: tuple[float, ...]
    """Mean over the images; NaN where the score is not defined for one of them."""
    best_threshold: float
    """The lowest of those with the highest score; NaN if no score is defined."""
    best_score: float


def scan_thresholds(
    truths: Sequence[NDArray[np.bool_]],
    probabilities: Sequence[NDArray[np.floating]],
    score: Score,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> ThresholdScan:
    """Score `probability > threshold` against each truth: masks of cells and probabilities 0..1 of cell, `[H, W]`."""
    for probability in probabilities:
        if probability.dtype.kind != "f":
            raise ValueError(f"probabilities are {probability.dtype}, not floating point from 0 to 1")
    scores = tuple(
        float(np.mean([score(truth, one > threshold) for truth, one in zip(truths, probabilities, strict=True)]))
        for threshold in thresholds
    )
    return best_of(thresholds, scores)


def best_of(thresholds: tuple[float, ...], scores: tuple[float, ...]) -> ThresholdScan:
    """Return the best of `thresholds` by their scores, of which the highest is best."""
    if np.isnan(scores).all():
        return ThresholdScan(thresholds=thresholds, scores=scores, best_threshold=np.nan, best_score=np.nan)
    best = int(np.nanargmax(scores))
    return ThresholdScan(thresholds=thresholds, scores=scores, best_threshold=thresholds[best], best_score=scores[best])


def pixel_f_score(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Return the F-score of the cell pixels, 0..1: the challenge's "pixel error" is 1 minus its maximum."""
    return float(dice(confusion_matrix(truth.astype(np.uint8), predicted.astype(np.uint8), 2))[1])


def rand_score(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Return V_Rand after thinning, 0..1, what the challenge ranks by."""
    return membrane_scores(truth, predicted).rand


def info_score(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Return V_Info after thinning, 0..1."""
    return membrane_scores(truth, predicted).info
