"""Mirrored windows: what the network reads where the image ends.

Missing pixels are mirrored about the border pixel without repeating it (numpy's `reflect`), as often as needed when the
image is smaller than the margin:

    image        a b c d
    window   c b a b c d c b a b c ...
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mirror_indices(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Return, for each position in `[start, stop)`, the pixel of an axis of `size` px that it shows."""
    if size == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (size - 1)
    folded = np.arange(start, stop, dtype=np.intp) % period
    return np.minimum(folded, period - folded)
