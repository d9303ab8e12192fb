"""Measures of membrane images at many thresholds: the ISBI 2012 challenge takes for each the one that suits it best.

What is chosen on the images that are scored flatters. `unetctl evaluate --part validation` chooses, and `--threshold`
takes the choice to the test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.partition_measures import membrane_scores
from unetctl.trainer.splits_and_mergers import SPLITS_AND_MERGERS_THRESHOLDS, splits_and_mergers
from unetctl.trainer.threshold_scan import THRESHOLDS, ThresholdScan, best_of, pixel_f_score

SPLITS = "splits_and_mergers_error"
MEASURES = {
    "pixel_f_score": THRESHOLDS,
    "v_rand": THRESHOLDS,
    "v_info": THRESHOLDS,
    SPLITS: SPLITS_AND_MERGERS_THRESHOLDS,
}
"""With the thresholds at which the challenge scores them; the last is an error, of which the lowest is best."""

Row = Mapping[str, Sequence[float]]
"""What one image scored at each threshold, by measure."""


def scan_image(truth: NDArray[np.bool_], probability: NDArray[np.float32]) -> Row:
    """Score `probability > threshold` `[H, W]` of cell against a mask of cells, at every threshold."""
    found: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for threshold in THRESHOLDS:
        predicted = probability > threshold
        partition = membrane_scores(truth, predicted)
        found["pixel_f_score"].append(pixel_f_score(truth, predicted))
        found["v_rand"].append(partition.rand)
        found["v_info"].append(partition.info)
        if threshold in SPLITS_AND_MERGERS_THRESHOLDS:
            found[SPLITS].append(splits_and_mergers(truth, predicted, np.abs(probability - threshold)).error)
    return found


def best_thresholds(rows: Sequence[Row]) -> dict[str, ThresholdScan]:
    """Return each measure's best threshold by its mean over the images; scores are higher, errors lower than others."""
    scans: dict[str, ThresholdScan] = {}
    for measure, thresholds in MEASURES.items():
        means = np.mean([row[measure] for row in rows], axis=0)
        sign = -1.0 if measure == SPLITS else 1.0
        scan = best_of(thresholds, tuple((sign * means).tolist()))
        scans[measure] = ThresholdScan(
            thresholds=scan.thresholds,
            scores=tuple(means.tolist()),
            best_threshold=scan.best_threshold,
            best_score=sign * scan.best_score,
        )
    return scans


def plain_scan(scans: Mapping[str, ThresholdScan]) -> dict[str, Any]:
    """Return the scans as plain JSON values; what is not defined is None."""

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else round(value, 6)

    return {
        measure: {
            "best_threshold": plain(scan.best_threshold),
            "best": plain(scan.best_score),
            "by_threshold": {f"{one:g}": plain(score) for one, score in zip(scan.thresholds, scan.scores, strict=True)},
        }
        for measure, scan in scans.items()
    }
