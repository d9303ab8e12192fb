"""A model that averages: one file with its weights once, compared like any other, the same tiled as untiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from tests.averaged import DEPTH, ENGINES, NETWORK, OUTPUTS, SPEC, averaged_checkpoint, averaged_graph, traced_before
from tests.models import random_pixels, tiny_checkpoint, tiny_golden
from tests.runtime.test_exactness import image, plan_of, untiled_logits
from unetctl.exporter import export
from unetctl.exporter.export import ExportResult, export_model
from unetctl.exporter.subject import Subject, read_subject
from unetctl.runtime.check import check_model
from unetctl.runtime.engine import INVALID_LABEL
from unetctl.runtime.engines import EngineRequest, open_engine, run_file
from unetctl.runtime.errors import CheckFailedError
from unetctl.runtime.geometry import CROP_PX
from unetctl.runtime.image import ArraySource
from unetctl.runtime.mirror import read_mirrored
from unetctl.runtime.model import read_model
from unetctl.runtime.plan import TilePlan
from unetctl.runtime.segmentation import ArraySink
from unetctl.runtime.stream import stream_labels
from unetctl.trainer.averaging import PASSES, Averaged

Export = Callable[..., ExportResult]
Edit = Callable[[onnx.ModelProto], None]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Export the averaged model, from a graph that a test may falsify."""

    def make(edit: Edit = lambda _: None, images: Sequence[NDArray[np.uint8]] = ()) -> ExportResult:
        def traced(subject: Subject, outputs: tuple[str, ...]) -> onnx.ModelProto:
            model = traced_before(subject, outputs)
            edit(model)
            return model

        monkeypatch.setattr(export, "to_onnx", traced)
        checkpoint = averaged_checkpoint(tmp_path / "model.safetensors")
        return export_model(checkpoint, tmp_path / "model.onnx", outputs=OUTPUTS, averaging=True, images=images)

    return make


def logits_through(engine: str, path: Path, pixels_cyx: NDArray[np.uint8], plan: TilePlan) -> NDArray[np.float32]:
    """Return the logits `[K, H, W]` of a model file, stitched from the tiles of `plan`."""
    stitched = np.full((len(SPEC.classes), *pixels_cyx.shape[1:]), np.nan, np.float32)
    tiles = list(plan.tiles())
    batches = [np.empty((1, 1, *one.read.shape), np.uint8) for one in tiles]
    for tile, batch in zip(tiles, batches, strict=True):
        read_mirrored(ArraySource(pixels_cyx), 0, tile.read, batch[0])
    for tile, found in zip(tiles, run_file(engine, path, [{"image": one} for one in batches]), strict=True):
        window = tile.write
        kept = found["logits"][0, :, CROP_PX : CROP_PX + window.height, CROP_PX : CROP_PX + window.width]
        stitched[:, window.y0 : window.y1, window.x0 : window.x1] = kept
    return stitched


