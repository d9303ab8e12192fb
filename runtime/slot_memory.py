"""The memory of one slot on a processor: pixels in, labels and probabilities out, in the shape that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unetctl.runtime.geometry import shrinkage_px
from unetctl.runtime.spec import ModelSpec


class SlotMemory:
    """Input and outputs of one slot: flat memory for the largest shape, seen in the shape that was asked for last.

    `allocate` takes a count and a dtype, and returns zeros; it stands for where the memory is.
    """

    def __init__(
        self,
        spec: ModelSpec,
        batch: int,
        area_px: int,
        outputs: list[str],
        *,
        allocate: Callable[[int, DTypeLike], NDArray[Any]] = np.zeros,
    ) -> None:
        self._depth, self._channels = spec.depth, len(spec.channels)
        pixel = np.dtype(spec.pixel_type.value).newbyteorder("<")
        self._input = allocate(batch * self._channels * area_px, pixel)
        planes = {"labels": 1, "probabilities": len(spec.classes)}
        self._outputs = {name: allocate(batch * planes[name] * area_px, np.uint8) for name in outputs}
        self._planes = planes
        self._tiles: NDArray[Any] = self._input[:0]

    def shaped(self, batch: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the input as `[batch, C, *shape]`."""
        full = (batch, self._channels, *shape)
        self._tiles = self._input[: int(np.prod(full))].reshape(full)
        return self._tiles

    def bytes_view(self) -> NDArray[np.uint8]:
        """Return the input as the graph takes it: 16-bit pixels as two bytes, low first."""
        if self._tiles.itemsize == 1:
            return self._tiles
        return self._tiles.view(np.uint8).reshape(*self._tiles.shape, 2)

    def outputs(self) -> dict[str, NDArray[np.uint8]]:
        """Return the outputs in the shape that the input gives."""
        batch, _, height, width = self._tiles.shape
        yx = (height - shrinkage_px(self._depth), width - shrinkage_px(self._depth))
        found = {}
        for name, memory in self._outputs.items():
            full = (batch, *yx) if name == "labels" else (batch, self._planes[name], *yx)
            found[name] = memory[: int(np.prod(full))].reshape(full)
        return found
