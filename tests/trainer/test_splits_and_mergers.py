from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.data import needed
from unetctl.trainer.splits_and_mergers import (
    SPLITS_AND_MERGERS_THRESHOLDS,
    depth_px,
    scan_splits_and_mergers,
    splits_and_mergers,
    splits_and_mergers_score,
    warp_in_rounds,
)
from unetctl.trainer.threshold_scan import scan_thresholds
from unetctl.trainer.warping import neighbourhood_codes, simple_points, warp

TRUTH = np.ones((20, 21), bool)
TRUTH[:, 10] = False

PROBABILITY = np.full(TRUTH.shape, 0.95)
PROBABILITY[:, 9:12] = 0.35  # a wide membrane
PROBABILITY[5:7, 9:12] = 0.75  # with a gap in it
PROBABILITY[:, 3] = 0.85  # and one too many
PROBABILITY[8:12, 15:18] = 0.1  # and a hole


def test_a_pixel_that_could_not_be_flipped_at_its_turn_waits_for_the_next_round() -> None:
    truth, predicted = np.ones((5, 5), bool), np.ones((5, 5), bool)
    predicted[:, 2] = False  # a membrane that grows from both ends; one pixel keeps the halves together
    sureness = np.zeros((5, 5))
    sureness[:, 2] = [0.4, 0.5, 0.1, 0.2, 0.3]
    assert np.argwhere(warp_in_rounds(truth, predicted, sureness).wrong).tolist() == [[1, 2]]
    assert np.argwhere(warp(truth, predicted, sureness=sureness).wrong).tolist() == [[2, 2]]  # the least sure


def test_pixels_alike_are_taken_column_by_column() -> None:
    truth, predicted = np.ones((5, 5), bool), np.ones((5, 5), bool)
    predicted[:, 2] = predicted[2] = False
    warping = warp_in_rounds(truth, predicted, np.zeros((5, 5)))
    assert np.argwhere(warping.wrong).tolist() == [[1, 2], [2, 4], [4, 2]]  # row by row it would be [2, 1], not [1, 2]


@pytest.mark.parametrize("seed", range(10))
def test_rounds_keep_the_truths_regions_and_leave_no_flip(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, predicted = (ndimage.gaussian_filter(random.random((2, 40, 50)), (0, 1, 1)) > 0.48).astype(bool)
    warping = warp_in_rounds(truth, predicted, random.random(truth.shape))

    def regions(cells: NDArray[np.bool_]) -> tuple[int, int]:
        padded = np.pad(cells, 1)
        return ndimage.label(padded)[1], ndimage.label(~padded, np.ones((3, 3)))[1]

    assert regions(warping.warped) == regions(truth)
    assert (warping.wrong == (warping.warped != predicted)).all()
    assert not (warping.wrong & (truth == predicted)).any()
    assert not (warping.wrong & simple_points()[neighbourhood_codes(warping.warped)]).any()


def test_the_scan_takes_the_threshold_with_the_fewest_splitting_and_merging_pixels() -> None:
    scan = scan_splits_and_mergers([TRUTH], [PROBABILITY])
    assert scan.thresholds == SPLITS_AND_MERGERS_THRESHOLDS == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    wrong = [round((1 - score) * TRUTH.size) for score in scan.scores]
    assert wrong == [20, 20, 20, 20, 2, 2, 2, 2, 0, 1]  # no membrane; a gap of two; all right but a hole; a split
    assert (scan.best_threshold, scan.best_score) == (0.8, 1)


def test_one_threshold_serves_all_slices() -> None:
    other = TRUTH * 0.5
    scan = scan_splits_and_mergers([TRUTH, TRUTH], [PROBABILITY, other], (0.4, 0.8))
    assert scan.scores[0] == pytest.approx(1 - 2 / TRUTH.size / 2)
    assert scan.best_threshold == 0.8


def test_the_scan_knows_what_the_network_was_sure_of() -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).random((2, 60, 60)), (0, 2, 2))
    truth, probability = smooth[0] > 0.48, smooth[1]
    found = scan_splits_and_mergers([truth], [probability], (0.5,)).best_score
    assert found == 1 - splits_and_mergers(truth, probability > 0.5, np.abs(probability - 0.5)).error
    assert found != splits_and_mergers_score(truth, probability > 0.5)


