"""What is measured of a plan is what a run would compute of it."""

from __future__ import annotations

import pytest

from unetctl.runtime.geometry import input_px
from unetctl.runtime.plan import plan_tiles_within
from unetctl.runtime.tuning_work import ShapeWork, shape_works


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("image_yx", [(1024, 1024), (2600, 3000), (700, 5000)])
def test_all_batches_and_pixels_are_counted(image_yx: tuple[int, int], batch: int, monkeypatch: object) -> None:
    plan = plan_tiles_within(image_yx, (1024, 1024), depth=4)
    assert plan is not None
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr("unetctl.runtime.tuning_work.COVERED", 1.0)
    works = shape_works(plan, batch)
    all_batches = list(plan.batches(batch))
    assert sum(one.batches for one in works) == len(all_batches)
    assert sum(one.kept_px for one in works) == image_yx[0] * image_yx[1]
    for one in works:
        same = [each for each in all_batches if each.read_shape == one.shape]
        assert len(same) == one.batches
        kept = sum(tile.write.height * tile.write.width for each in same for tile in each.tiles)
        assert kept == one.kept_px


def test_what_hardly_ever_comes_is_left_out() -> None:
    plan = plan_tiles_within((20 * 1024, 20 * 1024 + 16), (1024, 1024), depth=4)
    assert plan is not None
    side = input_px(1024, 4)
    assert shape_works(plan, 1)[0].shape == (side, side)
    assert sum(one.kept_px for one in shape_works(plan, 1)) >= 0.95 * 20 * 1024 * (20 * 1024 + 16)
    assert len(shape_works(plan, 1)) < len(plan.read_shapes())


def test_one_tile_is_one_batch() -> None:
    plan = plan_tiles_within((512, 512), (512, 512), depth=4)
    assert plan is not None
    side = input_px(512, 4)
    assert shape_works(plan, 4) == (ShapeWork(shape=(side, side), batches=1, kept_px=512 * 512),)
