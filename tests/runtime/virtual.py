"""An image that is computed and not stored: gigapixels for the tests of memory, at the cost of a few additions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.image import ImageInfo, check_read, default_channel_names
from unetctl.runtime.plan import Window
from unetctl.runtime.reads import ReadGrid


class VirtualSource:
    """An `ImageSource` of any size whose pixels are a function of plane, channel, row and column."""

    def __init__(self, height: int, width: int, *, channels: int = 1, planes: int = 1, dtype: str = "uint8") -> None:
        self.info = ImageInfo(
            path="virtual",
            format="virtual",
            plane_axes=(("P", planes),) if planes > 1 else (),
            channels=channels,
            channel_names=default_channel_names(channels),
            height=height,
            width=width,
            dtype=dtype,
            pixel_size_um=None,
            chunk_yx=(1, width),
            chunk_bytes=0,
            made_by=None,
        )

    def read(self, plane: int, window: Window, out: NDArray[np.generic]) -> None:
        check_read(self.info, plane, window, out)
        dtype = np.dtype(self.info.dtype)
        rows = np.arange(window.y0, window.y1)
        columns = np.arange(window.x0, window.x1)
        row_part = (rows * 7 + (rows >> 6) * 31).astype(dtype)[:, None]  # wraps around: that is the pattern
        column_part = (columns * 13 + (columns >> 5) * 17).astype(dtype)[None, :]
        for channel in range(self.info.channels):
            np.add(row_part, column_part + dtype.type(29 * channel + 101 * plane & 0xFF), out=out[channel])

    def limit_cache(self, cache_bytes: int, reads: ReadGrid | None = None) -> None:
        pass

    def close(self) -> None:
        pass
