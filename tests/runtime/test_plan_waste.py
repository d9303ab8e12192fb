"""What tiling costs, for images of every size: the bounds that the project promises."""

from __future__ import annotations

import pytest

from benchmarks.tile_waste import IMAGES, SIDE_PX, image_sizes, largest_tile_px, measure
from unetctl.runtime.cost import layers
from unetctl.runtime.plan import TilePlan, plan_tiles, split_axis

MOST_TILE_PX = 2048 * 2048


def test_the_sizes_are_drawn_over_the_whole_range() -> None:
    sides = sorted(side for size in image_sizes() for side in size)
    assert len(sides) == 2 * IMAGES
    assert SIDE_PX[0] <= sides[0] < 550
    assert 18_000 < sides[-1] <= SIDE_PX[1]
    assert 2_500 < sides[len(sides) // 2] < 4_000  # the geometric mean is 3162


def test_a_plan_wastes_little_on_images_of_any_size() -> None:
    waste = measure(4, image_sizes())
    assert 1 <= waste.median <= 1.05
    assert waste.ninetieth < 1.10
    assert waste.largest_tile_px <= MOST_TILE_PX
    assert waste.most_shapes <= 9  # three heights by three widths: longer, shorter, and what is left
    assert waste.mean_shapes <= 4


@pytest.mark.parametrize("depth", [3, 5])
def test_other_depths_stay_near(depth: int) -> None:
    assert measure(depth, image_sizes()).median <= 1.06


def test_a_plan_of_small_tiles_is_seen_to_waste() -> None:
    size = (4096, 4096)
    edges = split_axis(size[0], 8, depth=4)
    small = TilePlan(image_yx=size, depth=4, chunk_px=512, row_edges=edges, column_edges=edges)
    network = layers(4, 64)
    assert small.waste(network) > 1.2 > plan_tiles(size, depth=4).waste(network)
    assert largest_tile_px(small) == 512 * 512
