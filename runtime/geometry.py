"""The sizes of a valid-convolution U-Net, for any depth.

    image       |<------------------ any size ------------------>|
    input tile        |<--- kept + shrinkage + 4 --->|              what the network reads
    output tile               |<- kept + 4 ->|                      what it can compute from that
    kept centre                 |<- kept ->|                        what is written; a multiple of 2^depth

Pooling makes the network equivariant to shifts by 2^depth only, so the kept centres, and with them the origins of the
input tiles, must differ by multiples of 2^depth: otherwise one pixel gets different values in different tiles. 388, the
paper's output tile, is no multiple of 16; 384 is. The two pixels cropped on each side are the price.

Sizes are in pixels and hold for one axis; axes are independent.
"""

from __future__ import annotations

CROP_PX = 2
"""Pixels cut from each side of the output so that the kept centre is a multiple of 2^depth."""


def alignment_px(depth: int) -> int:
    """Return the step to which tile origins must keep: 2^depth."""
    return 1 << depth


def shrinkage_px(depth: int) -> int:
    """Return input size minus output size: s(0) = 4, s(d) = 2 s(d-1) + 8; 184 at the paper's depth of 4.

    Two 3x3 convolutions cost 4 px; a level below costs what it costs twice over, and its own four convolutions 8 px.
    """
    shrinkage = 4
    for _ in range(depth):
        shrinkage = 2 * shrinkage + 8
    return shrinkage


def margin_px(depth: int) -> int:
    """Return how far a tile's input reaches beyond its kept centre, on each side."""
    return shrinkage_px(depth) // 2 + CROP_PX


def input_px(kept_px: int, depth: int) -> int:
    """Return the input size of a tile that keeps `kept_px`, which must be a positive multiple of 2^depth."""
    if kept_px <= 0 or kept_px % alignment_px(depth):
        raise ValueError(f"a tile must keep a positive multiple of {alignment_px(depth)} px, not {kept_px}")
    return kept_px + 2 * margin_px(depth)


def is_valid_input(size_px: int, depth: int) -> bool:
    """Tell whether every pooling sees an even size and an output is left: 12 (mod 16) from 188 up at depth 4."""
    return size_px > shrinkage_px(depth) and (size_px + 4) % alignment_px(depth) == 0


def align_up(size_px: int, depth: int) -> int:
    """Round `size_px` up to a multiple of 2^depth."""
    step = alignment_px(depth)
    return -(-size_px // step) * step
