"""What one pass reads of an image: so often is each compressed chunk needed, and so many must be kept meanwhile.

    windows of tiles        |-------0-------|                  a chunk under two windows is decoded for the first and
                                     |-------1-------|         kept until the second has been read; then it is dropped
    chunks of the image     | a | b | c | d | e | f | g |      c and d are used twice in a row of tiles, the others once

A pass reads the windows of each plane row by row, so the chunks under two rows of windows are kept for the whole width
of the image. That is all that need be kept: knowing the windows, a cache needs no guess of what is used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.geometry import margin_px
from unetctl.runtime.mirror import mirror_indices
from unetctl.runtime.plan import TilePlan

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGrid:
    """The windows of one pass: each span of rows with each span of columns, `[start, stop)` inside the image."""

    image_yx: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def uses(self, chunk_yx: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return how many spans touch each row and each column of chunks; a chunk is used their product of times."""
        axes = zip((self.rows, self.columns), self.image_yx, chunk_yx, strict=True)
        rows, columns = (_uses(spans, size, chunk) for spans, size, chunk in axes)
        return rows, columns

    def chunks_kept(self, chunk_yx: tuple[int, int], readers: int) -> tuple[int, int]:
        """Return how many chunks are held at most: if all under a reader's window are, and if none is decoded twice."""
        axes = zip((self.rows, self.columns), self.image_yx, chunk_yx, strict=True)
        (high, shared_rows, rows), (wide, shared_columns, columns) = (_spread(*axis) for axis in axes)
        window = high * wide
        below, beside = shared_rows * (columns + wide), 2 * high * shared_columns
        once = min(high * columns, below + beside) + (readers - 1) * window + readers  # and one in each reader's hands
        most = rows * columns * readers
        return min(window * readers, most), min(once, most)


def read_grid(tiles: TilePlan) -> ReadGrid:
    """Return what a pass over `tiles` reads, what it mirrors included."""
    margin = margin_px(tiles.depth)
    rows, columns = (
        tuple(_mirrored(before - margin, after + margin, size) for before, after in pairwise(edges))
        for edges, size in zip((tiles.row_edges, tiles.column_edges), tiles.image_yx, strict=True)
    )
    return ReadGrid(image_yx=tiles.image_yx, rows=rows, columns=columns)


def _mirrored(start: int, stop: int, size: int) -> Span:
    shown = mirror_indices(start, stop, size)
    return int(shown.min()), int(shown.max()) + 1


def _touched(span: Span, chunk: int) -> Span:
    return span[0] // chunk, -(-span[1] // chunk)


def _uses(spans: tuple[Span, ...], size: int, chunk: int) -> NDArray[np.intp]:
    uses = np.zeros(-(-size // chunk), np.intp)
    for span in spans:
        uses[slice(*_touched(span, chunk))] += 1
    return uses


def _spread(spans: tuple[Span, ...], size: int, chunk: int) -> tuple[int, int, int]:
    """Return the most chunks of an axis under one span, the most that two neighbours share, and all."""
    touched = [_touched(span, chunk) for span in spans]
    shared = (max(0, one[1] - after[0]) for one, after in pairwise(touched))
    return max(last - first for first, last in touched), max(shared, default=0), -(-size // chunk)
