"""What a trained network makes of a whole image: its logits, in fp32, tile by tile as in the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unetctl.runtime.geometry import CROP_PX
from unetctl.runtime.plan import plan_tiles
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.statistics import array_statistics
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint
from unetctl.trainer.sample import cut

MAX_TILE_AREA_PX = 1024 * 1024
"""Kept pixels of a tile: a gigabyte of activations at the paper's 64 channels."""


def load_placed(path: Path) -> Checkpoint:
    """Load a run's folder or its checkpoint, its network on the GPU if torch sees one, in true fp32 there too."""
    found = load_checkpoint(path / "model.safetensors" if path.is_dir() else path)
    torch.backends.cudnn.allow_tf32 = False  # it keeps 10 bits of the 23
    torch.backends.cuda.matmul.allow_tf32 = False
    found.network.to("cuda" if torch.cuda.is_available() else "cpu")
    return found


def logits_of(network: nn.Module, spec: ModelSpec, image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits `[K, H, W]` of an image `[C, H, W]`; `network` is that of `spec`, or its average."""
    device = next(network.parameters()).device
    normalisation = array_statistics(image) if spec.normalisation.scope is Scope.IMAGE else spec.normalisation
    shift, scale = (np.array(one, np.float32)[:, None, None] for one in (normalisation.shift, normalisation.scale))
    logits = np.empty((len(spec.classes), *image.shape[1:]), np.float32)
    with torch.inference_mode():
        for tile in plan_tiles(image.shape[1:], depth=spec.depth, max_area_px=MAX_TILE_AREA_PX).tiles():
            values = (cut(image, tile.read).astype(np.float32) - shift) * scale
            found = network(torch.from_numpy(values[None]).to(device))[0].float().cpu().numpy()
            rows, columns = (slice(CROP_PX, CROP_PX + size) for size in tile.write.shape)
            kept = slice(tile.write.y0, tile.write.y1), slice(tile.write.x0, tile.write.x1)
            logits[:, *kept] = found[:, rows, columns]
    return logits
