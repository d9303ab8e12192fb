"""Streaming, with an engine whose right answer is known for every pixel."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes import FakeEngine, fake_model
from unetctl.runtime.engine import INVALID_LABEL, Result
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ArraySource
from unetctl.runtime.plan import Tile, plan_tiles
from unetctl.runtime.segmentation import ArraySink
from unetctl.runtime.stream import stream_labels


def stream(
    pixels: NDArray[np.uint8], depth: int, chunk: int, area: int, batch: int, **kwargs: Any
) -> NDArray[np.uint8]:
    """Label `[P, C, H, W]` pixels with the fake engine; labels are the first channel modulo 5."""
    engine = kwargs.pop("engine", FakeEngine)
    tiles = plan_tiles(pixels.shape[-2:], depth=depth, chunk_px=chunk, max_area_px=area * chunk**2)
    model = fake_model(depth=depth, channels=pixels.shape[1], classes=5)
    request = EngineRequest(model=model, shapes=tiles.read_shapes(), batch=batch, slots=3, threads=1)
    labels = np.full((pixels.shape[0], *pixels.shape[2:]), INVALID_LABEL, np.uint8)
    with engine(request) as opened:
        stream_labels(ArraySource(pixels), tiles, opened, ArraySink(labels), classes=5, batch=batch, **kwargs)
    return labels


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 300), st.integers(1, 300)),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_every_pixel_gets_its_own_label(
    shape: tuple[int, int, int, int], depth: int, area: int, batch: int, threads: int
) -> None:
    pixels = np.random.default_rng(shape[2]).integers(0, 256, shape, np.uint8)
    labels = stream(pixels, depth, 64, area, batch, readers=threads, writers=threads)

    assert (labels == pixels[:, 0] % 5).all()


def test_a_label_that_is_no_class_ends_the_run_and_says_where() -> None:
    class Broken(FakeEngine):
        def result(self, slot: int) -> Result:
            labels = super().result(slot).labels
            labels[0, 20, 20] = INVALID_LABEL
            return Result(labels=labels, probabilities=None)

    with pytest.raises(DataError, match=r"rows from 0, columns from 0.*NaN or infinity"):
        stream(np.zeros((1, 1, 50, 50), np.uint8), 2, 64, 1, 1, engine=Broken)


def test_watchers_see_every_pixel_and_label_once() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 200, 150), np.uint8)
    seen = np.zeros_like(pixels)
    labels = np.zeros((2, 200, 150), np.uint8)
    finished: list[int] = []

    class Watcher:
        def see_pixels(self, plane: int, tile: Tile, pixels_cyx: NDArray[Any]) -> None:
            window = tile.write
            seen[plane, :, window.y0 : window.y1, window.x0 : window.x1] += pixels_cyx

        def see_labels(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8]) -> None:
            window = tile.write
            labels[plane, window.y0 : window.y1, window.x0 : window.x1] += labels_yx

    found = stream(pixels, 2, 64, 2, 2, watchers=[Watcher()], on_pixels=finished.append)

    assert (seen == pixels).all()
    assert (labels == found).all()
    assert sum(finished) == found.size


def test_the_plan_of_pixels_is_blind_to_nothing() -> None:
    """The fake engine tells a tile that is one pixel off, or this file proves nothing."""

    class Shifted(FakeEngine):
        def result(self, slot: int) -> Result:
            return Result(labels=np.roll(super().result(slot).labels, 1, axis=2), probabilities=None)

    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 90, 90), np.uint8)

    assert (stream(pixels, 2, 64, 1, 1, engine=Shifted) != pixels[:, 0] % 5).mean() > 0.5


@pytest.mark.parametrize("number", [1, 7])
def test_every_plane_of_a_stack_is_labelled(number: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (number, 1, 33, 70), np.uint8)

    assert (stream(pixels, 1, 64, 1, 4) == pixels[:, 0] % 5).all()
