"""What goes wrong on a GPU, seeded in the fake: memory that does not suffice, a device that is lost, races, NaN."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.engine_contract import EngineCase
from tests.fake_api import Code
from tests.fake_gpu import FakeGpu, as_it_lies, build_here, integer_case, request_for
from tests.fake_streams import RaceError
from tests.fake_tensorrt_runtime import NO_ROOM, NO_WEIGHTS, SegmentationFaultError
from tests.models import random_pixels
from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.runtime import tensorrt_slot
from unetctl.runtime.engine_tensorrt import TensorRtEngine
from unetctl.runtime.engines import EngineChoice, EngineRequest
from unetctl.runtime.errors import DataError, ResourceError, UnavailableError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.run import Resources
from unetctl.runtime.run_folder import run_folder_of
from unetctl.runtime.segmentation import segment, segment_file
from unetctl.runtime.tensorrt_callbacks import make_log
from unetctl.runtime.tensorrt_plan import refused

SHAPE = (input_px(24, 2), input_px(32, 2))
CHUNK = (input_px(512, 2), input_px(512, 2))
MIB = 1 << 20


@pytest.fixture
def case(tmp_path: Path) -> EngineCase:
    return integer_case(tmp_path)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: EngineCase) -> FakeGpu:
    """A GPU beside a model that was exported before it came."""
    found = FakeGpu(monkeypatch, tmp_path)
    found.install()
    return found


def request_of(case: EngineCase) -> EngineRequest:
    return request_for(case.model, [SHAPE])


def tiles(case: EngineCase, count: int) -> list[NDArray[np.uint8]]:
    return [random_pixels(case.model.spec, (1, 1, *SHAPE), seed).astype(np.uint8) for seed in range(count)]


def truth(case: EngineCase, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = case.logits(pixels, 128, 1).argmax(axis=1)
    return found


def run_all(engine: TensorRtEngine, batches: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Run the batches with two in flight, as the pipeline does, and return their labels."""
    found = []
    for index, pixels in enumerate(batches):
        engine.buffer(index % 2, SHAPE)[:] = pixels
        engine.submit(index % 2, None)
        if index:
            found.append(engine.result((index - 1) % 2).labels.copy())
    return [*found, engine.result((len(batches) - 1) % 2).labels.copy()]


def test_without_a_gpu_tensorrt_is_not_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: EngineCase
) -> None:
    gpu = FakeGpu(monkeypatch, tmp_path, devices=0)
    gpu.install()
    with pytest.raises(UnavailableError, match="no CUDA device"), TensorRtEngine(request_of(case)):
        pass
    assert not gpu.tensorrt.calls
    with pytest.raises(SegmentationFaultError):
        sys.modules["tensorrt"].Runtime(None)


def test_copies_and_networks_of_two_slots_are_on_their_way_at_once(gpu: FakeGpu, case: EngineCase) -> None:
    build_here(case.model, SHAPE)
    with TensorRtEngine(request_of(case)) as engine:
        for slot, pixels in enumerate(tiles(case, 2)):
            engine.buffer(slot, SHAPE)[:] = pixels
            engine.submit(slot, None)
        pending = [[work.name for work in stream.pending] for stream in gpu.cuda.streams.streams]
        assert pending == [["upload", "network", "download"]] * 2
        engine.result(0)
        assert [len(stream.pending) for stream in gpu.cuda.streams.streams] == [0, 3], "no slot waits for another"
        engine.result(1)


def test_a_batch_is_one_call_once_the_graph_is_recorded(gpu: FakeGpu, case: EngineCase) -> None:
    build_here(case.model, SHAPE)
    with TensorRtEngine(request_of(case)) as engine:
        before, networks = gpu.cuda.calls.copy(), gpu.ran
        run_all(engine, tiles(case, 4))
        made = gpu.cuda.calls - before
    assert (gpu.ran - networks, made["cudaGraphLaunch"], made["cudaMemcpyAsync"]) == (4, 4, 0)


