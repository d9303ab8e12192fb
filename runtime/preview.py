"""The preview picture: the image, small, beside itself with its classes coloured and what was left out hatched.

Both halves are gathered while the tiles pass by, so that nothing is read twice. A preview pixel is the mean of 2 x 2
samples of its block: enough to look smooth, and cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.image import ImageInfo
from unetctl.runtime.plan import CHUNK_PX, Tile
from unetctl.runtime.spec import ModelSpec

SIDE_PX = 1024
"""Longest side of one half of the preview."""

OPACITY = 0.45
SAMPLES = 2
GAP_PX = 8
HATCH_PX, HATCH_GRAY = 12, 128
"""Lines over what was left out as blank."""
PNG_LEVEL = 1
"""Level 6, the default, takes six times as long for a file that is 7 % smaller, and nothing runs beside it."""


class Preview:
    """A `TileWatcher` that gathers the first plane of an image at `1 / factor` of its size."""

    def __init__(self, info: ImageInfo, spec: ModelSpec) -> None:
        factor = 1  # a power of two, so that blocks of pixels do not straddle tiles
        while max(info.height, info.width) > SIDE_PX * factor and factor < CHUNK_PX:
            factor *= 2
        self._factor = factor
        shape = (-(-info.height // factor), -(-info.width // factor))
        self._pixels = np.zeros((info.channels, *shape), np.float32)
        self._blank = np.zeros(shape, np.bool_)
        self._overlay = np.zeros((4, *shape), np.float32)  # red, green, blue, each times the cover; the cover
        self._palette = np.ones((4, len(spec.classes)), np.float32)
        self._palette[:3] = np.transpose([_rgb(one.colour) for one in spec.classes])
        if spec.background is not None:
            self._palette[:, spec.background] = 0

    def see_pixels(self, plane: int, tile: Tile, pixels_cyx: NDArray[Any]) -> None:
        """Shrink the pixels of one tile."""
        if plane == 0:
            for y, place in self._bands(tile):
                self._pixels[(slice(None), *place)] = self._shrink(self._samples(pixels_cyx[:, y : y + CHUNK_PX]))

    def see_labels(self, plane: int, tile: Tile, labels_yx: NDArray[np.uint8]) -> None:
        """Shrink the labels of one tile, as colours and as the share that is not background."""
        if plane == 0:
            for y, place in self._bands(tile):
                samples = self._samples(labels_yx[None, y : y + CHUNK_PX])[0]
                self._overlay[(slice(None), *place)] = self._shrink(self._palette[:, samples])

    def see_blank(self, plane: int, tile: Tile) -> None:
        """Remember a tile that was left out: it is hatched."""
        if plane == 0:
            for _, place in self._bands(tile):
                self._blank[place] = True

    def to_png(self) -> bytes:
        """Return the picture: the image at the left, under its classes at the right.

        Contrast is stretched between the 1st and the 99th percentile.
        """
        height, width = self._overlay.shape[1:]
        picture = np.full((height, 2 * width + GAP_PX, 3), 255, np.uint8)
        low, high = _bounds(self._pixels[:3, ::2, ::2])
        opacity = OPACITY * self._overlay[3]
        rows, columns = np.ogrid[:height, :width]
        hatched = self._blank & ((rows + columns) % HATCH_PX == 0)
        for channel in range(3):  # one by one, so that the picture takes no more memory than a tile
            source = self._pixels[channel if len(self._pixels) >= 3 else 0]
            plain = np.clip((source - low) * (255 / max(float(high - low), 1e-6)), 0, 255)
            picture[:, :width, channel] = plain + 0.5
            plain *= 1 - opacity
            plain += 255 * OPACITY * self._overlay[channel]
            plain[hatched] = HATCH_GRAY
            picture[:, width + GAP_PX :, channel] = plain + 0.5
        return bytes(imagecodecs.png_encode(picture, level=PNG_LEVEL))

    def _bands(self, tile: Tile) -> Iterator[tuple[int, tuple[slice, slice]]]:
        """Yield the bands of one chunk's height of a tile, and their places in the preview; they bound the memory."""
        window, factor = tile.write, self._factor
        columns = slice(window.x0 // factor, -(-window.x1 // factor))
        for y in range(0, window.height, CHUNK_PX):
            end = min(window.y0 + y + CHUNK_PX, window.y1)
            yield y, (slice((window.y0 + y) // factor, -(-end // factor)), columns)

    def _samples(self, values_cyx: NDArray[Any]) -> NDArray[Any]:
        step = max(1, self._factor // SAMPLES)
        return values_cyx[:, ::step, ::step]

    def _shrink(self, samples_cyx: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean of the samples of each block."""
        block = min(self._factor, SAMPLES)
        if block == 1:
            return samples_cyx.astype(np.float32)
        starts_y, starts_x = (np.arange(0, size, block) for size in samples_cyx.shape[1:])
        sums = np.add.reduceat(samples_cyx.astype(np.float32), starts_x, axis=2)
        sums = np.add.reduceat(sums, starts_y, axis=1)
        heights = np.diff(np.append(starts_y, samples_cyx.shape[1]))
        widths = np.diff(np.append(starts_x, samples_cyx.shape[2]))
        return np.asarray(sums / (heights[:, None] * widths[None, :]), np.float32)


def _rgb(colour: str) -> tuple[float, float, float]:
    """Return `#rrggbb` as three numbers in 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _bounds(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values at the 1st and the 99th percentile; `np.percentile` would import for 10 ms what it needs."""
    ranks = [round(part * (values.size - 1)) for part in (0.01, 0.99)]
    return np.partition(values, ranks, axis=None)[ranks]
