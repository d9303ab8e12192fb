"""How the tiles of a run go through the engine: how large, how many together, and how many at a time.

None of it decides a label (but for ties in floating point): it is what `unetctl tune` may change for a machine.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def tiles_in_memory(self) -> int:
        """Tiles whose activations are in memory at once."""
        return self.batch * self.streams


AS_PLANNED = TileChoice()
"""What is taken where nothing was tuned."""
