"""The benchmarks on objects: which images train, choose and are scored; cleaning; the rim of the film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from benchmarks import u373
from benchmarks.ablation import FOLDS, NO_AUGMENTATION, VARIANTS, Fold, ablation_table, prepare, project_sections
from benchmarks.object_scores import CLEANINGS, Cleaning, choose_cleaning, cleaned, score_objects
from benchmarks.project_runs import make_project, merged
from benchmarks.u373 import MASKS, SCORED, TRAIN, VALIDATION, masks_of, reaching_in, within_interest
from tests.data import needed
from tests.trainer.project import pair_of
from unetctl.trainer.config import Config, load_config
from unetctl.trainer.pairs import find_pairs
from unetctl.trainer.sample import draw_sample
from unetctl.trainer.settings import AugmentConfig
from unetctl.trainer.split import Parts, split_pairs


def disc(side: int, y: int, x: int, radius: int, number: int) -> NDArray[np.int32]:
    rows, columns = np.mgrid[:side, :side]
    return np.where((rows - y) ** 2 + (columns - x) ** 2 < radius**2, number, 0).astype(np.int32)


def parts_of(config: Config) -> tuple[list[str], Parts]:
    found = find_pairs(config.resolve(config.data.images), config.resolve(config.data.labels))
    assert not found.problems
    stems = [one.stem for one in found.pairs]
    return stems, split_pairs(stems, config.data)


def test_a_perfect_prediction_scores_one_and_cleaning_leaves_it() -> None:
    truth = disc(64, 20, 20, 9, 5) + disc(64, 45, 45, 12, 2)
    scores = score_objects([truth], [np.roll(np.array([0, 1, 2, 3, 4, 9, 6]), 0)[truth]])
    assert (scores.seg, scores.ap50, scores.dice, scores.iou) == (1, 1, 1, 1)
    assert choose_cleaning([truth], [truth]) == Cleaning()


def test_cleaning_drops_the_small_and_fills_holes() -> None:
    objects = disc(64, 20, 20, 9, 1) + disc(64, 50, 50, 3, 2)
    objects[20, 20] = 0
    found = cleaned(objects, Cleaning(smallest_px=30, is_filled=True))
    np.testing.assert_array_equal(found, disc(64, 20, 20, 9, 1))
    np.testing.assert_array_equal(cleaned(objects, Cleaning()), objects)
    assert Cleaning() == CLEANINGS[0]


def test_a_hole_with_another_object_in_it_keeps_that_object() -> None:
    ring = disc(64, 32, 32, 15, 1) - disc(64, 32, 32, 9, 1) + disc(64, 32, 32, 4, 2)
    found = cleaned(ring, Cleaning(is_filled=True))
    np.testing.assert_array_equal(found == 2, ring == 2)
    assert not (found[disc(64, 32, 32, 15, 1) > 0] == 0).any()


def test_the_cleaning_that_is_chosen_is_the_one_that_helps() -> None:
    truth = disc(64, 20, 20, 9, 1) + disc(64, 45, 45, 12, 2)
    dirty = truth + disc(64, 55, 10, 3, 3)
    dirty[45, 40:50] = 0
    assert choose_cleaning([truth], [dirty]) == Cleaning(smallest_px=30, is_filled=True)


def test_no_image_has_two_roles_in_a_fold() -> None:
    for fold in FOLDS:
        assert len({*fold.train, fold.chooses, fold.scored}) == len(fold.train) + 2
    assert {one.scored for one in FOLDS} == {one.chooses for one in FOLDS} == {"set46", "set47"}


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.scored)
def test_the_scored_image_is_in_no_part_of_the_project(tmp_path: Path, fold: Fold) -> None:
    prepare(needed("usiigaci-phase-contrast").parent, tmp_path / "data")
    make_project(tmp_path / "project", project_sections(tmp_path / "data", fold))
    stems, parts = parts_of(load_config(tmp_path / "project" / "unetctl.toml"))
    assert sorted(stems) == ["set1", "set30", "set46", "set47"]
    assert [stems[index] for index in parts.train] == ["set1", "set30"]
    assert [stems[index] for index in parts.validation] == [fold.chooses]
    assert parts.test == ()


def test_a_variant_changes_what_its_name_says_and_nothing_else(tmp_path: Path) -> None:
    made = {}
    for name, variant in VARIANTS.items():
        folder = tmp_path / name
        make_project(
            folder, merged({"project": {"name": "p"}, "data": {"kind": "instances"}}, {"train": {"steps": 7}}, variant)
        )
        config = load_config(folder / "unetctl.toml")
        made[name] = (config.train, config.augment)
        assert bool(config.border_weight) == (name != "without border weights")
    train, augment = made["full recipe"]
    assert augment.elastic_px > 0
    assert made["without elastic deformation"][0] == made["without any augmentation"][0] == train
    assert made["without border weights"][1] == augment
    for name, key in (("without elastic deformation", "elastic_px"), ("without border weights", "border_weight")):
        part = int(name == "without elastic deformation")
        changed = {one for one in made["full recipe"][part].__slots__ if differ(made, name, part, one)}
        assert changed == {key}


def differ(made: dict[str, tuple[object, ...]], name: str, part: int, key: str) -> bool:
    return bool(getattr(made[name][part], key) != getattr(made["full recipe"][part], key))


def test_without_any_augmentation_a_sample_is_a_part_of_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 80, 80), dtype=np.uint8)
    pair = pair_of(image, np.zeros((80, 80)))
    for seed in range(6):
        sample = draw_sample(
            pair,
            tile=32,
            depth=1,
            settings=AugmentConfig(**NO_AUGMENTATION),
            class_weights=torch.ones(2),
            random=torch.Generator().manual_seed(seed),
        )
        side = sample.image.shape[-1]
        middle = np.rint(sample.image[0, 0, 10:-10, 10:-10].numpy()).astype(np.uint8)  # no mirrored pixels
        windows = np.lib.stride_tricks.sliding_window_view(image[0], (side - 20, side - 20))
        assert (windows == middle).all(axis=(2, 3)).any()


def test_the_table_tells_what_each_part_is_worth() -> None:
    def run(variant: str, seed: int, score: float) -> dict[str, object]:
        return {"variant": variant, "seed": seed, "scores": {"seg": score, "ap50": score, "dice": score}}

    runs = [run("full recipe", 0, 0.8), run("full recipe", 1, 0.6), run("without border weights", 0, 0.5)]
    lines = ablation_table(runs).splitlines()
    assert "| full recipe | 0.700 ± 0.141 |" in lines[2]
    assert "| without border weights | 0.500 (-0.200) |" in lines[3]


def test_no_frame_is_in_two_parts_and_the_scored_come_frames_later() -> None:
    assert not set(TRAIN) & set(VALIDATION)
    for masks in MASKS:
        assert set(masks_of(masks)) <= {*TRAIN, *VALIDATION}
        assert min(SCORED) - max(masks_of(masks)) > 5
    assert masks_of("mixed")[10] == masks_of("gold")[10] == "gold"
    assert masks_of("mixed")[11] == masks_of("silver")[10] == "silver"


def test_no_scored_frame_reaches_the_project(tmp_path: Path) -> None:
    data = needed("ctc-PhC-C2DH-U373").parent
    for masks in ("silver", "gold"):
        u373.prepare(data, tmp_path / masks, masks)
        make_project(tmp_path / f"project-{masks}", u373.project_sections(tmp_path / masks, masks))
        config = load_config(tmp_path / f"project-{masks}" / "unetctl.toml")
        stems, parts = parts_of(config)
        assert not {f"t{one:03}" for one in SCORED} & set(stems)
        assert {*parts.train, *parts.validation} == set(range(len(stems)))
        assert not {*parts.train} & {*parts.validation}
        assert tifffile.imread(tmp_path / masks / "images" / "t010.tif").shape == (420, 596)
    for number in SCORED:
        assert u373.read_frame(data, "gold", number).max() > 0


def test_objects_that_lie_in_the_rim_altogether_are_dropped() -> None:
    objects = disc(300, 150, 40, 20, 1) + disc(300, 20, 150, 15, 2)  # one reaches in by 10 px, one does not
    np.testing.assert_array_equal(reaching_in(objects), disc(300, 150, 40, 20, 1))
    assert within_interest(objects).shape == (200, 200)


def test_gold_masks_have_no_object_in_the_rim_alone() -> None:
    data = needed("ctc-PhC-C2DH-U373").parent
    for number in (10, *SCORED):
        gold = u373.read_frame(data, "gold", number)
        np.testing.assert_array_equal(reaching_in(gold), gold)
