"""Mean and standard deviation of a whole plane: what `(pixel - shift) * scale` needs when a model's scope is the image.

One function serves training and segmentation, so both see the same figures. Sums are integers and exact, so they don't
depend on the size of the bands in which the plane is read; only the last step is floating point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.errors import DataError
from unetctl.runtime.image import ArraySource, ImageSource
from unetctl.runtime.plan import Window

BAND_PX = 1 << 22
"""Pixels that are in memory at once."""

COUNTED_PX = 1 << 19
"""Pixels that are counted at once: numpy makes eight bytes of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What to subtract from each channel, and what to multiply the difference by."""

    shift: tuple[float, ...]
    """The mean of each channel."""
    scale: tuple[float, ...]
    """One over the standard deviation (of the population); 1 for a channel of one value."""


def plane_statistics(source: ImageSource, plane: int, *, band_px: int = BAND_PX) -> Statistics:
    """Measure a plane of uint8 or uint16 in bands of at most `band_px` pixels.

    A chunk larger than that is read in several bands, and decoded once: the source keeps the chunk that it used last.
    """
    info = source.info
    dtype = np.dtype(info.dtype)
    if dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{info.path}: its pixels are {info.dtype}, and only those of uint8 and uint16 images are measured",
            hint="save the image with 8 or 16 bits a channel",
        )
    histogram = np.zeros((info.channels, 1 << (8 * dtype.itemsize)), np.int64)
    for window in _bands(source, band_px):
        pixels = np.empty((info.channels, *window.shape), dtype)
        source.read(plane, window, pixels)
        for channel, values in enumerate(pixels.reshape(info.channels, -1)):
            for part in range(0, values.size, COUNTED_PX):
                counts = np.bincount(values[part : part + COUNTED_PX], minlength=histogram.shape[1])
                histogram[channel] += counts
    moments = [_moments(counts) for counts in histogram]
    return Statistics(
        shift=tuple(mean for mean, _ in moments),
        scale=tuple(1 / deviation if deviation > 0 else 1.0 for _, deviation in moments),
    )


def array_statistics(chw: NDArray[np.generic]) -> Statistics:
    """Measure an array `[C, H, W]` (or `[H, W]`) of uint8 or uint16 exactly as `plane_statistics` does a plane."""
    return plane_statistics(ArraySource(chw), 0)


def _bands(source: ImageSource, band_px: int) -> list[Window]:
    """Cut the image into windows of whole chunks, or of parts of one chunk after the other."""
    info = source.info
    chunk_height, chunk_width = info.chunk_yx
    width = min(info.width, chunk_width * max(1, band_px // (chunk_height * chunk_width)))
    height = chunk_height * (band_px // (width * chunk_height)) or max(1, band_px // width)
    return [
        Window(y0=y, x0=x, y1=min(y + height, info.height), x1=min(x + width, info.width))
        for y in range(0, info.height, height)
        for x in range(0, info.width, width)
    ]


def _moments(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and standard deviation from a histogram, with integers of any size up to the last division."""
    values = [(value, int(counts[value])) for value in np.flatnonzero(counts).tolist()]
    number = sum(count for _, count in values)
    total = sum(value * count for value, count in values)
    squares = sum(value * value * count for value, count in values)
    return total / number, math.sqrt((number * squares - total * total) / (number * number))
