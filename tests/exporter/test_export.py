"""Export: what is published was compared with PyTorch, and what differs is not published."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.models import random_pixels, tiny_checkpoint, tiny_model, tiny_network, tiny_spec
from unetctl.exporter import export
from unetctl.exporter.export import export_model
from unetctl.runtime import engines
from unetctl.runtime.engines import EngineStatus, engines_at_once
from unetctl.runtime.errors import CheckFailedError, DataError, UnavailableError
from unetctl.runtime.model import read_model
from unetctl.runtime.spec import ModelSpec, PixelType, Scope
from unetctl.trainer.checkpoint import Checkpoint

Edit = Callable[[onnx.ModelProto], None]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny_model(tmp_path)
    (tmp_path / "model.onnx").unlink()
    return tmp_path / "model.safetensors"


@pytest.fixture
def traced(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Edit], None]:
    """Let the export use a graph that is traced once for all tests, and that a test may falsify."""

    def falsify(edit: Edit) -> None:
        def to_onnx(_: Checkpoint, outputs: tuple[str, ...]) -> onnx.ModelProto:
            model = onnx.ModelProto()
            model.CopyFrom(with_logits(outputs))
            edit(model)
            return model

        def with_logits(outputs: tuple[str, ...]) -> onnx.ModelProto:
            model = onnx.load(tiny_model(checkpoint.parent))
            (checkpoint.parent / "model.onnx").unlink()
            assert outputs == ("labels", "logits")
            del model.metadata_props[:]
            model.graph.output.append(onnx.helper.make_tensor_value_info("logits", 1, ["batch", 2, "h", "w"]))
            return model

        monkeypatch.setattr(export, "to_onnx", to_onnx)

    return falsify


def nothing(_: onnx.ModelProto) -> None:
    pass


def change_weight(model: onnx.ModelProto) -> None:
    change(model, "network.down.1.2.weight", lambda values: values + 0.01)


def change_normalisation(model: onnx.ModelProto) -> None:
    name = next(one.input[1] for one in model.graph.node if one.op_type == "Sub")
    change(model, name, lambda values: values + 1)


def swap_classes(model: onnx.ModelProto) -> None:
    for name in ("network.classify.weight", "network.classify.bias"):
        change(model, name, lambda values: values[::-1])


def swap_labels_only(model: onnx.ModelProto) -> None:
    node = next(one for one in model.graph.node if one.op_type == "Greater")
    node.input[0], node.input[1] = node.input[1], node.input[0]


def lose_precision(model: onnx.ModelProto) -> None:
    change(model, "network.up.0.0.weight", lambda values: values.astype(np.float16).astype(np.float32))


def put_nan(model: onnx.ModelProto) -> None:
    change(model, "network.classify.bias", lambda values: values * np.nan)


def crop_a_pixel_off(model: onnx.ModelProto) -> None:
    node = [one for one in model.graph.node if one.op_type == "Slice"][-1]
    for name, by in ((node.input[1], 1), (node.input[2], 1)):
        change(model, name, lambda values, by=by: values + by)


def change(model: onnx.ModelProto, name: str, how: Callable[[Any], Any]) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    values = np.ascontiguousarray(how(onnx.numpy_helper.to_array(tensor)))
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))


def test_a_right_graph_is_published_with_its_figures(checkpoint: Path, traced: Callable[[Edit], None]) -> None:
    traced(nothing)
    output = checkpoint.parent / "models" / "out.onnx"
    spec = read_spec_of(checkpoint)
    steps: list[str] = []
    images = [random_pixels(spec, (1, 90, 40), 7), random_pixels(spec, (1, 300, 300), 8)]
    result = export_model(checkpoint, output, images=images, on_step=steps.append)
    names = ["torch", *engines_at_once()]
    assert [(one.engine, one.images, one.passed) for one in result.rows] == [
        (engine, images, True) for engine in names for images in ("golden", "validation")
    ]
    assert all(one.logit_difference < one.tolerance / 10 for one in result.rows)
    assert sum(one.agreement.pixels for one in result.rows) > 100_000
    model = read_model(output)
    assert model.record == result.record
    assert model.record.comparison["rows"][2]["logit_difference"] == result.rows[2].logit_difference
    assert {"unetctl", "torch", "onnx", "onnxruntime", "python"} <= model.record.versions.keys()
    assert len(steps) >= 4
    assert [one.name for one in onnx.load(output).graph.output] == ["labels"]
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize(
    "fault",
    [change_weight, change_normalisation, swap_classes, swap_labels_only, lose_precision, put_nan, crop_a_pixel_off],
)
def test_a_wrong_graph_is_caught_and_nothing_is_published(
    checkpoint: Path, traced: Callable[[Edit], None], fault: Edit
) -> None:
    traced(fault)
    output = checkpoint.parent / "models" / "out.onnx"
    output.parent.mkdir()
    output.write_bytes(b"what was here before")
    with pytest.raises(CheckFailedError, match=r"out\.onnx was not written"):
        export_model(checkpoint, output)
    assert output.read_bytes() == b"what was here before"
    assert list(output.parent.iterdir()) == [output]


def read_spec_of(checkpoint: Path) -> ModelSpec:
    from unetctl.trainer.checkpoint import read_spec

    return read_spec(checkpoint)


def test_a_checkpoint_without_golden_tiles_is_refused(tmp_path: Path) -> None:
    network = tiny_network()
    checkpoint = tiny_checkpoint(tmp_path / "model.safetensors", network, tiny_spec(network), golden=())
    with pytest.raises(DataError, match="golden"):
        export_model(checkpoint, tmp_path / "out.onnx")


def test_without_an_engine_nothing_is_exported(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EngineStatus(name="onnxruntime", version="", usable=False, why_not="not installed", hint="pip install it")
    for module in (engines, export):
        monkeypatch.setattr(module, "engine_status", lambda: (absent,))
    with pytest.raises(UnavailableError, match="compared"):
        export_model(checkpoint, checkpoint.parent / "out.onnx")


def test_the_graph_is_free_in_batch_and_tile_and_portable(tmp_path: Path) -> None:
    model = onnx.load(tiny_model(tmp_path))
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert all(one.dim_param for one in image.type.tensor_type.shape.dim[2:])
    assert {one.domain for one in model.opset_import} == {""}
    assert model.opset_import[0].version <= 20, "TensorRT 10.3 reads no newer one"
    assert not model.functions
    assert not {one.op_type for one in model.graph.node} & {"Shape", "If", "Loop", "Constant", "Identity"}


def test_labels_reach_uint8_only_through_a_float(tmp_path: Path) -> None:
    for classes in (2, 3):
        outputs = ("labels",) if classes == 2 else ("labels", "probabilities")
        model = onnx.load(tiny_model(tmp_path, classes=classes, outputs=outputs))
        node = next(one for one in model.graph.node if "labels" in one.output)
        assert node.op_type == "Cast"
        source = next(one for one in model.graph.node if node.input[0] in one.output)
        assert source.op_type == "Where"
        assert ("ArgMax" in {one.op_type for one in model.graph.node}) == (classes > 2)


def test_nothing_of_the_machine_that_exported_is_in_the_file(tmp_path: Path) -> None:
    content = tiny_model(tmp_path).read_bytes()
    for told in (str(Path.cwd()), str(Path.home()), "site-packages"):
        assert not re.search(re.escape(told).encode(), content), f"{told} is in the file"


def test_exporting_says_nothing_on_the_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = tiny_network(depth=1, base_channels=2, channels=2)
    spec = tiny_spec(network, scope=Scope.IMAGE, pixel_type=PixelType.UINT16)
    checkpoint = tiny_checkpoint(tmp_path / "model.safetensors", network, spec)
    result = export_model(checkpoint, tmp_path / "out.onnx", images=[random_pixels(spec, (2, 70, 60))])
    assert tuple(capfd.readouterr()) == ("", "")
    inputs = {one.name: one.type for one in onnxruntime.InferenceSession(result.path).get_inputs()}
    assert inputs == {"image": "tensor(uint8)", "shift": "tensor(float)", "scale": "tensor(float)"}
