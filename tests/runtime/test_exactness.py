"""Tiled equals untiled, bit for bit: sparse integer networks, in which no sum is ever rounded.

The untiled truth is one call of the network on the image, mirrored by the margin at the top and left and by what is
needed at the bottom and right. Logits are compared, not labels only. A network that a misaligned stride does not
disturb could not tell a right plan from a wrong one, so each is first shown to be disturbed.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models import integer_network, integer_spec, largest_sum, tiny_golden
from unetctl.exporter.export import export_model
from unetctl.runtime.engine import Engine
from unetctl.runtime.engines import ENGINES, EngineRequest, engine_status, open_engine
from unetctl.runtime.geometry import CROP_PX, align_up, input_px, margin_px
from unetctl.runtime.image import ArraySource
from unetctl.runtime.mirror import read_mirrored
from unetctl.runtime.model import read_model
from unetctl.runtime.plan import TilePlan, Window, plan_tiles, split_axis
from unetctl.runtime.segmentation import ArraySink
from unetctl.runtime.stream import stream_labels
from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint
from unetctl.trainer.engine_torch import TorchEngine, checkpoint_model
from unetctl.trainer.network import UNet

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]


def logits_of(network: UNet, pixels_cyx: Pixels, window: Window) -> Logits:
    """Return the logits `[K, h, w]` of the kept centre of a window's tile, of pixels less 128."""
    read = np.empty((pixels_cyx.shape[0], *window.shape), np.uint8)
    read_mirrored(ArraySource(pixels_cyx), 0, window, read)
    with torch.inference_mode():
        logits = network(torch.from_numpy(read.astype(np.float32))[None] - 128)[0]
    return np.asarray(logits[:, CROP_PX:-CROP_PX, CROP_PX:-CROP_PX].numpy())


def untiled_logits(network: UNet, pixels_cyx: Pixels) -> Logits:
    """Return the logits `[K, H, W]` of one call on the whole mirrored image."""
    depth, (height, width) = network.depth, pixels_cyx.shape[1:]
    margin = margin_px(depth)
    whole = Window(y0=-margin, x0=-margin, y1=align_up(height, depth) + margin, x1=align_up(width, depth) + margin)
    return logits_of(network, pixels_cyx, whole)[:, :height, :width]


def tiled_logits(network: UNet, pixels_cyx: Pixels, plan: TilePlan) -> Logits:
    """Return the logits `[K, H, W]`, stitched from the tiles of `plan`."""
    stitched = np.full((network.classify.out_channels, *pixels_cyx.shape[1:]), np.nan, np.float32)
    for tile in plan.tiles():
        window = tile.write
        logits = logits_of(network, pixels_cyx, tile.read)
        stitched[:, window.y0 : window.y1, window.x0 : window.x1] = logits[:, : window.height, : window.width]
    return stitched


