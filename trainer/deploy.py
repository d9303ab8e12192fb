"""All per-pixel work around the network, so that every runtime does the same and the bus carries bytes.

    image uint8 [N, C, H, W]  ->  cast, (pixel - shift) * scale  ->  network -> arg-max   ->  labels [N, h, w]
      or [N, C, H, W, 2]                                                     -> soft-max  ->  probabilities [N, K, h, w]

16-bit images enter as their bytes, low first, because TensorRT takes no UINT16. The torch engine runs this module and
the exporter traces it: there is one statement of what happens to a pixel.

A logit that is NaN or infinite must not become a class. The sum of the logits' magnitudes carries it to one number a
pixel, and a comparison that no NaN passes then chooses between the class and `INVALID_LABEL`. Written so, it holds in
PyTorch, ONNX Runtime and OpenVINO, which is measured; `z == z` does not (OpenVINO folds it to true).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetctl.runtime.engine import INVALID_LABEL
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.spec import ModelSpec, PixelType
from unetctl.trainer.averaging import Averaged
from unetctl.trainer.network import UNet

LARGEST_LOGIT = 1e30
"""A sum of magnitudes above it counts as infinite: far above real logits, far below the fp32 limit of 3.4e38."""


class DeployGraph(nn.Module):
    """Bytes in, bytes out: the network between normalisation and labels.

    `forward(image)` if the normalisation is the model's, `forward(image, shift, scale)` with float32 `[C]` if it is the
    image's. Returns one tensor for each name in `outputs`, of `labels`, `probabilities` and `logits`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec, outputs: tuple[str, ...] = ("labels",)) -> None:
        super().__init__()
        self.network = network
        self.outputs = outputs
        self.pixels_are_bytes = spec.pixel_type is PixelType.UINT16
        self.register_buffer("shift", torch.tensor(spec.normalisation.shift, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(spec.normalisation.scale, dtype=torch.float32))

    def forward(self, image: Tensor, shift: Tensor | None = None, scale: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run the network on `image`."""
        shift, scale = (self.shift, self.scale) if shift is None or scale is None else (shift, scale)
        x = image.to(torch.float32)
        if self.pixels_are_bytes:
            x = x[..., 0] + 256.0 * x[..., 1]
        x = (x - shift.reshape(1, -1, 1, 1)) * scale.reshape(1, -1, 1, 1)
        logits = self.network(x).to(torch.float32)
        found: dict[str, Callable[[Tensor], Tensor]] = {
            "labels": labels_of,
            "probabilities": probabilities_of,
            "logits": lambda unchanged: unchanged,
        }
        return tuple(found[name](logits) for name in self.outputs)


def labels_of(logits: Tensor) -> Tensor:
    """Return the class of the largest logit, the first of equals: `[N, K, h, w]` to uint8 `[N, h, w]`.

    `INVALID_LABEL` stands where a logit is NaN or infinite. The class goes through float32 because TensorRT converts
    nothing else to uint8; two classes need no arg-max.
    """
    best = logits[:, 1] > logits[:, 0] if logits.shape[1] == 2 else logits.argmax(dim=1)
    is_finite = logits.abs().sum(dim=1) <= LARGEST_LOGIT
    return torch.where(is_finite, best.to(torch.float32), float(INVALID_LABEL)).to(torch.uint8)


def probabilities_of(logits: Tensor) -> Tensor:
    """Return round(255 p) of the soft-max over the classes: `[N, K, h, w]` to uint8."""
    return (255.0 * logits.softmax(dim=1)).round().to(torch.uint8)


def image_bytes(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the graph's view of pixels `[N, C, H, W]`: themselves, or `[N, C, H, W, 2]` bytes, low first."""
    if image.dtype == np.uint8:
        return image.view(np.uint8)
    return image.astype("<u2", copy=False).view(np.uint8).reshape(*image.shape, 2)


def golden_tile(
    network: UNet | Averaged,
    image: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    shift: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> GoldenTile:
    """Make a golden tile: `image` `[C, H, W]` of a valid size, with the logits that PyTorch gives on the CPU in fp32.

    Whoever trains calls this with the final weights, in eval mode, on tiles that lie inside real images.
    """
    x = (image.astype(np.float32) - shift[:, None, None]) * scale[:, None, None]
    with torch.inference_mode():
        logits = network(torch.from_numpy(x[None]))[0].numpy()
    return GoldenTile(image=image, shift=shift, scale=scale, logits=logits)
