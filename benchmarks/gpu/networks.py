"""The networks and slides of `benchmarks.gpu`: made when they are first asked for, kept in the scratch folder.

The weights are random, which changes neither speed nor memory. The last bias is set so that both classes are about as
frequent, and the slide is smooth, so that its labels are areas with borders, as a trained network's are: they compress
alike, and writing them takes as long. Without what makes networks and ONNX models only the built-in one is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.rows import lacking
from benchmarks.gpu.settings import Settings

if TYPE_CHECKING:
    from unetctl.runtime.image import ArraySource
    from unetctl.runtime.spec import ModelSpec

DEPTH = 4
SHIFT, SCALE = 127.5, 1 / 64
PATTERN_PX = 2048
"""The slide repeats with this period, so that a large one is made in a second."""
GRAIN_PX = 64
"""About the size of what is seen on it."""
GOLDEN_TILES = 2
BUILTIN = "nuclei"
NEEDS_TORCH = ("torch", "safetensors")
NEEDS_ONNX = (*NEEDS_TORCH, "onnx", "onnxscript")
"""What makes a network, and an ONNX model of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as the settings ask for it; `base_channels` 0 is the built-in one."""

    base_channels: int
    settings: Settings

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"{self.base_channels} channels" if self.base_channels else BUILTIN

    def checkpoint(self) -> Path:
        """Return the checkpoint, made now if it is not there."""
        path = self.settings.folder / f"random-{self.base_channels}.safetensors"
        if not path.exists():
            _make_checkpoint(path, self.base_channels, self.settings)
        return path

    def onnx(self, precision: str) -> Path:
        """Return the ONNX model whose graph computes in `precision`; its export compares it with PyTorch.

        Raises what `export_model` raises, and `MissingInputError` for the built-in model in another precision.
        """
        from unetctl.runtime.builtin import builtin_model
        from unetctl.runtime.errors import MissingInputError
        from unetctl.runtime.precision import Precision

        if not self.base_channels:
            if precision != Precision.FP32:
                raise MissingInputError(f"the built-in model is not there in {precision}", cause="no PyTorch to export")
            return builtin_model(BUILTIN)
        path = self.settings.folder / f"random-{self.base_channels}.{precision}.onnx"
        if not path.exists():
            from unetctl.exporter.export import export_model

            export_model(self.checkpoint(), path, precision=Precision(precision))
        return path


def networks(settings: Settings, engine: str) -> list[Network]:
    """List the networks for an engine, the most important first."""
    sizes = (0,) if lacking(NEEDS_TORCH if engine == "torch" else NEEDS_ONNX) else settings.base_channels
    return [Network(base_channels=size, settings=settings) for size in sizes]


def _make_checkpoint(path: Path, base_channels: int, settings: Settings) -> None:
    import torch

    from unetctl.runtime.geometry import align_up, input_px
    from unetctl.runtime.spec import ClassInfo, ModelSpec, Normalisation, PixelType, Scope
    from unetctl.trainer.checkpoint import save_checkpoint, weights_sha256
    from unetctl.trainer.deploy import golden_tile
    from unetctl.trainer.network import UNet

    torch.manual_seed(2015)
    network = UNet(depth=DEPTH, base_channels=base_channels).eval()
    side = input_px(align_up(settings.golden_px, DEPTH), DEPTH)
    tiles = [pattern(side, seed)[None] for seed in range(GOLDEN_TILES)]
    with torch.inference_mode():
        logits = network((torch.from_numpy(tiles[0].astype(np.float32))[None] - SHIFT) * SCALE)
        assert network.classify.bias is not None
        network.classify.bias.copy_(-logits.flatten(2).median(dim=2).values[0])
    spec = ModelSpec(
        name=f"random-{base_channels}",
        depth=DEPTH,
        base_channels=base_channels,
        channels=("gray",),
        pixel_type=PixelType.UINT8,
        normalisation=Normalisation(scope=Scope.MODEL, shift=(SHIFT,), scale=(SCALE,)),
        classes=(ClassInfo(name="background", colour="#000000"), ClassInfo(name="cell", colour="#3aa6a0")),
        weights_sha256=weights_sha256(network.state_dict()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    shift, scale = (np.array([value], np.float32) for value in (SHIFT, SCALE))
    save_checkpoint(path, network, spec, [golden_tile(network, one, shift=shift, scale=scale) for one in tiles])


def pattern(side_px: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return a smooth random picture `[H, W]` with a little noise."""
    draw = np.random.default_rng(seed)
    knots = -(-side_px // GRAIN_PX) + 1
    coarse = draw.random((knots, knots))
    at = np.arange(side_px) / GRAIN_PX
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)  # smooth at the knots too
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    smooth = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return np.clip(255 * smooth + draw.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)


def pixels_of(spec: ModelSpec, side_px: int) -> NDArray[Any]:
    """Return a slide `[C, H, W]` as the model takes it."""
    copies = -(-side_px // PATTERN_PX)
    gray = np.tile(pattern(min(side_px, PATTERN_PX)), (copies, copies))[:side_px, :side_px]
    wide = gray.astype(np.uint16) * 257 if spec.pixel_type == "uint16" else gray
    return np.repeat(wide[None], len(spec.channels), axis=0)


def slide_in_memory(spec: ModelSpec, settings: Settings) -> ArraySource:
    """Return the slide as an `ImageSource` that costs nothing to read but a copy."""
    from unetctl.runtime.image import ArraySource

    return ArraySource(pixels_of(spec, settings.side_px), path="slide in memory")


def slide_file(spec: ModelSpec, settings: Settings) -> Path:
    """Return the slide as a TIFF of tiles of 512 x 512 px without compression: what is fast to read."""
    import tifffile

    path = settings.folder / f"slide-{spec.pixel_type}-{len(spec.channels)}.tif"
    if not path.exists():
        pixels = pixels_of(spec, settings.side_px)
        gray = len(spec.channels) == 1
        tifffile.imwrite(
            path,
            pixels[0] if gray else pixels,
            tile=(512, 512),
            photometric="minisblack",
            **({} if gray else {"planarconfig": "separate"}),
        )
    return path
