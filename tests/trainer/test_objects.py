from __future__ import annotations

import numpy as np

from unetctl.trainer.object_measures import overlaps, reference_jaccards
from unetctl.trainer.objects import objects_of
from unetctl.trainer.weight_map import separate


def touching() -> np.ndarray:
    """Two rectangles side by side, the larger to the left, and one far away; in the numbers of no order."""
    truth = np.zeros((20, 30), np.uint8)
    truth[2:12, 2:14] = 7
    truth[4:12, 14:20] = 3
    truth[15:18, 24:28] = 9
    return truth


def test_the_line_between_touching_objects_is_given_back() -> None:
    truth = touching()
    separated = (separate(truth) > 0).astype(np.uint8)
    assert np.count_nonzero(separated) < np.count_nonzero(truth)  # or this shows nothing
    found = objects_of(separated, 1)
    np.testing.assert_array_equal(found == 1, truth == 7)  # the largest is 1
    np.testing.assert_array_equal(found == 2, truth == 3)
    np.testing.assert_array_equal(found == 3, truth == 9)
    assert found.dtype == np.int32


def test_without_the_growth_the_same_objects_score_less() -> None:
    from unetctl.trainer.weight_map import connected_regions

    truth = touching()
    separated = (separate(truth) > 0).astype(np.uint8)
    plain = reference_jaccards(overlaps(truth, connected_regions(separated == 1)))
    grown = reference_jaccards(overlaps(truth, objects_of(separated, 1)))
    assert plain.mean() < grown.mean() == 1


def test_an_object_alone_does_not_grow() -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 2
    np.testing.assert_array_equal(objects_of(labels, 2) == 1, labels == 2)
    assert not objects_of(labels, 1).any()


def test_a_wider_gap_stays_open() -> None:
    labels = np.zeros((6, 10), np.uint8)
    labels[1:5, :4] = labels[1:5, 6:] = 1
    np.testing.assert_array_equal(objects_of(labels, 1) > 0, labels == 1)


def test_regions_that_touch_at_a_corner_are_two_objects() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:4, :4] = labels[4:, 4:] = 1
    found = objects_of(labels, 1)
    assert (found[0, 0], found[7, 7]) == (1, 2)
