"""`--skip-blank`: what is left out has nothing within reach of it, and everything else is as without it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes import FakeEngine, fake_model, fake_spec
from tests.runtime.reading import pattern, read_plane
from tests.runtime.test_segmentation import RESOURCES, broken_choice
from unetctl.runtime import stream
from unetctl.runtime.blank import blank_class, is_blank
from unetctl.runtime.engine import Result
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.geometry import margin_px, shrinkage_px
from unetctl.runtime.image import ArraySource, open_image
from unetctl.runtime.plan import Tile, plan_tiles
from unetctl.runtime.segmentation import ArraySink, segment_file
from unetctl.runtime.stream import stream_labels

DEPTH, CLASSES, BLANK = 2, 5, 4
MODEL = fake_model(depth=DEPTH, classes=CLASSES)


class Reaching(FakeEngine):
    """A label is the sum of all pixels that the network would see for it, modulo the classes."""

    def result(self, slot: int) -> Result:
        side = shrinkage_px(DEPTH) + 1
        pixels = self._buffers[slot][:, 0].astype(np.int64)
        sums = np.pad(pixels.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        boxes = sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]
        return Result(labels=(boxes % CLASSES).astype(np.uint8), probabilities=None)


def mostly_empty(seed: int = 0) -> NDArray[np.uint8]:
    """A few textured spots on a plain ground, some of them just beside a border of tiles of 64 px."""
    pixels = np.full((1, 1, 700, 900), 231, np.uint8)
    rng = np.random.default_rng(seed)
    for y, x in ((100, 100), (62, 500), (64, 700), (400, 190), (690, 890), (500, 447)):
        pixels[0, 0, y : y + 9, x : x + 9] = rng.integers(0, 256, pixels[0, 0, y : y + 9, x : x + 9].shape)
    return pixels


def labelled(
    pixels: NDArray[np.uint8], blank: int | None, batch: int = 1, area: int = 1
) -> tuple[NDArray[np.uint8], list[Tile]]:
    """Label with the engine whose labels reach as far as the network's; return the tiles that were left out too."""
    tiles = plan_tiles(pixels.shape[-2:], depth=DEPTH, chunk_px=64, max_area_px=area * 64**2)
    request = EngineRequest(model=MODEL, shapes=tiles.read_shapes(), batch=batch, slots=3, threads=1)
    labels = np.full((1, *pixels.shape[2:]), 255, np.uint8)
    out: list[Tile] = []
    options: dict[str, Any] = {"classes": CLASSES, "batch": batch, "blank": blank, "readers": 2, "writers": 2}
    with Reaching(request) as engine:
        stream_labels(
            ArraySource(pixels), tiles, engine, ArraySink(labels), on_blank=lambda _, tile: out.append(tile), **options
        )
    return labels[0], out


def refuse_harm(pixels: NDArray[np.uint8], batch: int = 1) -> int:
    """Raise unless what is left out is out of reach of everything, and the rest the same; return how much is."""
    truth, none = labelled(pixels, None)
    labels, skipped = labelled(pixels, BLANK, batch)
    assert not none
    left_out = np.zeros(truth.shape, np.bool_)
    for tile in skipped:
        window = tile.write
        left_out[window.y0 : window.y1, window.x0 : window.x1] = True
        if len(np.unique(truth[window.y0 : window.y1, window.x0 : window.x1])) > 1:
            raise ValueError("a tile was left out though something is within reach of it")
    if (labels[~left_out] != truth[~left_out]).any() or (labels[left_out] != BLANK).any():
        raise ValueError("a label changed elsewhere, or one that was left out is not the blank one")
    return int(left_out.sum())


@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_left_out_is_out_of_reach_and_all_else_is_the_same(batch: int) -> None:
    assert 0.2 < refuse_harm(mostly_empty(), batch) / (700 * 900) < 0.95


