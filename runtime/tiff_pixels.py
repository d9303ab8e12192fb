"""The pixels of one TIFF page: decoded chunk by chunk, or read row by row where the file holds them as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.chunk_cache import Chunk, ChunkCache, Uses
from unetctl.runtime.errors import DataError
from unetctl.runtime.plan import Window
from unetctl.runtime.random_access import RandomAccessFile, translated
from unetctl.runtime.tiff_page import DAMAGED, PageGeometry

Picks = Sequence[tuple[int, int]]
"""Which sample of the page goes to which channel of the output: `(channel, sample)`."""

BLOCK_BYTES = 4 << 20
"""Rows that are read from the file in one call, at most."""


class PagePixels(Protocol):
    """Something that fills windows from one page."""

    def read(self, window: Window, picks: Picks, out: NDArray[np.generic]) -> None:
        """Fill `out[channel]` with a window of the page's sample, for each pick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedPixels:
    """A page whose chunks are decoded, each once while the cache keeps it."""

    file: RandomAccessFile
    cache: ChunkCache
    geometry: PageGeometry
    number: int
    """Of the page; with a chunk's index it is the key in the cache."""
    where: str
    """Names file and plane in the errors."""
    offsets: Sequence[int]
    counts: Sequence[int]
    """0 for a chunk that was never written; such files are only opened as sparse ones."""
    no_data: float
    """What such a chunk is read as."""
    decode: Callable[..., Any]
    """tifffile's decoder of the page: `(data, chunk index, **tables) -> (array [depth, h, w, samples], ...)`."""
    tables: dict[str, bytes | None]
    """What a JPEG chunk needs from the page."""
    coded_yx: Callable[[bytes], tuple[int, int]] | None
    """Reads the size that a chunk claims for itself, where it does."""

    def read(self, window: Window, picks: Picks, out: NDArray[np.generic]) -> None:
        """Fill `out[channel]` with a window of the page's sample, for each pick."""
        geometry = self.geometry
        high, wide = geometry.chunk_yx
        for row in range(window.y0 // high, -(-window.y1 // high)):
            y0, y1 = max(window.y0, row * high), min(window.y1, row * high + high)
            for column in range(window.x0 // wide, -(-window.x1 // wide)):
                x0, x1 = max(window.x0, column * wide), min(window.x1, column * wide + wide)
                from_yx = np.s_[y0 - row * high : y1 - row * high, x0 - column * wide : x1 - column * wide]
                to_yx = np.s_[y0 - window.y0 : y1 - window.y0, x0 - window.x0 : x1 - window.x0]
                uses = self.cache.uses(geometry.chunk_yx, row, column)
                position = row * geometry.columns + column
                samples = {sample for _, sample in picks} if geometry.separate else {0}
                for one in samples:
                    index = position + one * geometry.rows * geometry.columns
                    if not self.counts[index]:
                        for channel, sample in picks:
                            if sample == one or not geometry.separate:
                                out[channel][to_yx] = self.no_data
                        continue
                    chunk = self._chunk(index, uses)[from_yx]
                    for channel, sample in picks:
                        if not geometry.separate:
                            out[channel][to_yx] = chunk[..., sample]
                        elif sample == one:
                            out[channel][to_yx] = chunk[..., 0]

    def _chunk(self, index: int, uses: Uses | None) -> Chunk:
        return self.cache.get((self.number, index), lambda: self._decode(index), uses)

    def _decode(self, index: int) -> Chunk:
        what = f"{self.where}: {self.geometry.name(index)} is damaged"
        data = self.file.read(self.offsets[index], self.counts[index])
        with translated(what, hint=DAMAGED):
            coded_yx = self.coded_yx(data) if self.coded_yx is not None else None
            if coded_yx is not None and (
                coded_yx[0] > self.geometry.chunk_yx[0] or coded_yx[1] > self.geometry.chunk_yx[1]
            ):
                raise ValueError(
                    f"it claims {coded_yx[1]:,} x {coded_yx[0]:,} px, more than its place in the image has"
                )
            array: Chunk = self.decode(data, index, **self.tables)[0][0]
            if self.geometry.dtype == bool:  # the fax codecs return bytes
                array = array.astype(bool)
        row, column = divmod(index % (self.geometry.rows * self.geometry.columns), self.geometry.columns)
        high, wide = self.geometry.chunk_yx
        needed_yx = min(high, self.geometry.height - row * high), min(wide, self.geometry.width - column * wide)
        complete = array.shape[0] >= needed_yx[0] and array.shape[1] >= needed_yx[1]
        if not complete or array.shape[2] != self.geometry.samples_a_chunk or array.dtype != self.geometry.dtype:
            raise DataError(
                what,
                cause=f"it decodes to {array.dtype} of {array.shape}, and {needed_yx} of {self.geometry.dtype} are due",
                hint=DAMAGED,
            )
        if coded_yx is not None and (coded_yx[1] != array.shape[1] or coded_yx[0] < array.shape[0]):
            raise DataError(what, cause=f"its {coded_yx[1]} x {coded_yx[0]} px do not fit there", hint=DAMAGED)
        return array


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPixels:
    """A page whose strips hold the pixels as they are: any window is read from the file, and nothing is kept."""

    file: RandomAccessFile
    geometry: PageGeometry
    strip_rows: int
    offsets: Sequence[int]
    """Where each strip starts, those of one sample after those of another if samples are separate."""

    def read(self, window: Window, picks: Picks, out: NDArray[np.generic]) -> None:
        """Fill `out[channel]` with a window of the page's sample, for each pick."""
        if not self.geometry.separate:
            self._read_strips(0, window, picks, out)
            return
        for channel, sample in picks:
            self._read_strips(sample * -(-self.geometry.height // self.strip_rows), window, [(channel, 0)], out)

    def _read_strips(self, first_strip: int, window: Window, picks: Picks, out: NDArray[np.generic]) -> None:
        dtype = self.geometry.as_stored
        samples = self.geometry.samples_a_chunk
        assert dtype is not None, "such pages are read in chunks"
        for offset, y, rows, x0, x1 in self._pieces(first_strip, window, samples * dtype.itemsize):
            data = self.file.read(offset, rows * (x1 - x0) * samples * dtype.itemsize)
            pixels = np.frombuffer(data, dtype).reshape(rows, x1 - x0, samples)[:, window.x0 - x0 : window.x1 - x0]
            for channel, sample in picks:
                out[channel, y - window.y0 : y - window.y0 + rows] = pixels[..., sample]

    def _pieces(self, first_strip: int, window: Window, pixel_bytes: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield `(offset, first row, rows, first column, last column)` of each piece to read.

        Whole rows where most of a row is wanted, several at a time; else the wanted part of one row.
        """
        row_bytes = self.geometry.width * pixel_bytes
        whole = window.width * 4 >= self.geometry.width
        x0, x1 = (0, self.geometry.width) if whole else (window.x0, window.x1)
        most = max(1, BLOCK_BYTES // row_bytes) if whole else 1
        y = window.y0
        while y < window.y1:
            strip, inside = divmod(y, self.strip_rows)
            rows = min(most, self.strip_rows - inside, window.y1 - y)
            yield self.offsets[first_strip + strip] + inside * row_bytes + x0 * pixel_bytes, y, rows, x0, x1
            y += rows


def row_pixels(
    file: RandomAccessFile, geometry: PageGeometry, offsets: Sequence[int], counts: Sequence[int], *, where: str
) -> RowPixels:
    """Make the reader of an uncompressed page in strips; strips that follow each other become one.

    Raises `DataError` for a strip that holds fewer bytes than its rows need.
    """
    strip_bytes = geometry.chunk_bytes
    strips = geometry.rows
    last_bytes = strip_bytes // geometry.chunk_yx[0] * (geometry.height - (strips - 1) * geometry.chunk_yx[0])
    for index, count in enumerate(counts):
        needed = last_bytes if index % strips == strips - 1 else strip_bytes
        if count < needed:
            cause = f"it holds {count:,} of {needed:,} bytes"
            raise DataError(f"{where}: {geometry.name(index)} is incomplete", cause=cause, hint=DAMAGED)
    starts = np.asarray(offsets, np.int64).reshape(-1, strips)
    if (np.diff(starts, axis=1) == strip_bytes).all():
        return RowPixels(
            file=file, geometry=geometry, strip_rows=geometry.height, offsets=[int(start) for start in starts[:, 0]]
        )
    return RowPixels(file=file, geometry=geometry, strip_rows=geometry.chunk_yx[0], offsets=offsets)
