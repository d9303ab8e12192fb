"""The plan: every pixel once, every chunk one writer, few multiply-adds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetctl.runtime.cost import activation_values, layers, multiply_adds
from unetctl.runtime.errors import UsageError
from unetctl.runtime.geometry import is_valid_input, margin_px
from unetctl.runtime.plan import TilePlan, plan_tiles, plan_tiles_within, split_axis

sizes = st.one_of(st.integers(1, 40), st.integers(500, 530), st.integers(1, 6000), st.sampled_from([1, 511, 513, 4093]))
depths = st.integers(1, 5)


def coverage(plan: TilePlan) -> np.ndarray:
    """Count how often each pixel is written."""
    count = np.zeros(plan.image_yx, np.uint8)
    for tile in plan.tiles():
        count[tile.write.y0 : tile.write.y1, tile.write.x0 : tile.write.x1] += 1
    return count


@given(st.integers(1, 1500), st.integers(1, 1500), depths, st.integers(1, 16))
def test_every_pixel_is_written_exactly_once(height: int, width: int, depth: int, chunks: int) -> None:
    plan = plan_tiles((height, width), depth=depth, max_area_px=chunks * 128**2, chunk_px=128)

    assert (coverage(plan) == 1).all()


@pytest.mark.parametrize("image_yx", [(1, 1), (1, 4093), (4093, 1), (13, 17), (93, 95), (385, 384), (513, 1025)])
def test_awkward_images_are_covered_once(image_yx: tuple[int, int]) -> None:
    assert (coverage(plan_tiles(image_yx, depth=4)) == 1).all()


@given(sizes, sizes, depths, st.integers(1, 16))
def test_every_chunk_has_one_writer_and_every_tile_a_valid_aligned_input(
    height: int, width: int, depth: int, chunks: int
) -> None:
    area = chunks * 512**2
    plan = plan_tiles((height, width), depth=depth, max_area_px=area)
    for tile in plan.tiles():
        assert tile.write.y0 % 512 == tile.write.x0 % 512 == 0
        assert tile.write.y1 % 512 == 0 or tile.write.y1 == height
        assert tile.write.x1 % 512 == 0 or tile.write.x1 == width
        assert (tile.read.y0 + margin_px(depth)) % (1 << depth) == (tile.read.x0 + margin_px(depth)) % (1 << depth) == 0
        assert all(is_valid_input(size, depth) for size in tile.read.shape)
        kept = [size - 2 * margin_px(depth) for size in tile.read.shape]
        assert kept[0] * kept[1] <= area
    assert {tile.read.shape for tile in plan.tiles()} == set(plan.read_shapes())
    assert len(plan.read_shapes()) <= 9


@given(st.integers(1, 1500), st.integers(1, 1500), depths, st.integers(32, 700), st.integers(32, 700))
def test_tiles_of_an_engine_of_fixed_size_fit_it_and_are_as_few_as_can_be(
    height: int, width: int, depth: int, most_height: int, most_width: int
) -> None:
    plan = plan_tiles_within((height, width), (most_height, most_width), depth=depth, chunk_px=128)
    if plan is None:
        assert (most_height < 128 and height > 32) or (most_width < 128 and width > 32)
        return
    assert (coverage(plan) == 1).all()
    kept = [[size - 2 * margin_px(depth) for size in one] for one in plan.read_shapes()]
    assert all(one[0] <= most_height and one[1] <= most_width for one in kept)
    for size, most, number in ((height, most_height, plan.rows), (width, most_width, plan.columns)):
        fewer = split_axis(size, number - 1, depth, 128) if number > 1 else (0, most + 1)
        assert max(np.diff(fewer)) > most


@given(sizes, sizes, st.integers(1, 5))
def test_batches_hold_every_tile_once_in_order_and_one_shape_each(height: int, width: int, size: int) -> None:
    plan = plan_tiles((height, width), depth=4, max_area_px=512**2)
    batches = list(plan.batches(size))

    assert [tile.index for batch in batches for tile in batch.tiles] == list(range(len(plan)))
    assert [batch.index for batch in batches] == list(range(len(batches)))
    assert all(len(batch.tiles) <= size for batch in batches)
    assert all(tile.read.shape == batch.read_shape for batch in batches for tile in batch.tiles)


def test_the_plan_takes_the_cheapest_split() -> None:
    """Against every split of both axes, tried one by one."""
    network = layers(4, 64)
    for image_yx in [(700, 9000), (2100, 2100), (4096, 4096), (5000, 1300), (3000, 7000)]:
        chunks = [-(-size // 512) for size in image_yx]
        costs = []
        for rows in range(1, chunks[0] + 1):
            for columns in range(1, chunks[1] + 1):
                plan = TilePlan(
                    image_yx=image_yx,
                    depth=4,
                    chunk_px=512,
                    row_edges=split_axis(image_yx[0], rows, 4),
                    column_edges=split_axis(image_yx[1], columns, 4),
                )
                height, width = (size - 188 for size in plan.read_shapes()[0])
                if height * width <= 2048**2:
                    costs.append(plan.multiply_adds(network))
        assert plan_tiles(image_yx, depth=4).multiply_adds(network) == min(costs)


def test_a_hundred_gigapixels_are_planned_from_a_few_integers() -> None:
    plan = plan_tiles((310_000, 330_000), depth=4)

    assert len(plan.row_edges) + len(plan.column_edges) < 1000
    assert plan.tile(len(plan) - 1).write.y1 == 310_000
    assert plan.waste(layers(4, 64)) < 1.07


def test_multiply_adds_of_the_paper_s_tile() -> None:
    """1.02 million per kept pixel at stride 384; counted there by hand for 64 channels."""
    assert multiply_adds([572], [572], layers(4, 64)) / 384**2 / 1e6 == pytest.approx(1.02, abs=0.005)


def test_activations_grow_with_the_area_and_shrink_with_nothing() -> None:
    network = layers(4, 32)
    small, large = activation_values(700, 700, network), activation_values(1212, 1212, network)

    assert 0 < small < large < small * (1212 / 700) ** 2 * 1.25  # the margin weighs less


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(UsageError, match="no pixels"):
        plan_tiles((0, 5), depth=4)
    with pytest.raises(UsageError, match="one chunk"):
        plan_tiles((5, 5), depth=4, max_area_px=100)
    with pytest.raises(UsageError, match="no multiple"):
        plan_tiles((5, 5), depth=4, chunk_px=500, max_area_px=10**6)
