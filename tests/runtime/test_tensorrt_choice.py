"""Which plan the TensorRT engine loads, and when it builds its own: on a fake GPU with a fake TensorRT."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.engine_contract import EngineCase, read_case
from tests.fake_gpu import FakeGpu, build_here, request_for
from tests.models import random_pixels, tiny_model
from unetctl.runtime import cuda, tensorrt_choice
from unetctl.runtime.engine_file import EngineFile, read_engine_file, record_path
from unetctl.runtime.engine_tensorrt import TensorRtEngine, library_for, run_file, status
from unetctl.runtime.engine_tensorrt import fixed_shapes as own_fixed_shapes
from unetctl.runtime.engine_trust import engine_cache
from unetctl.runtime.engines import choose_engine, fixed_shapes
from unetctl.runtime.errors import DataError, RefusedError, UnavailableError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.image import ArraySource
from unetctl.runtime.model import Model
from unetctl.runtime.run import Resources, prepare
from unetctl.runtime.tensorrt_choice import best_plan

SHAPE = (input_px(32, 2), input_px(36, 2))
SMALL = (input_px(24, 2), input_px(8, 2))


@pytest.fixture
def case(tmp_path: Path) -> EngineCase:
    folder = tmp_path / "models"
    folder.mkdir()
    return read_case(tiny_model(folder, depth=2, classes=3, integer=True))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: EngineCase) -> FakeGpu:
    """A GPU beside a model that was exported before it came."""
    found = FakeGpu(monkeypatch, tmp_path)
    found.install()
    return found


def assert_right(case: EngineCase, model: Model | None = None, *, batch: int = 1, trust_foreign: bool = False) -> None:
    """Open an engine for two shapes and compare what it gives with PyTorch."""
    request = request_for(model or case.model, [SHAPE, SMALL], batch=batch)
    with TensorRtEngine(request, trust_foreign=trust_foreign) as engine:
        for shape in (SHAPE, SMALL):
            pixels = random_pixels(case.model.spec, (batch, 1, *shape))
            engine.buffer(0, shape)[:] = pixels
            engine.submit(0, None)
            np.testing.assert_array_equal(engine.result(0).labels, case.logits(pixels, 128, 1).argmax(axis=1))


def forget(engine: EngineFile) -> None:
    """Make a foreign engine of one that was built here."""
    (engine_cache() / "built" / engine.record.plan_sha256).unlink()


def change(engine: EngineFile, old: str, new: str) -> None:
    """Change the record of an engine."""
    path = record_path(engine.path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_without_a_plan_one_of_whole_chunks_is_built_for_all_shapes_and_kept(gpu: FakeGpu, case: EngineCase) -> None:
    assert_right(case)
    assert gpu.tensorrt.built == [(1, 1, input_px(512, 2), input_px(512, 2))]
    (kept,) = engine_cache().glob("*.engine")
    assert read_engine_file(kept).record.acceptance["passed"]
    assert not list(case.model.path.parent.glob("*.engine")), "the folder of the model is not ours"
    assert_right(case)
    assert len(gpu.tensorrt.built) == 1, "it was built before"


def test_images_are_cut_for_the_plans_that_exist(gpu: FakeGpu, case: EngineCase) -> None:
    gpu.cuda.total_bytes = 8 << 30
    small, large = input_px(512, 2), input_px(1024, 2)
    assert fixed_shapes("tensorrt", case.model) == ((small, small), (large, large)), "those that would be built"
    build_here(case.model, (small, large))
    build_here(case.model, (input_px(256, 2), input_px(256, 2)))
    assert fixed_shapes("tensorrt", case.model) == ((small, large),), "no chunk fits the other"
    choice = choose_engine("tensorrt")
    run = prepare(
        ArraySource(random_pixels(case.model.spec, (1100, 1030))),
        case.model,
        choice,
        Resources(max_memory_bytes=1 << 40, threads=1),
    )
    tiles = run.memory.tiles
    assert (tiles.rows, tiles.columns) == (3, 2)
    assert all(height <= small and width <= large for height, width in tiles.read_shapes())


def test_a_plan_that_the_device_will_hardly_hold_is_left_out(gpu: FakeGpu, case: EngineCase) -> None:
    shapes = tuple((input_px(kept, 2), input_px(kept, 2)) for kept in (512, 1024))
    for shape in shapes:
        build_here(case.model, shape)
    assert fixed_shapes("tensorrt", case.model) == shapes[:1]
    gpu.cuda.total_bytes = 8 << 30
    assert fixed_shapes("tensorrt", case.model) == shapes
    gpu.cuda.total_bytes = 1 << 20
    assert fixed_shapes("tensorrt", case.model) == shapes[:1], "the smallest is tried in any case"


def test_auto_prefers_the_gpu_where_there_is_one(gpu: FakeGpu) -> None:
    chosen = choose_engine("auto")
    assert (chosen.name, chosen.description) == (
        "tensorrt",
        "tensorrt 10.3.0 on NVIDIA Fake 1, compute capability 8.9",
    )


def test_the_plan_that_computes_least_is_taken(gpu: FakeGpu, case: EngineCase) -> None:
    sizes = [(64, 64), (32, 32), (32, 64)]
    plans = [build_here(case.model, (input_px(h, 2), input_px(w, 2))) for h, w in sizes]

    def best(height: int, width: int) -> tuple[int, int] | None:
        found = best_plan(plans, (input_px(height, 2), input_px(width, 2)))
        return sizes[plans.index(found)] if found else None

    assert best(32, 32) == (32, 32)
    assert best(16, 48) == (32, 64)
    assert best(48, 16) == (64, 64)
    assert best(16, 80) is None


MISMATCHES = {
    "another version": ('"library_version": "10.3.0"', '"library_version": "10.16.1.11"', "10.16.1.11"),
    "another GPU": ('"gpu": "NVIDIA Fake 1"', '"gpu": "NVIDIA H200"', "NVIDIA H200"),
    "a newer driver": ('"driver_version": "13.0"', '"driver_version": "13.2"', "13.2"),
    "another model": ('"name": "tiny"', '"name": "stranger"', "other things of the model"),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_a_plan_that_does_not_match_is_named_and_another_is_built(
    gpu: FakeGpu, case: EngineCase, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    engine = build_here(case.model, SHAPE)
    old, new, said = MISMATCHES[name]
    change(engine, old, new)
    assert_right(case)
    assert len(gpu.tensorrt.built) == 2
    assert f"{engine.path} is not used" in caplog.text
    assert said in caplog.text
    assert "building one" in caplog.text


DAMAGES: dict[str, Callable[[EngineFile], object]] = {
    "one bit of the plan": lambda engine: engine.path.write_bytes(b"[" + engine.path.read_bytes()[1:-1] + b"?"),
    "the record": lambda engine: record_path(engine.path).write_text("{}"),
    "no record": lambda engine: record_path(engine.path).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_is_never_loaded(gpu: FakeGpu, case: EngineCase, damage: str) -> None:
    engine = build_here(case.model, SHAPE)
    named = engine.model
    DAMAGES[damage](engine)
    assert_right(case)
    assert len(gpu.tensorrt.built) == 2
    with pytest.raises(DataError):
        assert_right(case, named)


def test_a_foreign_plan_is_left_alone_unless_it_is_trusted(
    gpu: FakeGpu, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    engine = build_here(case.model, SHAPE)
    forget(engine)
    with pytest.raises(RefusedError, match="not built here"):
        assert_right(case, engine.model)
    assert_right(case, trust_foreign=True)
    assert len(gpu.tensorrt.built) == 1
    assert_right(case)
    assert len(gpu.tensorrt.built) == 2
    assert "--trust-engine" in caplog.text


def test_an_engine_that_is_asked_for_by_name_is_the_one_that_runs(gpu: FakeGpu, case: EngineCase) -> None:
    better, named = build_here(case.model, SHAPE), build_here(case.model, (SHAPE[0] + 4, SHAPE[1] + 4))
    assert better.path.parent == named.path.parent
    loaded = len(gpu.tensorrt.calls)
    assert_right(case, named.model)
    plans = [
        arguments[0] for name, arguments in gpu.tensorrt.calls[loaded:] if name.endswith("deserialize_cuda_engine")
    ]
    assert plans == [named.path.read_bytes()]


def test_images_are_cut_for_the_engine_that_is_asked_for_by_name(
    gpu: FakeGpu, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.cuda.total_bytes = 8 << 30
    small, large = (build_here(case.model, (input_px(kept, 2), input_px(kept, 2))) for kept in (512, 1024))
    assert fixed_shapes("tensorrt", small.model) == (small.record.input_yx,)
    forget(large)
    assert fixed_shapes("tensorrt", case.model) == (small.record.input_yx,)
    assert own_fixed_shapes(case.model, trust_foreign=True) == (small.record.input_yx, large.record.input_yx)
    change(small, '"gpu": "NVIDIA Fake 1"', '"gpu": "NVIDIA H200"')
    assert_right(case, small.model, trust_foreign=True)
    assert f"{small.path} is not used" in caplog.text, "it was asked for, and another runs in its place"
    assert len(gpu.tensorrt.built) == 2


def test_what_another_process_built_meanwhile_is_not_built_again(
    gpu: FakeGpu, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def waited() -> Iterator[None]:
        build_here(case.model, SHAPE)
        yield

    monkeypatch.setattr(tensorrt_choice, "only_build", waited)
    assert_right(case)
    assert len(gpu.tensorrt.built) == 1


def test_an_engine_of_another_machine_is_built_again_from_the_model_beside_it(
    gpu: FakeGpu, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    engine = build_here(case.model, SHAPE)
    change(engine, '"gpu": "NVIDIA Fake 1"', '"gpu": "NVIDIA H200"')
    assert_right(case, engine.model)
    assert "built on NVIDIA H200, and the GPU here is NVIDIA Fake 1" in caplog.text
    assert len(gpu.tensorrt.built) == 2
    case.model.path.unlink()
    shutil.rmtree(engine_cache())
    with pytest.raises(UnavailableError, match="is not beside it") as caught:
        assert_right(case, engine.model)
    assert "--model model.onnx" in caught.value.hint


def test_a_plan_with_other_tensors_than_its_record_is_refused(gpu: FakeGpu, case: EngineCase) -> None:
    engine = build_here(case.model, SHAPE)
    side = engine.record.input_yx[0]
    text = record_path(engine.path).read_text()
    assert text.count(f"  {side},\n") == text.count(f"  {side - 40},\n") == 1
    text = text.replace(f"  {side},\n", f"  {side + 4},\n").replace(f"  {side - 40},\n", f"  {side - 36},\n")
    record_path(engine.path).write_text(text)
    with pytest.raises(DataError, match="other inputs and outputs"):
        assert_right(case, engine.model)


def test_the_status_says_what_it_would_run_on(gpu: FakeGpu) -> None:
    found = status()
    assert found.usable
    assert (found.version, found.device) == ("10.3.0", "NVIDIA Fake 1, compute capability 8.9")
    gpu.cuda.devices = 0
    assert not status().usable
    assert "no CUDA-capable device" in status().why_not


def test_with_a_gpu_and_no_tensorrt_the_line_that_installs_it_is_given(
    gpu: FakeGpu, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not status().usable
    assert 'pip install "unetctl[trt]"' in status().hint
    with pytest.raises(UnavailableError, match="tensorrt is not installed"):
        library_for(case.model.path, cuda.device())


def test_a_file_is_run_as_it_is_with_all_its_outputs(gpu: FakeGpu, case: EngineCase) -> None:
    batches = [{"image": random_pixels(case.model.spec, (batch, 1, *SHAPE), batch)} for batch in (2, 1, 2)]
    found = list(run_file(case.model.path, batches, threads=1))
    for one, inputs in zip(found, batches, strict=True):
        np.testing.assert_array_equal(one["labels"], case.logits(inputs["image"], 128, 1).argmax(axis=1))
    assert len(gpu.tensorrt.built) == 2, "a shape is built once"
