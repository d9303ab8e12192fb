"""The network in fp16, between two casts: everything around it stays as it is, in fp32.

    pixels -> (pixel - shift) * scale in fp32  ->  the network in fp16  ->  logits, soft-max and labels in fp32

What overflows fp16 (65504) becomes infinite, and then no class, as everywhere. Averaged logits are added up in fp32.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unetctl.trainer.averaging import Averaged
from unetctl.trainer.network import UNet


class HalfNetwork(nn.Module):
    """A copy of a network that computes in fp16, and takes and gives fp32."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of `image`: float32 `[N, C, H, W]` to float32 `[N, K, h, w]`."""
        logits: Tensor = self.network(image.to(torch.float16)).to(torch.float32)
        return logits


def in_half(network: UNet | Averaged) -> nn.Module:
    """Return a copy of a network, averaged or not, that computes in fp16."""
    if isinstance(network, UNet):
        return HalfNetwork(network).eval()
    averaged = Averaged(network.network)
    averaged.register_module("network", HalfNetwork(network.network))
    return averaged.eval()
