"""Test-time averaging: the mean of a network's logits over the eight symmetries of the square.

The paper averages seven rotated versions of an image (table 1). The pixel grid has eight symmetries that interpolate
nothing, and two of them make all others: mirroring left to right, and transposing. Done in turn, they go once round:

    image --mirror--> 1 --transpose--> 2 --mirror--> 3 --transpose--> 4 --mirror--> 5 --transpose--> 6 --mirror--> 7
      |               |                |             |                |             |                |             |
    logits -mirror->  +  -transpose->  +  -mirror->  +  -transpose->  +  -mirror->  +  -transpose->  +  -mirror->  +
      ^                                                                                                            |
      +------------------------------------------------- transpose ------------------------------------------------+

The sum of the logits is turned with the image, so that what is added always lies on what it belongs to.

Logits are averaged and not probabilities. The mean logit is, up to a constant that soft-max takes away, the logarithm
of the geometric mean of the probabilities; so the mean is again a logit, and golden tiles, tolerances, the NaN sentinel
and soft-max stay as they are for one pass. The passes run one after another: ONNX Runtime takes an eighth more memory
than for one of them, OpenVINO 1.7 times (1024 px, 16 channels).

Why tiled still equals untiled. A network that pools is equivariant to shifts by q = 2^depth only: what counts is where
its pooling grid starts, and a mirrored input starts at its far end.

    pixel                   0        q       2q       3q       4q = A
    image                   |========|========|========|========|      mirrored, the grid of the image starts at A,
    tile [y0, y1)                    |========|========|               that of the tile at y1: A - y1 px apart
    grid of the image       |<-------|<-------|<-------|<-------|
    grid of the tile                 |<-------|<-------|

Both grids are one because A - y1 is a multiple of q: every edge of a tile is one, and so is the last, which
`unetctl.runtime.plan` aligns up from the image's own size. The margins are the same at both ends, so they move both
starts alike, and what is mirrored back lies where it belongs. Axes are independent, and a size that is valid is valid
along either, so that a transposed tile is one too and tiles need not be square. "Untiled" is, as without averaging, one
call on the mirror-padded image of aligned size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unetctl.trainer.network import UNet

PASSES = 8
"""How often an averaged network runs for one image."""


class Averaged(nn.Module):
    """A network that gives the mean of its logits over the symmetries of the square, in `PASSES` passes.

    It takes and gives what `UNet` does, and starts in the mode, train or eval, of the network that it is given. Integer
    logits give an exact mean: an eighth is a power of two.
    """

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network
        self.depth = network.depth
        self.train(network.training)

    def forward(self, image: Tensor) -> Tensor:
        """Return the mean logits of `image`: float32 `[N, C, H, W]` to `[N, K, H - s(depth), W - s(depth)]`."""
        total: Tensor = self.network(image)
        for number in range(1, PASSES):
            image, total = turned(image, number), turned(total, number)
            # Not `total + logits`: of a chain of sums OpenVINO makes one operation, which runs at the end, and so keeps
            # what all passes gave until then (1.7 times the memory; measured with OpenVINO 2026.4.1).
            total = torch.stack((total, self.network(image))).sum(dim=0)
        return turned(total, PASSES) * (1 / PASSES)


def turned(image: Tensor, number: int) -> Tensor:
    """Take `[N, C, H, W]` from one version to the next: mirror it left to right, or transpose it, in turn."""
    return image.flip(3) if number % 2 else image.transpose(2, 3)
