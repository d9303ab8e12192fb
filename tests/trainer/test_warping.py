from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.data import needed
from unetctl.trainer.warping import NEIGHBOURS_YX, near_borders, neighbourhood_codes, simple_points, warp


def two_cells(at: int = 10, width_px: int = 1) -> NDArray[np.bool_]:
    """A membrane from the top of the image to its bottom."""
    cells = np.ones((16, 21), bool)
    cells[:, at : at + width_px] = False
    return cells


def regions(cells: NDArray[np.bool_]) -> tuple[int, int]:
    """Number of 4-connected cells and of 8-connected membranes, with membrane outside."""
    padded = np.pad(cells, 1)
    return int(ndimage.label(padded)[1]), int(ndimage.label(~padded, np.ones((3, 3)))[1])


def test_simple_points_are_those_with_a_crossing_number_of_one() -> None:
    # Yokoi, Toriwaki and Fukumura 1975, for 4-connected foreground: neighbours in a circle, from the right
    circle = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
    for code in range(256):
        x = [code >> NEIGHBOURS_YX.index(one) & 1 for one in circle]
        crossings = sum(x[k] - x[k] * x[k + 1] * x[(k + 2) % 8] for k in (0, 2, 4, 6))
        assert simple_points()[code] == (crossings == 1)


def test_the_flip_of_a_simple_point_keeps_the_regions_and_that_of_another_mostly_does_not() -> None:
    random = np.random.default_rng(0)
    changed = {True: 0, False: 0}
    for _ in range(400):
        cells = random.random((7, 8)) < 0.6
        before = regions(cells)
        is_simple = bool(simple_points()[neighbourhood_codes(cells)[3, 4]])
        cells[3, 4] ^= True
        changed[is_simple] += regions(cells) != before
    assert changed[True] == 0
    assert changed[False] > 100


def test_a_membrane_drawn_elsewhere_is_no_error() -> None:
    warping = warp(two_cells(10, 4), two_cells(13, 4))
    assert warping.error == 0
    assert warping.places == 0
    assert (warping.warped == two_cells(13, 4)).all()
    assert warp(two_cells(10), two_cells(11)).error == 0
    assert warp(two_cells(10, 3), two_cells(11)).error == 0
    assert warp(two_cells(10), two_cells(4, 14)).error == 0


def test_a_membrane_drawn_beside_the_true_one_is_beyond_the_greedy_search() -> None:
    truth, predicted = (np.ones((3, 5), bool) for _ in range(2))
    truth[:, 1] = predicted[:, 3] = False
    assert nearest_warping(truth, predicted) == 0
    assert warp(truth, predicted).wrong.sum() == 3 + 1  # one too few and one too many


def test_a_membrane_drawn_further_away_than_allowed_is_an_error() -> None:
    truth, predicted = two_cells(10), two_cells(10, 5)
    assert warp(truth, predicted, within=near_borders(truth, 4)).error == 0
    assert warp(truth, predicted, within=near_borders(truth, 3)).wrong.sum() == 16
    assert warp(truth, predicted, within=np.zeros_like(truth)).wrong.sum() == np.count_nonzero(truth != predicted)


@pytest.mark.parametrize("gap_px", [1, 3])
@pytest.mark.parametrize("width_px", [1, 3])
def test_a_broken_membrane_is_an_error_as_long_as_the_gap(gap_px: int, width_px: int) -> None:
    predicted = two_cells(10, width_px)
    predicted[6 : 6 + gap_px] = True
    warping = warp(two_cells(10, width_px), predicted)
    assert warping.wrong.sum() == gap_px
    assert warping.places == 1
    assert (warping.warped == predicted)[:6].all()


@pytest.mark.parametrize("width_px", [1, 3])
def test_a_membrane_too_many_is_an_error_as_long_as_it_is_wide(width_px: int) -> None:
    predicted = two_cells()
    predicted[:, 4 : 4 + width_px] = False
    warping = warp(two_cells(), predicted)
    assert warping.wrong.sum() == width_px  # the bridge that keeps the two halves of the cell together
    assert warping.places == 1


