"""The averaged copy of the weights: what is validated and kept.

    copy  <-  decay * copy + (1 - decay) * weights        after every step

A single step's weights are as noisy as its one tile; the copy is the mean of about the last 1 / (1 - decay) steps, and
makes up for a batch of one (Polyak and Juditsky 1992, SIAM J. Control Optim. 30:838). The decay rises with the steps
taken, (1 + n) / (10 + n) at most, so that the first random weights are soon forgotten and short runs average too.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from unetctl.trainer.network import UNet


class MovingAverage:
    """Follows a network; with a decay of 0 it is the network itself."""

    def __init__(self, network: UNet, decay: float) -> None:
        self._followed = network
        self._decay = decay
        self.network = deepcopy(network).requires_grad_(False).eval() if decay else network

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, from 1."""
        if not self._decay:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        for mean, value in zip(self.network.parameters(), self._followed.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
