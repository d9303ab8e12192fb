"""The budget: it decides the tiles, and an image of any size keeps to it."""

import dataclasses

import pytest

from tests.fakes import engine_request, fake_choice, fake_model, fake_spec
from tests.runtime.virtual import VirtualSource
from unetctl.runtime.errors import ResourceError
from unetctl.runtime.memory import MemoryPlan, plan_within

MIB = 1 << 20


def planned(
    budget: int,
    height: int = 20_000,
    width: int = 20_000,
    fixed_shapes: tuple[tuple[int, int], ...] = (),
    **changed: object,
) -> MemoryPlan:
    """Plan a virtual image within `budget`, with an engine that takes 160 bytes a pixel."""
    info = dataclasses.replace(VirtualSource(height, width).info, **changed)  # type: ignore[arg-type]
    choice = fake_choice(bytes_a_pixel=160)
    return plan_within(
        budget,
        info=info,
        spec=fake_spec(),
        engine_bytes=lambda shapes: choice.bytes_needed(engine_request(fake_model(), *shapes, slots=1)),
        baseline_bytes=100 * MIB,
        readers=1,
        fixed_shapes=fixed_shapes,
    )


def test_a_larger_budget_gives_larger_tiles_and_less_work() -> None:
    plans = [planned(mib * MIB) for mib in (300, 600, 1200, 4000)]
    tiles = [len(plan.tiles) for plan in plans]

    assert tiles == sorted(tiles, reverse=True)
    assert tiles[0] > tiles[-1]
    assert all(plan.expected_bytes <= mib * MIB for plan, mib in zip(plans, (300, 600, 1200, 4000), strict=True))


def test_a_hundred_gigapixels_fit_where_one_does() -> None:
    one, hundred = planned(1000 * MIB, 31_000, 32_000), planned(1000 * MIB, 310_000, 320_000)

    assert hundred.tiles.read_shapes()[0] == one.tiles.read_shapes()[0]
    assert hundred.expected_bytes - one.expected_bytes < 99 * MIB  # a mebibyte a gigapixel, for the tables of the file


def test_an_engine_of_fixed_sizes_gets_tiles_of_the_size_that_computes_least_and_fits() -> None:
    shapes = ((700, 700), (1212, 1212))
    large, small = (planned(mib * MIB, 5000, 5000, fixed_shapes=shapes) for mib in (4000, 300))
    assert (large.tiles.rows, small.tiles.rows) == (5, 10)
    assert large.tiles.read_shapes()[0] == (1212, 1212)
    assert planned(4000 * MIB, 5000, 400, fixed_shapes=shapes).tiles.read_shapes()[0] == (700, 588)
    assert planned(4000 * MIB, 5000, 5000, fixed_shapes=((412, 412),)).tiles.read_shapes()[0] > (700, 700)
    with pytest.raises(ResourceError):
        planned(300 * MIB, 5000, 5000, fixed_shapes=((1212, 1212),))


def test_the_smallest_tile_that_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(ResourceError, match="MiB are needed for the smallest tile, 150 are allowed") as caught:
        planned(150 * MIB)
    needed = int(str(caught.value).split("--max-memory ")[1].split("MiB")[0])

    assert planned(needed * MIB).expected_bytes <= needed * MIB


def test_an_image_in_one_compressed_strip_counts_as_what_it_decodes_to() -> None:
    strip = {"chunk_yx": (20_000, 20_000), "chunk_bytes": 400 * MIB}
    with pytest.raises(ResourceError, match="400 MiB"):
        planned(400 * MIB, **strip)

    assert planned(3000 * MIB, **strip).expected_bytes <= 3000 * MIB
