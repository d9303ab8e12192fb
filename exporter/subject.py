"""What is exported: the network of a checkpoint, as it is or averaged, with golden tiles that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from unetctl.exporter.half import in_half
from unetctl.runtime.check import logit_tolerance
from unetctl.runtime.errors import CheckFailedError, DataError
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.precision import Precision
from unetctl.runtime.spec import ModelSpec
from unetctl.trainer.averaging import PASSES, Averaged
from unetctl.trainer.checkpoint import Checkpoint, load_checkpoint
from unetctl.trainer.deploy import golden_tile
from unetctl.trainer.network import UNet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A network in eval mode, fp32, on the CPU, and the truth that its engines are compared with."""

    spec: ModelSpec
    network: UNet | Averaged
    golden: tuple[GoldenTile, ...]
    precision: Precision = Precision.FP32
    """Of what is exported; the truth is always fp32."""

    @property
    def exported(self) -> nn.Module:
        """Return the network as it is exported."""
        return in_half(self.network) if self.precision is Precision.FP16 else self.network

    @property
    def averaging(self) -> int:
        """Return how many symmetric versions of an image the network averages; 1 if none."""
        return PASSES if isinstance(self.network, Averaged) else 1


def read_subject(checkpoint: Path, *, averaging: bool, precision: Precision = Precision.FP32) -> Subject:
    """Read a checkpoint; with `averaging`, average its network and let PyTorch make the golden tiles anew.

    Raises what `load_checkpoint` raises, `DataError` without golden tiles, and `CheckFailedError` if those that are to
    be made anew hold logits that are not this network's: nothing after that would notice it.
    """
    loaded = load_checkpoint(checkpoint)
    if not loaded.golden:
        raise DataError(f"{checkpoint} has no golden tiles", hint="export the model.safetensors of a complete run")
    if not averaging:
        return Subject(spec=loaded.spec, network=loaded.network, golden=loaded.golden, precision=precision)
    _check_golden(loaded)
    network = Averaged(loaded.network)
    golden = tuple(golden_tile(network, one.image, shift=one.shift, scale=one.scale) for one in loaded.golden)
    return Subject(spec=loaded.spec, network=network, golden=golden, precision=precision)


def _check_golden(checkpoint: Checkpoint) -> None:
    """Raise `CheckFailedError` unless the golden logits of a checkpoint are those of its network."""
    allowed = logit_tolerance(checkpoint.golden)
    for tile in checkpoint.golden:
        found = golden_tile(checkpoint.network, tile.image, shift=tile.shift, scale=tile.scale).logits
        difference = float(np.abs(found - tile.logits).max())
        if not difference <= allowed:
            raise CheckFailedError(
                f"{checkpoint.path}: the golden tiles are not those of its weights",
                cause=f"logits differ by {difference:.3g}, {allowed:.3g} allowed",
                hint="the file was changed; train again, or copy it again",
            )
