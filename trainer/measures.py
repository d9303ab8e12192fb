"""How good labels are: everything from one confusion matrix.

    matrix[t, p]    pixels of class t in the truth that were called p

Matrices of several images are added, so that a measure is of all their pixels and not a mean of means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""A confusion matrix `[K, K]`: rows are the truth, columns what was predicted."""


def confusion_matrix(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Counts:
    """Count pixels by true and predicted class; both arrays hold values below `classes`."""
    if truth.shape != predicted.shape:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {predicted.shape}")
    if truth.size and max(int(truth.max()), int(predicted.max())) >= classes:
        raise ValueError(f"a label is not below {classes}")
    cells = truth.ravel().astype(np.int64) * classes + predicted.ravel()
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def iou(matrix: Counts) -> NDArray[np.float64]:
    """Return intersection over union of each class; NaN for a class that neither truth nor prediction has."""
    both = np.diag(matrix).astype(np.float64)
    either = matrix.sum(axis=0) + matrix.sum(axis=1) - both
    return _ratio(both, either)


def dice(matrix: Counts) -> NDArray[np.float64]:
    """Return twice the intersection over the sum of both areas, of each class; NaN as for `iou`."""
    both = np.diag(matrix).astype(np.float64)
    areas = (matrix.sum(axis=0) + matrix.sum(axis=1)).astype(np.float64)
    return _ratio(2 * both, areas)


def mean_dice(matrix: Counts) -> float:
    """Return the mean Dice of the classes that occur; what the best weights are chosen by."""
    return float(np.nanmean(dice(matrix)))


def pixel_error(matrix: Counts) -> float:
    """Return the part of the pixels with a wrong label, 1 - accuracy."""
    return 1.0 - float(np.trace(matrix)) / float(matrix.sum())


def plain_scores(matrix: Counts, names: Sequence[str]) -> dict[str, Any]:
    """Return all of them as plain JSON values, by the classes' names; None for a class that does not occur."""

    def by_name(values: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            name: None if np.isnan(value) else round(float(value), 6) for name, value in zip(names, values, strict=True)
        }

    return {
        "pixel_error": round(pixel_error(matrix), 6),
        "mean_dice": round(mean_dice(matrix), 6),
        "dice": by_name(dice(matrix)),
        "iou": by_name(iou(matrix)),
        "confusion": matrix.tolist(),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