@pytest.mark.parametrize("engine", ENGINES)
def test_tiled_logits_equal_untiled_logits(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "with_logits.onnx"
    path.write_bytes(averaged_graph().SerializeToString())
    shape, chunk = (77, 50), 16
    pixels = image((1, *shape), seed=3)
    truth = untiled_logits(Averaged(NETWORK), pixels)
    for rows, columns in [(1, 1), (2, 1), (3, 2), (5, 4)]:
        plan = plan_of(shape, DEPTH, rows, columns, chunk)
        assert (logits_through(engine, path, pixels, plan) == truth).all(), (rows, columns)


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_through_the_whole_stream_equal_the_untiled_mean(engine: str, exported: Export) -> None:
    shape = (77, 50)
    pixels = image((1, *shape), seed=4)
    plan = plan_of(shape, DEPTH, 3, 2, 16)
    labels = np.full((1, *shape), INVALID_LABEL, np.uint8)
    model = read_model(exported().path)
    request = EngineRequest(model=model, shapes=plan.read_shapes(), batch=2, slots=2, threads=1)
    with open_engine(engine, request) as opened:
        stream_labels(ArraySource(pixels), plan, opened, ArraySink(labels), classes=3, batch=2)

    assert (labels[0] == untiled_logits(Averaged(NETWORK), pixels).argmax(axis=0)).all()


def test_the_model_was_compared_and_says_that_it_averages(exported: Export) -> None:
    result = exported(images=[random_pixels(SPEC, (1, 90, 40), 7)])
    model = read_model(result.path)

    assert {(one.engine, one.images) for one in result.rows} == {
        (engine, images) for engine in ("torch", *ENGINES) for images in ("golden", "validation")
    }
    assert all(one.passed for one in result.rows)
    assert model.record.averaging == PASSES
    assert model.spec == SPEC
    assert all(one.passed for one in check_model(model, {name: partial(open_engine, name) for name in ENGINES}))


def test_its_golden_logits_are_the_mean(exported: Export) -> None:
    golden = read_model(exported().path).golden
    for mean, plain in zip(golden, tiny_golden(NETWORK, SPEC), strict=True):
        x = torch.from_numpy((mean.image.astype(np.float32) - mean.shift[:, None, None]) * mean.scale[:, None, None])
        with torch.inference_mode():
            assert (Averaged(NETWORK)(x[None])[0].numpy() == mean.logits).all()
        assert (mean.image == plain.image).all()
        assert (mean.logits != plain.logits).any()


def test_the_weights_stand_once_and_the_graph_needs_no_more_than_others() -> None:
    traced = averaged_graph()
    floats = [one for one in traced.graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    values = sum(int(np.prod(one.dims)) for one in floats)
    weights = sum(one.numel() for one in NETWORK.parameters())

    assert weights <= values < weights + 16
    assert sum(one.op_type == "Conv" for one in traced.graph.node) == PASSES * 7  # depth 1: six of 3x3 and one of 1x1
    assert not {one.op_type for one in traced.graph.node} & {"Shape", "If", "Loop", "Constant", "Identity"}
    assert all(one.dim_param for one in traced.graph.input[0].type.tensor_type.shape.dim[2:])


def leave_out_the_last_turn(model: onnx.ModelProto) -> None:
    node = [one for one in model.graph.node if one.op_type == "Transpose"][-1]
    node.attribute[0].CopyFrom(onnx.helper.make_attribute("perm", [0, 1, 2, 3]))


def average_seven(model: onnx.ModelProto) -> None:
    """Let the last sum take what it has in place of the last pass."""
    node = [one for one in model.graph.node if one.op_type == "Concat" and len(set(one.input)) == 2][-1]
    node.input[1] = node.input[0]


@pytest.mark.parametrize("fault", [leave_out_the_last_turn, average_seven])
def test_a_wrong_mean_is_not_published(exported: Export, tmp_path: Path, fault: Edit) -> None:
    with pytest.raises(CheckFailedError, match="golden tiles"):
        exported(fault)
    assert not (tmp_path / "model.onnx").exists()


def test_golden_tiles_that_are_not_the_networks_are_seen_before_they_are_made_anew(tmp_path: Path) -> None:
    first, *others = tiny_golden(NETWORK, SPEC)
    wrong = first.logits.copy()
    wrong[0, 3, 3] += 1 + 1e-3 * float(np.abs(wrong).max())
    changed = (replace(first, logits=wrong), *others)
    checkpoint = tiny_checkpoint(tmp_path / "model.safetensors", NETWORK, SPEC, changed)
    with pytest.raises(CheckFailedError, match="not those of its weights"):
        read_subject(checkpoint, averaging=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pass_that_gives_no_number_makes_no_label(engine: str, exported: Export, tmp_path: Path) -> None:
    model = read_model(exported().path)
    graph = onnx.load(model.path)
    bias = next(one for one in graph.graph.initializer if one.name.endswith("classify.bias"))
    last = [one for one in graph.graph.node if bias.name in one.input][-1]
    poisoned = onnx.numpy_helper.to_array(bias).copy()
    poisoned[-1] = np.nan
    graph.graph.initializer.append(onnx.numpy_helper.from_array(poisoned, "poisoned"))
    last.input[2] = "poisoned"
    onnx.save(graph, tmp_path / "poisoned.onnx")
    shape = model.golden[0].image.shape[1:]
    request = EngineRequest(
        model=replace(model, path=tmp_path / "poisoned.onnx"), shapes=(shape,), batch=1, slots=1, threads=1
    )
    with open_engine(engine, request) as opened:
        opened.buffer(0, shape)[0] = model.golden[0].image
        opened.submit(0, None)
        assert (opened.result(0).labels == INVALID_LABEL).all()
