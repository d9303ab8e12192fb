"""What each pixel that warping left over would do to the cells: split one, merge two, open or close a hole, ...

    warped truth      predicted        the pixel where they differ, flipped alone, would

    . . # . .         . . # . .
    . . # . .         . . . . .        merge two cells: the membrane is broken
    . . # . .         . . # . .

    . . . . .         . . . . .
    # # . # #         # # # # #        split a cell: a membrane too many
    . . . . .         . . . . .

    . . . . .         . . . . .
    . . . . .         . . # . .        add a hole to a cell
    . . . . .         . . . . .

The warping error counts all of them; splits and mergers alone are what changes who is connected to whom, so the ISBI
2012 challenge counted only these (`splits_and_mergers.py`).

They are told apart as the challenge's Fiji plugin does, by the cells among the eight neighbours. In two ways that is
not quite topology. A cell that touches the pixel by a corner only counts as beside it, although the flip would not join
it: one in 400 splits and mergers of a trained network. And whether the pieces of a cut cell hang together elsewhere is
looked up within `REACH_PX` only, so that to open a wide ring is to split it: none there.

Sources: imagej.net, "Topology preserving warping error" and "Minimum Splits and Mergers Warping error"; behaviour of
Fiji's Trainable Weka Segmentation (`metrics`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from unetctl.trainer.warping import Warping, neighbourhood_codes, simple_points

REACH_PX = 20
"""How far around a pixel, along each axis, the pieces of its cell are followed; the challenge's script says 20."""


class Change(IntEnum):
    """What the flip of one pixel does to the warped truth."""

    NONE = 0
    """Nothing: the pixel is right, or simple and left over only because warping was not allowed there."""
    SPLIT = 1
    MERGER = 2
    HOLE_ADDED = 3
    """Also where a cell closes around membrane."""
    HOLE_DELETED = 4
    """Also where a cell that goes around membrane is opened."""
    OBJECT_ADDED = 5
    OBJECT_DELETED = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopologyErrors:
    """Each wrong pixel by what it does."""

    changes: NDArray[np.uint8]
    """`[H, W]`, values of `Change`."""

    @property
    def splits(self) -> NDArray[np.bool_]:
        """`[H, W]`: pixels that split a cell."""
        return np.asarray(self.changes == Change.SPLIT)

    @property
    def mergers(self) -> NDArray[np.bool_]:
        """`[H, W]`: pixels that merge cells."""
        return np.asarray(self.changes == Change.MERGER)

    @property
    def error(self) -> float:
        """Part of the pixels that splits or merges cells, 0..1: the challenge's warping error of this image."""
        return float((self.splits | self.mergers).mean())


def topology_errors(warping: Warping) -> TopologyErrors:
    """Say of each wrong pixel what its flip, alone, would change in the warped truth."""
    from scipy import ndimage

    warped = warping.warped
    cells = ndimage.label(np.pad(warped, 1))[0]
    changes = np.zeros(warped.shape, np.uint8)
    for y, x in np.argwhere(warping.wrong & ~simple_points()[neighbourhood_codes(warped)]):
        around = _around(cells, y, x)
        changes[y, x] = _change_of_cell(warped, y, x, around) if warped[y, x] else _change_of_membrane(around)
    return TopologyErrors(changes=changes)


def _change_of_membrane(around: set[int]) -> Change:
    """Say what becoming cell does to membrane with these cells beside it, 0 for membrane."""
    if len(around - {0}) > 1:
        return Change.MERGER
    if around == {0}:
        return Change.OBJECT_ADDED
    return Change.HOLE_ADDED if 0 in around else Change.HOLE_DELETED


def _change_of_cell(warped: NDArray[np.bool_], y: int, x: int, around: set[int]) -> Change:
    """Say what becoming membrane does to the cell pixel `y, x` with these cells beside it, 0 for membrane."""
    if len(around - {0}) > 1:
        return Change.SPLIT
    if around == {0}:
        return Change.OBJECT_DELETED
    if 0 not in around:
        return Change.HOLE_ADDED
    return Change.SPLIT if _pieces(warped, y, x) > 1 else Change.HOLE_DELETED


def _pieces(warped: NDArray[np.bool_], y: int, x: int) -> int:
    """Count the cells beside `y, x` once that pixel is membrane, with nothing but membrane beyond `REACH_PX`."""
    from scipy import ndimage

    top, left = max(0, y - REACH_PX), max(0, x - REACH_PX)
    window = np.pad(warped[top : y + REACH_PX + 1, left : x + REACH_PX + 1], 1)
    window[y - top + 1, x - left + 1] = False
    return len(_around(ndimage.label(window)[0], y - top, x - left) - {0})


def _around(padded: NDArray[np.int32], y: int, x: int) -> set[int]:
    """Return the labels of the eight neighbours of `y, x`, in labels with a border of one pixel."""
    nine = padded[y : y + 3, x : x + 3].ravel().tolist()
    return {*nine[:4], *nine[5:]}
