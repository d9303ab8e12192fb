from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.data import needed
from tests.trainer.project import discs, make_project, write_png, write_toml
from unetctl.runtime.errors import DataError, ResourceError, UsageError
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.statistics import array_statistics
from unetctl.trainer import dataset as dataset_module
from unetctl.trainer.config import Config
from unetctl.trainer.dataset import load_dataset
from unetctl.trainer.label_values import class_map
from unetctl.trainer.settings import DataConfig


def test_a_folder_of_pairs_is_read_in_order(tmp_path: Path) -> None:
    data = load_dataset(make_project(tmp_path, pairs=5))
    assert [pair.name for pair in data.train] == ["cell0", "cell1", "cell2", "cell3"]
    assert [pair.name for pair in data.validation] == ["cell4"]
    assert data.pixel_type is PixelType.UINT8
    assert data.channel_names == ("gray",)
    assert [one.name for one in data.classes.classes] == ["class 0", "class 1"]
    for index, pair in enumerate(data.train):
        image, instances = discs(index)
        assert (pair.image[0] == image).all()
        assert (pair.labels == (instances > 0)).all()
    assert (
        data.class_pixels().tolist()
        == np.bincount(np.concatenate([pair.labels.ravel() for pair in data.train])).tolist()
    )


def test_bytes_are_two_classes_and_this_is_said(tmp_path: Path) -> None:
    data = load_dataset(make_project(tmp_path, labels="bytes"))
    assert (data.train[0].labels == (discs(0)[1] > 0)).all()
    assert any("0 and 255" in notice for notice in data.notices)
    assert [one.name for one in data.classes.classes] == ["value 0", "value 255"]


def test_values_are_mapped_to_the_classes_of_the_toml(tmp_path: Path) -> None:
    toml = """
    [data]
    background = "ground"
    [[classes]]
    name = "cell"
    values = [1, 2, 3]
    colour = "#00ff00"
    [[classes]]
    name = "ground"
    values = [0]
    [[classes]]
    name = "other"
    values = [4, 5, 6]
    """
    data = load_dataset(make_project(tmp_path, labels="instances", toml=toml))
    instances = discs(1)[1]
    expected = np.where(instances == 0, 1, np.where(instances < 4, 0, 2))
    assert (data.train[1].labels == expected).all()
    assert data.classes.background == 1
    assert [one.colour for one in data.classes.classes][:2] == ["#00ff00", "#000000"]
    assert not any("0 and 255" in notice for notice in data.notices)


def test_instances_become_objects_with_background_between_them(tmp_path: Path) -> None:
    data = load_dataset(make_project(tmp_path, labels="instances", toml='[data]\nkind = "instances"'))
    pair, instances = data.train[1], discs(1)[1]
    assert [one.name for one in data.classes.classes] == ["background", "object"]
    assert data.classes.background == 0
    assert 0 < np.count_nonzero((instances > 0) & (pair.labels == 0)) < 100
    assert not pair.labels[instances == 0].any()
    assert pair.border.max() > 5


def test_the_normalisation_is_of_all_training_pixels(tmp_path: Path) -> None:
    data = load_dataset(make_project(tmp_path))
    pixels = np.concatenate([pair.image.ravel() for pair in data.train])
    assert data.normalisation.scope is Scope.MODEL
    np.testing.assert_allclose(data.normalisation.shift, [pixels.mean()], rtol=1e-9)
    np.testing.assert_allclose(data.normalisation.scale, [1 / pixels.std()], rtol=1e-9)
    assert (data.validation[0].shift == data.train[0].shift).all()


def test_the_normalisation_can_be_of_each_image(tmp_path: Path) -> None:
    data = load_dataset(make_project(tmp_path, toml='[data]\nnormalise = "image"'))
    assert data.normalisation.scope is Scope.IMAGE
    assert data.normalisation.shift == ()
    own = array_statistics(data.validation[0].image)
    np.testing.assert_allclose(data.validation[0].shift, own.shift, rtol=1e-6)
    assert not (data.validation[0].shift == data.train[0].shift).all()


def test_a_model_whose_images_give_their_own_scale_takes_8_and_16_bits(tmp_path: Path) -> None:
    assert load_dataset(make_project(tmp_path, toml='[data]\nnormalise = "image"\n')).pixel_type is PixelType.UINT16


