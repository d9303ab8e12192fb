"""The loop that most people write: `python -m benchmarks.hand_written SLIDE OUTPUT CHECKPOINT`, in PyTorch, fp32.

The image is read whole and mirrored whole; the paper's windows of 572 x 572 px give 388 x 388 px each, side by side. A
step of 388 px is no multiple of 16, so the result is not quite that of the whole image; see docs/decisions/0002.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from unetctl.runtime.geometry import shrinkage_px
from unetctl.runtime.system import peak_memory_bytes
from unetctl.trainer.checkpoint import load_checkpoint

STEP_PX = 388


def label(image: NDArray[np.uint8], checkpoint: Path) -> NDArray[np.uint8]:
    """Return labels uint8 `[H, W]` of a gray image uint8 `[H, W]`."""
    loaded = load_checkpoint(checkpoint)
    network, spec = loaded.network.eval(), loaded.spec
    margin = shrinkage_px(spec.depth) // 2
    height, width = image.shape
    rest = [-side % STEP_PX for side in image.shape]
    padded = np.pad(image, [(margin, margin + one) for one in rest], mode="reflect")
    labels = np.zeros((height + rest[0], width + rest[1]), np.uint8)
    for y in range(0, height, STEP_PX):
        for x in range(0, width, STEP_PX):
            window = padded[y : y + STEP_PX + 2 * margin, x : x + STEP_PX + 2 * margin].astype(np.float32)
            pixels = (window - spec.normalisation.shift[0]) * spec.normalisation.scale[0]
            with torch.inference_mode():
                logits = network(torch.from_numpy(pixels[None, None]))
            labels[y : y + STEP_PX, x : x + STEP_PX] = logits[0].argmax(dim=0).numpy()
    return labels[:height, :width]


def main() -> None:
    """Label one slide."""
    slide, output, checkpoint = (Path(one) for one in sys.argv[1:])
    tifffile.imwrite(output, label(tifffile.imread(slide), checkpoint), compression="deflate")
    print(json.dumps({"peak_memory_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main()
