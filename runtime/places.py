"""Where each chunk of a result lies in its store: a table of 17 bytes a chunk, 87 kB a gigapixel.

A dictionary would take twenty times that.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.journal import Record
from unetctl.runtime.plan import CHUNK_PX, TilePlan, Window

ABSENT, COMPUTED, LEFT_OUT = range(3)
_PLACE = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4"), ("state", "u1")])


class ChunkPlaces:
    """The table of one store; at first no chunk is there. Not locked: `ChunkStore` does that."""

    def __init__(self, grid: ChunkGrid) -> None:
        self.grid = grid
        self.size_bytes = 0
        """Bytes of all encoded chunks that are there."""
        self._firsts = grid.first_indices()
        self._columns = [grid.rows_columns(level)[1] for level in range(len(grid.level_shapes))]
        self._table = np.zeros((grid.planes, self._firsts[-1]), _PLACE)

    def find(self, key: ChunkKey) -> Record | None:
        """Return where a chunk lies, or None if it is not there."""
        offset, length, crc32, state = self._table[key.plane, self._index(key)].tolist()
        return None if state == ABSENT else Record(key, length, offset, crc32, state == LEFT_OUT)

    def note(self, record: Record) -> None:
        """Remember where a chunk lies, in place of what was known of it."""
        index = self._index(record.key)
        self.size_bytes += record.length - int(self._table["length"][record.key.plane, index])
        state = LEFT_OUT if record.left_out else COMPUTED
        self._table[record.key.plane, index] = (record.offset, record.length, record.crc32, state)

    def forget(self, plane: int, window: Window) -> None:
        """Let the chunks of level 0 under a window be absent."""
        chunks = self._under(plane, window)
        self.size_bytes -= int(chunks["length"].sum())
        chunks[...] = 0

    def has(self, plane: int, window: Window) -> bool:
        """Tell whether all chunks of level 0 under a window are there."""
        return bool((self._under(plane, window)["state"] != ABSENT).all())

    def is_left_out(self, plane: int, window: Window) -> bool:
        """Tell whether all chunks of level 0 under a window were left out."""
        return bool((self._under(plane, window)["state"] == LEFT_OUT).all())

    def tiles_there(self, tiles: TilePlan) -> int:
        """Count the tiles of all planes whose chunks are all there."""
        return sum(self.has(plane, tile.write) for plane in range(self.grid.planes) for tile in tiles.tiles())

    def records(self) -> Iterator[Record]:
        """Yield what is there of level 0 in the order in which it lies on the disk."""
        level0 = self._table[:, : self._firsts[1]]
        there = np.flatnonzero(level0["state"])
        for index in there[np.argsort(level0["offset"].reshape(-1)[there])].tolist():
            plane, place = divmod(index, self._firsts[1])
            record = self.find(ChunkKey(plane, 0, *divmod(place, self._columns[0])))
            assert record is not None
            yield record

    def end(self) -> int:
        """Return the end of the last chunk that is there."""
        there = self._table[self._table["state"] != ABSENT]
        return int((there["offset"] + there["length"]).max(initial=0))

    def _index(self, key: ChunkKey) -> int:
        return self._firsts[key.level] + key.row * self._columns[key.level] + key.column

    def _under(self, plane: int, window: Window) -> NDArray[np.void]:
        level0 = self._table[plane, : self._firsts[1]].reshape(-1, self._columns[0])
        rows = slice(window.y0 // CHUNK_PX, -(-window.y1 // CHUNK_PX))
        return level0[rows, window.x0 // CHUNK_PX : -(-window.x1 // CHUNK_PX)]
