"""The network in fp16, as `unetctl.trainer.lowered` has it, averaged or not.

What overflows fp16 (65504) becomes infinite, and then no class, as everywhere. Averaged logits are added up in fp32.
"""

from __future__ import annotations

from torch import nn

from unetctl.runtime.precision import Precision
from unetctl.trainer.averaging import Averaged
from unetctl.trainer.lowered import Lowered
from unetctl.trainer.network import UNet


def in_half(network: UNet | Averaged) -> nn.Module:
    """Return a copy of a network, averaged or not, that computes in fp16."""
    if isinstance(network, UNet):
        return Lowered(network, Precision.FP16).eval()
    averaged = Averaged(network.network)
    averaged.register_module("network", Lowered(network.network, Precision.FP16))
    return averaged.eval()
