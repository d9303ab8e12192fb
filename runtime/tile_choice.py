"""How the tiles of a run go through the engine: how large, how many together, and how many at a time.

None of it decides a label (but for ties in floating point): it is what `unetctl tune` may change for a machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from unetctl.runtime.plan import CHUNK_PX, TilePlan, plan_tiles_within

BATCH = 1
"""Tiles that go through the network together. A larger tile computes less than a larger batch of the same memory."""

SLOTS = 3
"""One batch is computed, one is ready, one is drained or filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileChoice:
    """What is the same for every tile of a run."""

    tile_yx: tuple[int, int] | None = None
    """Most pixels `(height, width)` that a tile keeps; None: what computes least in the memory that is allowed."""
    batch: int = BATCH
    slots: int = SLOTS
    """Batches in flight: computed, ready, filled or drained."""
    streams: int = 1
    """Batches that are computed side by side, each on its part of the threads, where the engine can."""


AS_PLANNED = TileChoice()
"""What is taken where nothing was tuned."""


def filled(choice: TileChoice, plan: TilePlan, planes: int) -> TileChoice:
    """Return `choice` with no larger batch than a row of `plan` has tiles, nor more streams than there are batches."""
    batch = min(choice.batch, plan.columns)
    batches = planes * sum(1 for _ in islice(plan.batches(batch), choice.streams))  # a plan may have millions
    return replace(choice, batch=batch, streams=min(choice.streams, batches))


def plan_tiles_like(
    image_yx: tuple[int, int], tile_yx: tuple[int, int], *, depth: int, chunk_px: int = CHUNK_PX
) -> TilePlan | None:
    """Plan the fewest tiles that keep at most `tile_yx` pixels, or return None if a chunk does not fit into one.

    In an image that is lower or narrower than such a tile, they are as much longer along the other axis.
    """
    least_yx = [min(most, -(-size // chunk_px) * chunk_px) for size, most in zip(image_yx, tile_yx, strict=True)]
    area = tile_yx[0] * tile_yx[1]
    longest_yx = max(tile_yx[0], area // least_yx[1]), max(tile_yx[1], area // least_yx[0])
    return plan_tiles_within(image_yx, longest_yx, depth=depth, chunk_px=chunk_px)