def test_the_score_of_masks_scans_like_the_others() -> None:
    scan = scan_thresholds([TRUTH], [PROBABILITY], splits_and_mergers_score, SPLITS_AND_MERGERS_THRESHOLDS)
    assert (scan.best_threshold, scan.best_score) == (0.8, 1)


def test_membrane_everywhere_is_faultless_so_threshold_1_is_not_scanned() -> None:
    assert splits_and_mergers_score(TRUTH, np.zeros_like(TRUTH)) == 1
    assert splits_and_mergers_score(TRUTH, np.ones_like(TRUTH)) == 1 - 20 / TRUTH.size
    assert max(SPLITS_AND_MERGERS_THRESHOLDS) == 0.9


def test_what_is_left_lies_where_the_network_is_least_sure() -> None:
    truth, predicted = np.ones((16, 21), bool), np.ones((16, 21), bool)
    truth[:, 9:12] = False
    for column in (9, 10, 11):
        sureness = np.tile(0.01 * np.abs(np.arange(21) - column), (16, 1))
        mergers = splits_and_mergers(truth, predicted, sureness).mergers
        assert np.argwhere(mergers).tolist() == [[y, column] for y in range(16)]


def test_depth_is_measured_to_the_other_kind_and_to_the_outside() -> None:
    assert depth_px(TRUTH)[10].tolist() == [1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 1, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1]
    assert depth_px(~TRUTH)[10, 8:13].tolist() == [2, 1, 1, 1, 2]
    assert not depth_px(np.zeros((3, 4), bool)).any()


def two_neighbours(cells: NDArray[np.int32]) -> tuple[int, int]:
    """A pixel of membrane that has two large cells within two pixels."""
    large = np.isin(cells, np.flatnonzero(np.bincount(cells.ravel()) > 1000)) & (cells > 0)
    for y, x in np.argwhere(cells == 0):
        near = cells[y - 2 : y + 3, x - 2 : x + 3][large[y - 2 : y + 3, x - 2 : x + 3]]
        if len(set(near.tolist())) == 2 and min(y, x) > 20:
            return int(y), int(x)
    raise LookupError("no two large cells are near each other")


def test_a_slice_of_the_challenge_takes_less_than_two_seconds_and_tells_seeded_faults_apart() -> None:
    from skimage.io import imread
    from skimage.morphology import dilation, disk

    truth = imread(needed("isbi2012-em") / "train" / "label" / "3.png") > 127
    assert splits_and_mergers_score(truth, truth) == 1
    started = time.process_time()
    assert splits_and_mergers_score(truth, ~dilation(~truth, disk(1))) > 0.999
    assert splits_and_mergers_score(truth, np.ones_like(truth)) < 0.98
    assert time.process_time() - started < 4

    y, x = two_neighbours(ndimage.label(truth)[0])
    gap = truth.copy()
    gap[y - 2 : y + 3, x - 2 : x + 3] = True
    found = splits_and_mergers(truth, gap)
    assert found.mergers[y - 2 : y + 3, x - 2 : x + 3].any()
    assert not found.splits.any()

    depth = depth_px(truth)
    y, x = divmod(int(depth.argmax()), truth.shape[1])
    hole, cut = truth.copy(), truth.copy()
    hole[y - 1 : y + 2, x - 1 : x + 2] = False
    assert splits_and_mergers_score(truth, hole) == 1
    across = np.argwhere(~truth[:y, x])[-1, 0], y + np.argwhere(~truth[y:, x])[0, 0]
    cut[across[0] : across[1], x] = False
    found = splits_and_mergers(truth, cut)
    assert found.splits.any()
    assert not found.mergers.any()


def test_masks_of_two_shapes_and_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        splits_and_mergers(TRUTH, TRUTH.T)
    with pytest.raises(ValueError, match="uint8, not floating point"):
        scan_splits_and_mergers([TRUTH], [(255 * PROBABILITY).astype(np.uint8)])
