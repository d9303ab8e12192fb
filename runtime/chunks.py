"""The chunks of a result: planes, pyramid levels, and the grid of 512 x 512 chunks of each level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from unetctl.runtime.plan import CHUNK_PX


class ChunkKey(NamedTuple):
    """Which chunk of the result: plane, pyramid level, row and column of the chunk grid."""

    plane: int
    level: int
    row: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGrid:
    """All chunks of a result of `planes` planes of `image_yx` pixels, level 0 being the finest."""

    planes: int
    image_yx: tuple[int, int]

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """The `(height, width)` of every level: halved, rounded up, until one chunk holds it."""
        shapes = [self.image_yx]
        while max(shapes[-1]) > CHUNK_PX:
            height, width = shapes[-1]
            shapes.append((-(-height // 2), -(-width // 2)))
        return tuple(shapes)

    def rows_columns(self, level: int) -> tuple[int, int]:
        """Return rows and columns of chunks of one level."""
        height, width = self.level_shapes[level]
        return -(-height // CHUNK_PX), -(-width // CHUNK_PX)

    def keys(self, plane: int, level: int) -> Iterator[ChunkKey]:
        """Yield the chunks of one level of one plane, row by row."""
        rows, columns = self.rows_columns(level)
        return (ChunkKey(plane, level, row, column) for row in range(rows) for column in range(columns))

    def first_indices(self) -> tuple[int, ...]:
        """Return where each level starts when the chunks of a plane are numbered; one past the last at the end."""
        firsts = [0]
        for level in range(len(self.level_shapes)):
            rows, columns = self.rows_columns(level)
            firsts.append(firsts[-1] + rows * columns)
        return tuple(firsts)
