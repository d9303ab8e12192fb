"""Write the deploy graph as ONNX: free in batch and tile size, one file, weights inside.

    image [batch, C, 2^d th - 4, 2^d tw - 4] (, 2 for 16 bits)  ->  labels, probabilities, and for the comparison logits

The sizes are free because tile and batch are chosen where the model runs; 2^d t - 4 are those that the network takes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.export import Dim

from unetctl.exporter.subject import Subject
from unetctl.runtime.geometry import alignment_px, input_px
from unetctl.runtime.spec import PixelType, Scope
from unetctl.trainer.deploy import DeployGraph

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""The newest that TensorRT 10.3 parses without reserve."""


def to_onnx(subject: Subject, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Trace the deploy graph of a network with these outputs; the result has no metadata yet."""
    spec = subject.spec
    step = alignment_px(spec.depth)
    graph = DeployGraph(subject.exported, spec, outputs).eval()
    # Two different sizes and a batch of two: a trace cannot then mistake one for another, or for a constant.
    shape = (2, len(spec.channels), input_px(2 * step, spec.depth), input_px(3 * step, spec.depth))
    rows, columns = Dim("tile_rows", min=2), Dim("tile_columns", min=2)
    sizes: dict[int, object] = {0: Dim("batch", min=1), 2: step * rows + step - 4, 3: step * columns + step - 4}
    image = torch.zeros(shape if spec.pixel_type is PixelType.UINT8 else (*shape, 2), dtype=torch.uint8)
    inputs: dict[str, torch.Tensor] = {"image": image}
    dynamic: dict[str, object] = {"image": sizes}
    if spec.normalisation.scope is Scope.IMAGE:
        for name in ("shift", "scale"):
            inputs[name] = torch.ones(len(spec.channels))
            dynamic[name] = {}
    with _quiet():
        program = torch.onnx.export(
            graph,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove what tracing noted of this machine (stack traces with its paths), and sizes that any runtime infers."""
    del model.graph.value_info[:]
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own deprecations, and its wish for torchvision, from the console."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
