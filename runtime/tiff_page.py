"""One page of a TIFF: how its pixels are cut into chunks, checked before any of them is decoded.

Caps, besides those of `tiff_directories`: a decoded tile of 256 MiB; a chunk of more than 16 MiB that is decoded from
less than a 10,000th of its size; a page of more than 1 GiB in a file of less than a 10,000th of it. (Below that, blank
tiles of honest slides reach 20,000:1 with Zstandard.) A compressed strip may be large, because some programs write a
whole image as one: `ImageInfo.chunk_bytes` tells, and the memory budget decides.

Sparse chunks (offset and byte count 0, as GDAL writes where nothing was) are refused unless the caller asked for them:
what they mean is not in the file. Uncompressed strips must be there in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tifffile

from unetctl.runtime.errors import DataError

MAX_TILE_BYTES = 256 << 20
MAX_RATIO = 10_000
HARMLESS_CHUNK_BYTES = 16 << 20
HARMLESS_PAGE_BYTES = 1 << 30

DAMAGED = "copy it again: it is damaged or incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageGeometry:
    """The shape of a page and of its chunks (tiles or strips). Each chunk of a separate page holds one sample."""

    height: int
    width: int
    samples: int
    separate: bool
    """Samples are stored one after the other (PlanarConfiguration 2), not pixel by pixel."""
    tiled: bool
    compressed: bool
    chunk_yx: tuple[int, int]
    dtype: np.dtype[np.generic]
    as_stored: np.dtype[np.generic] | None
    """Dtype, with its byte order, if the file holds the pixels as they are; `None` if they must be decoded."""

    @property
    def rows(self) -> int:
        """Chunks from top to bottom."""
        return -(-self.height // self.chunk_yx[0])

    @property
    def columns(self) -> int:
        """Chunks from left to right."""
        return -(-self.width // self.chunk_yx[1])

    @property
    def chunks(self) -> int:
        """Chunks of all samples."""
        return self.rows * self.columns * (self.samples if self.separate else 1)

    @property
    def samples_a_chunk(self) -> int:
        """How many samples of a pixel one chunk holds."""
        return 1 if self.separate else self.samples

    @property
    def chunk_bytes(self) -> int:
        """Decoded size of one chunk."""
        return self.chunk_yx[0] * self.chunk_yx[1] * self.samples_a_chunk * self.dtype.itemsize

    @property
    def decoded_bytes(self) -> int:
        """What must be decoded at once: a chunk, or nothing where the file holds the pixels as they are."""
        return self.chunk_bytes if self.as_stored is None else 0

    def has_pixels_like(self, other: PageGeometry) -> bool:
        """Tell whether two pages can be planes of one image, however they are stored."""
        mine, theirs = ((page.height, page.width, page.samples, page.dtype.newbyteorder("=")) for page in (self, other))
        return mine == theirs

    @property
    def page_bytes(self) -> int:
        """Decoded size of the whole page."""
        return self.height * self.width * self.samples * self.dtype.itemsize

    def name(self, index: int) -> str:
        """Say which chunk this is."""
        sample, position = divmod(index, self.rows * self.columns)
        row, column = divmod(position, self.columns)
        where = f"the tile at row {row}, column {column}" if self.tiled else f"strip {row}"
        return f"{where} of sample {sample}" if self.separate and self.samples > 1 else where


def page_geometry(page: tifffile.TiffPage, path: str) -> PageGeometry:
    """Read the geometry of a page. Raises `DataError` if it makes no sense or is not supported."""
    height, width, samples, depth = page.imagelength, page.imagewidth, page.samplesperpixel, page.imagedepth
    tiled = page.is_tiled or 322 in page.tags or 323 in page.tags  # NDPI's JPEG restart intervals have no tags
    chunk_yx = (page.tilelength, page.tilewidth) if tiled else (page.rowsperstrip, width)
    sizes = {"height": height, "width": width, "samples": samples, "rows": chunk_yx[0], "columns": chunk_yx[1]}
    if wrong := [name for name, size in sizes.items() if not isinstance(size, int) or not 0 < size < 2**31]:
        named = f"{'tile ' if tiled else 'strip '}{wrong[0]}" if wrong[0] in ("rows", "columns") else wrong[0]
        raise DataError(f"{path}: the {named} of this image is {sizes[wrong[0]]}", cause="that is no possible number")
    if depth != 1 or (tiled and page.tiledepth != 1):
        raise DataError(f"{path}: volumes stored as one page (ImageDepth) are not read", hint="save it as a stack")
    if page.dtype is None or page.planarconfig not in (1, 2):
        raise DataError(
            f"{path}: pixels of {page.bitspersample} bits in this format are not read",
            hint="save the image with 8 or 16 bits a channel",
        )
    compressed = page.compression != 1
    plain = not compressed and page.predictor == 1 and page.fillorder == 1 and page.sampleformat != 5
    stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    is_whole = page.bitspersample == page.dtype.itemsize * 8 and page.dtype.kind in "uif"
    return PageGeometry(
        height=height,
        width=width,
        samples=samples,
        separate=page.planarconfig == 2 and samples > 1,
        tiled=tiled,
        compressed=compressed,
        chunk_yx=chunk_yx if tiled else (min(chunk_yx[0], height), width),
        dtype=np.dtype(page.dtype),
        as_stored=stored if plain and is_whole and not tiled else None,
    )


def check_table(
    geometry: PageGeometry, offsets: Sequence[int], counts: Sequence[int], *, where: str, file_bytes: int, sparse: bool
) -> None:
    """Check that every chunk lies in the file and can hold what it claims. `where` names file and page.

    In a `sparse` file chunks may be absent.
    """
    if not len(offsets) == len(counts) == geometry.chunks:
        raise DataError(
            f"{where}: the table of its {'tiles' if geometry.tiled else 'strips'} is damaged",
            cause=f"{geometry.chunks:,} are needed; it lists {len(offsets):,} positions and {len(counts):,} sizes",
            hint=DAMAGED,
        )
    starts, sizes = np.asarray(offsets, np.float64), np.asarray(counts, np.float64)  # exact to 2^53: 8 million GiB
    absent, outside = (sizes <= 0) | (starts <= 0), starts + sizes > file_bytes
    if sparse and geometry.as_stored is None:
        absent &= (sizes != 0) | (starts != 0)
    if absent.any():
        index = int(absent.argmax())
        cause = f"byte count {counts[index]} at offset {offsets[index]}: it was never written, or has been lost"
        hint = "segment --skip-blank takes it for empty; else fill it, as gdal_translate does, or copy the file again"
        raise DataError(f"{where}: {geometry.name(index)} holds no data", cause=cause, hint=hint)
    if outside.any():
        index = int(outside.argmax())
        cause = f"it ends at byte {offsets[index] + counts[index]:,}, and the file at {file_bytes:,}"
        raise DataError(f"{where}: {geometry.name(index)} lies past the end of the file", cause=cause, hint=DAMAGED)
    if (written := sizes[sizes > 0]).size:
        _check_sizes(geometry, written, where=where, file_bytes=file_bytes)


def _check_sizes(
    geometry: PageGeometry, sizes: np.ndarray[tuple[int], np.dtype[np.float64]], *, where: str, file_bytes: int
) -> None:
    decoded = geometry.chunk_bytes
    if geometry.tiled and decoded > MAX_TILE_BYTES:
        cause = f"a tile of {geometry.chunk_yx[1]:,} x {geometry.chunk_yx[0]:,} px takes {decoded >> 20:,} MiB"
        hint = f"tiles of up to {MAX_TILE_BYTES >> 20} MiB are read; save the image with smaller ones"
        raise DataError(f"{where}: the tiles are too large", cause=cause, hint=hint)
    smallest = int(sizes.min())
    page_bytes = decoded * len(sizes)
    too_dense = decoded > HARMLESS_CHUNK_BYTES and decoded > MAX_RATIO * smallest
    if too_dense or (page_bytes > HARMLESS_PAGE_BYTES and page_bytes > MAX_RATIO * file_bytes):
        raise DataError(
            f"{where}: an image of {geometry.width:,} x {geometry.height:,} px cannot be in so small a file",
            cause=f"{smallest:,} bytes claim to decode to {decoded >> 20:,} MiB"
            if too_dense
            else f"{file_bytes:,} bytes claim to decode to {page_bytes >> 20:,} MiB",
            hint=f"up to {MAX_RATIO:,} to 1 is read",
        )
