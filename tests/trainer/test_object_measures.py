from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data import needed
from unetctl.trainer.object_measures import IOU_THRESHOLDS, match_objects, overlaps, reference_jaccards, seg


def ious_by_masks(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """IoU of every object with every other `[T, P]`, mask by mask."""
    truths, predictions = ([image == number for number in np.unique(image) if number] for image in (truth, predicted))
    table = [[(one & other).sum() / (one | other).sum() for other in predictions] for one in truths]
    return np.array(table, float).reshape(len(truths), len(predictions))


def seg_by_masks(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> list[float]:
    scores = []
    for reference in [truth == number for number in np.unique(truth) if number]:
        others = [predicted == number for number in np.unique(predicted) if number]
        matched = [other for other in others if 2 * (other & reference).sum() > reference.sum()]
        scores.append((matched[0] & reference).sum() / (matched[0] | reference).sum() if matched else 0.0)
    return scores


def random_objects(seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Rectangles with numbers that have gaps, and the same shifted and cut, so that every IoU occurs."""
    random = np.random.default_rng(seed)
    truth, predicted = np.zeros((2, 60, 60), np.uint16)
    for number in range(12):
        y, x = divmod(number, 4)
        height, width = random.integers(6, 15, 2)
        up, left = random.integers(-2, 3, 2) * random.integers(0, 2)
        truth[20 * y + 2 : 20 * y + 2 + height, 15 * x + 2 : 15 * x + 2 + width] = 7 * number + 3
        predicted[20 * y + 2 + up : 20 * y + height + up, 15 * x + 2 + left : 15 * x + 2 + width + left] = 300 - number
    return truth, np.where(random.random(truth.shape) < 0.1, np.uint16(0), predicted)


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_those_of_an_optimal_assignment(seed: int) -> None:
    from scipy.optimize import linear_sum_assignment

    truth, predicted = random_objects(seed)
    table = ious_by_masks(truth, predicted)
    matches = match_objects(overlaps(truth, predicted))
    for index, threshold in enumerate(IOU_THRESHOLDS):
        rows, columns = linear_sum_assignment(-(table >= threshold).astype(float))
        found = np.count_nonzero(table[rows, columns] >= threshold)
        counts = (found, table.shape[1] - found, table.shape[0] - found)
        assert counts == (
            matches.true_positives[index],
            matches.false_positives[index],
            matches.false_negatives[index],
        )
        assert matches.average_precision[index] == pytest.approx(found / sum(counts))
    assert matches.true_positives[0] > matches.true_positives[-1]


@pytest.mark.parametrize("seed", range(4))
def test_seg_is_the_one_of_the_definition(seed: int) -> None:
    truth, predicted = random_objects(seed)
    found = reference_jaccards(overlaps(truth, predicted))
    np.testing.assert_allclose(found, seg_by_masks(truth, predicted))
    assert 0.3 < seg([found]) < 0.95


def test_seg_is_what_segmetrics_published_for_its_own_images() -> None:
    from skimage.io import imread

    folder = needed("tiff-zoo") / "galaxy"
    truth, predicted = (imread(folder / f"segmetrics__{one}_img2.tiff") for one in ("gt", "seg"))
    # BMCV/galaxy-image-analysis, tools/segmetrics/test-data/results2.tsv: pair2, and pair1, which is its reverse
    assert seg([reference_jaccards(overlaps(truth, predicted))]) == pytest.approx(0.291005291005291, abs=1e-15)
    assert seg([reference_jaccards(overlaps(predicted, truth))]) == pytest.approx(0.14285714285714285, abs=1e-15)


def test_the_silver_truth_of_the_cell_tracking_challenge_is_close_to_the_gold() -> None:
    from skimage.io import imread

    folder = needed("ctc-PhC-C2DH-U373") / "train"
    gold, silver = (imread(folder / f"02_{one}" / "SEG" / "man_seg010.tif") for one in ("GT", "ST"))
    found = overlaps(gold, silver)
    jaccards = reference_jaccards(found)
    np.testing.assert_allclose(jaccards, seg_by_masks(gold, silver))
    assert seg([jaccards]) > 0.8
    assert match_objects(found).average_precision[0] > 0.8


def test_exactly_half_of_an_object_is_no_match_for_seg() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
    half = np.array([[5, 5, 0, 0, 0, 6, 6, 0]])
    np.testing.assert_allclose(reference_jaccards(overlaps(truth, half)), [0, 2 / 3])


def test_objects_found_beside_the_truth_cost_nothing_in_seg_and_a_merger_matches_both() -> None:
    truth = np.array([[1, 1, 0, 2, 2, 0, 0, 0]])
    predicted = np.array([[4, 4, 4, 4, 4, 0, 8, 9]])
    np.testing.assert_allclose(reference_jaccards(overlaps(truth, predicted)), [2 / 5, 2 / 5])


@pytest.mark.parametrize("halves", ["truth", "predicted"])
def test_two_halves_that_are_both_close_enough_are_one_match(halves: str) -> None:
    whole, cut = np.array([[1, 1, 1, 1, 0, 3]]), np.array([[1, 1, 2, 2, 0, 3]])
    pair = (cut, whole) if halves == "truth" else (whole, cut)
    matches = match_objects(overlaps(*pair), (0.5, 0.55))
    assert matches.true_positives.tolist() == [2, 1]
    wrong = (matches.false_positives, matches.false_negatives)
    assert sum(wrong).tolist() == [1, 3]


def test_matches_of_images_are_added() -> None:
    first, second = (match_objects(overlaps(*random_objects(seed))) for seed in (0, 1))
    both = first + second
    assert (both.true_positives == first.true_positives + second.true_positives).all()
    assert both.average_precision[0] == both.true_positives[0] / (24 + both.false_positives[0])
    assert both.mean_average_precision == pytest.approx(both.average_precision.mean())
    with pytest.raises(ValueError, match="matches at"):
        first + match_objects(overlaps(*random_objects(1)), (0.5,))


def test_empty_images_have_no_score_and_inventions_have_zero() -> None:
    nothing, something = np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8)
    assert np.isnan(match_objects(overlaps(nothing, nothing)).average_precision).all()
    assert np.isnan(seg([reference_jaccards(overlaps(nothing, something))]))
    assert np.isnan(seg([]))
    assert (match_objects(overlaps(nothing, something)).average_precision == 0).all()
    assert (match_objects(overlaps(something, nothing)).average_precision == 0).all()
    assert seg([reference_jaccards(overlaps(something, nothing))]) == 0
    assert (match_objects(overlaps(something, something)).average_precision == 1).all()


def test_a_threshold_that_does_not_decide_and_a_wrong_shape_are_refused() -> None:
    image = np.ones((3, 3), np.uint8)
    with pytest.raises(ValueError, match=r"below 0\.5"):
        match_objects(overlaps(image, image), (0.4, 0.5))
    with pytest.raises(ValueError, match="shape"):
        overlaps(image, image[:2])
