"""An image that is too large to be held: what is known without reading it, and windows of its pixels.

    open_image("slide.tif")  ->  ImageSource  ->  info: ImageInfo            header only, nothing decoded
                                              ->  read(plane, window, out)   decodes the chunks under the window, once

An image is a sequence of planes of one shape: the pages of a stack, the T and Z positions of an OME-TIFF. Pyramid
levels, thumbnails, labels and macro pictures are no planes. Channels come first within a plane, whatever the file's
layout. Pixels are delivered as they are stored: no orientation tag is applied, nothing is scaled, inverted or cast.

An image is untrusted. Whatever a file holds, opening and reading it end in pixels that the file really contains or in a
`UnetctlError`; nothing that is missing is filled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError, UsageError
from unetctl.runtime.plan import Window

if TYPE_CHECKING:
    from unetctl.runtime.random_access import OnDisk
    from unetctl.runtime.reads import ReadGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What an image is, known from its header."""

    path: str
    format: str
    """`"TIFF"`, `"PNG"`, `"JPEG"` or `"array"`"""
    plane_axes: tuple[tuple[str, int], ...]
    """Name and size of the axes that count planes, the slowest first, as `(("T", 7), ("Z", 5))`; `()` for one plane."""
    channels: int
    channel_names: tuple[str, ...]
    """`("gray",)`, `("red", "green", "blue")`, with `"alpha"` where there is one; from OME-XML where it names them."""
    height: int
    width: int
    dtype: str
    """A numpy name; a model takes `"uint8"` or `"uint16"`."""
    pixel_size_um: float | None
    """Side of a pixel in micrometres, where the file says so plausibly and pixels are square within 1 %."""
    chunk_yx: tuple[int, int]
    """Pixels that must be decoded at once."""
    chunk_bytes: int
    """Decoded size of one chunk with all its samples; 0 where any window is read as it is, and nothing is decoded."""
    decoder_bytes: int = 0
    """What decoding a chunk takes beside its pixels: the chunk as the file holds it, and copies on the way."""
    made_by: str | None
    """The provenance (JSON) that unetctl wrote, if this image is one of its results."""

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return math.prod(size for _, size in self.plane_axes)


class ImageSource(Protocol):
    """An open image. `read` may be called from several threads at once."""

    @property
    def info(self) -> ImageInfo:
        """What the image is."""

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        """Fill `out`, `[C, h, w]` of the image's dtype with any strides, with a window that lies inside the image."""

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        """Keep at most so many bytes of decoded chunks for the next reads, which are `reads` of every plane."""

    def close(self) -> None:
        """Give the file back."""


def open_image(
    path: str | Path,
    *,
    series: int | None = None,
    level: int = 0,
    channels: tuple[int, ...] | None = None,
    on_disk: OnDisk | None = None,
    sparse: bool = False,
) -> ImageSource:
    """Open an image by what it contains, whatever its name says; only its header is read.

    `series` chooses one of several images in a TIFF (default: the only one that is no thumbnail, label or macro
    picture), `level` a pyramid level (0 is the full size), `channels` which channels to deliver, in order. `on_disk` is
    told of every read of the file. In a `sparse` TIFF, chunks that were never written are read as the file's value
    for no data; else they are an error.
    Raises `MissingInputError`, `DataError`, `RefusedError`, and `UsageError` for a series, level or channel it has not.
    """
    from unetctl.runtime.random_access import RandomAccessFile

    file = RandomAccessFile(Path(path), on_disk=on_disk)
    try:
        if file.starts_with(b"II", b"MM"):
            from unetctl.runtime.source_tiff import open_tiff

            return open_tiff(file, series=series, level=level, channels=channels, sparse=sparse)
        from unetctl.runtime.source_picture import open_picture

        if series or level:
            raise UsageError(f"{path}: a picture has one image and one level, counted from 0")
        return open_picture(file, channels=channels)
    except BaseException:
        file.close()
        raise


class ArraySource:
    """An image in memory, `[H, W]`, `[C, H, W]` or `[P, C, H, W]`, as an `ImageSource`."""

    def __init__(self, array: NDArray[np.generic], *, path: str = "array", pixel_size_um: float | None = None) -> None:
        if not 2 <= array.ndim <= 4 or 0 in array.shape:
            raise DataError(
                f"an array of shape {array.shape} is no image", hint="give [H, W], [C, H, W] or [P, C, H, W]"
            )
        planes_nchw = array.reshape((1,) * (4 - array.ndim) + array.shape)
        planes, channels, height, width = planes_nchw.shape
        self._planes = planes_nchw
        self.info = ImageInfo(
            path=path,
            format="array",
            plane_axes=(("P", planes),) if array.ndim == 4 else (),
            channels=channels,
            channel_names=default_channel_names(channels),
            height=height,
            width=width,
            dtype=array.dtype.name,
            pixel_size_um=pixel_size_um,
            chunk_yx=(1, width),
            chunk_bytes=0,
            made_by=None,
        )

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        """Copy a window of a plane to `out`."""
        check_read(self.info, plane, window, out)
        out[...] = self._planes[plane, :, window.y0 : window.y1, window.x0 : window.x1]

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        """Nothing is decoded, so nothing is kept."""

    def close(self) -> None:
        """The array is the caller's."""


def default_channel_names(channels: int) -> tuple[str, ...]:
    """Name the channels of an image that does not: gray, RGB, or numbers."""
    known = {1: ("gray",), 3: ("red", "green", "blue")}
    return known.get(channels) or numbered_channels(channels)


def numbered_channels(channels: int) -> tuple[str, ...]:
    """Number channels from 1, as people count them and as `--channels` takes them."""
    return tuple(f"channel {number}" for number in range(1, channels + 1))


def choose_channels(path: str, names: tuple[str, ...], channels: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return which channels are to be delivered: those asked for, or all. Raises `UsageError`."""
    if channels is None:
        return tuple(range(len(names)))
    if not channels or not all(0 <= index < len(names) for index in channels):
        listed = ", ".join(f"{number} ({name})" for number, name in enumerate(names, start=1))
        asked = ",".join(str(index + 1) for index in channels)
        raise UsageError(f"{path}: channels {asked} were asked for, counted from 1; it has {listed}")
    return channels


def check_read(info: ImageInfo, plane: int, window: Window, out: NDArray[np.generic]) -> None:
    """Raise `UsageError` unless the plane exists, the window lies inside the image and `out` fits both."""
    wrong = ""
    if not 0 <= plane < info.planes:
        wrong = f"plane {plane} of {info.planes}"
    elif not (0 <= window.y0 < window.y1 <= info.height and 0 <= window.x0 < window.x1 <= info.width):
        wrong = f"rows {window.y0}-{window.y1} and columns {window.x0}-{window.x1} of {info.height} x {info.width} px"
    elif out.shape != (info.channels, *window.shape) or out.dtype != np.dtype(info.dtype):
        wrong = f"a {info.dtype} window of shape {(info.channels, *window.shape)} into {out.dtype} of shape {out.shape}"
    if wrong:
        raise UsageError(f"{info.path}: cannot read {wrong}")
