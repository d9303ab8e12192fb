"""The chunk store: encoded chunks of a result, in the order in which they were finished, with a journal.

A run directory beside the output holds

    lock          held by the process that runs
    chunks.bin    encoded chunks, appended one after the other
    journal.bin   one record a chunk: its key, where it lies, its CRC-32, and a CRC-32 of the record itself

A record is written after its data. So whatever a kill leaves behind, a valid record names whole data, and the tail that
has none is cut. One chunk has one writer, and is written once.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.errors import DataError, StorageError
from unetctl.runtime.random_access import OnDisk

_RECORD = struct.Struct("<5IQI")  # plane, level, row, column, length, offset, CRC-32 of the data
_CHECK = struct.Struct("<I")


_PLACE = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4"), ("written", "?")])


class ChunkStore:
    """A new, empty store in `folder`; a context manager. `put` and `get` may be called by several threads.

    Where a chunk lies takes 17 bytes of memory, 87 kB a gigapixel: a dictionary would take twenty times that.
    """

    def __init__(self, folder: Path, grid: ChunkGrid, *, on_disk: OnDisk | None = None) -> None:
        self.grid = grid
        self._on_disk = on_disk
        self._folder = folder
        self._lock = threading.Lock()
        self._firsts = grid.first_indices()
        self._columns = [grid.rows_columns(level)[1] for level in range(len(grid.level_shapes))]
        self._places = np.zeros((grid.planes, self._firsts[-1]), _PLACE)
        self._end = 0

    def __enter__(self) -> Self:
        with translated_disk_errors(self._folder):
            self._data = (self._folder / "chunks.bin").open("wb+", buffering=0)
            self._journal = (self._folder / "journal.bin").open("wb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._data.close()
        self._journal.close()

    def put(self, key: ChunkKey, encoded: bytes) -> None:
        """Append one encoded chunk and record it. Raises `StorageError`."""
        crc32 = zlib.crc32(encoded)
        started = time.perf_counter() if self._on_disk is not None else 0.0
        with self._lock, translated_disk_errors(self._folder):
            place = self._place(key)
            if place["written"]:
                raise ValueError(f"chunk {key} has two writers")
            record = _RECORD.pack(*key, len(encoded), self._end, crc32)
            _write_all(self._data.fileno(), encoded)
            _write_all(self._journal.fileno(), record + _CHECK.pack(zlib.crc32(record)))
            place["offset"], place["length"], place["crc32"], place["written"] = self._end, len(encoded), crc32, True
            self._end += len(encoded)
        if self._on_disk is not None:
            self._on_disk(time.perf_counter() - started, len(encoded))

    def get(self, key: ChunkKey) -> bytes:
        """Return one encoded chunk as it was put. Raises `DataError` if the disk gives back something else."""
        place = self._place(key)
        if not place["written"]:
            raise ValueError(f"chunk {key} was never written")
        with self._lock, translated_disk_errors(self._folder):
            self._data.seek(int(place["offset"]))
            encoded = self._data.read(int(place["length"]))
            self._data.seek(self._end)
        if zlib.crc32(encoded) != place["crc32"]:
            raise DataError(f"{self._folder}: chunk {tuple(key)} is not what was written", hint="check the disk")
        return encoded

    def crc32(self, key: ChunkKey) -> int:
        """Return the checksum of one encoded chunk."""
        return int(self._place(key)["crc32"])

    def _place(self, key: ChunkKey) -> Any:
        return self._places[key.plane, self._firsts[key.level] + key.row * self._columns[key.level] + key.column]

    @property
    def size_bytes(self) -> int:
        """Bytes of all encoded chunks."""
        return self._end


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class translated_disk_errors:  # noqa: N801 - reads as a statement
    """Turn an `OSError` of the body into a `StorageError` that says how much room the disk has left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError) or isinstance(error, StorageError):
            return
        free = shutil.disk_usage(self._folder).free if self._folder.exists() else 0
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or free < 1 << 20  # libraries lose the number on the way
        raise StorageError(
            f"{self._folder}: {'the disk is full' if full else 'writing failed'}; {free / 1e6:,.0f} MB are free",
            cause=str(error),
            saved="nothing at the output's path was created or changed",
            hint="make room or choose another drive with --output, and run the same command again",
        ) from error
