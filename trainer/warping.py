"""Warping error: the disagreements of two membrane images that no shift of a boundary explains.

    truth              predicted
    . . # . .          . # . . .      the membrane was drawn elsewhere: the truth can be warped into it, no error
    . . # . .          . # # . .
    . . # . .          . . # . .

    . . # . .          . . # . .      the membrane is broken: two cells have become one, an error
    . . # . .          . . . . .
    . . # . .          . . # . .

The truth is changed towards the prediction, one pixel at a time, but only at simple points: those whose flip keeps
the number and the nesting of all regions. What still differs when no more can be flipped is wrong.

Cells are 4-connected and membranes 8-connected, and outside the image there is membrane, as in the challenge's Fiji
plugin. The definition asks for the nearest of all images that the truth can be warped into. The search is the paper's
greedy one: only pixels that differ are flipped, what the network is surest of first. So the error may be a
little above the definition's, and a thin membrane drawn beside the true one, with cell between the two, is an error.

All that differs is counted. The figures that the ISBI 2012 challenge published count splits and mergers only, after a
search in another order: `splits_and_mergers.py`.

Source: Jain et al. 2010, "Boundary learning by optimization with topological constraints", CVPR, section on the warping
error and its algorithm; simple points after Bertrand and Malandain 1994, Pattern Recognition Letters 15:169.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS_YX = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Bit i of a neighbourhood's code is set where neighbour i is a cell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Warping:
    """The truth, warped as far towards the prediction as its topology allows."""

    warped: NDArray[np.bool_]
    """`[H, W]`, True is cell."""
    wrong: NDArray[np.bool_]
    """`[H, W]`: where `warped` and the prediction still differ."""

    @property
    def error(self) -> float:
        """Part of the pixels that is wrong, 0..1: the warping error."""
        return float(self.wrong.mean())

    @property
    def places(self) -> int:
        """Number of 8-connected groups of wrong pixels: a broken membrane counts once, however wide."""
        from scipy import ndimage

        return int(ndimage.label(self.wrong, np.ones((3, 3)))[1])


def warp(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    sureness: NDArray[np.floating] | None = None,
    within: NDArray[np.bool_] | None = None,
) -> Warping:
    """Warp masks of cells `[H, W]`, False is membrane.

    Args:
        truth: what is warped.
        predicted: what it is warped into.
        sureness: `[H, W]`, |probability - threshold|; the highest is flipped first. None: all alike, so that the
            truth is changed layer by layer from where it touches the prediction.
        within: `[H, W]`, the paper's mask M: where the truth may be changed; None: everywhere. What differs outside is
            an error.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {predicted.shape}")
    height, width = truth.shape
    row = width + 2
    cells = bytearray(np.pad(truth, 1).astype(np.uint8))
    target = bytearray(np.pad(predicted, 1).astype(np.uint8))
    free = bytearray(np.pad(np.ones_like(truth) if within is None else within, 1).astype(np.uint8))
    order = [0.0] * len(cells) if sureness is None else np.pad(-sureness.astype(np.float64), 1).ravel().tolist()
    simple = simple_points()
    offsets = [y * row + x for y, x in NEIGHBOURS_YX]

    start = np.flatnonzero(np.pad((truth != predicted) & simple[neighbourhood_codes(truth)], 1)).tolist()
    table = simple.tolist()
    queue = [(order[place], arrival, place) for arrival, place in enumerate(start) if free[place]]
    heapify(queue)
    waiting = {place for _, _, place in queue}
    arrival = len(start)
    while queue:
        place = heappop(queue)[2]
        waiting.remove(place)
        code = 0
        for bit, offset in enumerate(offsets):
            code |= cells[place + offset] << bit
        if not table[code]:
            continue  # it comes back when a neighbour is flipped
        cells[place] ^= 1
        for offset in offsets:
            near = place + offset
            if cells[near] != target[near] and free[near] and near not in waiting:
                heappush(queue, (order[near], arrival, near))
                waiting.add(near)
                arrival += 1
    warped = np.frombuffer(cells, np.uint8).reshape(height + 2, row)[1:-1, 1:-1].astype(bool)
    return Warping(warped=warped, wrong=warped != predicted)


def near_borders(truth: NDArray[np.bool_], reach_px: float) -> NDArray[np.bool_]:
    """Return where a pixel of the other kind is at most `reach_px` away (Euclidean): a mask for `warp`."""
    from scipy import ndimage

    if truth.all() or not truth.any():
        return np.zeros(truth.shape, bool)
    to_membrane, to_cell = (ndimage.distance_transform_edt(one) for one in (truth, ~truth))
    return np.asarray(np.maximum(to_membrane, to_cell) <= reach_px)


def neighbourhood_codes(cells: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return for each pixel `[H, W]` which of its neighbours are cells, as bits; outside there is membrane."""
    padded = np.pad(cells, 1).astype(np.uint8)
    height, width = cells.shape
    codes = np.zeros(cells.shape, np.uint8)
    for bit, (y, x) in enumerate(NEIGHBOURS_YX):
        codes |= padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] << bit
    return codes


@cache
def simple_points() -> NDArray[np.bool_]:
    """Return for each neighbourhood code `[256]` whether its centre is simple.

    It is where the neighbours hold one 4-connected group of cells that touches the centre by a side, and one
    8-connected group of membrane (Bertrand and Malandain 1994).
    """
    from scipy import ndimage

    simple = np.zeros(256, bool)
    for code in range(256):
        patch = np.zeros((3, 3), bool)
        for bit, (y, x) in enumerate(NEIGHBOURS_YX):
            patch[1 + y, 1 + x] = code >> bit & 1
        groups = ndimage.label(patch)[0]
        touching = {groups[0, 1], groups[1, 0], groups[1, 2], groups[2, 1]} - {0}
        around = ~patch
        around[1, 1] = False
        simple[code] = len(touching) == 1 and ndimage.label(around, np.ones((3, 3)))[1] == 1
    return simple
