from __future__ import annotations

import numpy as np
import torch

from tests.trainer.project import discs, pair_of
from unetctl.runtime.geometry import is_valid_input, margin_px, shrinkage_px
from unetctl.runtime.spec import PixelType
from unetctl.trainer.golden_tiles import KEPT_PX, choose_golden
from unetctl.trainer.network import UNet


def test_one_lies_at_a_mirrored_corner_and_one_where_the_classes_mix() -> None:
    plain = np.random.default_rng(0).integers(0, 255, (250, 260)).astype(np.uint8)
    image = discs(0, 250, 260)[0]
    mixed = np.zeros((250, 260), np.uint8)
    mixed[96:192:2, 96:192] = 1
    pairs = [pair_of(plain, np.zeros_like(plain)), pair_of(image, mixed)]
    torch.manual_seed(0)
    corner, inside = choose_golden(UNet(depth=2, base_channels=2).eval(), pairs, PixelType.UINT8)
    margin = margin_px(2)
    assert (corner.image[0, margin:, margin:] == plain[: KEPT_PX + margin, : KEPT_PX + margin]).all()
    assert (corner.image[0, :margin, margin:] == plain[margin:0:-1, : KEPT_PX + margin]).all()
    assert (inside.image[0] == image[96 - margin : 192 + margin, 96 - margin : 192 + margin]).all()
    for tile in (corner, inside):
        assert tile.fault() == ""
        assert all(is_valid_input(size, 2) for size in tile.image.shape[1:])
        assert tile.logits.shape == (2, *(size - shrinkage_px(2) for size in tile.image.shape[1:]))


def test_a_small_image_gives_one_tile() -> None:
    torch.manual_seed(0)
    assert len(choose_golden(UNet(depth=1, base_channels=2).eval(), [pair_of(*discs(0))], PixelType.UINT8)) == 1
