"""One averaged network and its graph, traced once for all tests that export it: tracing takes ten seconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from tests.models import integer_network, integer_spec, tiny_checkpoint
from unetctl.exporter.subject import Subject, read_subject
from unetctl.exporter.to_onnx import to_onnx
from unetctl.runtime.engines import engines_at_once

DEPTH = 1
NETWORK = integer_network(depth=DEPTH, classes=3, seed=5)
SPEC = integer_spec(NETWORK)
OUTPUTS = ("labels", "probabilities")
ENGINES = engines_at_once()
"""Those that can run here and need not build first."""


def averaged_checkpoint(path: Path) -> Path:
    """Write the checkpoint of the network and return its path."""
    return tiny_checkpoint(path, NETWORK, SPEC)


def averaged_graph() -> onnx.ModelProto:
    """Return a copy of the averaged graph with `OUTPUTS` and logits."""
    model = onnx.ModelProto()
    model.ParseFromString(_traced())
    return model


def traced_before(subject: Subject, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """Stand in for `to_onnx`, for this network alone."""
    assert (subject.spec.weights_sha256, subject.averaging) == (SPEC.weights_sha256, 8)
    assert outputs == (*OUTPUTS, "logits")
    return averaged_graph()


@cache
def _traced() -> bytes:
    with TemporaryDirectory() as folder:
        subject = read_subject(averaged_checkpoint(Path(folder, "model.safetensors")), averaging=True)
    return to_onnx(subject, (*OUTPUTS, "logits")).SerializeToString()
