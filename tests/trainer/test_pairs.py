from __future__ import annotations

from pathlib import Path

import pytest

from unetctl.runtime.errors import MissingInputError
from unetctl.trainer.pairs import find_pairs, natural_key


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_numbers_are_sorted_by_their_value() -> None:
    names = ["10", "2", "a10b2", "a2b10", "a2b9", "1", "A3"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "a2b9", "a2b10", "A3", "a10b2"]


def test_files_are_matched_by_stem_in_natural_order(tmp_path: Path) -> None:
    for index in (10, 2, 1):
        touch(tmp_path / "images" / f"{index}.tif", tmp_path / "labels" / f"{index}.PNG")
    touch(tmp_path / "images" / ".DS_Store", tmp_path / "images" / "Thumbs.db")
    found = find_pairs(tmp_path / "images", tmp_path / "labels")
    assert [pair.stem for pair in found.pairs] == ["1", "2", "10"]
    assert found.pairs[0].label.name == "1.PNG"
    assert not found.problems
    assert "Thumbs.db" in found.notices[0]
    assert ".DS_Store" not in found.notices[0]


def test_results_of_segment_beside_the_images_are_no_images(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    touch(images / "a.tif", images / "a.labels.ome.tif", images / "a.labels.preview.png", labels / "a.png")
    found = find_pairs(images, labels)
    assert [pair.stem for pair in found.pairs] == ["a"]
    assert not found.problems
    assert "2 results and previews" in found.notices[0]


def test_corrected_results_may_not_lie_among_the_labels_unnoticed(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    touch(images / "a.tif", labels / "a.png", labels / "a.labels.ome.tif")
    assert "no image of this name" in find_pairs(images, labels).problems[0]


def test_a_file_without_its_other_half_is_a_problem(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    touch(images / "a.png", images / "b.png", labels / "b.png", labels / "c.png", images / "b.tif")
    problems = "\n".join(find_pairs(images, labels).problems)
    assert f"{images / 'a.png'}: no label" in problems
    assert f"{labels / 'c.png'}: no image" in problems
    assert f"{images / 'b.tif'}: b.png has the same name" in problems


def test_two_stacks_are_one_pair(tmp_path: Path) -> None:
    touch(tmp_path / "volume.tif", tmp_path / "truth.tif")
    found = find_pairs(tmp_path / "volume.tif", tmp_path / "truth.tif")
    assert [(pair.image.name, pair.label.name) for pair in found.pairs] == [("volume.tif", "truth.tif")]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "labels" / "a.png")
    with pytest.raises(MissingInputError, match=r"images: .* is not there"):
        find_pairs(tmp_path / "images", tmp_path / "labels")
    touch(tmp_path / "stack.tif")
    with pytest.raises(MissingInputError, match="is a folder and"):
        find_pairs(tmp_path / "stack.tif", tmp_path / "labels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="no PNG, TIFF or JPEG"):
        find_pairs(tmp_path / "empty", tmp_path / "empty")
