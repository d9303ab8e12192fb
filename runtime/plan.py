"""The plan: which tile keeps which pixels of an image.

    0        512       1024      1536      2048    2300        borders inside the image lie on multiples of the chunk
    |---------|---------|---------|---------|-------|          of the output, so every chunk has exactly one writer
    |      tile 0       |      tile 1       | tile 2| <- cut to what is left, in steps of 2^depth

Both axes are split evenly in chunks; of all splits within the area allowed, the one with the fewest multiply-adds is
taken. Tiles need not be square. A plan is a few integers and a pure function of its arguments: a tile is computed from
its index, so that a plan of a hundred gigapixels costs nothing and a run that is continued sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from unetctl.runtime.cost import Layer, layers, multiply_adds
from unetctl.runtime.errors import UsageError
from unetctl.runtime.geometry import align_up, input_px, margin_px

CHUNK_PX = 512
"""Side of the output's chunks; also the unit in which an image is split."""

MAX_TILE_AREA_PX = 2048 * 2048
"""Kept pixels of the largest tile that is worth its memory: beyond it the margin costs under 2 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of pixels, `[y0, y1) x [x0, x1)`; it may reach beyond the image, where pixels are mirrored."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One call of the network: `read` is its input window, `write` the pixels of the image that it alone decides."""

    index: int
    read: Window
    write: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tiles of one shape that go through the network together; fewer than the batch size only at the end of a row."""

    index: int
    tiles: tuple[Tile, ...]

    @property
    def read_shape(self) -> tuple[int, int]:
        return self.tiles[0].read.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """The tiles of one plane of `image_yx` pixels, row by row."""

    image_yx: tuple[int, int]
    depth: int
    chunk_px: int
    row_edges: tuple[int, ...]
    """First rows of the tiles, and one past the last; kept centres, aligned to 2^depth."""
    column_edges: tuple[int, ...]

    @property
    def rows(self) -> int:
        return len(self.row_edges) - 1

    @property
    def columns(self) -> int:
        return len(self.column_edges) - 1

    def __len__(self) -> int:
        return self.rows * self.columns

    def tile(self, index: int) -> Tile:
        """Return the tile of this index, counted row by row."""
        row, column = divmod(index, self.columns)
        y0, y1 = self.row_edges[row : row + 2]
        x0, x1 = self.column_edges[column : column + 2]
        margin = margin_px(self.depth)
        height, width = self.image_yx
        return Tile(
            index=index,
            read=Window(y0=y0 - margin, x0=x0 - margin, y1=y1 + margin, x1=x1 + margin),
            write=Window(y0=y0, x0=x0, y1=min(y1, height), x1=min(x1, width)),
        )

    def tiles(self) -> Iterator[Tile]:
        """Yield every tile, row by row."""
        return map(self.tile, range(len(self)))

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the tiles in groups of at most `size` neighbours of one row that have one shape.

        A group depends on the plan and `size` only, never on what is left to do.
        """
        index = 0
        widths = [after - before for before, after in pairwise(self.column_edges)]
        for row in range(self.rows):
            column = 0
            while column < self.columns:
                end = column + 1
                while end < self.columns and end - column < size and widths[end] == widths[column]:
                    end += 1
                first = row * self.columns
                yield Batch(index=index, tiles=tuple(self.tile(first + k) for k in range(column, end)))
                index, column = index + 1, end

    @property
    def largest_yx(self) -> tuple[int, int]:
        """Kept pixels `(height, width)` of the largest tile."""
        return _longest(self.row_edges), _longest(self.column_edges)

    def read_shapes(self) -> tuple[tuple[int, int], ...]:
        """List the distinct input shapes `(height, width)`, the largest area first."""
        heights, widths = set(self._inputs(self.row_edges)), set(self._inputs(self.column_edges))
        shapes = [(height, width) for height in heights for width in widths]
        return tuple(sorted(shapes, key=lambda shape: (-shape[0] * shape[1], shape)))

    def read_px(self) -> int:
        """Count the pixels that go into the network."""
        return sum(self._inputs(self.row_edges)) * sum(self._inputs(self.column_edges))

    def multiply_adds(self, network: tuple[Layer, ...]) -> int:
        """Count the multiply-adds of the whole plan."""
        return multiply_adds(self._inputs(self.row_edges), self._inputs(self.column_edges), network)

    def waste(self, network: tuple[Layer, ...]) -> float:
        """Return the plan's multiply-adds over those of the image as one tile."""
        height, width = (input_px(align_up(size, self.depth), self.depth) for size in self.image_yx)
        return self.multiply_adds(network) / multiply_adds([height], [width], network)

    def _inputs(self, edges: tuple[int, ...]) -> list[int]:
        return [input_px(after - before, self.depth) for before, after in pairwise(edges)]


