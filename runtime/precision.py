"""In which numbers a graph computes: a property of the model file, because TensorRT 11 has no other switch for it."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """The precisions that are exported; the value stands in the model's record and in file names."""

    FP32 = "fp32"
    FP16 = "fp16"
    """Weights and activations of the network in 16 bits; normalisation before it and labels after it as in fp32."""


RELATIVE_TOLERANCES: dict[str, float] = {Precision.FP32: 1e-4, Precision.FP16: 5e-3}
"""Error allowed in a logit, over the largest golden logit.

fp32: with random weights and 64 channels ONNX Runtime differs from PyTorch by 2e-6 of it, and PyTorch from itself by
4e-6 in another tile; weights in fp16 exceed 1e-4. fp16: three trained networks (depth 3 and 4, 12 and 16 channels)
differ by 7e-4 to 1.1e-3 in PyTorch on a CPU, which adds up in fp32; a GPU may add up in fp16."""
