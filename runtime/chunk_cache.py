"""Decoded chunks of an image, kept for the next reads: each is decoded once while it stays."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

Chunk = NDArray[np.generic]

DEFAULT_LIMIT_BYTES = 128 << 20


class ChunkCache:
    """The chunks that were used last, up to a number of bytes; threads that want the same chunk wait for one decoding.

    The chunk that was used last is kept even if it is larger than the limit, so that an image that is one compressed
    strip is not decoded anew for every window.
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.decoded_chunks = 0
        """How many chunks have been decoded so far."""
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Chunk] = OrderedDict()
        self._pending: dict[Hashable, Future[Chunk]] = {}
        self._lock = threading.Lock()

    def limit(self, limit_bytes: int) -> None:
        """Keep at most `limit_bytes` from now on."""
        with self._lock:
            self._limit_bytes = limit_bytes
            self._shrink()

    def get(self, key: Hashable, decode: Callable[[], Chunk]) -> Chunk:
        """Return the chunk `key`, calling `decode` if nobody has it yet; those who wait raise what it raises."""
        with self._lock:
            chunk = self._kept.get(key)
            if chunk is not None:
                self._kept.move_to_end(key)
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
            self._kept[key] = chunk
            self._bytes += chunk.nbytes
            self._shrink()
        mine.set_result(chunk)
        return chunk

    def clear(self) -> None:
        """Forget every chunk."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _shrink(self) -> None:
        while self._bytes > self._limit_bytes and len(self._kept) > 1:
            _, chunk = self._kept.popitem(last=False)
            self._bytes -= chunk.nbytes
