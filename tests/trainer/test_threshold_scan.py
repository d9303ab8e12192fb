from __future__ import annotations

import math

import numpy as np
import pytest

from unetctl.trainer.threshold_scan import THRESHOLDS, info_score, pixel_f_score, rand_score, scan_thresholds

TRUTH = np.ones((20, 21), bool)
TRUTH[:, 10] = False

PROBABILITY = np.full(TRUTH.shape, 0.95)
PROBABILITY[:, 9:12] = 0.35  # a wide membrane
PROBABILITY[:, 10] = 0.25
PROBABILITY[5, 9:12] = 0.75  # with a gap in it
PROBABILITY[:, 3] = 0.85  # and one too many


@pytest.mark.parametrize("score", [rand_score, info_score])
def test_the_best_threshold_closes_the_gap_and_opens_no_other(score: object) -> None:
    scan = scan_thresholds([TRUTH], [PROBABILITY], score)  # type: ignore[arg-type]
    assert scan.best_threshold == 0.8
    assert scan.best_score == pytest.approx(1)
    assert scan.scores[THRESHOLDS.index(0.7)] < 0.9
    assert scan.scores[THRESHOLDS.index(0.9)] < 0.9
    assert scan.thresholds == THRESHOLDS


def test_the_pixel_score_is_the_f_score_of_the_cells() -> None:
    predicted = PROBABILITY > 0.5
    right = np.count_nonzero(TRUTH & predicted)
    precision, recall = right / np.count_nonzero(predicted), right / np.count_nonzero(TRUTH)
    assert pixel_f_score(TRUTH, predicted) == pytest.approx(2 * precision * recall / (precision + recall))
    assert scan_thresholds([TRUTH], [PROBABILITY], pixel_f_score).best_threshold == 0.3


def test_of_equal_thresholds_the_lowest_is_taken() -> None:
    scan = scan_thresholds([TRUTH], [TRUTH * 0.5], pixel_f_score, (0.1, 0.2, 0.5, 0.6))
    assert (scan.best_threshold, scan.scores) == (0.1, (1, 1, 0, 0))  # what is exactly 0.5 is not above it


def test_scores_are_means_over_the_images() -> None:
    scan = scan_thresholds([TRUTH, TRUTH], [PROBABILITY, TRUTH * 1.0], rand_score, (0.7,))
    alone = scan_thresholds([TRUTH], [PROBABILITY], rand_score, (0.7,))
    assert scan.best_score == pytest.approx((alone.best_score + 1) / 2)


def test_without_a_cell_in_the_truth_there_is_no_best_threshold() -> None:
    scan = scan_thresholds([~TRUTH & False], [PROBABILITY], rand_score)
    assert math.isnan(scan.best_threshold)
    assert math.isnan(scan.best_score)


def test_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8, not floating point"):
        scan_thresholds([TRUTH], [(255 * PROBABILITY).astype(np.uint8)], rand_score)  # type: ignore[list-item]
