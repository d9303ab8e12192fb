"""A network in fewer bits, between two casts: everything around it stays as it is, in fp32.

(pixel - shift) * scale in fp32  ->  the network in fp16 or bf16  ->  logits, soft-max and labels in fp32
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unetctl.runtime.precision import Precision
from unetctl.trainer.network import UNet

DTYPES = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


class Lowered(nn.Module):
    """A copy of a network that computes in fp16 or bf16, and takes and gives fp32."""

    def __init__(self, network: UNet, precision: Precision) -> None:
        super().__init__()
        self._dtype = DTYPES[precision]
        self.network = copy.deepcopy(network).to(self._dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of `image`: float32 `[N, C, H, W]` to float32 `[N, K, h, w]`."""
        logits: Tensor = self.network(image.to(self._dtype)).to(torch.float32)
        return logits


def in_precision(network: UNet, hint: Precision | None) -> nn.Module:
    """Return the network itself for None, or a copy that computes as `hint` says."""
    return network if hint is None else Lowered(network, hint)
