from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from unetctl.runtime.spec import ClassInfo
from unetctl.trainer.evaluate import Case, Prediction, evaluate, pooled, score
from unetctl.trainer.label_values import ClassMap
from unetctl.trainer.partition_measures import membrane_scores
from unetctl.trainer.splits_and_mergers import scan_splits_and_mergers
from unetctl.trainer.threshold_scan import THRESHOLDS, pixel_f_score, rand_score, scan_thresholds
from unetctl.trainer.warping import warp
from unetctl.trainer.weight_map import separate

NAMES = ["ground", "cell", "other"]


def classes(count: int = 2, background: int | None = 0) -> ClassMap:
    return ClassMap(
        classes=tuple(ClassInfo(name=name, colour="#000000") for name in NAMES[:count]),
        values=tuple((index,) for index in range(count)),
        background=background,
    )


def case(truth: NDArray[np.integer], name: str = "a", objects: NDArray[np.integer] | None = None) -> Case:
    return Case(name=name, truth=truth.astype(np.uint8), objects=objects, image=None)


def of_labels(labels: NDArray[np.integer]) -> Prediction:
    return Prediction(labels=labels.astype(np.uint8))


def cells() -> NDArray[np.uint8]:
    """Four cells with membranes between them."""
    labels = np.ones((24, 30), np.uint8)
    labels[11:13] = labels[:, 14:16] = 0
    return labels


def gray_cells(seed: int) -> NDArray[np.float32]:
    """A network's doubtful probability of cell."""
    random = np.random.default_rng(seed)
    return np.clip(cells() * 0.6 + 0.2 + random.normal(0, 0.12, (24, 30)), 0, 1).astype(np.float32)


def test_scores_are_of_all_pixels_and_of_all_objects() -> None:
    small, large = np.zeros((4, 5), np.uint8), np.zeros((20, 40), np.uint8)
    small[:2, :2] = 1
    large[2:6, 2:6] = large[2:6, 10:14] = large[12:16, 2:6] = 1
    missed = large.copy()
    missed[12:16] = 0
    found = evaluate(
        [case(small), case(large, "b")], [of_labels(np.zeros((4, 5))), of_labels(missed)], classes(), objects=True
    )
    values = found.pooled.to_dict(NAMES[:2])
    assert values["pixels"] == 820
    assert values["pixel_error"] == round(20 / 820, 6)  # the mean of both images' errors is 0.11
    assert values["dice"]["cell"] == round(2 * 32 / (52 + 32), 6)
    assert values["iou"]["cell"] == round(32 / 52, 6)
    assert values["objects"] == {
        "truth": 4,
        "predicted": 2,
        "seg": 0.5,
        "ap": {f"{step / 20:g}": 0.5 for step in range(10, 19)},
        "ap50": 0.5,
        "mean_ap": 0.5,
    }
    assert [one.to_dict(NAMES[:2])["objects"]["seg"] for one in found.images] == [0, round(2 / 3, 6)]
    assert values["membranes"] is None


def test_a_perfect_prediction_is_perfect_in_everything() -> None:
    values = score(case(cells()), of_labels(cells()), classes(), objects=True, membranes=True).to_dict(NAMES[:2])
    assert (values["pixel_error"], values["mean_dice"]) == (0, 1)
    assert (values["objects"]["truth"], values["objects"]["seg"], values["objects"]["mean_ap"]) == (4, 1, 1)
    membranes = values["membranes"]
    assert (membranes["v_rand"], membranes["v_info"], membranes["adapted_rand_error"]) == (1, 1, 0)
    assert membranes["variation_of_information"] == membranes["warping_error"] == 0
    assert membranes["splits_and_mergers_error"] == 0


