"""A network in PyTorch as most people would run it: eager, channels last, its weights and activations in one precision.

It is what `benchmarks.gpu` holds the torch engine against, for speed and for the size of errors in logits.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.deploy import DeployGraph

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class CastNetwork(nn.Module):
    """A copy of a network that computes in `dtype`: float32 `[N, C, H, W]` to logits of that dtype."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(dtype=dtype, memory_format=torch.channels_last)
        self._dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(image.to(dtype=self._dtype, memory_format=torch.channels_last))
        return logits


def deploy_graph(checkpoint: Checkpoint, precision: str, device: str, output: str) -> DeployGraph:
    """Return the graph of bytes in, `labels` or `logits` out, on a device."""
    network = CastNetwork(checkpoint.network, DTYPES[precision])
    return DeployGraph(network, checkpoint.spec, (output,)).to(device).eval()
