"""A model in fp16: near PyTorch's fp32, and nothing but the network in 16 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.models import tiny_checkpoint, tiny_golden, tiny_network, tiny_spec
from unetctl.exporter.compare import compare, torch_runner
from unetctl.exporter.export import export_model
from unetctl.exporter.half import in_half
from unetctl.exporter.subject import Subject
from unetctl.exporter.to_onnx import to_onnx
from unetctl.runtime.check import check_model, logit_tolerance
from unetctl.runtime.engines import engines_at_once
from unetctl.runtime.errors import DataError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.model import read_model
from unetctl.runtime.precision import Precision
from unetctl.runtime.tensorrt_build import build_plan
from unetctl.runtime.tensorrt_library import TensorRtLibrary
from unetctl.trainer.averaging import Averaged

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
ONE_ENGINE = engines_at_once()[:1]


def half_subject(depth: int, base_channels: int) -> Subject:
    network = tiny_network(depth=depth, base_channels=base_channels)
    spec = tiny_spec(network)
    return Subject(spec=spec, network=network, golden=tiny_golden(network, spec), precision=Precision.FP16)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network, exported in fp16."""
    folder = tmp_path_factory.mktemp("half")
    network = tiny_network()
    checkpoint = tiny_checkpoint(folder / "m.safetensors", network, tiny_spec(network))
    return export_model(checkpoint, folder / "m.onnx", precision=Precision.FP16, engines=ONE_ENGINE).path


def test_the_network_is_in_16_bits_and_what_is_around_it_is_not(exported: Path) -> None:
    graph = onnx.load(exported).graph
    types = {one.name: one.data_type for one in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(layers) == 13
    assert all(types[name] == HALF for node in layers for name in node.input[1:])
    in_half_precision = {name for node in layers for name in node.input[1:]}
    assert HALF not in {kind for name, kind in types.items() if name not in in_half_precision}
    makers = {node.output[0]: node for node in graph.node}
    casts = {
        node.attribute[0].i: makers[node.input[0]].op_type
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in makers and node.attribute[0].i in (HALF, FLOAT)
    }
    assert casts[HALF] == "Mul", "normalisation must come before"
    assert casts[FLOAT] in ("Conv", "Greater"), "labels must come after"


def test_the_record_says_so_and_the_engines_are_held_to_it(exported: Path) -> None:
    model = read_model(exported)
    assert model.record.precision == "fp16"
    assert model.record.comparison["relative_tolerance"] == 5e-3
    differences = [row["logit_difference"] for row in model.record.comparison["rows"]]
    assert max(differences) > 0, "PyTorch's fp32 is the truth, also of a model in fp16"
    assert logit_tolerance(model.golden, "fp16") == pytest.approx(50 * logit_tolerance(model.golden))


def test_weights_in_fp16_do_not_pass_for_fp32() -> None:
    half = half_subject(1, 2)
    run = torch_runner(half, ("labels", "logits"))
    assert compare("torch", "golden", run, half.golden, half).passed
    assert not compare("torch", "golden", run, half.golden, replace(half, precision=Precision.FP32)).passed


def test_a_precision_that_nobody_knows_is_refused(exported: Path) -> None:
    model = read_model(exported)
    with pytest.raises(DataError, match="int3"):
        logit_tolerance(model.golden, "int3")
    assert check_model(model, {})[:] == ()


def test_the_original_stays_in_fp32_and_averages_are_added_up_in_fp32() -> None:
    network = tiny_network(depth=1, base_channels=2)
    image = torch.rand(1, 1, input_px(8, 1), input_px(8, 1))
    with torch.inference_mode():
        for one in (network, Averaged(network)):
            whole, half = one(image), in_half(one)(image)
            assert half.dtype == torch.float32
            difference = float((half - whole).abs().max() / whole.abs().max())
            assert 0 < difference < 5e-3
    assert all(one.dtype == torch.float32 for one in network.parameters())


def test_what_overflows_fp16_becomes_no_class() -> None:
    network = tiny_network(depth=1, base_channels=2)
    with torch.no_grad():
        network.down[0][0].weight *= 1e6
    logits = in_half(network)(torch.ones(1, 1, input_px(8, 1), input_px(8, 1)))
    assert not np.isfinite(logits.detach().numpy()).all()


def assert_the_same_twice(library: TensorRtLibrary, path: Path, depth: int) -> None:
    shape = (input_px(16, depth), input_px(32, depth))
    first = build_plan(path, library=library, device=None, batch=2, shape=shape)
    assert first.output_yx == (20, 36)
    assert build_plan(path, library=library, device=None, batch=2, shape=shape) == first


@pytest.mark.parametrize("depth", [1, 3])
def test_tensorrt_for_rtx_builds_the_graph_and_the_same_engine_again(
    rtx: TensorRtLibrary, tmp_path: Path, depth: int
) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(to_onnx(half_subject(depth, 2), ("labels",)).SerializeToString())
    assert_the_same_twice(rtx, path, depth)


def test_tensorrt_for_rtx_builds_the_exported_model(rtx: TensorRtLibrary, exported: Path) -> None:
    assert_the_same_twice(rtx, exported, 2)
