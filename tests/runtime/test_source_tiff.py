"""TIFF in every layout: the right pixels, each chunk decoded once, from any thread."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.reading import (
    Array,
    assert_delivers,
    pattern,
    read_plane,
    read_window,
    source_of,
    write,
)
from unetctl.runtime.errors import StorageError
from unetctl.runtime.plan import Window
from unetctl.runtime.source_tiff import TiffSource

RGB = ("red", "green", "blue")


TILED: dict[str, Any] = {"tile": (32, 48)}


LAYOUTS: dict[str, dict[str, Any]] = {
    "one raw strip": {},
    "raw strips": {"rowsperstrip": 7},
    "raw tiles": TILED,
    "deflate tiles": {**TILED, "compression": "zlib"},
    "deflate strips": {"rowsperstrip": 11, "compression": "zlib"},
    "one deflate strip": {"rowsperstrip": 1000, "compression": "zlib"},
    "zstd tiles, predictor": {**TILED, "compression": "zstd", "predictor": True},
    "lzw strips, predictor": {"rowsperstrip": 5, "compression": "lzw", "predictor": True},
    "packbits": {"rowsperstrip": 9, "compression": "packbits"},
    "lossless JPEG 2000": {**TILED, "compression": "jpeg2000"},
}


@pytest.mark.parametrize("container", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_delivers_its_pixels(tmp_path: Path, layout: str, dtype: str, container: dict[str, Any]) -> None:
    if "JPEG 2000" in layout and dtype == "uint16" and "byteorder" in container:
        pytest.skip("tifffile writes such files with swapped bytes, and reads them so")
    options = {**LAYOUTS[layout], **container}
    gray, colour = pattern(101, 133, dtype=dtype), pattern(101, 133, 3, dtype=dtype)
    write(tmp_path / "gray.tif", gray, photometric="minisblack", **options)
    write(tmp_path / "rgb.tif", colour, photometric="rgb", **options)
    write(tmp_path / "planar.tif", colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **options)
    with source_of(tmp_path / "gray.tif") as source:
        assert source.info.channel_names == ("gray",)
        assert_delivers(source, gray[None, None])
    for name in ("rgb.tif", "planar.tif"):
        with source_of(tmp_path / name) as source:
            assert source.info.channel_names == RGB
            assert_delivers(source, colour.transpose(2, 0, 1)[None])


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TiffSource, Array]]:
    image = pattern(3, 150, 170)
    path = write(
        tmp_path_factory.mktemp("tiled") / "a.tif", image.transpose(1, 2, 0), tile=(32, 48), compression="zlib"
    )
    with source_of(path) as source:
        yield source, image


@given(data=st.data(), limit=st.sampled_from([0, 5000, 10**6]))
@settings(max_examples=150, deadline=None)
def test_any_window_equals_the_array(tiled: tuple[TiffSource, Array], data: st.DataObject, limit: int) -> None:
    source, image = tiled
    source.limit_cache(limit)
    y0, x0 = data.draw(st.integers(0, 149)), data.draw(st.integers(0, 169))
    y1, x1 = data.draw(st.integers(y0 + 1, 150)), data.draw(st.integers(x0 + 1, 170))
    np.testing.assert_array_equal(read_window(source, 0, y0, x0, y1, x1), image[:, y0:y1, x0:x1])


def test_lossy_jpeg_equals_tifffile(tmp_path: Path) -> None:
    image = pattern(100, 140, 3)
    write(tmp_path / "a.tif", image, tile=(48, 64), compression="jpeg", photometric="rgb")
    with source_of(tmp_path / "a.tif") as source:
        assert_delivers(source, tifffile.imread(tmp_path / "a.tif").transpose(2, 0, 1)[None])


def test_header_is_read_and_nothing_decoded(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pattern(2000, 300), tile=(64, 64), compression="zlib")
    with source_of(tmp_path / "a.tif") as source:
        info = source.info
        assert source.cache.decoded_chunks == 0
        assert (info.chunk_yx, info.chunk_bytes, info.planes, info.plane_axes) == ((64, 64), 64 * 64, 1, ())
        read_window(source, 0, 64, 64, 128, 128)
        assert source.cache.decoded_chunks == 1


def test_each_chunk_is_decoded_once_while_it_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pattern(256, 256), tile=(32, 32), compression="zlib")
    with source_of(tmp_path / "a.tif") as source:
        for y in range(0, 256, 16):
            read_window(source, 0, y, 0, min(y + 40, 256), 256)
        assert source.cache.decoded_chunks == 64
        source.limit_cache(0)
        read_plane(source)
        assert source.cache.decoded_chunks == 64 + 64


def test_uncompressed_strips_are_read_by_rows_without_a_chunk(tmp_path: Path) -> None:
    image = pattern(300, 5000, dtype="uint16")
    write(tmp_path / "a.tif", image, rowsperstrip=300, byteorder=">")
    with source_of(tmp_path / "a.tif") as source:
        assert source.info.chunk_bytes == 0
        assert_delivers(source, image[None, None])
        assert source.cache.decoded_chunks == 0


def test_strips_that_do_not_follow_each_other_are_found(tmp_path: Path) -> None:
    image = pattern(90, 50)
    path = write(tmp_path / "a.tif", image, rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["StripOffsets"].overwrite(file.pages.first.dataoffsets[::-1])
    with source_of(path) as source:
        turned = np.concatenate([image[row : row + 10] for row in range(80, -1, -10)])
        assert_delivers(source, turned[None, None])


def test_single_compressed_strip_says_what_it_costs(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", pattern(200, 300, 3), photometric="rgb", compression="zlib", rowsperstrip=200)
    with source_of(tmp_path / "a.tif") as source:
        assert (source.info.chunk_yx, source.info.chunk_bytes) == ((200, 300), 200 * 300 * 3)
        source.limit_cache(0)
        for y in range(0, 200, 20):
            read_window(source, 0, y, 0, y + 20, 300)
        assert source.cache.decoded_chunks == 1


def test_threads_read_the_same_pixels_and_decode_nothing_twice(tmp_path: Path) -> None:
    image = pattern(4, 3, 256, 256)
    write(tmp_path / "a.tif", image, tile=(32, 32), compression="zlib", photometric="rgb", planarconfig="separate")
    start = threading.Barrier(8)

    def worker(seed: int) -> None:
        rng = np.random.default_rng(seed)
        start.wait()
        for _ in range(30):
            plane, y, x = int(rng.integers(4)), int(rng.integers(150)), int(rng.integers(150))
            window = read_window(source, plane, y, x, y + 100, x + 100)
            np.testing.assert_array_equal(window, image[plane, :, y : y + 100, x : x + 100])

    with source_of(tmp_path / "a.tif") as source, ThreadPoolExecutor(8) as pool:
        list(pool.map(worker, range(8)))
        assert source.cache.decoded_chunks <= 4 * 3 * 64


def test_file_that_changes_during_the_run_is_a_storage_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pattern(200, 200), tile=(32, 32), compression="zlib")
    with source_of(path) as source:
        read_window(source, 0, 0, 0, 10, 10)
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(StorageError, match="changed while it was read"):
            read_plane(source)


def test_tiles_cropped_at_the_edge_are_accepted(tmp_path: Path) -> None:
    """Some writers of JPEG tiles leave out what lies beyond the image."""
    image = pattern(40, 40)
    whole, edge = image[:, :32], np.ascontiguousarray(image[:, 32:])

    def tiles() -> Any:
        yield imagecodecs.jpeg8_encode(np.pad(whole[:32], 0), level=95)
        yield imagecodecs.jpeg8_encode(np.ascontiguousarray(edge[:32]), level=95)
        yield imagecodecs.jpeg8_encode(np.ascontiguousarray(whole[32:]), level=95)
        yield imagecodecs.jpeg8_encode(np.ascontiguousarray(edge[32:]), level=95)

    write(
        tmp_path / "a.tif",
        tiles(),
        shape=(40, 40),
        dtype=np.uint8,
        tile=(32, 32),
        compression="jpeg",
        photometric="minisblack",
    )
    with source_of(tmp_path / "a.tif") as source:
        out = np.empty((1, 40, 40), np.uint8)
        source.read(0, Window(y0=0, x0=0, y1=40, x1=40), out)
        np.testing.assert_array_equal(out[0], tifffile.imread(tmp_path / "a.tif"))
