"""PNG and JPEG as an `ImageSource`, for small images: a picture is one chunk, decoded whole for its first pixel.

The header is read first, so that a picture that claims to be huge is refused before anything is decoded. 16-bit PNG
stays 16 bit. As the PNG standard has it, a palette is a way to store colours, fewer than 8 bits of gray are scaled to
8, and a transparent colour is an alpha channel: so they are delivered, and named.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.chunk_cache import Chunk, ChunkCache
from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ImageInfo, check_read, choose_channels
from unetctl.runtime.jpeg_header import read_jpeg_frame
from unetctl.runtime.plan import Window
from unetctl.runtime.random_access import RandomAccessFile, translated
from unetctl.runtime.reads import ReadGrid

PNG_SIGNATURE, JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"

MAX_PICTURE_BYTES = 1 << 30
MAX_RATIO = 1500
"""PNG's deflate reaches 1032:1, and JPEG, which spends at least a bit on every 8 x 8 block of a component, 1365:1."""

COLOURS = {
    1: ("gray",),
    2: ("gray", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}
CMYK = ("cyan", "magenta", "yellow", "black")

FOREIGN = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"ZISRAWFILE", "a Zeiss CZI"),
    (b"\x89HDF", "an HDF5 file"),
    (b"RIFF", "a WebP or another RIFF file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a pointer of git-lfs instead of the file itself: `git lfs pull` fetches it"),
    (b"<", "an HTML or XML page instead of an image"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """What a picture says before it is decoded."""

    format: str
    height: int
    width: int
    channel_names: tuple[str, ...]
    dtype: str
    unpacked_bytes: int
    """Size of what the compressed data stand for: less than the pixels take, if bits or a palette are packed."""


class PictureSource:
    """An open PNG or JPEG. Made by `open_picture`."""

    def __init__(self, file: RandomAccessFile, *, info: ImageInfo, samples: int, channels: tuple[int, ...]) -> None:
        self.info = info
        self.cache = ChunkCache()
        self._file = file
        self._samples = samples
        self._channels = channels

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        """Fill `out`, `[C, h, w]`, with a window inside the image."""
        check_read(self.info, plane, window, out)
        uses = self.cache.uses(self.info.chunk_yx, 0, 0)
        pixels = self.cache.get(0, self._decode, uses)[window.y0 : window.y1, window.x0 : window.x1]
        for channel, sample in enumerate(self._channels):
            out[channel] = pixels[..., sample]

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        """The picture is one chunk, and the last chunk is always kept."""
        self.cache.limit(cache_bytes, reads)

    def close(self) -> None:
        """Close the file and forget the pixels."""
        self.cache.clear()
        self._file.close()

    def _decode(self) -> Chunk:
        info = self.info
        data = self._file.read(0, self._file.size)
        with translated(f"{info.path}: this {info.format} is damaged", hint="copy it again"):
            if info.format == "PNG":
                _check_png(data)
                decoded: Chunk = imagecodecs.png_decode(data)
            else:
                decoded = imagecodecs.jpeg_decode(data)
            pixels = decoded.reshape(info.height, info.width, self._samples)
        if pixels.dtype != info.dtype:
            cause = f"it decodes to {pixels.dtype}, and its header says {info.dtype}"
            raise DataError(f"{info.path}: this {info.format} is damaged", cause=cause)
        return pixels


def open_picture(file: RandomAccessFile, *, channels: tuple[int, ...] | None) -> PictureSource:
    """Open a PNG or JPEG, of which only the header is understood. Raises `DataError` and `UsageError`."""
    path = str(file.path)
    if file.starts_with(PNG_SIGNATURE):
        header = _png_header(file)
    elif file.starts_with(JPEG_SIGNATURE):
        header = _jpeg_header(file)
    else:
        raise _unknown(file)
    picture_bytes = header.height * header.width * len(header.channel_names) * np.dtype(header.dtype).itemsize
    if not picture_bytes:
        raise DataError(f"{path}: this {header.format} claims {header.width} x {header.height} px")
    if picture_bytes > MAX_PICTURE_BYTES or header.unpacked_bytes > MAX_RATIO * file.size:
        raise DataError(
            f"{path}: this {header.format} claims {header.width:,} x {header.height:,} px in {file.size:,} bytes",
            cause=f"decoded whole it would take {picture_bytes >> 20:,} MiB; "
            f"up to {MAX_PICTURE_BYTES >> 20:,} MiB, and {MAX_RATIO} times the file, are read",
            hint="save a large image as a tiled TIFF",
        )
    indices = choose_channels(path, header.channel_names, channels)
    info = ImageInfo(
        path=path,
        format=header.format,
        plane_axes=(),
        channels=len(indices),
        channel_names=tuple(header.channel_names[index] for index in indices),
        height=header.height,
        width=header.width,
        dtype=header.dtype,
        pixel_size_um=None,
        chunk_yx=(header.height, header.width),
        chunk_bytes=picture_bytes,
        decoder_bytes=file.size + 2 * header.unpacked_bytes * (header.format == "JPEG"),  # coefficients, if progressive
        made_by=None,
    )
    return PictureSource(file, info=info, samples=len(header.channel_names), channels=indices)


def _png_header(file: RandomAccessFile) -> PictureHeader:
    """Read IHDR, and the chunks before the pixels for a transparent colour (PNG standard, section 11.2 and 11.3)."""
    path = str(file.path)
    position, transparent, depth, colour, height, width = len(PNG_SIGNATURE), False, 0, -1, 0, 0
    while True:
        head = file.read(position, 8)
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"IHDR" and length == 13:
            data = file.read(position + 8, 13)
            width, height, depth, colour = struct.unpack(">IIBB", data[:10])
        transparent |= name == b"tRNS"
        if name in (b"IDAT", b"IEND"):
            break
        position += 12 + length
    samples = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if samples is None or depth not in (1, 2, 4, 8, 16):
        raise DataError(f"{path}: the header of this PNG is damaged")
    return PictureHeader(
        format="PNG",
        height=height,
        width=width,
        channel_names=COLOURS[samples + (transparent and colour in (0, 2, 3))],
        dtype="uint16" if depth == 16 else "uint8",
        unpacked_bytes=-(-width * depth * (1 if colour == 3 else samples) // 8) * height,
    )


def _check_png(data: bytes) -> None:
    """Compare every chunk with its checksum; the decoder stops at the last row, and skips that of the last one."""
    view = memoryview(data)
    position, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise ValueError("it ends before its last chunk")
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError(f"the checksum of its chunk at byte {position:,} is wrong")
        position = end + 4


def _jpeg_header(file: RandomAccessFile) -> PictureHeader:
    data = file.read(0, file.size)  # the end marker is looked for too; the file is small compared with its pixels
    with translated(f"{file.path}: this JPEG is damaged", hint="copy it again"):
        frame = read_jpeg_frame(data)
    names = CMYK if frame.components == 4 else COLOURS.get(frame.components)
    if names is None or frame.components == 2:
        raise DataError(f"{file.path}: a JPEG of {frame.components} components is not read")
    return PictureHeader(
        format="JPEG",
        height=frame.height,
        width=frame.width,
        channel_names=names,
        dtype="uint8" if frame.precision <= 8 else "uint16",
        unpacked_bytes=frame.height * frame.width * frame.components,
    )


def _unknown(file: RandomAccessFile) -> DataError:
    if not file.size:
        return DataError(f"{file.path}: the file is empty", hint="copy it again")
    found = next((name for signature, name in FOREIGN if file.starts_with(signature)), "in a format that is not known")
    return DataError(f"{file.path}: this is {found}", cause="TIFF, PNG and JPEG are read", hint="convert it to TIFF")
