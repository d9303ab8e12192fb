"""Scoring nuclei: the truth itself is nearly perfect, faults cost what they should, and the project is what it says."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.demo_nuclei import render, throw_nuclei, write_nuclei
from benchmarks.nuclei import prepare, source
from benchmarks.nuclei.card import CEILING, card
from benchmarks.nuclei.limits import recall_by_diameter, scaled
from benchmarks.nuclei.pictures import INVENTED, MATCHED, draw_cases, outlined, unmatched
from benchmarks.nuclei.score import read_part, results_of, score_image, spread_of, summed_up
from benchmarks.nuclei.split import read_split
from tests.data import needed
from unetctl.runtime.builtin import builtin_model
from unetctl.runtime.model import read_model
from unetctl.trainer.config import load_config
from unetctl.trainer.weight_map import separate

TRUTH = np.zeros((40, 60), np.uint16)
TRUTH[5:15, 5:15], TRUTH[5:15, 15:25], TRUTH[25:35, 40:50] = 1, 2, 3


def labels_of(truth: NDArray[np.integer]) -> NDArray[np.uint8]:
    """What a perfect network would give: the nuclei as they are cut for training."""
    return (separate(truth) > 0).astype(np.uint8)


def test_the_truth_as_it_is_cut_for_training_lacks_no_object_and_only_the_line() -> None:
    found = score_image("a", TRUTH, labels_of(TRUTH))
    assert (found.ap50, found.at_half) == (1.0, (3, 0, 0))
    assert found.dice == pytest.approx(2 * 290 / (290 + 300))


def test_nuclei_that_run_together_cost_objects_but_no_pixels() -> None:
    found = score_image("a", TRUTH, (TRUTH > 0).astype(np.uint8))
    assert found.dice == 1.0
    assert found.ap50 < 1


def test_means_over_images_and_all_of_them_pooled_differ() -> None:
    good, bad = score_image("a", TRUTH, labels_of(TRUTH)), score_image("b", TRUTH, np.zeros(TRUTH.shape, np.uint8))
    more = score_image("c", np.where(TRUTH == 3, 1, 0), labels_of(np.where(TRUTH == 3, 1, 0)))
    found = summed_up([good, bad, more])
    assert found["ap50_mean"] == pytest.approx(2 / 3)
    assert found["ap50_pooled"] == pytest.approx(4 / 7)
    assert found["nuclei"] == 7
    assert found["dice_mean"] == pytest.approx((1 + 2 * 290 / 590) / 3)
    listed = results_of([good, bad, more])
    assert listed["images"][0]["name"] == "b"
    assert listed["by_size"].keys() == {"60x40"}


def test_what_is_missed_and_invented_is_told_apart() -> None:
    found = np.where(TRUTH == 3, 0, TRUTH)
    found[20:24, 2:6] = 9
    missed, invented = unmatched(TRUTH, found)
    assert (missed.tolist(), invented.tolist()) == ([3], [9])
    drawn = outlined(np.zeros(TRUTH.shape, np.uint8), found, invented, INVENTED)
    assert tuple(drawn[20, 2]) == INVENTED
    assert tuple(drawn[5, 5]) == MATCHED


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    image = (40 * (TRUTH > 0)).astype(np.uint8)
    draw_cases([("a", image, TRUTH, labels_of(TRUTH)), ("b", image, TRUTH, np.zeros_like(image))], tmp_path / "a.png")
    assert imagecodecs.imread(tmp_path / "a.png").shape[2] in (3, 4)


def test_nuclei_are_counted_by_their_size() -> None:
    image = np.zeros(TRUTH.shape, np.uint8)
    found = recall_by_diameter({"a": (image, TRUTH)}, {"a": labels_of(np.where(TRUTH == 3, 0, TRUTH))})
    assert found == {"8 to 12 px": {"nuclei": 3, "found": pytest.approx(2 / 3)}}
    assert scaled({"a": (image, TRUTH)}, 2.0)["a"][1].shape == (80, 120)
    assert not scaled({"a": (np.zeros((1000, 10), np.uint8), TRUTH)}, 2.0)
    assert not scaled({"a": (image, np.zeros_like(TRUTH))}, 0.5)


def test_the_card_says_the_figures_and_refuses_those_of_another_model() -> None:
    spec = read_model(builtin_model("nuclei")).spec
    one = summed_up([score_image("a", TRUTH, labels_of(TRUTH))])
    models = {
        seed: {"weights_sha256": hash_, "all": one, "by_size": {"60x40": one}}
        for seed, hash_ in (("seed0", spec.weights_sha256), ("seed1", "other"))
    }
    scores = {"models": models, "mean_of_models": spread_of(models)}
    limits = {
        "weights_sha256": spec.weights_sha256,
        "by_diameter": {"8 to 12 px": {"nuclei": 3, "found": 0.5}},
        "by_scale": {"2": one},
        "inverted": one,
        "noise": {"pixels": 0.25, "objects_per_mpx": 12.0},
    }
    text = card(spec, scores, limits)
    for words in (spec.weights_sha256, "| 60x40 | 1 | 3 | 0.983 |", "Of 2 models", "25.00 % of the pixels", "Clumps"):
        assert words in text
    assert "{" not in text
    with pytest.raises(ValueError, match="not of this model"):
        card(spec, scores, limits | {"weights_sha256": "other"})


def test_the_demos_nuclei_are_the_same_each_time_and_touch(tmp_path: Path) -> None:
    for name in ("a", "b"):
        count = write_nuclei(tmp_path / f"{name}.tif", tmp_path / f"{name}_truth.tif", side_px=512)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    image, truth = render(throw_nuclei(512, seed=5), 512, seed=5)
    assert count == len(np.unique(truth)) - 1 > 40
    assert np.mean(image[truth > 0]) > 2 * np.mean(image[truth == 0])
    cut = separate(truth) > 0
    assert np.count_nonzero(cut) < np.count_nonzero(truth), "nuclei that touch are cut apart"


def test_the_project_is_the_committed_one_with_its_nuclei(tmp_path: Path) -> None:
    needed(source.NAME)
    parts = prepare.prepare(tmp_path / "project")
    assert parts == {part: sum(one.part == part for one in read_split()) for part in parts}
    config = load_config(tmp_path / "project" / "unetctl.toml")
    assert config.data.kind == "instances"
    images = read_part(tmp_path / "project", "test")
    assert len(images) == parts["test"]
    scores = [score_image(name, truth, labels_of(truth)) for name, (_, truth) in images.items()]
    assert summed_up(scores)["ap50_pooled"] == pytest.approx(CEILING, abs=5e-4)
