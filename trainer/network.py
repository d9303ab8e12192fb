"""The U-Net of Ronneberger, Fischer and Brox (2015), figure 1, in PyTorch.

    image -> [3x3 3x3] ------------------ crop, concatenate ------------------> [3x3 3x3] -> 1x1 -> logits
                 | 2x2 max pool                                            2x2 up |
                [3x3 3x3] ----------- crop, concatenate ----------> [3x3 3x3] ----+
                    |                        ...                        |
                    +------------> [3x3 3x3 dropout] -------------------+

All 3x3 convolutions are valid (unpadded) and followed by a ReLU; channels double at each level down, from 64 to 1024 in
the paper. Dropout stands at the end of the contracting path (section 3.1), after the last two blocks. The network that
the authors released for Caffe differs: see docs/decisions/0001-the-paper-not-the-release.md.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unetctl.runtime.geometry import shrinkage_px


class UNet(nn.Module):
    """Logits of a mirrored image: float32 `[N, C, H, W]` to `[N, K, H - s(depth), W - s(depth)]`.

    `H` and `W` must satisfy `unetctl.runtime.geometry.is_valid_input`. Depth 4 and 64 base channels are the paper's: 23
    convolutional layers, 31,030,658 parameters for one image channel and two classes.
    """

    def __init__(
        self, *, channels: int = 1, classes: int = 2, depth: int = 4, base_channels: int = 64, dropout: float = 0.5
    ) -> None:
        super().__init__()
        widths = [base_channels << level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _block(inputs, width) for inputs, width in zip([channels, *widths], widths, strict=False)
        )
        self.upconv = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[:-1])
        self.up = nn.ModuleList(_block(2 * width, width) for width in widths[:-1])
        self.classify = nn.Conv2d(base_channels, classes, 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.depth = depth
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _initialise(module)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of `image`."""
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            if level >= self.depth - 1:
                x = self.dropout(x)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(self.depth)):
            x = self.upconv[level](x)
            margin = shrinkage_px(self.depth - level - 1)  # what the levels below cost, halved and doubled
            x = self.up[level](torch.cat([skips.pop()[:, :, margin:-margin, margin:-margin], x], dim=1))
        logits: Tensor = self.classify(x)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3), nn.ReLU(inplace=True), nn.Conv2d(outputs, outputs, 3), nn.ReLU(inplace=True)
    )


def _initialise(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Draw weights from a Gaussian of standard deviation sqrt(2 / N), N the incoming nodes of a neuron (section 3)."""
    incoming = layer.in_channels
    if isinstance(layer, nn.Conv2d):  # a neuron of the 2x2 up-convolution of stride 2 sees one pixel of every channel
        incoming *= layer.kernel_size[0] * layer.kernel_size[1]
    nn.init.normal_(layer.weight, std=math.sqrt(2 / incoming))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
