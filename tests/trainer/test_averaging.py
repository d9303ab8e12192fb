"""Averaging: the mean over the eight symmetries of the square, which tiles and whole images agree on bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models import integer_network, integer_spec, largest_sum, tiny_network
from tests.runtime.test_exactness import image, logits_of, plan_of, untiled_logits
from unetctl.runtime.geometry import input_px, margin_px
from unetctl.runtime.plan import TilePlan, Window
from unetctl.trainer import averaging
from unetctl.trainer.averaging import PASSES, Averaged
from unetctl.trainer.network import UNet

Array = NDArray[np.float32]

SYMMETRIES = [(quarters, is_mirrored) for quarters in range(4) for is_mirrored in (False, True)]
"""Quarters of a turn, after mirroring or not: another way to name the eight than that of the code."""


def symmetric(pixels: Array, quarters: int, is_mirrored: bool) -> Array:
    """Mirror `[N, C, H, W]` if asked, then turn it."""
    return np.ascontiguousarray(np.rot90(pixels[..., ::-1] if is_mirrored else pixels, quarters, axes=(2, 3)))


def asymmetric(logits: Array, quarters: int, is_mirrored: bool) -> Array:
    """Undo `symmetric`."""
    turned = np.rot90(logits, -quarters, axes=(2, 3))
    return turned[..., ::-1] if is_mirrored else turned


def run(network: UNet | Averaged, pixels: Array) -> Array:
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(pixels)).numpy())


def mean_by_hand(network: UNet, pixels: Array) -> Array:
    """Return the mean logits, one version at a time, in numpy and in double precision."""
    versions = [asymmetric(run(network, symmetric(pixels, *one)), *one).astype(np.float64) for one in SYMMETRIES]
    return np.mean(versions, axis=0).astype(np.float32)


def some_pixels(depth: int, channels: int = 1) -> Array:
    """Integers of a tile that is not square, `[2, C, H, W]`."""
    shape = (2, channels, input_px(3 << depth, depth), input_px(5 << depth, depth))
    return np.random.default_rng(7).integers(-128, 128, shape).astype(np.float32)


def tiled(network: Averaged, pixels_cyx: NDArray[np.uint8], plan: TilePlan) -> Array:
    """Return the logits `[K, H, W]`, stitched from the tiles of `plan`."""
    stitched = np.full((network.network.classify.out_channels, *pixels_cyx.shape[1:]), np.nan, np.float32)
    for tile in plan.tiles():
        window = tile.write
        logits = logits_of(network, pixels_cyx, tile.read)
        stitched[:, window.y0 : window.y1, window.x0 : window.x1] = logits[:, : window.height, : window.width]
    return stitched


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_mean_is_that_of_the_eight_symmetries(depth: int) -> None:
    network, pixels = integer_network(depth=depth, channels=2, classes=3, seed=depth), some_pixels(depth, 2)
    assert len({symmetric(pixels, *one).tobytes() for one in SYMMETRIES}) == PASSES
    found = run(Averaged(network), pixels)

    assert (found == mean_by_hand(network, pixels)).all()
    assert (found != run(network, pixels)).mean() > 0.5


def test_with_real_weights_the_mean_is_right_within_rounding() -> None:
    network, pixels = tiny_network(depth=2), some_pixels(2) / 64
    np.testing.assert_allclose(run(Averaged(network), pixels), mean_by_hand(network, pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_a_turned_image_gives_the_turned_mean(symmetry: tuple[int, bool]) -> None:
    averaged, pixels = Averaged(integer_network(depth=2, seed=1)), some_pixels(2)

    assert (run(averaged, symmetric(pixels, *symmetry)) == symmetric(run(averaged, pixels), *symmetry)).all()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_tiled_equals_untiled(depth: int) -> None:
    network = integer_network(depth=depth, classes=3, seed=depth)
    chunk = 2 << depth
    side = input_px(4 * chunk, depth)
    assert PASSES * largest_sum(network, image((1, 1, side, side)), integer_spec(network)) < 2**24
    averaged = Averaged(network)
    shapes = [(3 * chunk + 5, 2 * chunk + 1), (chunk + 1, 4 * chunk), (7, 3)]
    for shape in shapes if depth < 3 else shapes[:1]:  # the margin of a deep network takes its time
        pixels = image((1, *shape), seed=depth)
        truth = untiled_logits(averaged, pixels)
        for rows, columns in [(1, 1), (2, 1), (3, 2), (1, 4)] if depth < 3 else [(2, 2)]:
            stitched = tiled(averaged, pixels, plan_of(shape, depth, rows, columns, chunk))
            assert (stitched == truth).all(), (shape, rows, columns)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_misaligned_tile_is_seen(depth: int) -> None:
    """A tile whose edges lie one pixel off the grid gives other means at more than 1 % of the same pixels."""
    averaged = Averaged(integer_network(depth=depth, seed=depth))
    side, margin, at = 6 << depth, margin_px(depth), 4 << depth
    pixels = image((1, 16 << depth, 16 << depth))
    window = Window(y0=at - margin, x0=at - margin, y1=at + side + margin, x1=at + side + margin)
    moved = Window(y0=window.y0, x0=window.x0 - 1, y1=window.y1, x1=window.x1 - 1)
    here, there = logits_of(averaged, pixels, window), logits_of(averaged, pixels, moved)

    assert (here[:, :, :-1] != there[:, :, 1:]).mean() > 0.01


def test_a_wrong_way_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the eight steps counts: a sum that is turned in another way than the image gives another mean."""
    network, pixels = integer_network(depth=1, seed=1), some_pixels(1)
    pixels = pixels[..., : pixels.shape[2]]  # square: nothing but the values can tell
    right, turned = mean_by_hand(network, pixels), averaging.turned
    assert (run(Averaged(network), pixels) == right).all()
    for wrong in range(1, PASSES + 1):

        def turned_wrongly(tensor: torch.Tensor, number: int, wrong: int = wrong) -> torch.Tensor:
            is_sum = tensor.shape[1] == right.shape[1]
            return turned(tensor, number + (is_sum and number == wrong))

        monkeypatch.setattr(averaging, "turned", turned_wrongly)
        assert (run(Averaged(network), pixels) != right).mean() > 0.01


def test_it_starts_in_the_mode_of_its_network() -> None:
    assert not Averaged(tiny_network()).training
    assert Averaged(tiny_network().train()).network.dropout.training
