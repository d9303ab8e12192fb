"""Reading model files: ours are read whole, everything else is named and refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data import needed
from tests.models import tiny_model
from unetctl.runtime.errors import DataError, MissingInputError, RefusedError, UnetctlError
from unetctl.runtime.model import read_model, read_model_spec
from unetctl.runtime.spec import EXPORT_KEY, GOLDEN_KEY, SPEC_KEY
from unetctl.trainer.checkpoint import load_checkpoint


def edited(path: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    """Change the model at `path` with the `onnx` package."""
    model = onnx.load(path)
    edit(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_is_read_with_all_that_the_checkpoint_knew(tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    model, checkpoint = read_model(path), load_checkpoint(tmp_path / "model.safetensors")
    assert model.spec == checkpoint.spec
    assert model.record.outputs == ("labels",)
    assert model.record.precision == "fp32"
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(model.golden) == len(checkpoint.golden) == 2
    np.testing.assert_array_equal(model.golden[1].logits, checkpoint.golden[1].logits)
    assert read_model_spec(path) == (model.spec, model.record)


def test_reading_needs_neither_onnx_nor_an_engine(tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    code = (
        "import sys; from unetctl.runtime.model import read_model; read_model(sys.argv[1]);"
        "sys.exit(any(name in sys.modules for name in ('onnx', 'onnxruntime', 'torch', 'google.protobuf')))"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


def test_the_spec_is_read_without_the_weights(tmp_path: Path) -> None:
    path = tiny_model(tmp_path)

    def add_weights(model: onnx.ModelProto) -> None:
        values = np.zeros(30_000_000, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, "many"))

    edited(path, add_weights)
    began = time.process_time()
    read_model_spec(path)
    assert time.process_time() - began < 0.05


@pytest.mark.parametrize("key", [SPEC_KEY, EXPORT_KEY, GOLDEN_KEY])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    def drop(model: onnx.ModelProto) -> None:
        model.metadata_props.remove(next(one for one in model.metadata_props if one.key == key))

    with pytest.raises(DataError, match=key):
        read_model(edited(tiny_model(tmp_path), drop))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["network.down.0.0.weight", "network.classify.bias"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, name: str, value: float) -> None:
    def poison(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == name)
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.flat[-1] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))

    with pytest.raises(DataError, match=name):
        read_model(edited(tiny_model(tmp_path), poison))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "double", "float in a list", "constant node"])
def test_no_form_of_a_float_hides_a_nan(tmp_path: Path, kind: str) -> None:
    types = {"float16": 10, "bfloat16": 16, "double": 11}

    def poison(model: onnx.ModelProto) -> None:
        if kind in types:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(types[kind])
            tensor = onnx.numpy_helper.from_array(np.array([1, np.nan]).astype(dtype), "extra")
        else:
            tensor = onnx.helper.make_tensor("extra", 1, [2], [1.0, float("nan")])
        if kind == "constant node":
            model.graph.node.append(onnx.helper.make_node("Constant", [], ["extra"], value=tensor))
        else:
            model.graph.initializer.append(tensor)

    with pytest.raises(DataError, match="extra"):
        read_model(edited(tiny_model(tmp_path), poison))


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(RefusedError, match="another file"):
        read_model(path)


def test_graphs_within_the_graph_and_functions_are_refused(tmp_path: Path) -> None:
    def add_graph(model: onnx.ModelProto) -> None:
        inner = onnx.helper.make_graph([], "inner", [], [])
        model.graph.node.append(onnx.helper.make_node("If", ["c"], [], then_branch=inner, else_branch=inner))

    def add_function(model: onnx.ModelProto) -> None:
        model.functions.append(onnx.helper.make_function("ours", "f", [], [], [], []))

    for edit in (add_graph, add_function):
        with pytest.raises(RefusedError):
            read_model(edited(tiny_model(tmp_path), edit))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs"),
        (b"\xff\xd8\xff\xe0 JFIF", "JPEG"),
        (b"\x89PNG\r\n", "PNG"),
        (b"II*\0" + bytes(100), "TIFF"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (bytes(range(256)), "no ONNX file"),
        (b"\x08", "cut off"),
        (b"just some text that somebody wrote", "no ONNX file"),
    ],
)
def test_what_is_no_onnx_file_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_model(path)


def test_a_checkpoint_is_recognised_and_the_way_to_export_it_told(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    with pytest.raises(DataError) as caught:
        read_model(tmp_path / "model.safetensors")
    assert "unetctl export" in caught.value.hint


def test_a_path_that_is_not_there_and_a_folder_are_missing_input(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(MissingInputError):
            read_model(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tiny_model(tmp_path)
    whole = path.read_bytes()
    for length in range(1, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_model(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_give_one_of_our_errors_or_nothing_worse(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    path = tiny_model(tmp_path)
    content = bytearray(path.read_bytes())
    for at, value in edits:
        content[at % len(content)] = value
    path.write_bytes(content)
    with suppress(UnetctlError):
        read_model(path)


@pytest.mark.parametrize(
    "name", ["SINet_portrait.onnx", "nvidia-polygraphy-residual_block.onnx", "sci_240x320_enhance.onnx"]
)
def test_networks_of_other_people_lack_our_key(name: str) -> None:
    with pytest.raises(DataError, match=SPEC_KEY):
        read_model(needed("foreign-onnx") / name)