def split_axis(size_px: int, parts: int, depth: int, chunk_px: int = CHUNK_PX) -> tuple[int, ...]:
    """Split `size_px` into `parts` of nearly as many chunks each; the last is cut to what is left.

    Returns the first pixel of each part and one past the last, which is aligned up to 2^depth.
    """
    chunks = -(-size_px // chunk_px)
    if not 1 <= parts <= chunks:
        raise ValueError(f"{chunks} chunks cannot be split into {parts} parts")
    longer, larger = chunks // parts + 1, chunks % parts
    edges = [0]
    for part in range(parts):
        edges.append(edges[-1] + chunk_px * (longer if part < larger else longer - 1))
    edges[-1] = align_up(size_px, depth)
    return tuple(edges)


def plan_tiles(
    image_yx: tuple[int, int],
    *,
    depth: int,
    max_area_px: int = MAX_TILE_AREA_PX,
    chunk_px: int = CHUNK_PX,
    network: tuple[Layer, ...] | None = None,
) -> TilePlan:
    """Plan the tiles of an image of `image_yx` pixels with the fewest multiply-adds.

    `max_area_px` bounds the kept pixels of a tile and must hold one chunk; `network` weighs the layers (default: the
    paper's). `chunk_px` must be a multiple of 2^depth.
    """
    if min(image_yx) < 1:
        raise UsageError(f"an image of {image_yx[1]} x {image_yx[0]} px has no pixels")
    if chunk_px % (1 << depth):
        raise UsageError(f"chunks of {chunk_px} px are no multiple of 2^depth = {1 << depth} px")
    if max_area_px < chunk_px * chunk_px:
        raise UsageError(f"a tile must hold one chunk of {chunk_px} x {chunk_px} px; {max_area_px} px are allowed")
    network = network or layers(depth, 64)
    row_splits, column_splits = (_splits(size, depth, chunk_px) for size in image_yx)

    best: TilePlan | None = None
    best_cost = 0
    column = 0
    for row_edges in reversed(row_splits):  # the lowest tiles first: the columns can then only need to be more
        while column < len(column_splits) - 1 and _area(row_edges, column_splits[column]) > max_area_px:
            column += 1
        if _area(row_edges, column_splits[column]) > max_area_px:
            break
        plan = TilePlan(
            image_yx=image_yx,
            depth=depth,
            chunk_px=chunk_px,
            row_edges=row_edges,
            column_edges=column_splits[column],
        )
        cost = plan.multiply_adds(network)
        if best is None or cost < best_cost:
            best, best_cost = plan, cost
    assert best is not None, "a plan of single chunks always fits"
    return best


def plan_tiles_within(
    image_yx: tuple[int, int], tile_yx: tuple[int, int], *, depth: int, chunk_px: int = CHUNK_PX
) -> TilePlan | None:
    """Plan the fewest tiles that keep at most `tile_yx` pixels, or return None if a chunk does not fit into one.

    For an engine of fixed size, which computes the same for any tile, so that nothing but their number counts.
    """
    edges = []
    for size, most in zip(image_yx, tile_yx, strict=True):
        fitting = (one for one in _splits(size, depth, chunk_px) if max(b - a for a, b in pairwise(one)) <= most)
        edges.append(next(fitting, None))
    rows, columns = edges
    if rows is None or columns is None:
        return None
    return TilePlan(image_yx=image_yx, depth=depth, chunk_px=chunk_px, row_edges=rows, column_edges=columns)


def _splits(size_px: int, depth: int, chunk_px: int) -> list[tuple[int, ...]]:
    """List the splits of an axis that differ in their longest part, the fewest parts first."""
    chunks = -(-size_px // chunk_px)
    parts = sorted({-(-chunks // longest) for longest in range(1, chunks + 1)})
    return [split_axis(size_px, number, depth, chunk_px) for number in parts]


def _area(row_edges: tuple[int, ...], column_edges: tuple[int, ...]) -> int:
    return _longest(row_edges) * _longest(column_edges)


def _longest(edges: tuple[int, ...]) -> int:
    return max(after - before for before, after in pairwise(edges))
