"""Which layers lose the most in 8 bits, found by measurement: each alone in 8 bits, all others in fp32.

The loss of a layer is the mean squared error of the logits that it alone causes, on tiles of the calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unetctl.exporter.quantise import Ranges, Scheme, layer_names, quantise
from unetctl.runtime.engines import run_file

if TYPE_CHECKING:
    import onnx

TILES = 2
ENGINE = "onnxruntime"
"""It gives right labels with either scheme."""


def layers_by_loss(
    model: onnx.ModelProto, ranges: Ranges, inputs: Sequence[Mapping[str, NDArray[Any]]], *, scheme: Scheme
) -> tuple[tuple[str, float], ...]:
    """Return the layers of an fp32 model that gives `logits`, with their losses, the greatest first."""
    names = layer_names(model)
    shown = inputs[:: max(1, len(inputs) // TILES)][:TILES]
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        truth = _logits(model, path, shown)
        losses = {}
        for name in names:
            alone = quantise(model, ranges, scheme=scheme, kept=set(names) - {name})
            found = _logits(alone, path, shown)
            losses[name] = float(np.mean([np.mean((a - b) ** 2) for a, b in zip(found, truth, strict=True)]))
    return tuple(sorted(losses.items(), key=lambda one: -one[1]))


def _logits(
    model: onnx.ModelProto, path: Path, inputs: Sequence[Mapping[str, NDArray[Any]]]
) -> list[NDArray[np.float32]]:
    path.write_bytes(model.SerializeToString())
    return [np.array(found["logits"]) for found in run_file(ENGINE, path, inputs)]
