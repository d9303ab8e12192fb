"""The published file, read back by tifffile: pixels, pyramid, classes, provenance, and damage that is seen."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.fakes import fake_spec
from unetctl.runtime import ome_tiff
from unetctl.runtime.chunks import ChunkGrid
from unetctl.runtime.errors import DataError
from unetctl.runtime.labels import build_pyramid, decode_chunk, encode_chunk
from unetctl.runtime.ome_tiff import verify_ome_tiff, write_ome_tiff
from unetctl.runtime.store import ChunkStore

AXES = (("T", 2), ("Z", 3))


@contextmanager
def filled_store(folder: Path, labels_pyx: NDArray[np.uint8]) -> Iterator[ChunkStore]:
    """Yield a store with all levels of some planes."""
    with ChunkStore(folder, ChunkGrid(planes=len(labels_pyx), image_yx=labels_pyx.shape[1:])) as store:
        for plane, labels in enumerate(labels_pyx):
            for key in store.grid.keys(plane, 0):
                y, x = 512 * key.row, 512 * key.column
                store.put(key, encode_chunk(labels[y : y + 512, x : x + 512]))
            build_pyramid(store, plane)
        yield store


def write(folder: Path, labels_pyx: NDArray[np.uint8], axes: tuple[tuple[str, int], ...] = ()) -> Path:
    """Write labels to an OME-TIFF in `folder` and verify it."""
    path = folder / "labels.ome.tif"
    with filled_store(folder, labels_pyx) as store:
        write_ome_tiff(
            path,
            store,
            plane_axes=axes,
            spec=fake_spec(classes=3),
            pixel_size_um=0.25,
            provenance={"command": 'unetctl segment "<x>&".tif'},
        )
        verify_ome_tiff(path, store)
    return path


def test_a_chunk_is_padded_and_comes_back() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (100, 37), np.uint8)
    decoded = decode_chunk(encode_chunk(labels))

    assert (decoded[:100, :37] == labels).all()
    assert not decoded[100:].any()
    assert not decoded[:, 37:].any()


def test_planes_levels_and_axes_come_back(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (2, 3, 1300, 700), np.uint8)
    with tifffile.TiffFile(write(tmp_path, labels.reshape(6, 1300, 700), AXES)) as file:
        series = file.series[0]

        assert series.axes == "TZYX"
        assert (series.asarray() == labels).all()
        for level in range(3):
            step = 2**level
            assert (series.levels[level].asarray() == labels[:, :, ::step, ::step]).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3000), (1, 512, 512), (1, 513, 511), (1, 1025, 2)])
def test_awkward_sizes_come_back(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 3, shape, np.uint8)

    assert (tifffile.imread(write(tmp_path, labels)) == labels[0]).all()


def test_classes_colours_pixel_size_and_provenance_are_inside(tmp_path: Path) -> None:
    with tifffile.TiffFile(write(tmp_path, np.zeros((1, 600, 600), np.uint8))) as file:
        text = file.ome_metadata
        meta = tifffile.xml2dict(text)["OME"]

        assert meta["Image"]["Pixels"]["PhysicalSizeX"] == 0.25
        first, second = meta["StructuredAnnotations"]["MapAnnotation"]
        assert json.loads(first["Value"]["M"]["value"])["command"] == 'unetctl segment "<x>&".tif'
        assert [one["value"] for one in second["Value"]["M"]] == [f"class {n} #204080" for n in range(3)]
        assert file.pages[0].tags["XResolution"].value[0] / file.pages[0].tags["XResolution"].value[1] == 40_000


def test_large_results_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_tiff, "CLASSIC_TIFF_BYTES", 1000)
    labels = np.random.default_rng(0).integers(0, 3, (1, 600, 600), np.uint8)
    path = write(tmp_path, labels)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
    assert (tifffile.imread(path) == labels[0]).all()


def test_a_flipped_bit_in_the_file_is_seen(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (1, 1200, 600), np.uint8)
    path = tmp_path / "labels.ome.tif"
    with filled_store(tmp_path, labels) as store:
        write_ome_tiff(path, store, plane_axes=(), spec=fake_spec(), pixel_size_um=None, provenance={})
        with tifffile.TiffFile(path) as file:
            offset = file.pages[0].pages[0].dataoffsets[1] + 5
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.write_bytes(content)

        with pytest.raises(DataError, match="not what was written"):
            verify_ome_tiff(path, store)


def test_coarser_levels_hold_only_labels_of_the_finer_one(tmp_path: Path) -> None:
    labels = (np.random.default_rng(0).integers(0, 2, (1, 1024, 1024)) * 2).astype(np.uint8)
    with tifffile.TiffFile(write(tmp_path, labels)) as file:
        assert set(np.unique(file.series[0].levels[1].asarray())) <= {0, 2}
