"""Which pages of a TIFF are planes, channels, levels, or none of these."""

from pathlib import Path
from typing import Any

import pytest
import tifffile

from tests.runtime.reading import (
    assert_delivers,
    info_of,
    pattern,
    source_of,
    write,
)
from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.image import open_image


def test_pages_of_one_shape_are_planes(tmp_path: Path) -> None:
    image = pattern(5, 1, 40, 50)
    write(tmp_path / "a.tif", image[:, 0], compression="zlib")
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        for index, page in enumerate(image[:, 0]):
            writer.write(page, compression="zlib" if index % 2 else None, metadata=None)
    assert info_of(tmp_path / "mixed.tif").chunk_bytes == 40 * 50, "the page that takes the most decides"
    for name in ("a.tif", "mixed.tif"):
        with source_of(tmp_path / name) as source:
            assert source.info.plane_axes == (("I", 5),)
            assert_delivers(source, image)


def test_imagej_hyperstack_has_named_axes_and_a_pixel_size(tmp_path: Path) -> None:
    image = pattern(3, 2, 2, 40, 50, dtype="uint16")  # T Z C Y X
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, image, imagej=True, resolution=(4.0, 4.0), metadata={"axes": "TZCYX", "unit": "um", "spacing": 1}
    )
    with source_of(path) as source:
        assert source.info.plane_axes == (("T", 3), ("Z", 2))
        assert source.info.pixel_size_um == pytest.approx(0.25)
        assert_delivers(source, image.reshape(6, 2, 40, 50))


def test_imagej_planes_without_pages_of_their_own_are_read(tmp_path: Path) -> None:
    """ImageJ writes stacks of more than 4 GiB so: one page, and all planes after each other."""
    image = pattern(6, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, truncate=True, metadata={"axes": "TYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 1
    with source_of(tmp_path / "a.tif") as source:
        assert_delivers(source, image[:, None])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[:-2100])
    with pytest.raises(DataError, match="contradicts the file"):
        open_image(tmp_path / "cut.tif")


def test_ome_axes_channels_and_pixel_size(tmp_path: Path) -> None:
    image = pattern(3, 2, 4, 40, 50)  # T C Z Y X
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "TCZYX", "PhysicalSizeX": 500.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(
        path, image, tile=(16, 16), compression="zlib", metadata={**metadata, "Channel": {"Name": ["a", "b"]}}
    )
    with source_of(path) as source:
        assert source.info.plane_axes == (("T", 3), ("Z", 4))
        assert source.info.channel_names == ("a", "b")
        assert source.info.pixel_size_um == pytest.approx(0.5)
        assert source.info.chunk_bytes == 2 * 256
        assert_delivers(source, image.transpose(0, 2, 1, 3, 4).reshape(12, 2, 40, 50))
    with source_of(path, channels=(1,)) as source:
        assert_delivers(source, image.transpose(0, 2, 1, 3, 4).reshape(12, 2, 40, 50)[:, 1:])


@pytest.mark.parametrize("ome", [True, False])
def test_pyramid_levels_are_no_planes(tmp_path: Path, ome: bool) -> None:
    image = pattern(2, 128, 160)
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} if ome else {}
    options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "metadata": {"axes": "TYX", **size}}
    with tifffile.TiffWriter(path, ome=ome) as writer:
        writer.write(image, subifds=2, **options)
        writer.write(image[:, ::2, ::2], subfiletype=1, **options)
        writer.write(image[:, ::4, ::4], subfiletype=1, **options)
    with source_of(path) as source:
        assert_delivers(source, image[:, None])
    with source_of(path, level=1) as source:
        assert source.info.pixel_size_um == (1.0 if ome else None)
        assert_delivers(source, image[:, None, ::2, ::2])
    with pytest.raises(UsageError, match="has 3, counted from 0"):
        open_image(path, level=3)


def test_thumbnails_and_pyramids_in_pages_are_no_planes(tmp_path: Path) -> None:
    image = pattern(128, 160)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image, tile=(32, 32), metadata=None)
        writer.write(image[::2, ::2], tile=(32, 32), subfiletype=1, metadata=None)
        writer.write(pattern(30, 41), subfiletype=1, metadata=None)
    with source_of(tmp_path / "a.tif") as source:
        assert_delivers(source, image[None, None])


def test_images_of_different_sizes_must_be_chosen(tmp_path: Path) -> None:
    first, second = pattern(50, 60), pattern(70, 40)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(first, metadata=None)
        writer.write(second, metadata=None)
    with pytest.raises(UsageError, match=r"2 images .*0 \(60 x 50 px\), 1 \(40 x 70 px\)"):
        open_image(tmp_path / "a.tif")
    with source_of(tmp_path / "a.tif", series=1) as source:
        assert_delivers(source, second[None, None])
    with pytest.raises(UsageError, match="no series 2"):
        open_image(tmp_path / "a.tif", series=2)


def test_only_the_channels_asked_for_are_decoded(tmp_path: Path) -> None:
    image = pattern(3, 64, 64)
    write(tmp_path / "a.tif", image, tile=(32, 32), compression="zlib", photometric="rgb", planarconfig="separate")
    with source_of(tmp_path / "a.tif", channels=(2,)) as source:
        assert (source.info.channels, source.info.channel_names) == (1, ("blue",))
        assert source.info.chunk_bytes == 32 * 32
        assert_delivers(source, image[None, 2:])
        assert source.cache.decoded_chunks == 4
    with pytest.raises(UsageError, match=r"it has 1 \(red\), 2 \(green\), 3 \(blue\)"):
        open_image(tmp_path / "a.tif", channels=(0, 3))
