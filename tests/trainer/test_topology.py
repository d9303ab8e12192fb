from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from unetctl.trainer import topology
from unetctl.trainer.topology import Change, topology_errors
from unetctl.trainer.warping import Warping, neighbourhood_codes, simple_points, warp

LETTERS = {
    Change.NONE: ".",
    Change.SPLIT: "S",
    Change.MERGER: "M",
    Change.HOLE_ADDED: "h",
    Change.HOLE_DELETED: "d",
    Change.OBJECT_ADDED: "o",
    Change.OBJECT_DELETED: "x",
}


def drawn(*rows: str) -> NDArray[np.bool_]:
    """Cells where there is a dot; outside there is membrane."""
    return np.array([[one == "." for one in row] for row in rows])


def changes(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> list[str]:
    found = topology_errors(warp(truth, predicted)).changes
    return ["".join(LETTERS[Change(one)] for one in row) for row in found.tolist()]


def as_if_all_wrong(cells: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return topology_errors(Warping(warped=cells, wrong=np.ones_like(cells))).changes


def test_a_broken_membrane_is_a_merger() -> None:
    truth = drawn("..#..", "..#..", "..#..")
    predicted = drawn("..#..", ".....", "..#..")
    assert changes(truth, predicted) == [".....", "..M..", "....."]


def test_a_membrane_too_many_is_a_split_where_its_two_ends_meet() -> None:
    truth = drawn(".....", ".....", ".....")
    predicted = drawn("..#..", "..#..", "..#..")
    assert changes(truth, predicted) == [".....", "..S..", "....."]


def test_holes_and_cells_are_added_and_deleted() -> None:
    full, empty = drawn(".....", ".....", "....."), drawn("#####", "#####", "#####")
    hole, cell = drawn(".....", "..#..", "....."), drawn("#####", "##.##", "#####")
    assert changes(full, hole) == [".....", "..h..", "....."]
    assert changes(hole, full) == [".....", "..d..", "....."]
    assert changes(empty, cell) == [".....", "..o..", "....."]
    assert changes(cell, empty) == [".....", "..x..", "....."]


def test_to_close_a_ring_adds_a_hole_and_to_open_it_deletes_one() -> None:
    closed, opened = drawn("...", ".#.", "..."), drawn(".#.", ".#.", "...")
    assert changes(opened, closed) == [".h.", "...", "..."]
    assert changes(closed, opened) == [".d.", "...", "..."]


def test_to_open_a_ring_wider_than_the_reach_is_to_split_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_at_the_top(width_px: int) -> int:
        ring = np.ones((width_px, width_px), bool)
        ring[1:-1, 1:-1] = False
        return int(as_if_all_wrong(ring)[0, width_px // 2])

    assert wrong_at_the_top(21) == Change.HOLE_DELETED  # its far side is 20 pixels away
    assert wrong_at_the_top(22) == Change.SPLIT
    monkeypatch.setattr(topology, "REACH_PX", 21)
    assert wrong_at_the_top(22) == Change.HOLE_DELETED


def test_a_cell_that_touches_by_a_corner_counts_as_beside() -> None:
    assert changes(drawn(".##", "###", "##."), drawn(".##", "#.#", "##.")) == ["...", ".M.", "..."]
    assert changes(drawn(".##", "#.#", "##."), drawn(".##", "###", "##.")) == ["...", ".S.", "..."]


def test_what_was_not_allowed_to_be_warped_is_no_error() -> None:
    truth, predicted = drawn("..#..", "..#..", "..#.."), drawn("..##.", "..##.", "..##.")
    warping = warp(truth, predicted, within=np.zeros_like(truth))
    assert warping.wrong.sum() == 3
    assert not topology_errors(warping).changes.any()


def by_counting(cells: NDArray[np.bool_], y: int, x: int) -> Change:
    """The definition: flip the pixel and count the 4-connected cells and 8-connected membranes of the whole image."""

    def counts() -> tuple[int, int]:
        padded = np.pad(cells, 1)
        return ndimage.label(padded)[1], ndimage.label(~padded, np.ones((3, 3)))[1]

    was_cell = bool(cells[y, x])
    before = counts()
    cells[y, x] ^= True
    more_cells, more_membranes = np.subtract(counts(), before)
    cells[y, x] ^= True
    if more_cells > 0:
        return Change.SPLIT if was_cell else Change.OBJECT_ADDED
    if more_cells < 0:
        return Change.OBJECT_DELETED if was_cell else Change.MERGER
    if more_membranes == 0:
        return Change.NONE
    return Change.HOLE_ADDED if more_membranes > 0 else Change.HOLE_DELETED


def touches_by_a_corner_only(cells: NDArray[np.bool_], y: int, x: int) -> bool:
    """Whether a cell, or a piece of the cut one, is beside the pixel but shares no side with it."""
    padded = np.pad(cells, 1)
    padded[y + 1, x + 1] = False
    nine = ndimage.label(padded)[0][y : y + 3, x : x + 3]
    return not {*nine[::2, ::2].ravel()} <= {0, nine[0, 1], nine[1, 0], nine[1, 2], nine[2, 1]}


def test_each_change_is_that_of_the_whole_images_regions() -> None:
    compared: Counter[Change] = Counter()
    for seed in range(12):
        random = np.random.default_rng(seed)
        cells = ndimage.gaussian_filter(random.random((18, 19)), random.uniform(0, 0.8)) < (0.45, 0.5, 0.55)[seed % 3]
        found = as_if_all_wrong(cells)
        for y, x in np.ndindex(cells.shape):
            if not touches_by_a_corner_only(cells, y, x):
                expected = by_counting(cells, y, x)
                compared[expected] += 1
                assert found[y, x] == expected, (seed, y, x)
        assert (found[simple_points()[neighbourhood_codes(cells)]] == Change.NONE).all()
    assert all(compared[one] >= 3 for one in Change), compared


def test_the_error_counts_the_pixels_of_splits_and_mergers_only() -> None:
    truth = drawn(*["........#......."] * 9)
    predicted = truth.copy()
    predicted[2:5, 8] = True  # a gap of three pixels
    predicted[:, 12] = False  # a membrane too many
    predicted[4:6, 3:5] = False  # a hole
    found = topology_errors(warp(truth, predicted))
    assert found.mergers.sum() == 3
    assert found.mergers[2:5, 8].all()
    assert found.splits.sum() == 1
    assert (found.changes == Change.HOLE_ADDED).sum() == 4
    assert found.error == pytest.approx(4 / truth.size)
