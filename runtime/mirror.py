"""Mirrored windows: what the network reads where the image ends.

Missing pixels are mirrored about the border pixel without repeating it (numpy's `reflect`), as often as needed when the
image is smaller than the margin:

    image        a b c d
    window   c b a b c d c b a b c ...
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.image import ImageSource
from unetctl.runtime.plan import Window


def mirror_indices(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return, for each position in `[start, stop)`, the pixel of an axis of `size` px that it shows."""
    if size == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (size - 1)
    folded = np.arange(start, stop, dtype=np.intp) % period
    return np.minimum(folded, period - folded)


def read_mirrored(source: ImageSource, plane: int, window: Window, out: NDArray[np.generic]) -> None:
    """Fill `out`, `[C, h, w]`, with a window that may reach beyond the image; missing pixels are mirrored.

    Each pixel of the image is read at most once. Where the pixels that are mirrored lie in the window themselves, they
    are copied within `out`; otherwise the read needs a buffer, no larger than `out`.
    """
    height, width = source.info.height, source.info.width
    rows, columns = mirror_indices(window.y0, window.y1, height), mirror_indices(window.x0, window.x1, width)
    needed = Window(y0=int(rows.min()), x0=int(columns.min()), y1=int(rows.max()) + 1, x1=int(columns.max()) + 1)
    if needed == window:
        source.read(plane, window, out)
        return
    top, left = needed.y0 - window.y0, needed.x0 - window.x0
    if top < 0 or left < 0 or needed.y1 > window.y1 or needed.x1 > window.x1:
        pixels = np.empty((out.shape[0], *needed.shape), out.dtype)
        source.read(plane, needed, pixels)
        np.take(pixels[:, rows - needed.y0], columns - needed.x0, axis=2, out=out)
        return
    bottom, right = top + needed.height, left + needed.width
    source.read(plane, needed, out[:, top:bottom, left:right])
    shown = columns - window.x0  # in the frame of `out`
    for side in (slice(0, left), slice(right, None)):
        out[:, top:bottom, side] = out[:, top:bottom, shown[side]]
    shown = rows - window.y0
    for side in (slice(0, top), slice(bottom, None)):
        out[:, side] = out[:, shown[side]]
