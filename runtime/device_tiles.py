"""How large the tiles may be where the memory of a GPU, and not that of the machine, is the limit."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from unetctl.runtime.geometry import input_px
from unetctl.runtime.plan import CHUNK_PX, MAX_TILE_AREA_PX

Shape = tuple[int, int]


def largest_shapes(depth: int, free_bytes: int, device_bytes: Callable[[Shape], int]) -> tuple[Shape, ...]:
    """Return the square input shapes `(H, W)` whose tiles fit into `free_bytes` of a device, the smallest always.

    None if every tile fits that is worth its memory: then nothing limits the plan. `device_bytes` tells what the tiles
    of a shape take.
    """
    kept = range(CHUNK_PX, isqrt(MAX_TILE_AREA_PX) + 1, CHUNK_PX)
    shapes = [(input_px(side, depth), input_px(side, depth)) for side in kept]
    fitting = [shape for shape in shapes if device_bytes(shape) <= free_bytes]
    return () if len(fitting) == len(shapes) else tuple(fitting or shapes[:1])
