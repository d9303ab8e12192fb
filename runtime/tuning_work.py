"""What of a plan is measured: its shapes, and how often each comes; what hardly ever comes is left out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile

from unetctl.runtime.geometry import margin_px
from unetctl.runtime.plan import TilePlan

COVERED = 0.95
"""Part of the image that is measured: a last row of tiles that are cut is worth no time of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeWork:
    """All batches of one shape."""

    shape: tuple[int, int]
    """What a tile reads, `(H, W)`."""
    batches: int
    kept_px: int
    """That they decide together."""


def shape_works(tiles: TilePlan, batch: int) -> tuple[ShapeWork, ...]:
    """Add up the batches of a plan by shape, those that keep the most first, until they keep `COVERED` of the image.

    A batch that is not full costs as much as one that is: so they are counted as `TilePlan.batches` makes them.
    """
    first_row = list(takewhile(lambda one: one.tiles[0].index < tiles.columns, tiles.batches(batch)))
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for top, bottom in pairwise(tiles.row_edges):
        kept_height = min(bottom, tiles.image_yx[0]) - top
        for one in first_row:
            shape = bottom - top + 2 * margin_px(tiles.depth), one.read_shape[1]
            batches, kept_px = found.get(shape, (0, 0))
            kept_px += kept_height * sum(tile.write.width for tile in one.tiles)
            found[shape] = batches + 1, kept_px
    works: list[ShapeWork] = []
    wanted_px = COVERED * tiles.image_yx[0] * tiles.image_yx[1]
    for shape, (batches, kept_px) in sorted(found.items(), key=lambda one: (-one[1][1], one[0])):
        if sum(one.kept_px for one in works) < wanted_px:
            works.append(ShapeWork(shape=shape, batches=batches, kept_px=kept_px))
    return tuple(works)