def test_a_hole_is_an_error_and_a_dent_is_none() -> None:
    hole, dent = two_cells(), two_cells()
    hole[5:8, 3:6] = False
    dent[5:8, 7:10] = False
    assert warp(two_cells(), hole).wrong.sum() == 9
    assert warp(two_cells(), hole).places == 1
    assert warp(two_cells(), dent).error == 0


def test_a_lost_cell_leaves_one_pixel() -> None:
    truth = np.zeros((9, 9), bool)
    truth[3:6, 3:6] = True
    assert warp(truth, np.zeros_like(truth)).wrong.sum() == 1
    assert warp(np.zeros_like(truth), truth).wrong.sum() == 9


def test_what_is_least_sure_is_left_over() -> None:
    truth, predicted = two_cells(10, 3), np.ones((16, 21), bool)
    sureness = np.ones(truth.shape)
    for column in (10, 11, 12):
        sureness[:, column] = 0.1
        warping = warp(truth, predicted, sureness=sureness)
        assert (warping.wrong == ~two_cells(column)).all()
        sureness[:, column] = 1


@pytest.mark.parametrize("seed", range(20))
def test_the_warped_truth_has_the_truths_regions_and_no_flip_is_left(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, predicted = (ndimage.gaussian_filter(random.random((2, 40, 50)), (0, 1, 1)) > 0.48).astype(bool)
    warping = warp(truth, predicted, sureness=random.random(truth.shape) if seed % 2 else None)
    assert regions(warping.warped) == regions(truth)
    assert not (warping.wrong & (truth == predicted)).any()
    assert 0 < warping.error < 0.5 * (truth != predicted).mean()
    assert not (warping.wrong & simple_points()[neighbourhood_codes(warping.warped)]).any()


def nearest_warping(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> int:
    """The definition itself: fewest differing pixels of all images that simple flips lead to."""
    seen = {truth.tobytes()}
    todo = [truth]
    best = truth.size
    while todo:
        cells = todo.pop()
        best = min(best, int(np.count_nonzero(cells != predicted)))
        for y, x in np.argwhere(simple_points()[neighbourhood_codes(cells)]):
            flipped = cells.copy()
            flipped[y, x] ^= True
            if flipped.tobytes() not in seen:
                seen.add(flipped.tobytes())
                todo.append(flipped)
    return best


def test_on_tiny_images_the_greedy_search_is_never_below_the_definition_and_often_equal() -> None:
    random = np.random.default_rng(1)
    equal = 0
    for _ in range(30):
        truth, predicted = random.random((2, 3, 4)) < 0.6
        found, best = int(warp(truth, predicted).wrong.sum()), nearest_warping(truth, predicted)
        assert found >= best
        equal += found == best
    assert equal >= 15


def test_a_slice_of_the_challenge_takes_less_than_a_second_and_finds_the_seeded_faults() -> None:
    from skimage.io import imread
    from skimage.morphology import dilation, disk

    truth = imread(needed("isbi2012-em") / "train" / "label" / "3.png") > 127
    assert warp(truth, truth).error == 0
    wider = ~dilation(~truth, disk(1))
    started = time.process_time()
    warping = warp(truth, wider)
    assert time.process_time() - started < 1
    assert warping.error < 0.05 * (truth != wider).mean()
    hole = truth.copy()
    y, x = np.unravel_index(int(ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1].argmax()), truth.shape)
    hole[y - 1 : y + 2, x - 1 : x + 2] = False
    assert warp(truth, hole).wrong.sum() == 9


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        warp(two_cells(), two_cells().T)


def test_near_borders_measures_from_the_other_kind() -> None:
    near = near_borders(two_cells(10), 2)
    assert near[0].nonzero()[0].tolist() == [8, 9, 10, 11, 12]
    assert not near_borders(np.ones((3, 3), bool), 2).any()
