"""Each compressed chunk is decoded once a pass, in the memory that was allowed, whatever the file's layout."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import fake_choice, fake_model
from tests.runtime.reading import pattern
from unetctl.runtime import memory
from unetctl.runtime.chunk_cache import ChunkCache, Uses
from unetctl.runtime.image import open_image
from unetctl.runtime.plan import Window, plan_tiles
from unetctl.runtime.reads import ReadGrid, read_grid
from unetctl.runtime.run import Resources, Run, label, prepare
from unetctl.runtime.segmentation import ArraySink
from unetctl.runtime.source_picture import PictureSource
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.tiff_pixels import ChunkedPixels

MIB = 1 << 20
TILE_BYTES = 1 << 10
"""A pixel, so that the smallest tiles are all that the budget allows."""

Write = Callable[[Path], object]


def tiff(image: Any, **options: Any) -> Write:
    return lambda path: tifffile.imwrite(path, image, **{"metadata": None, "photometric": "minisblack", **options})


GRAY, COLOUR, STACK = pattern(1700, 2100), pattern(1700, 2100, 3), pattern(3, 1700, 1300)
LAYOUTS: dict[str, Write] = {
    "tiles": tiff(GRAY, tile=(256, 256), compression="zlib"),
    "tiles that are not compressed": tiff(GRAY, tile=(240, 272)),
    "strips": tiff(GRAY, rowsperstrip=17, compression="lzw"),
    "huge strips": tiff(GRAY, rowsperstrip=900, compression="zlib"),
    "one strip": tiff(GRAY, rowsperstrip=1700, compression="zlib"),
    "JPEG tiles": tiff(COLOUR, tile=(256, 256), compression="jpeg", photometric="rgb"),
    "separate samples": tiff(
        np.moveaxis(COLOUR, -1, 0), tile=(256, 256), compression="zlib", photometric="rgb", planarconfig="separate"
    ),
    "separate huge strips": tiff(
        np.moveaxis(COLOUR, -1, 0), rowsperstrip=900, compression="zlib", photometric="rgb", planarconfig="separate"
    ),
    "a stack": tiff(STACK, tile=(256, 256), compression="zlib"),
    "a stack of strips": tiff(STACK, rowsperstrip=1700, compression="zlib"),
    "16 bits": tiff(pattern(1700, 2100, dtype="uint16"), tile=(256, 256), compression="zlib", predictor=True),
    "a PNG": lambda path: path.write_bytes(imagecodecs.png_encode(GRAY)),
}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """Count what is decoded, chunk by chunk."""
    counts: Counter[Any] = Counter()
    page, whole = ChunkedPixels._decode, PictureSource._decode

    def count_chunk(self: ChunkedPixels, index: int) -> Any:
        counts[self.number, index] += 1
        return page(self, index)

    def count_picture(self: PictureSource) -> Any:
        counts["picture"] += 1
        return whole(self)

    monkeypatch.setattr(ChunkedPixels, "_decode", count_chunk)
    monkeypatch.setattr(PictureSource, "_decode", count_picture)
    return counts


def prepared(path: Path, budget: int, *, scope: Scope = Scope.MODEL, readers: int = 1) -> Run:
    """Prepare a run in the smallest tiles, so that there are several rows of them."""
    source = open_image(path)
    model = fake_model(depth=4, base_channels=1, channels=source.info.channels, classes=5, scope=scope)
    model = dataclasses.replace(model, spec=dataclasses.replace(model.spec, pixel_type=PixelType(source.info.dtype)))
    resources = Resources(max_memory_bytes=budget, threads=1, readers=readers)
    return prepare(source, model, fake_choice(bytes_a_pixel=TILE_BYTES // 3), resources)


def segmented(path: Path, budget: int = 1200 * MIB, **options: Any) -> Run:
    run = prepared(path, budget, **options)
    info = run.source.info
    labels = np.zeros((info.planes, info.height, info.width), np.uint8)
    with closing(run.source):
        label(run, ArraySink(labels))
        whole = np.stack([_plane(run, plane) for plane in range(info.planes)])
    assert (labels == whole % 5).all()
    return run


def _plane(run: Run, plane: int) -> Any:
    info = run.source.info
    out = np.zeros((info.channels, info.height, info.width), info.dtype)
    run.source.read(plane, Window(y0=0, x0=0, y1=info.height, x1=info.width), out)
    return out[0]


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chunk_is_decoded_once_a_pass(tmp_path: Path, decoded: Counter[Any], layout: str, readers: int) -> None:
    LAYOUTS[layout](tmp_path / "a.tif")
    run = prepared(tmp_path / "a.tif", 1200 * MIB, readers=readers)
    assert run.memory.tiles.rows > 1
    assert run.memory.bytes_to_decode_once == run.memory.expected_bytes
    info = run.source.info
    with closing(run.source):
        label(run, ArraySink(np.zeros((info.planes, info.height, info.width), np.uint8)))
    chunks = 1
    if info.format == "TIFF":
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            chunks = sum(len(page.dataoffsets) for page in file.pages)

    assert len(decoded) == chunks
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("layout", ["tiles", "huge strips", "one strip"])
def test_measuring_the_image_first_is_one_pass_more(tmp_path: Path, decoded: Counter[Any], layout: str) -> None:
    LAYOUTS[layout](tmp_path / "a.tif")
    segmented(tmp_path / "a.tif", scope=Scope.IMAGE)
    passes = 3 if layout == "tiles" else 2  # the last is the test's own; what fits into the cache is not decoded again

    assert max(decoded.values()) <= passes


@pytest.mark.parametrize("knowing", [True, False])
def test_the_chunks_that_were_used_last_are_not_those_that_are_needed(
    tmp_path: Path, decoded: Counter[Any], monkeypatch: pytest.MonkeyPatch, knowing: bool
) -> None:
    """The count tells a cache that knows what is read from one that does not, in the same memory."""
    if not knowing:
        monkeypatch.setattr(ChunkCache, "uses", lambda *_: None)
    wide = np.tile(GRAY[:1100, :1024], (1, 6))
    tiff(wide, tile=(128, 128), compression="zlib")(tmp_path / "a.tif")
    run = prepared(tmp_path / "a.tif", 700 * MIB)
    with closing(run.source):
        label(run, ArraySink(np.zeros((1, *wide.shape), np.uint8)))

    assert (max(decoded.values()) == 1) == knowing


def test_too_little_memory_decodes_some_border_chunks_again_and_the_labels_are_right(
    tmp_path: Path, decoded: Counter[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_SHARED_BYTES", 0)
    LAYOUTS["tiles"](tmp_path / "a.tif")
    run = prepared(tmp_path / "a.tif", 1200 * MIB)
    run.source.close()
    generous = run.memory
    tight = segmented(tmp_path / "a.tif", generous.expected_bytes - 8 * 256 * 256).memory

    assert tight.bytes_to_decode_once == generous.expected_bytes > tight.expected_bytes
    assert tight.tiles == generous.tiles


def test_of_the_chunks_that_wait_for_the_next_row_the_last_goes_first() -> None:
    cache, decoded = ChunkCache(30), Counter[int]()

    def get(key: int) -> None:
        def decode() -> Any:
            decoded[key] += 1
            return np.zeros(10, np.uint8)

        cache.get(key, decode, Uses(in_all=2, in_a_row=1))

    for _ in range(2):
        for key in range(6):  # a row of six chunks, of which the next row needs all, and three fit
            get(key)

    assert [key for key in range(6) if decoded[key] == 1] == [0, 1, 2], "the one used longest ago would keep none"


@settings(max_examples=40)
@given(st.integers(1, 1500), st.integers(1, 1500), st.integers(60, 700), st.integers(60, 700), st.integers(1, 4))
def test_no_more_chunks_are_held_than_was_planned(height: int, width: int, high: int, wide: int, depth: int) -> None:
    """Any image, any chunks: the cache holds at most what `chunks_kept` says, and decodes every chunk once."""
    tiles = plan_tiles((height, width), depth=depth, chunk_px=256, max_area_px=256 * 512)
    grid = read_grid(tiles)
    once = grid.chunks_kept((high, wide), readers=1)[1]
    cache, decoded, most = ChunkCache(1 << 40), Counter[Any](), 0
    cache.limit(1 << 40, grid)
    for y0, y1 in grid.rows:
        for x0, x1 in grid.columns:
            for row in range(y0 // high, -(-y1 // high)):
                for column in range(x0 // wide, -(-x1 // wide)):

                    def decode(key: tuple[int, int] = (row, column)) -> Any:
                        decoded[key] += 1
                        return np.zeros(1, np.uint8)

                    cache.get((row, column), decode, cache.uses((high, wide), row, column))
                    most = max(most, cache._bytes)

    assert set(decoded.values()) == {1}
    assert len(decoded) == -(-height // high) * -(-width // wide)
    assert most <= once
    assert cache._bytes == 0


def test_a_strip_that_is_the_whole_image_is_planned_for_once() -> None:
    grid = ReadGrid(image_yx=(5000, 5000), rows=((0, 700), (400, 1200)), columns=((0, 5000),))

    assert grid.chunks_kept((5000, 5000), readers=1) == (1, 1)
    assert grid.chunks_kept((5000, 5000), readers=2) == (2, 2)
