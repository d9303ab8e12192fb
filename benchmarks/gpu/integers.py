"""Integer networks for `benchmarks.gpu`: no sum is rounded, so an engine's labels must be PyTorch's bit for bit.

fp16 holds every whole number to 2^11, bf16 to 2^8, tf32 to 2^11. So each precision gets a network and pixels whose
every activation and partial sum stays within its limit; the one for fp32 goes beyond 2^11, where an engine that
computes in tf32 without being told to gives other labels. They are those of the tests (`tests/models.py`).
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from unetctl.trainer.network import UNet

ROOT = Path(__file__).resolve().parents[2]
CHUNK_PX = 64
CLASSES = 3
LIMITS = {"fp32": 2**24, "fp16": 2**11, "bf16": 2**8}
KINDS = {"fp32": (4, 0, 128), "fp16": (4, 0, 8), "bf16": (2, 0, 2)}
"""Depth, seed, and by how much pixels may differ from 128."""
LEAST_DISTURBED = 0.01
"""A tile that begins a pixel off must change more of the labels than this, or the network could not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerCase:
    """A network, an image, and the labels of one call of the network on the whole mirrored image."""

    checkpoint: Path
    depth: int
    pixels_cyx: NDArray[np.uint8]
    labels_yx: NDArray[np.uint8]
    largest_sum: float
    limit: int
    disturbed: float
    """The share of labels that a tile which begins a pixel off would change."""

    @property
    def can_tell(self) -> bool:
        """Tell whether it is exact in this precision, and sees tiles that are placed wrongly."""
        return self.largest_sum <= self.limit and self.disturbed > LEAST_DISTURBED


def integer_case(precision: str, image_yx: tuple[int, int], folder: Path) -> IntegerCase:
    """Make the case for engines that compute in `precision`; its checkpoint lies in `folder`."""
    import torch
    from torch import nn

    from unetctl.runtime.geometry import align_up, input_px, margin_px
    from unetctl.runtime.plan import Window
    from unetctl.trainer.checkpoint import save_checkpoint
    from unetctl.trainer.deploy import golden_tile

    models = house_tests("models")
    depth, seed, spread = KINDS[precision]
    network: UNet = models.integer_network(depth=depth, classes=CLASSES, seed=seed)
    draw = np.random.default_rng(seed)
    pixels = draw.integers(128 - spread, 128 + spread, (1, *image_yx), np.uint8)
    margin, (height, width) = margin_px(depth), image_yx
    whole = Window(y0=-margin, x0=-margin, y1=align_up(height, depth) + margin, x1=align_up(width, depth) + margin)
    with torch.no_grad():
        for layer in network.modules():  # small biases leave room for small limits
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer is not network.classify:
                assert layer.bias is not None
                layer.bias.clamp_(max=1)
        assert network.classify.bias is not None
        middle = torch.from_numpy(_logits(network, pixels, whole)).flatten(1).median(dim=1).values
        network.classify.bias.sub_(middle.round())  # or one class would have all pixels
    logits = _logits(network, pixels, whole)
    off = Window(y0=whole.y0 - 1, x0=whole.x0 - 1, y1=whole.y1 - 1, x1=whole.x1 - 1)
    moved = _logits(network, pixels, off).argmax(axis=0)[1:, 1:]
    labels = logits.argmax(axis=0).astype(np.uint8)
    spec = models.integer_spec(network)
    side = input_px(CHUNK_PX, depth)
    shift, scale = (np.array(one, np.float32) for one in (spec.normalisation.shift, spec.normalisation.scale))
    checkpoint = folder / f"integer-{precision}.safetensors"
    golden = golden_tile(network, _window(pixels, Window(y0=0, x0=0, y1=side, x1=side)), shift=shift, scale=scale)
    save_checkpoint(checkpoint, network, spec, [golden])
    return IntegerCase(
        checkpoint=checkpoint,
        depth=depth,
        pixels_cyx=pixels,
        labels_yx=labels[:height, :width],
        largest_sum=models.largest_sum(network, _window(pixels, whole)[None], spec),
        limit=LIMITS[precision],
        disturbed=float((labels[:-1, :-1] != moved).mean()),
    )


def house_tests(name: str) -> Any:
    """Import a module of this checkout's tests, whatever else on the path is called `tests`."""
    from importlib import import_module

    if "tests" not in sys.modules:
        package = types.ModuleType("tests")
        package.__path__ = [str(ROOT / "tests")]
        sys.modules["tests"] = package
    return import_module(f"tests.{name}")


def _window(pixels_cyx: NDArray[np.uint8], window: Any) -> NDArray[np.uint8]:
    from unetctl.runtime.image import ArraySource
    from unetctl.runtime.mirror import read_mirrored

    read = np.empty((pixels_cyx.shape[0], *window.shape), np.uint8)
    read_mirrored(ArraySource(pixels_cyx), 0, window, read)
    return read


def _logits(network: UNet, pixels_cyx: NDArray[np.uint8], window: Any) -> NDArray[np.float32]:
    """Return the logits `[K, h, w]` of the kept centre of a window."""
    import torch

    from unetctl.runtime.geometry import CROP_PX

    with torch.inference_mode():
        values = torch.from_numpy(_window(pixels_cyx, window).astype(np.float32))[None] - 128
        return np.asarray(network(values)[0].numpy()[:, CROP_PX:-CROP_PX, CROP_PX:-CROP_PX])
