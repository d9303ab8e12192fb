"""A network of twice the channels that computes the same: speed does not depend on the weights, but verdicts do.

Every channel is there twice, and what reads it takes half of each: no logit changes but for rounding, so a wide network
for measurements need not be trained. (Chen, Goodfellow and Shlens 2016, "Net2Net", section 2.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unetctl.trainer.checkpoint import load_checkpoint, save_checkpoint, weights_sha256
from unetctl.trainer.deploy import golden_tile
from unetctl.trainer.network import UNet


def widened(network: UNet) -> UNet:
    """Return a network with twice the base channels and the same logits; the image's channels and classes stay."""
    first, last = network.down[0][0], network.classify
    wide = UNet(
        channels=first.in_channels,
        classes=last.out_channels,
        depth=network.depth,
        base_channels=2 * first.out_channels,
        dropout=network.dropout.p,
    )
    named = wide.state_dict()
    wide.load_state_dict({name: _doubled(one, named[name].shape) for name, one in network.state_dict().items()})
    return wide.eval()


def _doubled(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Repeat the axes of a weight or bias that are longer in `shape`, and halve it once for the axis that is read."""
    if tensor.ndim == 1:
        return tensor.repeat_interleave(shape[0] // tensor.shape[0])
    rows, columns = shape[0] // tensor.shape[0], shape[1] // tensor.shape[1]
    wide = tensor.repeat_interleave(rows, dim=0).repeat_interleave(columns, dim=1)
    is_transposed = tensor.shape[2] == 2  # an up-convolution, whose first axis is what it reads
    return wide / (rows if is_transposed else columns)


def widen_checkpoint(narrow: Path, wide: Path) -> None:
    """Write the checkpoint of a network twice as wide, with golden tiles of its own logits."""
    found = load_checkpoint(narrow)
    network = widened(found.network)
    spec = replace(
        found.spec,
        base_channels=2 * found.spec.base_channels,
        weights_sha256=weights_sha256(network.state_dict()),
    )
    golden = [golden_tile(network, one.image, shift=one.shift, scale=one.scale) for one in found.golden]
    wide.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(wide, network, spec, golden)
