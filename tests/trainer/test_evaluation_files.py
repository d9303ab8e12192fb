"""What is matched, read and refused before anything is scored."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.models import tiny_network, tiny_spec
from tests.trainer.project import write_png
from unetctl.runtime.errors import DataError, MissingInputError, ResourceError, UsageError
from unetctl.trainer import evaluation_images
from unetctl.trainer.evaluation_files import check_partners, find_planes, part_of
from unetctl.trainer.evaluation_images import read_planes
from unetctl.trainer.settings import DataConfig

SHAPE = (6, 8)


def write(folder: Path, *names: str, shape: tuple[int, ...] = SHAPE) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        array = np.zeros(shape, np.uint8)
        if name.endswith(".png"):
            write_png(folder / name, array)
        elif name.endswith(".jpg"):
            (folder / name).write_bytes(imagecodecs.jpeg8_encode(array))
        else:
            tifffile.imwrite(folder / name, array, photometric="minisblack")
    return folder


def test_files_are_matched_by_stem_in_natural_order(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "cell10.png", "cell2.png")
    images = write(tmp_path / "images", "cell2.tif", "cell10.tif", "cell3.tif")
    planes, notices = find_planes(labels, images, None)
    assert [plane.name for plane in planes] == ["cell2", "cell10"]
    assert [plane.image for plane in planes] == [images / "cell2.tif", images / "cell10.tif"]
    assert notices == [f"{images}: 1 image(s) without a label are not scored: cell3"]
    check_partners(planes, images, None)


def test_a_label_without_a_partner_is_named(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "a.png", "b.png")
    found = write(tmp_path / "found", "a.png")
    planes, _ = find_planes(labels, None, found)
    with pytest.raises(DataError, match=r"b\.png: no prediction of this name"):
        check_partners(planes, None, found)
    check_partners(planes[:1], None, found)  # of the images that are scored only


def test_results_of_segment_are_taken_from_among_the_images(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "a.png")
    folder = write(tmp_path / "images", "a.tif", "a.labels.ome.tif", "a.labels.preview.png")
    planes, notices = find_planes(labels, None, folder)
    assert planes[0].prediction == folder / "a.labels.ome.tif"
    assert len(notices) == 1
    assert "nothing else" in notices[0]


def test_the_planes_of_stacks_are_images(tmp_path: Path) -> None:
    for name in ("labels", "found"):
        write(tmp_path, f"{name}.tif", shape=(3, *SHAPE))
    planes, _ = find_planes(tmp_path / "labels.tif", None, tmp_path / "found.tif")
    assert [plane.name for plane in planes] == ["labels[0]", "labels[1]", "labels[2]"]
    assert len(read_planes(planes, None)) == 3
    folder = write(tmp_path / "folder", "labels.png")
    with pytest.raises(MissingInputError, match="folders only"):
        find_planes(tmp_path / "labels.tif", folder, None)


def test_a_part_is_that_of_the_split(tmp_path: Path) -> None:
    planes, _ = find_planes(write(tmp_path / "labels", *(f"{k}.png" for k in range(10))), None, None)
    settings = DataConfig(validation=("7-8",), test=("9",))
    assert [one.name for one in part_of(planes, settings, "test")] == ["9"]
    assert [one.name for one in part_of(planes, settings, "validation")] == ["7", "8"]
    with pytest.raises(UsageError, match="test names no image"):
        part_of(planes, DataConfig(), "test")


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="gone is not there"):
        find_planes(tmp_path / "gone", None, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="no label image"):
        find_planes(tmp_path / "empty", None, None)
    labels = write(tmp_path / "labels", "a.png")
    with pytest.raises(MissingInputError, match="no prediction"):
        find_planes(labels, None, tmp_path / "empty")


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "a.png", "b.png", "c.png", "d.png")
    found = write(tmp_path / "found", "a.png")
    write(found, "b.png", shape=(6, 9))
    write(found, "c.jpg")
    tifffile.imwrite(found / "d.tif", np.zeros(SHAPE, np.float32))
    planes, _ = find_planes(labels, None, found)
    with pytest.raises(DataError) as caught:
        read_planes(planes, None)
    text = str(caught.value)
    assert "3 problem(s)" in text
    assert "b.png: 9 x 6 px, and its label image b.png is 8 x 6" in text
    assert "c.jpg: a JPEG label image" in text
    assert "d.tif: float32 values" in text


def test_a_damaged_label_image_is_named(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "a.png")
    (labels / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        find_planes(labels, None, None)


def test_images_must_be_what_the_model_takes(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels", "a.png")
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "a.tif", np.zeros(SHAPE, np.uint16))
    planes, _ = find_planes(labels, images, None)
    network = tiny_network(depth=1, base_channels=2)
    with pytest.raises(DataError, match=r"1 channel\(s\) of uint16; the model tiny takes 1 of uint8"):
        read_planes(planes, tiny_spec(network))
    assert read_planes(planes, None)[0].image is not None  # it is only shown


def test_images_that_the_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes, _ = find_planes(write(tmp_path / "labels", "a.png"), None, None)
    monkeypatch.setattr(evaluation_images, "free_memory_bytes", lambda: 64)
    with pytest.raises(ResourceError, match="score fewer"):
        read_planes(planes, None)
