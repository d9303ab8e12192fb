"""What a stopped run left in its store: read from the journal, checked against the data, and cut to whole batches.

    journal.bin  ->  sound records whose data lies in the file  ->  whose data has the checksum  ->  of whole batches

What is damaged costs the batches that it touches, and nothing else. The coarser levels are made again: they take
seconds, and what they were made of may be what is damaged.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.journal import read_records
from unetctl.runtime.places import ChunkPlaces
from unetctl.runtime.plan import CHUNK_PX, TilePlan, Window
from unetctl.runtime.store import DATA, JOURNAL


def find_chunks(folder: Path, grid: ChunkGrid) -> ChunkPlaces:
    """Return the chunks of level 0 that the journal in `folder` names; their data is not read."""
    places = ChunkPlaces(grid)
    journal, data = folder / JOURNAL, folder / DATA
    if journal.exists() and data.exists():
        size, (rows, columns) = data.stat().st_size, grid.rows_columns(0)
        for record in read_records(journal):
            plane, level, row, column = record.key
            is_in = plane < grid.planes and level == 0 and row < rows and column < columns
            if is_in and record.offset + record.length <= size:
                places.note(record)
    return places


def forget_damaged(folder: Path, places: ChunkPlaces) -> None:
    """Read the data of every chunk, in the order of the file, and forget those that are not what was written."""
    if not places.size_bytes:
        return
    with (folder / DATA).open("rb") as data:
        for record in places.records():
            data.seek(record.offset)
            if zlib.crc32(data.read(record.length)) != record.crc32:
                places.forget(record.key.plane, _window(record.key))


def forget_parts(places: ChunkPlaces, tiles: TilePlan, batch: int) -> None:
    """Forget the chunks of batches that are not all there: a batch is computed as a whole, or not at all."""
    for plane in range(places.grid.planes):
        for one in tiles.batches(batch):
            if not all(places.has(plane, tile.write) for tile in one.tiles):
                for tile in one.tiles:
                    places.forget(plane, tile.write)


def _window(key: ChunkKey) -> Window:
    y0, x0 = key.row * CHUNK_PX, key.column * CHUNK_PX
    return Window(y0=y0, x0=x0, y1=y0 + CHUNK_PX, x1=x0 + CHUNK_PX)
