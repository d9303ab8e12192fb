"""A model of any width with random weights: speed and memory do not depend on what a network has learned."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from unetctl.exporter.export import export_model
from unetctl.runtime.geometry import align_up, input_px
from unetctl.runtime.spec import ClassInfo, ModelSpec, Normalisation, PixelType, Scope
from unetctl.trainer.checkpoint import save_checkpoint, weights_sha256
from unetctl.trainer.deploy import golden_tile
from unetctl.trainer.network import UNet

DEPTH = 4
SHIFT, SCALE = 112.0, 1 / 32


def make_model(folder: Path, base_channels: int) -> Path:
    """Write a random two-class network for 8-bit gray images to `folder` as ONNX, and return its path."""
    torch.manual_seed(2015)
    network = UNet(depth=DEPTH, base_channels=base_channels).eval()
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
    side = input_px(align_up(128, DEPTH), DEPTH)
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side), dtype=np.uint8)
    shift, scale = (np.array([value], np.float32) for value in (SHIFT, SCALE))
    golden = golden_tile(network, pixels, shift=shift, scale=scale)
    checkpoint = folder / f"{spec.name}.safetensors"
    save_checkpoint(checkpoint, network, spec, [golden])
    model = folder / f"{spec.name}.onnx"
    export_model(checkpoint, model)
    return model