def test_a_broken_membrane_is_a_merger_and_a_wide_one_is_none() -> None:
    broken, wide = cells(), cells()
    broken[5, 14:16] = 1
    wide[10:14] = 0
    values = [
        score(case(cells()), of_labels(one), classes(), objects=False, membranes=True).to_dict(NAMES[:2])["membranes"]
        for one in (broken, wide)
    ]
    assert values[0]["merger_pixels"] >= 1 > values[1]["merger_pixels"]
    assert values[0]["warping_error"] > 0 == values[1]["warping_error"]
    assert values[0]["v_rand_merge"] < 0.9 < values[1]["v_rand_merge"]


def test_membranes_are_the_class_that_is_background() -> None:
    turned = classes(background=1)
    truth, broken = 1 - cells(), cells()
    broken[5, 14:16] = 1
    one = score(case(truth), of_labels(1 - broken), turned, objects=False, membranes=True).membranes
    other = score(case(cells()), of_labels(broken), classes(), objects=False, membranes=True).membranes
    assert one == other


def test_partitions_are_averaged_and_an_image_without_cells_is_left_out_of_the_mean() -> None:
    broken, none = cells(), np.zeros((24, 30), np.uint8)
    broken[5, 14:16] = 1
    found = evaluate(
        [case(cells()), case(cells()), case(none)], map(of_labels, (cells(), broken, none)), classes(), membranes=True
    )
    assert found.pooled.membranes is not None
    expected = (1 + membrane_scores(cells() > 0, broken > 0).rand) / 2
    assert found.pooled.membranes.mean("rand") == pytest.approx(expected)
    assert found.images[2].to_dict(NAMES[:2])["membranes"]["v_rand"] is None
    assert found.worst_first == [1, 0, 2]  # what has no score comes last


def test_an_object_called_another_class_is_missed_and_invented() -> None:
    truth, confused = np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8)
    truth[2:6, 2:6], truth[2:6, 12:16] = 1, 2
    confused[2:6, 2:6] = confused[2:6, 12:16] = 1
    objects = score(case(truth), of_labels(confused), classes(3), objects=True, membranes=False).objects
    assert objects is not None
    assert (objects.truth, objects.predicted, objects.to_dict()["ap50"]) == (2, 2, round(1 / 3, 6))


def test_the_line_that_training_cuts_between_objects_costs_nothing() -> None:
    numbers = np.zeros((20, 30), np.uint16)
    numbers[2:12, 2:14], numbers[4:12, 14:20] = 7, 3
    cut = (separate(numbers) > 0).astype(np.uint8)
    objects = score(case(cut, objects=numbers), of_labels(cut), classes(), objects=True, membranes=False).objects
    assert objects is not None
    assert (objects.truth, objects.predicted, objects.to_dict()["seg"]) == (2, 2, 1)
    merged = of_labels(numbers > 0)  # a seeded fault: the two as one
    objects = score(case(cut, objects=numbers), merged, classes(), objects=True, membranes=False).objects
    assert objects is not None
    assert objects.predicted == 1


def test_numbered_objects_are_taken_as_they_are() -> None:
    numbers = np.zeros((12, 20), np.int32)
    numbers[2:10, 2:9], numbers[2:10, 9:16] = 7, 3
    prediction = Prediction(labels=(numbers > 0).astype(np.uint8), objects=numbers * 2)
    found = score(case(numbers > 0, objects=numbers), prediction, classes(), objects=True, membranes=False)
    assert found.to_dict(NAMES[:2])["objects"]["mean_ap"] == 1


def test_images_are_ranked_by_what_was_asked_for() -> None:
    truth = np.zeros((10, 20), np.uint8)
    truth[2:6, 2:6] = truth[2:6, 12:16] = 1
    one_missed, thin = truth.copy(), truth.copy()
    one_missed[:, 10:] = 0
    thin[2:6, 4] = thin[2:6, 14] = 0  # both are halved: fewer pixels are wrong, and no object is found
    cases, predictions = [case(truth, "missed"), case(truth, "thin")], [of_labels(one_missed), of_labels(thin)]
    assert evaluate(cases, predictions, classes()).worst_first == [0, 1]
    assert evaluate(cases, predictions, classes(), objects=True).worst_first == [1, 0]


