"""The protocol of the membranes: all is chosen on the validation slices, and nothing on those that are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.membrane_data import CLASSES, TEST, TRAIN, VALIDATION, breach, membrane_sections, read_slices
from benchmarks.membrane_protocol import (
    MEASURES,
    THRESHOLDS,
    Measure,
    Scored,
    Slices,
    choose_and_score,
    pooled_rand,
    scores_at,
)
from benchmarks.membrane_scores import cell_probability, score_table
from benchmarks.project_runs import make_project
from tests.data import needed
from unetctl.trainer.config import load_config
from unetctl.trainer.partition_measures import membrane_scores, partition_scores
from unetctl.trainer.split import split_pairs
from unetctl.trainer.splits_and_mergers import scan_splits_and_mergers
from unetctl.trainer.warping import warp
from unetctl.trainer.weight_map import connected_regions

SIDE_PX = 32
Errors = dict[str, Scored]


def grid(seed: int) -> NDArray[np.bool_]:
    """Return cells that membranes of two pixels divide, at places that the seed draws."""
    draw = np.random.default_rng(seed)
    cells = np.ones((SIDE_PX, SIDE_PX), bool)
    for axis in (0, 1):
        for place in draw.choice(np.arange(5, SIDE_PX - 5, 8), 2, replace=False):
            lines = [slice(None), slice(None)]
            lines[axis] = slice(place, place + 2)
            cells[tuple(lines)] = False
    return cells


def slices_best_at(level: float, seeds: tuple[int, ...]) -> Slices:
    """Return slices whose noise a threshold of `level` suits best."""
    truths = tuple(grid(seed) for seed in seeds)
    probabilities = []
    for seed, truth in zip(seeds, truths, strict=True):
        noise = np.random.default_rng(seed).normal(0, 0.12, truth.shape)
        even = np.clip(np.where(truth, 0.75, 0.25) + noise, 0.01, 0.99)  # 0.5 would be best
        probabilities.append(even ** (np.log(level) / np.log(0.5)))
    return Slices(truths=truths, probabilities=tuple(probabilities))


@pytest.fixture(scope="module")
def validation() -> Slices:
    return slices_best_at(0.3, (1, 2))


@pytest.fixture(scope="module")
def scored_slices() -> Slices:
    return slices_best_at(0.7, (3, 4))


def thresholds_are_from(choose: Callable[[Slices, Slices], Errors], validation: Slices, test: Slices) -> bool:
    """Say whether a way to choose gives the thresholds that it would give if the test slices were others."""
    others = replace(test, probabilities=tuple(1 - one for one in test.probabilities))
    found, again = choose(validation, test), choose(validation, others)
    return all(found[one.key].threshold == again[one.key].threshold for one in MEASURES)


def test_no_threshold_is_chosen_on_the_slices_that_are_scored(validation: Slices, scored_slices: Slices) -> None:
    assert thresholds_are_from(choose_and_score, validation, scored_slices)


def test_a_choice_on_the_scored_slices_is_caught(validation: Slices, scored_slices: Slices) -> None:
    assert not thresholds_are_from(lambda _, test: choose_and_score(test, test), validation, scored_slices)
    honest, flattering = choose_and_score(validation, scored_slices), choose_and_score(scored_slices, scored_slices)
    for key in ("pixel_error", "pixel_error_f_score"):
        assert honest[key].threshold < 0.5 < flattering[key].threshold
        assert honest[key].test > 2 * flattering[key].test


def test_the_chosen_threshold_is_the_best_of_the_validation_slices(validation: Slices, scored_slices: Slices) -> None:
    found = choose_and_score(validation, scored_slices)
    for measure in MEASURES:
        if measure.fixed_threshold is not None:
            assert found[measure.key].threshold == measure.fixed_threshold
            continue
        allowed = [one for one in THRESHOLDS if one <= measure.highest_threshold]
        values = [scores_at(validation, one)[measure.key] for one in allowed]
        best = min(values) if measure.is_error else max(values)
        assert found[measure.key].validation == best
        assert found[measure.key].threshold == allowed[values.index(best)]
        assert found[measure.key].test == scores_at(scored_slices, found[measure.key].threshold)[measure.key]


def test_where_nothing_splits_because_all_is_membrane_is_never_chosen() -> None:
    truth = grid(1)
    dark = Slices(truths=(truth,), probabilities=(np.where(truth, 0.92, 0.91),))
    assert scores_at(dark, 0.95)["splits_and_mergers"] == 0  # all membrane: it would win
    assert choose_and_score(dark, dark)["splits_and_mergers"].threshold <= 0.9


def test_every_measure_follows_its_definition_over_several_slices(validation: Slices) -> None:
    found = scores_at(validation, 0.5)
    masks = [one > 0.5 for one in validation.probabilities]
    wrong = sum(np.count_nonzero(truth != one) for truth, one in zip(validation.truths, masks, strict=True))
    assert found["pixel_error"] == found["pixel_error_arg_max"] == pytest.approx(wrong / 2 / SIDE_PX**2)
    right = sum(np.count_nonzero(truth & one) for truth, one in zip(validation.truths, masks, strict=True))
    areas = sum(
        np.count_nonzero(truth) + np.count_nonzero(one) for truth, one in zip(validation.truths, masks, strict=True)
    )
    assert found["pixel_error_f_score"] == pytest.approx(1 - 2 * right / areas)
    errors = [
        warp(truth, one > 0.5, sureness=abs(one - 0.5)).error
        for truth, one in zip(validation.truths, validation.probabilities, strict=True)
    ]
    assert found["warping_error"] == pytest.approx(np.mean(errors))
    scan = scan_splits_and_mergers(validation.truths, validation.probabilities, (0.5,))
    assert found["splits_and_mergers"] == pytest.approx(1 - scan.best_score)
    infos = [membrane_scores(truth, one).info for truth, one in zip(validation.truths, masks, strict=True)]
    assert found["info_score_thinned"] == pytest.approx(np.mean(infos))
    one = Slices(truths=validation.truths[:1], probabilities=validation.probabilities[:1])
    assert scores_at(one, 0.5)["rand_error_thinned"] == pytest.approx(
        membrane_scores(validation.truths[0], masks[0]).adapted_rand_error
    )


def test_pairs_of_pixels_are_counted_over_all_slices_together() -> None:
    truths = [connected_regions(grid(1)), connected_regions(grid(2)[:20])]
    found = [connected_regions(np.roll(one > 0, 1, axis=1)) for one in truths]
    side_by_side = np.zeros((SIDE_PX, 2 * SIDE_PX + 1), np.int32), np.zeros((SIDE_PX, 2 * SIDE_PX + 1), np.int32)
    for canvas, parts in zip(side_by_side, (truths, found), strict=True):  # as one image of cells that never touch
        canvas[:, :SIDE_PX] = parts[0]
        canvas[:20, SIDE_PX + 1 :] = np.where(parts[1], parts[1] + parts[0].max(), 0)
    scores = [partition_scores(truth, one) for truth, one in zip(truths, found, strict=True)]
    areas = [np.bincount(one[one > 0]) for one in truths]
    assert pooled_rand(scores, areas) == pytest.approx(partition_scores(*side_by_side).rand)


def test_probabilities_are_those_of_the_soft_max() -> None:
    logits = np.array([[[0.0, 2.0, -900.0, 900.0]], [[0.0, 0.0, 900.0, -900.0]]], np.float32)
    np.testing.assert_allclose(cell_probability(logits), [[0.5, 1 / (1 + np.exp(2)), 1, 0]], atol=1e-12)


def test_the_table_tells_mean_spread_and_thresholds() -> None:
    runs = [
        {
            way: {one.key: Scored(threshold=threshold, validation=0.0, test=0.1 + threshold / 10) for one in MEASURES}
            for way in ("plain", "averaged")
        }
        for threshold in (0.4, 0.6)
    ]
    lines = score_table(runs).splitlines()
    assert len(lines) == 2 + len(MEASURES)
    assert "0.1500 ± 0.0141 (0.4, 0.6)" in lines[2]
    assert any("0.000353" in line and "splits and mergers" in line for line in lines)
    assert any("0.0382" in line and "not thinned" in line for line in lines)


def spec_trained_on(train: list[str], validation: list[str]) -> SimpleNamespace:
    split = {"train": {"names": train}, "validation": {"names": validation}}
    classes = [SimpleNamespace(name=one["name"]) for one in CLASSES]
    return SimpleNamespace(classes=classes, training={"split": split})


def test_a_model_that_has_seen_a_scored_slice_is_refused() -> None:
    assert not breach(spec_trained_on(["0", "7"], ["15", "16", "17"]))  # type: ignore[arg-type]
    assert "18" in breach(spec_trained_on(["0", "18"], ["15"]))  # type: ignore[arg-type]
    assert "18" in breach(spec_trained_on(["0"], ["17", "18"]))  # type: ignore[arg-type]
    assert "does not say" in breach(spec_trained_on([], ["15"]))  # type: ignore[arg-type]
    others = spec_trained_on(["0"], ["15"])
    others.classes.reverse()
    assert "classes" in breach(others)  # type: ignore[arg-type]


def test_the_parts_are_blocks_without_a_slice_in_two() -> None:
    assert [*TRAIN, *VALIDATION, *TEST] == list(range(24))


def test_no_scored_slice_is_in_the_project(tmp_path: Path) -> None:
    data = needed("isbi2012-em").parent
    make_project(tmp_path, membrane_sections(data), CLASSES)
    config = load_config(tmp_path / "unetctl.toml")
    assert [one.name for one in config.classes] == ["membrane", "cell"]
    parts = split_pairs([str(number) for number in range(24)], config.data)
    assert parts.train == tuple(TRAIN)
    assert parts.validation == tuple(VALIDATION)
    assert parts.test == ()


def test_the_truth_is_read_the_right_way_round() -> None:
    images, truths = read_slices(needed("isbi2012-em").parent, (0,))
    assert truths[0].dtype == bool
    assert images[0][truths[0]].mean() > images[0][~truths[0]].mean() + 30  # membranes are dark


def test_measures_have_one_key_each() -> None:
    assert len({one.key for one in MEASURES}) == len(MEASURES)
    assert set(scores_at(slices_best_at(0.5, (1,)), 0.5)) == {one.key for one in MEASURES}
    assert Measure(key="a", name="warping").decimals == 6
