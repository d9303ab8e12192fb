"""Each finding has a run that must cause it, and none is made of a run that is as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.finished import finished_history, finished_metrics
from unetctl.trainer.advice import advise
from unetctl.trainer.history import History


def rescored(history: History, *, loss: list[float] | None = None, dice: list[float] | None = None) -> History:
    """Return the course with other validation losses, or other mean Dice."""
    for index, (step, scores) in enumerate(sorted(history.scores.items())):
        first, second, *more = scores
        history.scores[step] = (loss[index] if loss else first, dice[index] if dice else second, *more)
    return history


def test_nothing_is_said_of_a_run_that_is_as_it_should_be() -> None:
    assert advise(finished_history(), finished_metrics()) == ()


FALLS_THEN_RISES = [0.9, 0.6, 0.4, 0.3, 0.35, 0.4, 0.45, 0.5]


def test_overfitting_is_seen() -> None:
    history = rescored(finished_history(), loss=FALLS_THEN_RISES)
    history.losses = [(step, 1 / step, rate) for step, _, rate in history.losses]
    (said,) = advise(history, finished_metrics())
    assert "lowest at step 200 (0.3) and rose to 0.5, while the training loss fell" in said


@pytest.mark.parametrize("case", ["training rose too", "wavers", "one outlier", "too few"])
def test_what_only_looks_like_overfitting_is_not_told(case: str) -> None:
    losses = {
        "wavers": [0.9, 0.6, 0.4, 0.3, 0.31, 0.32, 0.31, 0.32],
        "one outlier": [0.9, 0.6, 0.4, 0.3, 0.31, 0.3, 0.31, 0.5],
    }
    history = rescored(finished_history(), loss=losses.get(case, FALLS_THEN_RISES))
    if case == "training rose too":
        history.losses = [(step, 0.2 + step / 400, rate) for step, _, rate in history.losses]
    else:
        history.losses = [(step, 1 / step, rate) for step, _, rate in history.losses]
    if case == "too few":
        history.scores = {step: history.scores[step] for step in (200, 350, 400)}
    assert advise(history, finished_metrics()) == ()


def test_a_class_that_is_never_predicted_is_named() -> None:
    metrics = finished_metrics()
    metrics["validation"]["confusion"] = [[900, 0], [100, 0]]
    (said,) = advise(finished_history(), metrics)
    assert "class cell is never predicted" in said
    assert "8.2 % of the training pixels" in said


def test_a_class_that_nobody_showed_is_not_called_unpredicted() -> None:
    metrics = finished_metrics()
    metrics["validation"]["confusion"] = [[1000, 0], [0, 0]]
    (said,) = advise(finished_history(), metrics)
    assert "No validation image shows the class cell" in said
    metrics["class_pixels"] = [9000, 0]
    (said,) = advise(finished_history(), metrics)
    assert "No training image shows the class cell" in said


def test_a_run_that_still_improved_at_its_end_should_be_longer() -> None:
    history = rescored(finished_history(), dice=[0.5, 0.6, 0.65, 0.7, 0.72, 0.74, 0.76, 0.78])
    (said,) = advise(history, finished_metrics() | {"best_step": 400})
    assert "rose by 0.040 in the last quarter" in said
    assert "steps = 800" in said


def test_a_run_that_was_done_at_its_end_need_not_be_longer() -> None:
    history = rescored(finished_history(), dice=[0.5, 0.6, 0.7, 0.75, 0.77, 0.78, 0.781, 0.782])
    assert advise(history, finished_metrics() | {"best_step": 400}) == ()


def test_test_images_that_score_much_worse_are_told() -> None:
    metrics = finished_metrics()
    metrics["test"]["mean_dice"] = 0.7
    (said,) = advise(finished_history(), metrics)
    assert "0.100 lower in mean Dice" in said


@pytest.mark.parametrize(("test", "validation", "words"), [(1, 6, "single test"), (0, 1, "single validation")])
def test_scores_of_a_single_image_are_told(test: int, validation: int, words: str) -> None:
    metrics = finished_metrics()
    metrics["split"]["test"]["images"], metrics["split"]["validation"]["images"] = test, validation
    metrics["test"] = metrics["test"] if test else None
    (said,) = advise(finished_history(), metrics)
    assert words in said
    assert ("flatter" in said) == (test == 0)


@pytest.mark.parametrize(
    ("speed", "batch", "is_slow"),
    [
        ({"steps_per_second": 3.0, "samples_per_second": 3.1}, 1, True),
        ({"steps_per_second": 3.0, "samples_per_second": 10.0}, 4, True),
        ({"steps_per_second": 3.0, "samples_per_second": 3.6}, 1, False),
        (None, 1, False),
    ],
)
def test_a_network_that_waits_for_its_images_is_told(speed: Any, batch: int, is_slow: bool) -> None:
    metrics = finished_metrics() | {"speed": speed}
    metrics["settings"]["train"]["batch"] = batch
    said = advise(finished_history(), metrics)
    assert len(said) == is_slow
    assert all("waited" in one for one in said)
