from __future__ import annotations

import numpy as np
import pytest

from unetctl.trainer.measures import confusion_matrix, dice, iou, mean_dice, pixel_error

# Worked by hand: truth 0 0 0 1 1 2, predicted 0 0 1 1 2 2
TRUTH = np.array([[0, 0, 0], [1, 1, 2]], np.uint8)
PREDICTED = np.array([[0, 0, 1], [1, 2, 2]], np.uint8)


def test_the_matrix_has_the_truth_in_its_rows() -> None:
    matrix = confusion_matrix(TRUTH, PREDICTED, 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert (confusion_matrix(PREDICTED, TRUTH, 3) == matrix.T).all()


def test_a_worked_example() -> None:
    matrix = confusion_matrix(TRUTH, PREDICTED, 3)
    np.testing.assert_allclose(iou(matrix), [2 / 3, 1 / 3, 1 / 2])
    np.testing.assert_allclose(dice(matrix), [4 / 5, 2 / 4, 2 / 3])
    assert mean_dice(matrix) == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert pixel_error(matrix) == pytest.approx(2 / 6)


def test_a_class_that_does_not_occur_has_no_score() -> None:
    matrix = confusion_matrix(TRUTH, PREDICTED, 4)
    assert np.isnan(iou(matrix)[3])
    assert np.isnan(dice(matrix)[3])
    assert mean_dice(matrix) == mean_dice(confusion_matrix(TRUTH, PREDICTED, 3))


def test_a_class_that_was_only_called_scores_nothing() -> None:
    matrix = confusion_matrix(np.zeros(4, np.uint8), np.array([0, 0, 0, 1], np.uint8), 2)
    assert dice(matrix)[1] == 0
    assert iou(matrix)[1] == 0


def test_matrices_add_up_to_that_of_all_pixels() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 255, (2, 40, 30)).astype(np.uint8)
    parts = [confusion_matrix(truth[a:b], predicted[a:b], 255) for a, b in ((0, 7), (7, 40))]
    assert (sum(parts) == confusion_matrix(truth, predicted, 255)).all()
    assert sum(parts).sum() == truth.size


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="not below 2"):
        confusion_matrix(TRUTH, PREDICTED, 2)
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(TRUTH, PREDICTED.T, 3)
