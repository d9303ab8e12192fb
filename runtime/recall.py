"""Finished tiles of a run that is continued pass by once more, so that what it says in the end is of all tiles.

Their labels are decoded from the store, to be counted and drawn. Pixels are needed for the preview only: those of its
plane are read from the image again, which is quick beside the network. The preview's own state is not kept on disk: it
would have to be written, synced and checked as often as tiles are finished, for what a look at the image gives back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.blank import BlankTiles
from unetctl.runtime.chunks import ChunkKey
from unetctl.runtime.labels import count_labels, decode_chunk
from unetctl.runtime.plan import CHUNK_PX, Tile, Window
from unetctl.runtime.preview import Preview
from unetctl.runtime.report import OnProgress, SegmentProgress
from unetctl.runtime.run import Run
from unetctl.runtime.store import ChunkStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What was there, which is no work of this run."""

    kept_px: int = 0
    read_px: int = 0
    """Pixels that went into the network or were left out, margins included."""
    blank_kept_px: int = 0
    blank_read_px: int = 0
    encoded_bytes: int = 0


def recall(
    run: Run,
    store: ChunkStore,
    class_pixels: NDArray[np.int64],
    *,
    picture: Preview | None,
    skipped: BlankTiles,
    on_progress: OnProgress,
) -> Recalled:
    """Add the finished tiles of `store` to `class_pixels`, and show them to `picture`.

    `skipped` is told of those that were left out. Takes the memory of one row of chunks of a tile.
    """
    begun, done_px, read_px, total_px = time.perf_counter(), 0, 0, run.total_px
    for plane in range(run.source.info.planes):
        for tile in run.memory.tiles.tiles():
            if not store.places.has(plane, tile.write):
                continue
            if store.places.is_left_out(plane, tile.write):
                skipped.see(plane, tile)
            for band in _bands(tile):
                labels_yx = _labels(store, plane, band.write)
                class_pixels += count_labels(labels_yx, len(class_pixels))
                if picture is not None and plane == 0:
                    picture.see_labels(plane, band, labels_yx)
                    picture.see_pixels(plane, band, _pixels(run, band.write))
            done_px += tile.write.height * tile.write.width
            read_px += tile.read.height * tile.read.width
            seconds = time.perf_counter() - begun
            on_progress(SegmentProgress(phase="recall", done_px=done_px, total_px=total_px, seconds=seconds))
    return Recalled(
        kept_px=done_px,
        read_px=read_px,
        blank_kept_px=skipped.kept_px,
        blank_read_px=skipped.read_px,
        encoded_bytes=store.size_bytes,
    )


def _bands(tile: Tile) -> list[Tile]:
    """Cut a tile into rows of chunks."""
    window = tile.write
    edges = [*range(window.y0, window.y1, CHUNK_PX), window.y1]
    windows = [Window(y0=y0, x0=window.x0, y1=y1, x1=window.x1) for y0, y1 in pairwise(edges)]
    return [Tile(index=tile.index, read=tile.read, write=one) for one in windows]


def _labels(store: ChunkStore, plane: int, band: Window) -> NDArray[np.uint8]:
    columns = range(band.x0 // CHUNK_PX, -(-band.x1 // CHUNK_PX))
    chunks = [decode_chunk(store.get(ChunkKey(plane, 0, band.y0 // CHUNK_PX, column))) for column in columns]
    return np.concatenate(chunks, axis=1)[: band.height, : band.width]


def _pixels(run: Run, band: Window) -> NDArray[np.generic]:
    info = run.source.info
    pixels_cyx = np.empty((info.channels, *band.shape), info.dtype)
    run.source.read(0, band, pixels_cyx)
    return pixels_cyx
