"""Networks of twice the channels, or for colours, that compute the same: speed is not of the weights, verdicts are.

Every channel is there twice, and what reads it takes half of each; or the first layer takes a third of red, green and
blue, which are equal in a gray image. No logit changes but for rounding, so networks for measurements need not all be
trained. (Chen, Goodfellow and Shlens 2016, "Net2Net", section 2.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, weights_sha256
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
    spec = replace(found.spec, base_channels=2 * found.spec.base_channels)
    _save(wide, widened(found.network), spec, found)


def coloured(network: UNet) -> UNet:
    """Return a network for red, green and blue whose logits are those of `network` where the three are equal."""
    first = network.down[0][0]
    found = UNet(
        channels=3,
        classes=network.classify.out_channels,
        depth=network.depth,
        base_channels=first.out_channels,
        dropout=network.dropout.p,
    )
    state = network.state_dict()
    found.load_state_dict({**state, "down.0.0.weight": state["down.0.0.weight"].repeat(1, 3, 1, 1) / 3})
    return found.eval()


def colour_checkpoint(gray: Path, rgb: Path) -> None:
    """Write the checkpoint of a network for colours, from one of a gray channel with a normalisation of its own."""
    found = load_checkpoint(gray)
    given = found.spec.normalisation
    normalisation = replace(given, shift=given.shift * 3, scale=given.scale * 3)
    spec = replace(found.spec, channels=("red", "green", "blue"), normalisation=normalisation)
    _save(rgb, coloured(found.network), spec, found)


def _save(path: Path, network: UNet, spec: ModelSpec, like: Checkpoint) -> None:
    """Write a checkpoint with the images of another's golden tiles, and this network's logits."""
    spec = replace(spec, weights_sha256=weights_sha256(network.state_dict()))
    channels = len(spec.channels)
    golden = []
    for one in like.golden:
        image, shift, scale = (
            np.resize(part, (channels, *part.shape[1:])) for part in (one.image, one.shift, one.scale)
        )
        golden.append(golden_tile(network, image, shift=shift, scale=scale))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, network, spec, golden)