def test_looking_at_the_kept_part_alone_would_leave_out_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded: the margins are not looked at."""
    margin = margin_px(DEPTH)
    monkeypatch.setattr(stream, "is_blank", lambda pixels_cyx: is_blank(pixels_cyx[:, margin:-margin, margin:-margin]))
    with pytest.raises(ValueError, match="within reach"):
        refuse_harm(mostly_empty())


def test_calling_everything_blank_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "is_blank", lambda _: True)
    with pytest.raises(ValueError, match="within reach"):
        refuse_harm(mostly_empty())


def test_an_image_of_one_value_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reaching, "submit", lambda *_: pytest.fail("a blank tile was computed"))
    labels, skipped = labelled(np.full((1, 1, 300, 200), 7, np.uint8), BLANK, batch=2)

    assert (labels == BLANK).all()
    assert sum(tile.write.height * tile.write.width for tile in skipped) == labels.size


@given(st.integers(1, 3), st.integers(1, 200), st.integers(1, 90), st.data())
def test_one_pixel_is_enough(channels: int, height: int, width: int, data: st.DataObject) -> None:
    pixels = np.empty((channels, height, width), np.uint16)
    pixels[:] = np.arange(channels)[:, None, None] * 300
    assert is_blank(pixels)
    if height * width > 1:
        where = tuple(data.draw(st.integers(0, size - 1)) for size in pixels.shape)
        pixels[where] += 1
        assert not is_blank(pixels)


def test_the_label_is_the_background_or_must_be_named() -> None:
    spec = fake_spec(classes=3)
    assert blank_class(dataclasses.replace(spec, background=2), "") == 2
    assert blank_class(dataclasses.replace(spec, background=2), "class 1") == 1
    with pytest.raises(UsageError, match=r"no class that means background[\s\S]*--blank-label NAME.*class 0, class 1"):
        blank_class(spec, "")
    with pytest.raises(UsageError, match=r"no such class[\s\S]*class 0, class 1"):
        blank_class(spec, "sky")


def make_sparse(path: Path, absent: Callable[[int], bool], *, offsets_only: bool = False) -> None:
    """Take tiles out of the table of a TIFF, as GDAL leaves them."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages:
            for name in ("TileOffsets",) if offsets_only else ("TileOffsets", "TileByteCounts"):
                tag = page.tags[name]
                tag.overwrite(tuple(0 if absent(index) else value for index, value in enumerate(tag.value)))


def sparse_image(path: Path, shape: tuple[int, ...] = (2000, 2100), no_data: str = "", **options: Any) -> Any:
    """Write an image whose right side was never written; return what it is when filled."""
    image = pattern(*shape)
    tags = [(42113, "s", 0, no_data, True)] if no_data else []
    colour = {"photometric": "minisblack", "metadata": None, "extratags": tags}
    tifffile.imwrite(path, image, tile=(256, 256), **{**colour, "compression": "zlib", **options})
    make_sparse(path, lambda index: index % 9 >= 3)
    image[..., 768:] = int(no_data or 0)
    return image


@pytest.mark.parametrize(("no_data", "compression"), [("", "zlib"), ("200", "zlib"), ("", None)])
def test_chunks_that_were_never_written_are_blank(tmp_path: Path, no_data: str, compression: str | None) -> None:
    filled = sparse_image(tmp_path / "a.tif", no_data=no_data, compression=compression)
    with pytest.raises(DataError, match=r"holds no data[\s\S]*--skip-blank"):
        open_image(tmp_path / "a.tif")
    source = open_image(tmp_path / "a.tif", sparse=True)
    assert (read_plane(source)[0] == filled).all()
    assert source.cache.decoded_chunks == 3 * 8  # type: ignore[attr-defined]
    source.close()


def test_a_table_that_is_half_gone_is_still_damaged(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pattern(600, 600), tile=(256, 256), compression="zlib", metadata=None)
    make_sparse(tmp_path / "a.tif", lambda index: index == 4, offsets_only=True)
    with pytest.raises(DataError, match="holds no data"):
        open_image(tmp_path / "a.tif", sparse=True)


def test_a_run_says_what_it_left_out_and_how_it_was_made(tmp_path: Path) -> None:
    filled = sparse_image(tmp_path / "a.tif")
    arguments: dict[str, Any] = {"model": MODEL, "engine": broken_choice(Reaching), "resources": RESOURCES}
    output = tmp_path / "a.labels.ome.tif"
    report = segment_file(tmp_path / "a.tif", output=output, blank=BLANK, **arguments)
    tifffile.imwrite(tmp_path / "filled.tif", filled, tile=(256, 256), photometric="minisblack", metadata=None)
    segment_file(tmp_path / "filled.tif", output=tmp_path / "b.ome.tif", **arguments)
    labels, truth = tifffile.imread(output), tifffile.imread(tmp_path / "b.ome.tif")

    assert report.blank is not None
    assert report.blank.pixels > 0.2 * labels.size
    assert report.blank.share == report.blank.pixels / labels.size
    assert report.blank.label == "class 4"
    assert (labels != truth).sum() <= report.blank.pixels
    assert (labels[:, :768] == truth[:, :768]).all()
    assert (labels[labels != truth] == BLANK).all()
    assert made_by(output)["skipped_blank"] == {"label": "class 4", "pixels": report.blank.pixels}
    assert made_by(tmp_path / "b.ome.tif")["skipped_blank"] is None
    picture = imagecodecs.imread(report.preview)
    gray = (picture == 128).all(axis=-1)  # a line every 12 px over what was left out; elsewhere by chance
    assert 1 / 14 < gray[:, -100:].mean() < 1 / 10
    assert gray[:, -525:-300].mean() < 1 / 50


def made_by(path: Path) -> Any:
    source = open_image(path)
    source.close()
    return json.loads(source.info.made_by or "")
