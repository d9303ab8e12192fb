"""The chunk store: encoded chunks of a result, in the order in which they were finished, with a journal.

A run directory beside the output holds

    lock          held by the process that runs
    run.json      what is made of what (see `unetctl.runtime.run_record`)
    chunks.bin    encoded chunks, appended one after the other
    journal.bin   one record a chunk: its key, where it lies, its CRC-32, and a CRC-32 of the record itself

A record is written after its data. Nothing is synced on the way: after a power failure a record may name data that
never reached the disk, and its CRC-32 says so (docs/decisions/0009-a-stopped-run-goes-on.md). One chunk has one writer,
and is written once.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from unetctl.runtime.chunks import ChunkGrid, ChunkKey
from unetctl.runtime.errors import DataError, StorageError, UnetctlError
from unetctl.runtime.journal import RECORD_BYTES, Record, pack_record
from unetctl.runtime.places import ChunkPlaces
from unetctl.runtime.random_access import OnDisk
from unetctl.runtime.system import atomic_path, sync_folder

DATA, JOURNAL = "chunks.bin", "journal.bin"


class ChunkStore:
    """The store in `folder`; a context manager. `put` and `get` may be called by several threads.

    It holds what was `found` in the folder, which are whole batches, and nothing else: the journal is written anew with
    just that, and the data behind it is cut off.
    """

    def __init__(
        self, folder: Path, grid: ChunkGrid, *, found: ChunkPlaces | None = None, on_disk: OnDisk | None = None
    ) -> None:
        self.grid = grid
        self.places = found if found is not None else ChunkPlaces(grid)
        self._on_disk = on_disk
        self._folder = folder
        self._lock = threading.Lock()
        self._end = self._records = 0

    def __enter__(self) -> Self:
        with translated_disk_errors(self._folder):
            self._end = self.places.end()
            if self._end:
                with atomic_path(self._folder / JOURNAL) as fresh, fresh.open("wb") as file:
                    for record in self.places.records():
                        file.write(pack_record(record))
                        self._records += 1
            mode = "rb+" if self._end else "wb+"
            self._data = (self._folder / DATA).open(mode, buffering=0)
            self._journal = (self._folder / JOURNAL).open(mode, buffering=0)
            self._data.truncate(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:  # a thread that could not be stopped in time must not write to a file of the same number
            if error is not None:
                with suppress(OSError):  # then the checksums find out when the run is continued
                    os.fsync(self._data.fileno())
                    os.fsync(self._journal.fileno())
                    sync_folder(self._folder)
            self._data.close()
            self._journal.close()

    def put(self, key: ChunkKey, encoded: bytes, *, left_out: bool = False) -> None:
        """Append one encoded chunk and record it, and whether it was not computed. Raises `StorageError`."""
        crc32 = zlib.crc32(encoded)
        started = time.perf_counter() if self._on_disk is not None else 0.0
        with self._lock, translated_disk_errors(self._folder):
            if self.places.find(key) is not None:
                raise ValueError(f"chunk {key} has two writers")
            record = Record(key, len(encoded), self._end, crc32, left_out)
            _write_at(self._data.fileno(), self._end, encoded)
            _write_at(self._journal.fileno(), self._records * RECORD_BYTES, pack_record(record))
            self.places.note(record)
            self._end += len(encoded)
            self._records += 1
        if self._on_disk is not None:
            self._on_disk(time.perf_counter() - started, len(encoded))

    def get(self, key: ChunkKey) -> bytes:
        """Return one encoded chunk as it was put. Raises `DataError` if the disk gives back something else."""
        record = self._find(key)
        with self._lock, translated_disk_errors(self._folder):
            self._data.seek(record.offset)
            encoded: bytes = self._data.read(record.length)
        if zlib.crc32(encoded) != record.crc32:
            raise DataError(f"{self._folder}: chunk {tuple(key)} is not what was written", hint="check the disk")
        return encoded

    def crc32(self, key: ChunkKey) -> int:
        """Return the checksum of one encoded chunk."""
        return self._find(key).crc32

    def _find(self, key: ChunkKey) -> Record:
        record = self.places.find(key)
        if record is None:
            raise ValueError(f"chunk {key} was never written")
        return record

    @property
    def size_bytes(self) -> int:
        """Bytes of all encoded chunks."""
        return self.places.size_bytes


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    """Write all of `data` at `offset`, whatever an earlier write that failed has left behind it."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class translated_disk_errors:  # noqa: N801 - reads as a statement
    """Turn an `OSError` of the body, unless it is ours, into a `StorageError` that says how much room the disk has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError) or isinstance(error, UnetctlError):
            return
        free = shutil.disk_usage(self._folder).free if self._folder.exists() else 0
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or free < 1 << 20  # libraries lose the number on the way
        raise StorageError(
            f"{self._folder}: {'the disk is full' if full else 'writing failed'}; {free / 1e6:,.0f} MB are free",
            cause=str(error),
            saved="nothing at the output's path was created or changed",
            hint="make room or choose another drive with --output, and run the same command again",
        ) from error
