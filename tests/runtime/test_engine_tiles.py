"""The tiles that are taken when nobody names any: as many as the device's free memory holds."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes import fake_model
from unetctl.runtime.engine_tiles import DEFAULT_TILES, default_tiles, device_bytes
from unetctl.runtime.plan import CHUNK_PX

PAPER = fake_model(depth=4, base_channels=64)
HALF = replace(PAPER, record=replace(PAPER.record, precision="fp16"))


def test_tiles_fit_the_chunks_of_the_output() -> None:
    assert all(kept % CHUNK_PX == 0 for kept in DEFAULT_TILES)


def test_a_card_of_8_gib_takes_all_and_one_of_4_the_smallest() -> None:
    assert default_tiles(PAPER, 7 << 30) == DEFAULT_TILES
    assert default_tiles(PAPER, 4 << 30) == DEFAULT_TILES[:1]
    assert default_tiles(PAPER, 0) == DEFAULT_TILES[:1], "the build says itself what is missing"


def test_fp16_takes_half_and_a_larger_tile_more() -> None:
    assert default_tiles(HALF, 4 << 30) == DEFAULT_TILES
    assert device_bytes(HALF, 512) < device_bytes(PAPER, 512) < device_bytes(PAPER, 1024)


def test_for_another_machine_all_are_built() -> None:
    assert default_tiles(PAPER, None) == DEFAULT_TILES
