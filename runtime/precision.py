"""In which numbers a network computes, what may be lost by it, and what a file of each is called.

fp32, fp16 and int8 are graphs: a property of the model file, because TensorRT 11 has no other switch for it. bf16 is
the fp32 graph in an engine that was told to keep fewer bits: a hint, and no file of its own.
"""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """The value stands in records, in file names and on the command line."""

    FP32 = "fp32"
    BF16 = "bf16"
    """fp32 with 8 bits of mantissa, multiplied in 16 bits and added up in 32; never without having been compared."""
    FP16 = "fp16"
    """Weights and activations of the network in 16 bits; normalisation before it and labels after it as in fp32."""
    INT8 = "int8"
    """Most layers in 8 bits, after calibration on training tiles; only where it is asked for by name."""


GRAPHS = (Precision.FP32, Precision.FP16, Precision.INT8)
"""Those that a model file can have."""

RELATIVE_TOLERANCES: dict[str, float] = {Precision.FP32: 1e-4, Precision.FP16: 5e-3}
"""Error allowed in a logit, over the largest golden logit, where every logit is held to it.

fp32: with random weights and 64 channels ONNX Runtime differs from PyTorch by 2e-6 of it, and PyTorch from itself by
4e-6 in another tile; weights in fp16 exceed 1e-4. fp16: three trained networks (depth 3 and 4, 12 and 16 channels)
differ by 7e-4 to 1.1e-3 in PyTorch on a CPU, which adds up in fp32; a GPU may add up in fp16."""

FAR_MARGIN = 1.0
"""A label whose two best fp32 logits differ by more is no tie: the network was sure of it, e to 1 for two classes."""

MAX_FAR_FLIPS = 0.0005
"""Part of all labels that bf16 and int8 may flip although the network was sure."""

QUANTISED_KEY = "quantised"
"""In the `comparison` of an int8 model's `ExportRecord`: for whom, how calibrated, and which layers stayed in fp32."""

MAX_DICE_FALL = 0.002
"""By how much the Dice of any class may fall in bf16 and int8."""


def model_file_name(name: str, precision: Precision, *, averages: bool, for_tensorrt: bool = False) -> str:
    """Return the file name of an export: `<name>[.tta][.fp16 | .int8 | .int8.tensorrt].onnx`.

    So no export replaces another that computes something else: the averaged one takes eight times as long, fp16 is for
    GPUs, and int8 has one graph for processors and one for TensorRT.
    """
    parts = [
        name,
        "tta" if averages else "",
        "" if precision is Precision.FP32 else str(precision),
        "tensorrt" if for_tensorrt else "",
    ]
    return ".".join([part for part in parts if part] + ["onnx"])
