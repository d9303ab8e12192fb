"""An fp32 graph with its layers in 8 bits: quantize/dequantize pairs by ONNX Runtime's own quantizer.

    for processors     unsigned asymmetric activations; pooling, cropping and concatenating stay in 8 bits too
    for TensorRT       signed symmetric activations, fp32 biases, and pairs before convolutions only, which it moves

Weights are signed, with one scale a channel, in both. The two are not exchangeable: TensorRT refuses the first, and
OpenVINO gives other labels with the second (measured; `export` records it). The last layer stays in fp32, because
logits of 256 steps would make ties of classes that are none, and because a NaN does not survive 8 bits.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

PERCENTILE = 99.999
"""Of the values of a tensor that its 8 bits span; what lies beyond is clipped."""

LAST_LAYER = "network.classify.weight"
"""How the name of its weights ends: a model that averages has one `network.` more."""

_LAYERS = ("Conv", "ConvTranspose")
_PASSING = ("Concat", "MaxPool", "Relu", "Slice")
"""What works on 8 bits as on 32, between two layers."""

Ranges = Mapping[str, tuple[float, float]]
"""Name of a tensor -> its least and its largest value."""


class Scheme(StrEnum):
    """Whom a graph is for."""

    CPU = "cpu"
    TENSORRT = "tensorrt"


def layer_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """List the layers that can be quantised, by the names of their weights, in the order in which they run.

    A model that averages uses each several times.
    """
    found = (node.input[1] for node in model.graph.node if node.op_type in _LAYERS)
    return tuple(dict.fromkeys(name for name in found if not name.endswith(LAST_LAYER)))


def calibrate(model: onnx.ModelProto, inputs: Iterable[Mapping[str, NDArray[Any]]]) -> Ranges:
    """Run an fp32 model on real tiles and return the range of each float tensor around its layers.

    The tiles are run one by one: all activations of one are in memory at a time.
    """
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    with TemporaryDirectory() as folder, _quiet():
        source, augmented = Path(folder, "model.onnx"), Path(folder, "augmented.onnx")
        onnx.save(onnx.shape_inference.infer_shapes(model), source)
        calibrator = create_calibrator(
            source,
            (*_LAYERS, *_PASSING),
            augmented_model_path=str(augmented),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"percentile": PERCENTILE, "symmetric": False},
        )
        for one in inputs:
            calibrator.collect_data(_Once(one))
        found = calibrator.compute_data()
        calibrator.infer_session = None  # it holds the file, which Windows would not remove
    return {name: _plain(found[name].range_value) for name in found.keys()}  # noqa: SIM118 - it is no mapping


def quantise(
    model: onnx.ModelProto, ranges: Ranges, *, scheme: Scheme = Scheme.CPU, kept: Collection[str] = ()
) -> onnx.ModelProto:
    """Return a copy of an fp32 model whose layers compute in 8 bits, but for those in `kept` and the last."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    is_cpu = scheme is Scheme.CPU
    limits = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()
    }
    types = (*_LAYERS, *_PASSING) if is_cpu else _LAYERS
    options: dict[str, Any] = {"WeightSymmetric": True}
    if not is_cpu:
        options |= {"ActivationSymmetric": True, "QuantizeBias": False}
        options |= {"OpTypesToExcludeOutputQuantization": list(types)}
    with _quiet():
        quantiser = QDQQuantizer(
            onnx.shape_inference.infer_shapes(model),
            True,  # a scale for each channel of the weights
            False,
            QuantType.QInt8,
            QuantType.QUInt8 if is_cpu else QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, limits),
            _nodes(model, types, kept),
            [],
            list(types),
            options,
        )
        quantiser.quantize_model()
    quantised: onnx.ModelProto = quantiser.model.model
    del quantised.graph.value_info[:]
    return quantised


def _nodes(model: onnx.ModelProto, types: Collection[str], kept: Collection[str]) -> list[str]:
    """Return the names of the nodes to quantise: layers that are not kept, and what passes values between layers."""
    nodes = list(model.graph.node)
    layers = [one for one in nodes if one.op_type in _LAYERS]
    after = {name for one in layers for name in one.output}
    for node in nodes:  # in the order in which they run
        if any(name in after for name in node.input):
            after.update(node.output)
    before = {one.input[0] for one in layers}
    for node in reversed(nodes):
        if any(name in before for name in node.output):
            before.update(node.input)
    chosen = []
    for node in nodes:
        if node.op_type in _LAYERS:
            is_chosen = node.input[1] not in kept and not node.input[1].endswith(LAST_LAYER)
        else:
            is_chosen = node.op_type in types and node.input[0] in after and node.output[0] in before
        chosen += [node.name] if is_chosen else []
    return chosen


class _Once:
    """One set of inputs, as the calibrator reads them."""

    def __init__(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        self._left: dict[str, NDArray[Any]] | None = dict(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the inputs, and then nothing."""
        left, self._left = self._left, None
        return left


def _plain(limits: Any) -> tuple[float, float]:
    low, high = limits
    return float(np.asarray(low).item()), float(np.asarray(high).item())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice, which it logs at the root, and what its calibrator prints, from the console."""
    from contextlib import redirect_stdout
    from io import StringIO

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(level)