def test_two_stacks_give_a_pair_for_every_plane(tmp_path: Path) -> None:
    pairs = [discs(index) for index in range(5)]
    tifffile.imwrite(tmp_path / "volume.tif", np.stack([one for one, _ in pairs]).astype(np.uint16) * 200)
    tifffile.imwrite(tmp_path / "truth.tif", np.stack([(one > 0).astype(np.uint8) for _, one in pairs]))
    data = load_dataset(
        write_toml(tmp_path, '[data]\nimages = "volume.tif"\nlabels = "truth.tif"\nvalidation = ["1-2"]\ntest = ["0"]')
    )
    assert [pair.name for pair in data.train] == ["volume[3]", "volume[4]"]
    assert [pair.name for pair in data.validation] == ["volume[1]", "volume[2]"]
    assert data.pixel_type is PixelType.UINT16
    assert (data.test[0].image[0] == pairs[0][0].astype(np.uint16) * 200).all()
    assert (data.train[1].labels == (pairs[4][1] > 0)).all()


def test_colour_images_are_taken(tmp_path: Path) -> None:
    for index in range(2):
        image, instances = discs(index)
        write_png(tmp_path / "images" / f"{index}.png", np.stack([image, image // 2, 255 - image], axis=2))
        write_png(tmp_path / "labels" / f"{index}.png", (instances > 0).astype(np.uint8))
    data = load_dataset(write_toml(tmp_path, ""))
    assert data.channel_names == ("red", "green", "blue")
    assert data.train[0].image.shape == (3, 72, 60)
    assert len(data.normalisation.shift) == 3


def _faults() -> dict[str, tuple[str, NDArray[Any], str]]:
    """Name of the fault: which file, what is written into it, what must be said."""
    image, instances = discs(0)
    labels = (instances > 0).astype(np.uint8)
    rgba = np.stack([image, image, image, np.full_like(image, 255)], axis=2)
    with_nan = image.astype(np.float32)
    with_nan[3, 3] = np.nan
    return {
        "rgba": ("images/cell1.png", rgba, "alpha"),
        "rgb among gray": ("images/cell1.png", rgba[..., :3], "3 channel"),
        "16 bits among 8": ("images/cell1.png", image.astype(np.uint16), "uint16"),
        "float with NaN": ("images/cell1.tif", with_nan, "float32"),
        "another size": ("images/cell1.png", image[:-1], "60 x 71"),
        "colour labels": ("labels/cell1.png", rgba[..., :3], "colour label"),
        "float labels": ("labels/cell1.tif", labels.astype(np.float32), "float32"),
        "unknown value": ("labels/cell1.png", labels * 7, "7"),
    }


@pytest.mark.parametrize("fault", _faults())
def test_a_wrong_file_is_named(tmp_path: Path, fault: str) -> None:
    name, array, words = _faults()[fault]
    toml = '[[classes]]\nname = "a"\n[[classes]]\nname = "b"\n' if fault == "unknown value" else ""
    config = make_project(tmp_path, toml=toml)
    path = tmp_path / name
    path.with_suffix(".png").unlink()
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        write_png(path, array)
    with pytest.raises(DataError) as caught:
        load_dataset(config)
    assert "1 problem" in str(caught.value)
    assert path.name in str(caught.value)
    assert words in str(caught.value)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    (tmp_path / "images" / "cell2.png").write_bytes(b"<html>not found</html>")
    whole = (tmp_path / "labels" / "cell0.png").read_bytes()
    (tmp_path / "labels" / "cell0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        load_dataset(config)
    assert str(tmp_path / "images" / "cell2.png") in str(caught.value)
    assert str(tmp_path / "labels" / "cell0.png") in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    config = make_project(tmp_path, pairs=16)
    for index in range(12):
        (tmp_path / "labels" / f"cell{index}.png").unlink()
    write_png(tmp_path / "labels" / "cell12.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError) as caught:
        load_dataset(config)
    text = str(caught.value)
    assert "13 problem(s)" in text
    assert "cell9.png" in text
    assert "and 3 more" in text


def test_values_with_a_gap_and_a_single_class_are_refused(tmp_path: Path) -> None:
    config = make_project(tmp_path / "gap")
    write_png(tmp_path / "gap" / "labels" / "cell0.png", 3 * np.ones((72, 60), np.uint8))
    with pytest.raises(DataError, match="0, 1, 3"):
        load_dataset(config)
    config = make_project(tmp_path / "single", toml='[data]\nkind = "instances"')
    for index in range(4):
        write_png(tmp_path / "single" / "labels" / f"cell{index}.png", np.zeros((72, 60), np.uint8))
    with pytest.raises(DataError, match="single class"):
        load_dataset(config)


def test_labels_of_one_bit_are_two_classes(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    bits = discs(0)[1] > 0
    (tmp_path / "labels" / "cell0.png").unlink()
    tifffile.imwrite(tmp_path / "labels" / "cell0.tif", bits, photometric="minisblack")
    assert (load_dataset(config).train[0].labels == bits).all()


def test_pixel_sizes_are_taken_from_the_images_if_they_agree(tmp_path: Path) -> None:
    for index in range(3):
        image, instances = discs(index)
        (tmp_path / "images").mkdir(exist_ok=True)
        metadata = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
        tifffile.imwrite(tmp_path / "images" / f"{index}.ome.tif", image, metadata=metadata)
        write_png(tmp_path / "labels" / f"{index}.ome.png", (instances > 0).astype(np.uint8))
    assert load_dataset(write_toml(tmp_path, "")).pixel_size_um == pytest.approx(0.25)
    assert load_dataset(write_toml(tmp_path, "[data]\npixel_size_um = 0.5")).pixel_size_um == 0.5


def test_too_little_memory_is_said_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_project(tmp_path)
    monkeypatch.setattr(dataset_module, "free_memory_bytes", lambda: 10_000)
    with pytest.raises(ResourceError, match="GB"):
        load_dataset(config)


def test_an_impossible_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 to 3"):
        load_dataset(make_project(tmp_path, toml='[data]\nvalidation = ["9"]'))


def test_a_change_of_the_data_changes_the_fingerprint(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    before = load_dataset(config).fingerprint
    assert load_dataset(config).fingerprint == before
    image = discs(0)[0]
    image[5, 5] ^= 1
    write_png(tmp_path / "images" / "cell0.png", image)
    assert load_dataset(config).fingerprint != before


def test_real_rgba_images_are_refused_and_said_why(tmp_path: Path) -> None:
    folder = needed("dsb2018-nuclei-cc0") / "train" / "brightgrey"
    toml = f'[data]\nkind = "instances"\nimages = "{(folder / "images").as_posix()}"\n'
    toml += f'labels = "{(folder / "labels").as_posix()}"'
    with pytest.raises(DataError, match="RGBA"):
        load_dataset(write_toml(tmp_path, toml))


def test_real_membranes_are_read(tmp_path: Path) -> None:
    folder = needed("isbi2012-em") / "train"
    toml = f'[data]\nimages = "{(folder / "image").as_posix()}"\nlabels = "{(folder / "label").as_posix()}"\n'
    toml += 'validation = ["15-17"]\ntrain = ["0-1"]'
    data = load_dataset(write_toml(tmp_path, toml))
    assert [pair.name for pair in data.validation] == ["15", "16", "17"]
    assert data.train[0].image.shape == (1, 512, 512)
    assert 0.15 < data.class_pixels()[0] / data.class_pixels().sum() < 0.3  # membranes


def test_jpeg_labels_are_refused(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    (tmp_path / "labels" / "cell0.png").unlink()
    labels = 255 * (discs(0)[1] > 0).astype(np.uint8)
    (tmp_path / "labels" / "cell0.jpg").write_bytes(imagecodecs.jpeg8_encode(labels, level=70))
    with pytest.raises(DataError, match="JPEG label image"):
        load_dataset(config)


def test_values_that_may_number_objects_are_pointed_out(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    write_png(tmp_path / "labels" / "cell0.png", np.tile(np.arange(60, dtype=np.uint8), (72, 1)))
    data = load_dataset(config)
    assert len(data.classes.classes) == 60
    assert any('kind = "instances"' in notice for notice in data.notices)


def test_objects_with_negative_numbers_are_refused() -> None:
    config = Config(path=Path("unetctl.toml"), name="x", data=DataConfig(kind="instances"))

    assert class_map(config, [-1, 0, 3]).unknown([-1, 0, 3]) == [-1]
