"""Graphs in 8 bits: exact where 8 bits suffice, free in size, for every kind of model, and for TensorRT another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tests.averaged import SPEC as AVERAGED_SPEC
from tests.averaged import averaged_graph
from tests.engine_contract import EngineCase, read_case
from tests.models import random_pixels, tiny_model
from unetctl.exporter.judge import JudgedTile, JudgedTiles, verdict_of
from unetctl.exporter.quantise import LAST_LAYER, Ranges, Scheme, calibrate, layer_names, quantise
from unetctl.exporter.sensitivity import layers_by_loss
from unetctl.runtime.engine import INVALID_LABEL
from unetctl.runtime.engines import ENGINES, EngineRequest, engine_status, open_engine, run_file
from unetctl.runtime.errors import DataError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.golden import GoldenTile
from unetctl.runtime.precision import Precision
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.tensorrt_build import build_plan
from unetctl.runtime.tensorrt_library import TensorRtLibrary
from unetctl.trainer.deploy import image_bytes

USABLE = tuple(one.name for one in engine_status() if one.usable and not ENGINES[one.name].has_fixed_shapes)
DEPTH = 2
SHAPES = ((input_px(24, DEPTH), input_px(32, DEPTH)), (input_px(8, DEPTH), input_px(12, DEPTH)))


@cache
def exact_case() -> tuple[EngineCase, bytes]:
    """Two channels, three classes, integer weights; and its graph with logits."""
    return _case(channels=2, classes=3)


@cache
def measured_case() -> tuple[EngineCase, bytes]:
    """Two classes, 16 bits, normalised by the whole image; and its graph with logits."""
    return _case(scope=Scope.IMAGE, pixel_type=PixelType.UINT16)


def _case(**kwargs: Any) -> tuple[EngineCase, bytes]:
    folder = TemporaryDirectory()
    case = read_case(tiny_model(Path(folder.name), depth=DEPTH, integer=True, **kwargs))
    graph = onnx.load(case.model.path)
    classes = len(case.model.spec.classes)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("logits", 1, ["batch", classes, "h", "w"]))
    folder.cleanup()
    return case, graph.SerializeToString()


def graph_of(content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.ParseFromString(content)
    return model


def unit_ranges(model: onnx.ModelProto) -> Ranges:
    """Ranges with which every scale is 1: of 0 to 255 after a ReLU, else of -128 to 127."""
    relus = {name for node in model.graph.node if node.op_type == "Relu" for name in node.output}
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    return {name: (0.0, 255.0) if name in relus else (-128.0, 127.0) for name in names}


def small_pixels(case: EngineCase, shape: tuple[int, int], seed: int, batch: int = 2) -> NDArray[Any]:
    """Pixels so near their mean that no sum of the network exceeds 8 bits."""
    draw = np.random.default_rng(seed)
    return draw.integers(127, 130, (batch, len(case.model.spec.channels), *shape), np.uint8)


def outputs_of(
    model: onnx.ModelProto, folder: Path, engine: str, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    path = folder / "int8.onnx"
    path.write_bytes(model.SerializeToString())
    (found,) = run_file(engine, path, [inputs])
    return {name: np.array(array) for name, array in found.items()}


def labels_of(model: onnx.ModelProto, folder: Path, engine: str, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return outputs_of(model, folder, engine, inputs)["labels"]


def without_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take the biases away, which alone would exceed 8 bits after a few layers."""
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".bias"):
            zeros = np.zeros_like(onnx.numpy_helper.to_array(tensor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    return model


@pytest.mark.parametrize("engine", USABLE)
def test_where_8_bits_suffice_logits_are_those_of_fp32_at_any_size_and_batch(tmp_path: Path, engine: str) -> None:
    case, content = exact_case()
    model = without_biases(graph_of(content))
    exact = quantise(model, unit_ranges(model))
    clipped = quantise(model, {name: (low / 256, high / 256) for name, (low, high) in unit_ranges(model).items()})
    for seed, shape in enumerate(SHAPES):
        inputs = {"image": small_pixels(case, shape, seed, batch=1 + seed)}
        truth = outputs_of(model, tmp_path, engine, inputs)["logits"]
        assert np.ptp(truth) > 8, "it must vary, or the test is blind"
        np.testing.assert_allclose(outputs_of(exact, tmp_path, engine, inputs)["logits"], truth, atol=1e-3)
        wrong = np.abs(outputs_of(clipped, tmp_path, engine, inputs)["logits"] - truth)
        assert wrong.max() > 0.5, "it must be able to fail"


def test_every_layer_but_the_last_is_in_8_bits_with_a_scale_for_each_channel() -> None:
    model = graph_of(exact_case()[1])
    quantised = quantise(model, unit_ranges(model))
    kinds = {one.name: one.data_type for one in quantised.graph.initializer}
    makers = {name: node for node in quantised.graph.node for name in node.output}
    layers = [node for node in quantised.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    in_8_bits = [node for node in layers if node.input[1] in makers]
    assert len(in_8_bits) == len(layer_names(model)) == len(layers) - 1
    for node in in_8_bits:
        weight = makers[node.input[1]]
        assert (weight.op_type, kinds[weight.input[0]]) == ("DequantizeLinear", onnx.TensorProto.INT8)
        scales = next(one for one in quantised.graph.initializer if one.name == weight.input[1])
        assert scales.dims[0] > 1
        activation = makers[node.input[0]]
        assert kinds[activation.input[2]] == onnx.TensorProto.UINT8
    assert LAST_LAYER in {name for node in layers for name in node.input}
    kept = layer_names(model)[0]
    again = quantise(model, unit_ranges(model), kept={kept})
    assert kept in {name for node in again.graph.node if node.op_type == "Conv" for name in node.input}


@pytest.mark.parametrize("engine", USABLE)
def test_sixteen_bits_and_an_images_own_scale_work(tmp_path: Path, engine: str) -> None:
    case, content = measured_case()
    model, spec = graph_of(content), case.model.spec
    pixels = random_pixels(spec, (1, 1, *SHAPES[0]))
    inputs = {
        "image": image_bytes(pixels),
        "shift": np.array([32768.0], np.float32),
        "scale": np.array([2**-9], np.float32),
    }
    quantised = quantise(model, calibrate(model, [inputs]))
    truth = case.logits(pixels, 32768, 2**-9)
    labels = labels_of(quantised, tmp_path, engine, inputs)
    tile = GoldenTile(image=pixels[0], shift=inputs["shift"], scale=inputs["scale"], logits=truth[0])
    tiles = JudgedTiles(images="golden", tiles=(JudgedTile(tile=tile),))
    spread = float(np.abs(truth[:, 0] - truth[:, 1]).mean())
    found = verdict_of([labels[0]], tiles, engine=engine, precision=Precision.INT8, classes=("a", "b"))
    assert found.flips < 0.1 * found.pixels
    assert found.largest_margin < spread, "only what was near a tie flips"
    for shape in SHAPES:
        other = {**inputs, "image": image_bytes(random_pixels(spec, (2, 1, *shape), 3))}
        assert labels_of(quantised, tmp_path, engine, other).shape[0] == 2


@pytest.mark.parametrize("engine", USABLE)
def test_what_is_no_number_never_becomes_a_class_in_8_bits_either(tmp_path: Path, engine: str) -> None:
    case, content = measured_case()
    model = graph_of(content)
    quantised = quantise(model, unit_ranges(model))
    bias = next(one for one in quantised.graph.initializer if one.name == "network.classify.bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[-1] = np.nan
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    inputs = {"image": image_bytes(random_pixels(case.model.spec, (1, 1, *SHAPES[1])))}
    inputs |= {"shift": np.zeros(1, np.float32), "scale": np.ones(1, np.float32)}
    assert (labels_of(quantised, tmp_path, engine, inputs) == INVALID_LABEL).all()

    path = tmp_path / "int8.onnx"
    graph = quantise(model, unit_ranges(model))
    graph.graph.output.pop()
    path.write_bytes(graph.SerializeToString())
    request = EngineRequest(model=replace(case.model, path=path), shapes=SHAPES, batch=1, slots=1, threads=1)
    with open_engine(engine, request) as opened, pytest.raises(DataError, match="statistics"):  # noqa: PT012
        opened.buffer(0, SHAPES[1])[:] = 0
        opened.submit(0, Statistics(shift=(float("nan"),), scale=(1.0,)))
        opened.result(0)


@pytest.mark.parametrize("engine", USABLE)
def test_a_model_that_averages_is_quantised_in_every_pass(tmp_path: Path, engine: str) -> None:
    model = averaged_graph()
    side = input_px(16, AVERAGED_SPEC.depth)
    inputs = {"image": random_pixels(AVERAGED_SPEC, (1, len(AVERAGED_SPEC.channels), side, side), 2)}
    quantised = quantise(model, calibrate(model, [inputs]))
    makers = {name: node for node in quantised.graph.node for name in node.output}
    layers = [node for node in quantised.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert sum(node.input[1] in makers for node in layers) == 8 * len(layer_names(model)) == len(layers) - 8
    truth = labels_of(averaged_graph(), tmp_path, engine, inputs)
    assert (labels_of(quantised, tmp_path, engine, inputs) != truth).mean() < 0.1


def test_the_layer_that_loses_the_most_is_found() -> None:
    case, content = exact_case()
    model = graph_of(content)
    inputs = [{"image": small_pixels(case, SHAPES[1], seed, batch=1)} for seed in range(2)]
    ranges = dict(unit_ranges(model))
    bad = layer_names(model)[3]
    node = next(one for one in model.graph.node if len(one.input) > 1 and one.input[1] == bad)
    ranges[node.input[0]] = (0.0, 0.5)
    losses = layers_by_loss(model, ranges, inputs, scheme=Scheme.CPU)
    assert bad in (losses[0][0], losses[1][0]), "the layer before it, whose output is the same tensor, is the other"
    assert losses[1][1] > 10 * losses[2][1]
    assert {name for name, _ in losses} == set(layer_names(model))


def test_tensorrt_builds_the_graph_that_is_for_it(tmp_path: Path, rtx: TensorRtLibrary) -> None:
    model = graph_of(exact_case()[1])
    signed = quantise(model, unit_ranges(model), scheme=Scheme.TENSORRT)
    zeros = {name for node in signed.graph.node if node.op_type == "QuantizeLinear" for name in node.input[2:]}
    tensors = {one.name: one for one in signed.graph.initializer}
    assert zeros
    assert all(tensors[name].data_type == onnx.TensorProto.INT8 for name in zeros)
    assert all(not onnx.numpy_helper.to_array(tensors[name]).any() for name in zeros)
    biases = {node.input[2] for node in signed.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    assert all(tensors[name].data_type == onnx.TensorProto.FLOAT for name in biases)
    signed.graph.output.pop()
    path = tmp_path / "int8.onnx"
    path.write_bytes(signed.SerializeToString())
    first = build_plan(path, library=rtx, device=None, batch=2, shape=SHAPES[0])
    assert first.output_yx == (28, 36)


@torch.inference_mode()
def test_a_verdict_catches_labels_that_are_wrong() -> None:
    case, _ = exact_case()
    pixels = random_pixels(case.model.spec, (1, 2, *SHAPES[0]))
    logits = case.logits(pixels, 128, 1)[0]
    tile = GoldenTile(image=pixels[0], shift=np.zeros(2, np.float32), scale=np.ones(2, np.float32), logits=logits)
    right = logits.argmax(axis=0).astype(np.uint8)
    truth = JudgedTiles(images="validation", tiles=(JudgedTile(tile=tile, truth=right),))
    assert truth.truth == "labels"

    def judged(labels: NDArray[np.uint8]) -> bool:
        return verdict_of([labels], truth, engine="e", precision=Precision.INT8, classes=("a", "b", "c")).accepted

    assert judged(right)
    assert not judged(((right + 1) % 3).astype(np.uint8))
    invalid = right.copy()
    invalid[0, 0] = INVALID_LABEL
    assert not judged(invalid)