def test_the_best_thresholds_are_those_of_the_challenge() -> None:
    cases = [case(cells()), case(cells(), "b")]
    gray = [gray_cells(0), gray_cells(1)]
    predictions = [Prediction(labels=(one > 0.5).astype(np.uint8), probability=one) for one in gray]
    found = evaluate(cases, predictions, classes(), membranes=True)
    truths = [cells() > 0] * 2
    assert found.scan is not None
    for measure, function in (("pixel_f_score", pixel_f_score), ("v_rand", rand_score)):
        assert found.scan[measure] == scan_thresholds(truths, gray, function)
    splits, expected = found.scan["splits_and_mergers_error"], scan_splits_and_mergers(truths, gray)
    assert splits.best_threshold == expected.best_threshold
    assert splits.best_score == pytest.approx(1 - expected.best_score)
    plain = found.to_dict(cases, NAMES[:2])
    assert list(plain["scan"]["v_rand"]["by_threshold"]) == [f"{one:g}" for one in THRESHOLDS]
    assert json.loads(json.dumps(plain)) == plain
    assert found.predictions[0].probability is None  # it is large


def test_a_given_threshold_decides_and_nothing_is_scanned() -> None:
    gray = gray_cells(0)
    prediction = Prediction(labels=(gray > 0.5).astype(np.uint8), probability=gray)
    found = evaluate([case(cells())], [prediction], classes(), membranes=True, threshold=0.3)
    assert found.scan is None
    assert (found.predictions[0].labels == (gray > 0.3)).all()
    expected = warp(cells() > 0, gray > 0.3, sureness=np.abs(gray - 0.3)).error  # the surest pixels first
    assert found.pooled.membranes is not None
    assert found.pooled.membranes.warping_error == expected
    turned = evaluate(
        [case(1 - cells())],
        [Prediction(labels=(gray <= 0.5).astype(np.uint8), probability=gray)],
        classes(background=1),
        threshold=0.3,
    )
    assert (turned.predictions[0].labels == (gray <= 0.3)).all()
    with pytest.raises(ValueError, match="no threshold"):
        evaluate([case(cells())], [of_labels(cells())], classes(), threshold=0.3)


def test_a_threshold_of_zero_is_a_threshold() -> None:
    prediction = Prediction(labels=cells(), probability=np.full((24, 30), 0.2, np.float32))
    found = evaluate([case(cells())], [prediction], classes(), membranes=True, threshold=0.0)
    assert found.predictions[0].labels.all()


def test_seconds_are_of_all_pixels() -> None:
    predictions = [Prediction(labels=cells(), seconds=0.72), Prediction(labels=cells(), seconds=0.72)]
    found = evaluate([case(cells()), case(cells())], predictions, classes())
    assert found.seconds_per_megapixel == pytest.approx(1000)
    assert evaluate([case(cells())], [of_labels(cells())], classes()).seconds_per_megapixel is None


def test_each_image_has_its_row_and_progress_its_count() -> None:
    done: list[int] = []
    found = evaluate(
        [case(cells(), "good"), case(cells(), "bad")],
        map(of_labels, (cells(), 1 - cells())),
        classes(),
        on_image=done.append,
    )
    rows = found.to_dict([case(cells(), "good"), case(cells(), "bad")], NAMES[:2])["images"]
    assert [one["name"] for one in rows] == ["bad", "good"]
    assert [one["pixel_error"] for one in rows] == [1, 0]
    assert done == [1, 2]
    assert pooled(found.images[:1]).matrix.tolist() == found.images[0].matrix.tolist()


def test_a_prediction_too_few_is_no_score() -> None:
    with pytest.raises(ValueError, match="shorter"):
        evaluate([case(cells()), case(cells())], [of_labels(cells())], classes())
