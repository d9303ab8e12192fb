"""The demo's cells: the same each time, without seams, and no task for a threshold."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from benchmarks.demo_data import CLASSES, Slide, make_slide, render, write_slide, write_training
from benchmarks.demo_score import score

SIDE_PX = 1024


@pytest.fixture(scope="module")
def slide() -> Slide:
    return make_slide((SIDE_PX, SIDE_PX), seed=4)


def test_every_class_is_there(slide: Slide) -> None:
    _, labels = render(slide, (0, 0, SIDE_PX, SIDE_PX))
    parts = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    assert len(parts) == len(CLASSES)
    assert all(0.05 < part < 0.9 for part in parts)


def test_a_part_has_the_labels_of_the_whole(slide: Slide) -> None:
    _, whole = render(slide, (0, 0, SIDE_PX, SIDE_PX))
    _, part = render(slide, (300, 200, 556, 456))
    np.testing.assert_array_equal(part, whole[300:556, 200:456])


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_training(tmp_path / name, images=2, side_px=128)
        write_slide(tmp_path / name / "slide.tif", tmp_path / name / "truth.tif", side_px=600)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.*"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    image, labels = (imagecodecs.imread(tmp_path / "first" / kind / "cells_01.png") for kind in ("images", "labels"))
    assert image.shape == labels.shape == (128, 128)
    assert tifffile.imread(tmp_path / "first" / "slide.tif").shape == (600, 600)


def test_a_threshold_fails_and_the_truth_is_perfect(tmp_path: Path) -> None:
    slide, truth = tmp_path / "slide.tif", tmp_path / "truth.tif"
    write_slide(slide, truth, side_px=1024)
    by_class, any_cell, otsu = score(slide, truth, truth)
    assert set(by_class.dice) == set(any_cell.dice) == {1.0}
    assert otsu.dice[0] < 0.6
