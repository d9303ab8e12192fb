"""How well single objects are found and outlined: SEG of the Cell Tracking Challenge, and average precision.

Both compare label images whose objects are numbered from 1, in any order; 0 is background. Only the pairs of objects
that overlap are counted, so that a thousand cells cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = tuple(step / 20 for step in range(10, 20))
"""0.5, 0.55, ... 0.95, those of the 2018 Data Science Bowl; the StarDist papers stop at 0.9."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """Objects of two label images, and the pairs of them that share pixels."""

    truth_areas: NDArray[np.int64]
    """`[T]`, in pixels, by ascending number."""
    predicted_areas: NDArray[np.int64]
    """`[P]`, likewise."""
    truth_index: NDArray[np.int64]
    """`[pairs]`, into `truth_areas`."""
    predicted_index: NDArray[np.int64]
    """`[pairs]`, into `predicted_areas`."""
    shared: NDArray[np.int64]
    """`[pairs]`, pixels in both, at least 1."""

    @property
    def ious(self) -> NDArray[np.float64]:
        """`[pairs]`, intersection over union, above 0."""
        either = self.truth_areas[self.truth_index] + self.predicted_areas[self.predicted_index] - self.shared
        return np.asarray(self.shared / either, np.float64)


def overlaps(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> Overlaps:
    """Count the pixels that objects share; both label images, of any integer type, have one shape."""
    if truth.shape != predicted.shape:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {predicted.shape}")
    truth_numbers, truth_areas = np.unique(truth[truth != 0], return_counts=True)
    predicted_numbers, predicted_areas = np.unique(predicted[predicted != 0], return_counts=True)
    both = (truth != 0) & (predicted != 0)
    rows = np.searchsorted(truth_numbers, truth[both])
    columns = np.searchsorted(predicted_numbers, predicted[both])
    pairs, shared = np.unique(rows * len(predicted_numbers) + columns, return_counts=True)
    truth_index, predicted_index = np.divmod(pairs, max(1, len(predicted_numbers)))
    return Overlaps(
        truth_areas=truth_areas,
        predicted_areas=predicted_areas,
        truth_index=truth_index,
        predicted_index=predicted_index,
        shared=shared,
    )


def reference_jaccards(found: Overlaps) -> NDArray[np.float64]:
    """Return the Jaccard index of each object of the truth `[T]` with the object that covers more than half of it.

    0 for an object without such a match. At most one object can cover more than half, but it may match several objects
    of the truth; predicted objects that match none cost nothing. Source: Maska et al. 2014, "A benchmark for
    comparison of cell tracking algorithms", Bioinformatics 30:1609, measure SEG; celltrackingchallenge.net, `SEG.pdf`.
    """
    jaccards = np.zeros(len(found.truth_areas))
    matched = 2 * found.shared > found.truth_areas[found.truth_index]
    jaccards[found.truth_index[matched]] = found.ious[matched]
    return jaccards


def seg(jaccards: Iterable[NDArray[np.float64]]) -> float:
    """Return SEG, 0..1: the mean of `reference_jaccards` over the objects of all annotated images; NaN for none."""
    every = np.concatenate([np.zeros(0), *jaccards])
    return float(every.mean()) if len(every) else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """Objects found, invented and missed at each IoU threshold; those of several images are added."""

    thresholds: tuple[float, ...]
    true_positives: NDArray[np.int64]
    """`[thresholds]`"""
    false_positives: NDArray[np.int64]
    """`[thresholds]`: predicted objects without a match."""
    false_negatives: NDArray[np.int64]
    """`[thresholds]`: objects of the truth without a match."""

    def __add__(self, other: Matches) -> Matches:
        if self.thresholds != other.thresholds:
            raise ValueError(f"matches at {self.thresholds} and at {other.thresholds}")
        return Matches(
            thresholds=self.thresholds,
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
        )

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) `[thresholds]`, 0..1; NaN where there is no object at all."""
        objects = self.true_positives + self.false_positives + self.false_negatives
        precision = np.full(len(objects), np.nan)
        np.divide(self.true_positives, objects, out=precision, where=objects > 0)
        return precision

    @property
    def mean_average_precision(self) -> float:
        """Mean of `average_precision` over the thresholds, the score of the 2018 Data Science Bowl for one image."""
        return float(self.average_precision.mean())


def match_objects(found: Overlaps, thresholds: tuple[float, ...] = IOU_THRESHOLDS) -> Matches:
    """Match objects one to one where their IoU is at least a threshold, which is 0.5 or more.

    "At least" is StarDist's rule; the Data Science Bowl wrote "greater than". Sources: Caicedo et al. 2019, "Nucleus
    segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16:1247; Schmidt et al. 2018,
    "Cell detection with star-convex polygons", MICCAI.
    """
    if min(thresholds) < 0.5:
        raise ValueError("an IoU threshold below 0.5 does not decide which objects match")
    ious = found.ious
    positives = np.zeros(len(thresholds), np.int64)
    for index, threshold in enumerate(thresholds):
        close = ious >= threshold
        # Above 0.5 no object is in two pairs. At exactly 0.5 one may be cut in two halves that are both close; the
        # halves have no other pair, so that each group of pairs, of one or of two, is one match:
        truths, predictions = (len(np.unique(one[close])) for one in (found.truth_index, found.predicted_index))
        positives[index] = truths + predictions - np.count_nonzero(close)
    return Matches(
        thresholds=thresholds,
        true_positives=positives,
        false_positives=len(found.predicted_areas) - positives,
        false_negatives=len(found.truth_areas) - positives,
    )
