"""Decoded chunks of an image, kept for the next reads: each is decoded once while it stays.

A cache that was told what a pass will read keeps a chunk exactly until it was used for the last time. If that is more
than it may hold, the chunk goes first whose next use is the last: of those that wait for the next row of tiles, the one
that began to wait last. A cache that was told nothing drops the chunk that was used longest ago.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.reads import ReadGrid

Chunk = NDArray[np.generic]

DEFAULT_LIMIT_BYTES = 128 << 20


class Uses(NamedTuple):
    """How often a pass uses a chunk."""

    in_all: int
    in_a_row: int
    """Of tiles: by the windows beside each other."""


class ChunkCache:
    """Chunks up to a number of bytes; threads that want the same chunk wait for one decoding.

    The chunk that was used last is kept even if it is larger than the limit, so that an image that is one compressed
    strip is not decoded anew for every window.
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.decoded_chunks = 0
        """How many chunks have been decoded so far."""
        self._limit_bytes = limit_bytes
        self._reads: ReadGrid | None = None
        self._counted: dict[tuple[int, int], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Chunk] = OrderedDict()
        self._left: dict[Hashable, int] = {}
        self._resting: dict[Hashable, None] = {}  # those that wait for the next row, in the order in which they began
        self._pending: dict[Hashable, Future[Chunk]] = {}
        self._lock = threading.Lock()

    def limit(self, limit_bytes: int, reads: ReadGrid | None = None) -> None:
        """Keep at most `limit_bytes` from now on; `reads` is what the pass that begins now will read of each plane."""
        with self._lock:
            self._limit_bytes, self._reads = limit_bytes, reads
            self._counted.clear()
            self._left.clear()
            self._resting.clear()
            self._shrink()

    def uses(self, chunk_yx: tuple[int, int], row: int, column: int) -> Uses | None:
        """Return how often this pass uses a chunk, or None if nobody knows."""
        if self._reads is None:
            return None
        if chunk_yx not in self._counted:
            self._counted[chunk_yx] = self._reads.uses(chunk_yx)
        rows, columns = self._counted[chunk_yx]
        return Uses(in_all=int(rows[row] * columns[column]), in_a_row=int(columns[column]))

    def get(self, key: Hashable, decode: Callable[[], Chunk], uses: Uses | None = None) -> Chunk:
        """Return the chunk `key`, calling `decode` if nobody has it yet; those who wait raise what it raises."""
        with self._lock:
            if uses is not None:
                self._left[key] = self._left.get(key, uses.in_all) - 1
            chunk = self._kept.get(key)
            if chunk is not None:
                self._keep(key, chunk, uses)
                return chunk
            pending = self._pending.get(key)
            if pending is None:
                mine = self._pending[key] = Future()
        if pending is not None:
            return pending.result()
        try:
            chunk = decode()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        with self._lock:
            self.decoded_chunks += 1
            del self._pending[key]
            self._keep(key, chunk, uses)
        mine.set_result(chunk)
        return chunk

    def clear(self) -> None:
        """Forget every chunk."""
        with self._lock:
            self._kept.clear()
            self._left.clear()
            self._resting.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, chunk: Chunk, uses: Uses | None) -> None:
        """Keep a chunk that was just used, or drop it if that was the last time."""
        if key not in self._kept:
            self._kept[key] = chunk
            self._bytes += chunk.nbytes
        self._kept.move_to_end(key)
        self._resting.pop(key, None)
        if uses is not None:
            left = self._left[key]
            if left <= 0:
                del self._left[key]
                self._drop(key)
            elif left % uses.in_a_row == 0:
                self._resting[key] = None
        self._shrink()

    def _shrink(self) -> None:
        while self._bytes > self._limit_bytes and len(self._kept) > 1:
            self._drop(next(reversed(self._resting)) if self._resting else next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        self._bytes -= self._kept.pop(key).nbytes
        self._resting.pop(key, None)