def test_what_cannot_be_recorded_runs_call_by_call_and_is_told_once(
    gpu: FakeGpu, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    build_here(case.model, SHAPE)
    gpu.tensorrt.can_be_captured = False
    batches = tiles(case, 3)
    with TensorRtEngine(request_of(case)) as engine:
        for pixels, labels in zip(batches, run_all(engine, batches), strict=True):
            np.testing.assert_array_equal(labels, truth(case, pixels))
    assert gpu.replayed() == 0
    (said,) = [one.getMessage() for one in caplog.records if "CUDA graph" in one.getMessage()]
    assert "not permitted when stream is capturing" in said


def test_everything_is_given_back(gpu: FakeGpu, case: EngineCase) -> None:
    build_here(case.model, SHAPE)
    with TensorRtEngine(request_of(case)) as engine:
        labels = run_all(engine, tiles(case, 1))
    assert labels
    del engine
    assert not gpu.cuda.streams.blocks


def load_slots(gpu: FakeGpu) -> None:
    gpu.tensorrt.activation_bytes = 600 * MIB


def first_run(gpu: FakeGpu) -> None:
    gpu.tensorrt.scratch_bytes = 600 * MIB


def one_call(gpu: FakeGpu) -> None:
    gpu.cuda.fail("cudaMalloc", "cudaErrorMemoryAllocation", call=6)


@pytest.mark.parametrize("fault", [load_slots, first_run, one_call])
def test_where_the_memory_does_not_hold_every_slot_those_that_it_holds_do_the_work(
    gpu: FakeGpu, case: EngineCase, fault: Callable[[FakeGpu], None], caplog: pytest.LogCaptureFixture
) -> None:
    build_here(case.model, CHUNK)
    fault(gpu)
    image = random_pixels(case.model.spec, (600, 1100), 3)
    with TensorRtEngine(request_for(case.model, [CHUNK], slots=3)) as engine:
        assert engine.slots == 1
        held = gpu.cuda.streams.device_bytes()
    assert held < 1.1 * 600 * MIB
    assert "too little memory for 3 tiles in flight: going on with 1" in caplog.text
    assert "out of memory" in caplog.text.lower()
    if fault is not one_call:
        np.testing.assert_array_equal(
            segment(image, case.model, engine=choice()), segment(image, case.model, engine="onnxruntime")
        )
    gc.collect()
    assert gpu.cuda.streams.device_bytes() == 0


@pytest.mark.parametrize("function", ["cudaGraphLaunch", "cudaEventRecord", "cudaEventSynchronize"])
def test_too_little_memory_in_the_middle_ends_with_75_and_gives_everything_back(
    gpu: FakeGpu, case: EngineCase, function: str
) -> None:
    build_here(case.model, SHAPE)
    with pytest.raises(ResourceError) as caught, TensorRtEngine(request_of(case)) as engine:  # noqa: PT012
        gpu.cuda.fail(function, "cudaErrorMemoryAllocation", call=3)
        run_all(engine, tiles(case, 6))
    assert exit_code(caught.value) is ExitCode.RESOURCE
    assert "MiB are free" in caught.value.what
    assert caught.value.saved
    del caught, engine
    gc.collect()
    assert not gpu.cuda.streams.blocks


def test_too_little_memory_for_one_tile_says_what_is_needed_and_free(gpu: FakeGpu, case: EngineCase) -> None:
    build_here(case.model, SHAPE)
    gpu.tensorrt.activation_bytes = 1200 * MIB
    with pytest.raises(ResourceError) as caught, TensorRtEngine(request_of(case)):
        pass
    assert "1,200." in caught.value.what
    assert "1,024.0 MiB are free" in caught.value.what
    assert exit_code(caught.value) is ExitCode.RESOURCE
    del caught  # an error holds what was in its frames
    gc.collect()
    assert gpu.cuda.streams.device_bytes() == 0


def choice() -> EngineChoice:
    """TensorRT for tiles of at most one chunk, so that small images have several."""
    return EngineChoice(
        name="tensorrt",
        description="TensorRT on a fake",
        reason="the test asked for it",
        open=TensorRtEngine,
        bytes_needed=lambda request: 0 if max(request.shapes[0]) <= CHUNK[0] else 1 << 50,
    )


@pytest.mark.parametrize("code", ["cudaErrorLaunchFailure", "cudaErrorECCUncorrectable", "cudaErrorIllegalAddress"])
def test_a_device_lost_in_the_middle_ends_with_69_and_typing_it_again_ends_well(
    gpu: FakeGpu, case: EngineCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    image, output = random_pixels(case.model.spec, (600, 1100), 3), tmp_path / "labels.ome.tif"
    tifffile.imwrite(tmp_path / "image.tif", image)
    output.write_bytes(b"what was there before")
    build_here(case.model, CHUNK)
    run = partial(
        segment_file,
        tmp_path / "image.tif",
        output=output,
        model=case.model,
        engine=choice(),
        resources=Resources(max_memory_bytes=1 << 40, threads=1),
        overwrite=True,
        preview=False,
    )
    gpu.cuda.lose(code, after=3 * 4 + 3)  # three slots are warmed up with four shapes
    with pytest.raises(UnavailableError, match="GPU was lost") as caught:
        run()
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE
    assert code in caught.value.cause
    assert caught.value.saved
    assert output.read_bytes() == b"what was there before"
    left = {one for one in tmp_path.iterdir() if "labels" in one.name}
    assert left <= {output, run_folder_of(output)}, "the tiles that were done may be there, and nothing else"

    FakeGpu(monkeypatch, tmp_path).install()  # a new process has a new context
    report = run()
    assert report.tiles == 6
    assert (report.continued is not None) == (run_folder_of(output) in left)
    assert {one for one in tmp_path.iterdir() if "labels" in one.name} == {output}
    np.testing.assert_array_equal(tifffile.imread(output), segment(image, case.model, engine="onnxruntime"))


def test_what_is_no_number_in_a_tile_ends_the_run(gpu: FakeGpu, case: EngineCase, tmp_path: Path) -> None:
    model = as_it_lies(case.poisoned(tmp_path, float("nan")).model)
    build_here(model, CHUNK)
    with pytest.raises(DataError, match="no number"):
        segment(random_pixels(model.spec, (40, 40)), model, engine=choice())


def test_what_tensorrt_refuses_is_told_in_its_words_and_as_what_it_is(gpu: FakeGpu) -> None:
    log = make_log(sys.modules["tensorrt"])
    kinds = {
        NO_ROOM: (ResourceError, "too little memory"),
        NO_WEIGHTS.format(5): (ResourceError, "too little memory"),
        "[runner.cpp::execute::7] Error Code 1: Myelin (no kernel)": (UnavailableError, "did not start"),
    }
    for message, (kind, said) in kinds.items():
        log.log(1, message)
        log.log(2, "a warning")
        found = refused(log, "TensorRT did not start a tile")
        assert isinstance(found, kind)
        assert said in found.what
        assert found.cause == message
        assert found.saved
    gpu.cuda.lost = Code.cudaErrorIllegalAddress
    log.log(1, "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (an illegal memory access was encountered)")
    with pytest.raises(UnavailableError, match="GPU was lost"):
        refused(log, "TensorRT did not start a tile")


def test_a_buffer_that_is_filled_before_its_slot_is_done_is_caught(gpu: FakeGpu, case: EngineCase) -> None:
    build_here(case.model, SHAPE)
    with TensorRtEngine(request_of(case)) as engine:
        engine.buffer(0, SHAPE)[:] = 0
        engine.submit(0, None)
        engine.buffer(0, SHAPE)[:] = 1
        with pytest.raises(RaceError, match="changed under a pending upload"):
            engine.result(0)
        gpu.cuda.streams.drop()


def test_slots_that_share_memory_on_the_device_are_caught(
    gpu: FakeGpu, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = gpu.cuda.cudaMalloc(MIB)[1]
    monkeypatch.setattr(tensorrt_slot, "device_memory", lambda _: nullcontext(shared))
    build_here(case.model, SHAPE)
    with TensorRtEngine(request_of(case)) as engine:
        for slot in range(2):
            engine.buffer(slot, SHAPE)[:] = 0
        engine.submit(0, None)
        with pytest.raises(RaceError, match="another stream"):
            engine.submit(1, None)
        gpu.cuda.streams.drop()