def plan_of(shape: tuple[int, int], depth: int, rows: int, columns: int, chunk: int) -> TilePlan:
    """Return a plan of `rows` x `columns` tiles, as far as the image has so many chunks."""
    rows, columns = (min(n, -(-size // chunk)) for n, size in zip((rows, columns), shape, strict=True))
    return TilePlan(
        image_yx=shape,
        depth=depth,
        chunk_px=chunk,
        row_edges=split_axis(shape[0], rows, depth, chunk),
        column_edges=split_axis(shape[1], columns, depth, chunk),
    )


def image(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Return random pixels `[C, H, W]`."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiled_logits_equal_untiled_logits(depth: int, channels: int) -> None:
    network = integer_network(depth=depth, channels=channels, classes=3, seed=depth)
    chunk = 8 << depth
    side = input_px(2 * chunk, depth)
    assert largest_sum(network, image((1, channels, side, side)), integer_spec(network)) < 2**24
    for shape in [(3 * chunk + 5, 2 * chunk + 1), (chunk + 1, 5 * chunk), (1, 2 * chunk), (7, 3)]:
        pixels = image((channels, *shape), seed=depth)
        truth = untiled_logits(network, pixels)
        for rows, columns in [(1, 1), (2, 1), (3, 2), (1, 5)]:
            stitched = tiled_logits(network, pixels, plan_of(shape, depth, rows, columns, chunk))
            assert (stitched == truth).all(), (shape, rows, columns)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_integer_networks_see_a_misaligned_stride(depth: int) -> None:
    """Moving the origin of a tile by one pixel changes more than 1 % of the logits of the same pixels."""
    network = integer_network(depth=depth, seed=depth)
    side = 6 << depth
    pixels = image((1, side + 300, side + 300))
    at = 100 >> depth << depth
    window = Window(y0=at, x0=at, y1=at + side + 2 * margin_px(depth), x1=at + side + 2 * margin_px(depth))
    moved = Window(y0=at - 1, x0=at - 1, y1=window.y1 - 1, x1=window.x1 - 1)
    here, there = logits_of(network, pixels, window), logits_of(network, pixels, moved)

    assert (here[:, :-1, :-1] != there[:, 1:, 1:]).mean() > 0.01


def test_a_margin_one_step_too_small_is_seen() -> None:
    """A tile that reads 2^depth px less on each side gives other values at its rim: the margin is not generous."""
    depth = 2
    network = integer_network(depth=depth, seed=3)
    pixels = image((1, 200, 200))
    truth = untiled_logits(network, pixels)
    margin = margin_px(depth) - (1 << depth)
    short = Window(y0=64 - margin, x0=64 - margin, y1=128 + margin, x1=128 + margin)
    read = np.empty((1, *short.shape), np.uint8)
    read_mirrored(ArraySource(pixels), 0, short, read)
    padded = np.pad(read, ((0, 0), *[(1 << depth, 1 << depth)] * 2), mode="reflect")
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded.astype(np.float32))[None] - 128)[0].numpy()
    wrong = logits[:, CROP_PX:-CROP_PX, CROP_PX:-CROP_PX] != truth[:, 64:128, 64:128]

    assert wrong.any()
    assert not wrong[:, 8:-8, 8:-8].any()


@pytest.fixture(scope="module")
def integer_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an integer network of three classes as a checkpoint and as an exported model."""
    folder = tmp_path_factory.mktemp("integer")
    network = integer_network(depth=2, classes=3, seed=1)
    spec = integer_spec(network)
    save_checkpoint(folder / "model.safetensors", network, spec, tiny_golden(network, spec))
    export_model(folder / "model.safetensors", folder / "model.onnx")
    return folder


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("engine", ["torch", *ENGINES])
def test_labels_through_the_whole_stream_equal_the_untiled_network(
    integer_models: Path, engine: str, batch: int
) -> None:
    if engine != "torch" and not next(one for one in engine_status() if one.name == engine).usable:
        pytest.skip(f"NOT RUN: {engine} cannot run here")
    shape = (203, 330)
    checkpoint = load_checkpoint(integer_models / "model.safetensors")
    pixels = image((1, *shape), seed=4)
    truth = untiled_logits(checkpoint.network, pixels).argmax(axis=0)
    tiles = plan_tiles(shape, depth=2, chunk_px=64, max_area_px=2 * 64 * 64)
    assert len(tiles.read_shapes()) > 1
    labels = np.full((1, *shape), 255, np.uint8)
    model = checkpoint_model(checkpoint) if engine == "torch" else read_model(integer_models / "model.onnx")
    request = EngineRequest(model=model, shapes=tiles.read_shapes(), batch=batch, slots=2, threads=1)
    opened: Engine = TorchEngine(checkpoint, request) if engine == "torch" else open_engine(engine, request)
    with opened:
        stream_labels(ArraySource(pixels), tiles, opened, ArraySink(labels), classes=3, batch=batch)

    assert (labels[0] == truth).all()
