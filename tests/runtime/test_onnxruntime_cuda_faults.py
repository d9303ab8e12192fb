"""What goes wrong with ONNX Runtime on a GPU, seeded in the fake: the processor in its place, memory, loss, races."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tifffile
from numpy.typing import NDArray

from tests.engine_contract import EngineCase
from tests.fake_cuda import FakeCuda
from tests.fake_gpu import integer_case, request_for
from tests.fake_onnxruntime import ON_CPU, FakeOnnxRuntime, Session
from tests.fake_streams import RaceError
from tests.models import random_pixels
from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.runtime import onnxruntime_slot
from unetctl.runtime.cuda_words import LOST
from unetctl.runtime.engine_devices import open_on_devices
from unetctl.runtime.engine_onnxruntime_cuda import WARM_UPS, OnnxRuntimeCudaEngine
from unetctl.runtime.engines import EngineChoice
from unetctl.runtime.errors import DataError, ResourceError, UnavailableError
from unetctl.runtime.geometry import input_px
from unetctl.runtime.onnxruntime_slot import OnnxRuntimeSlot
from unetctl.runtime.run import Resources
from unetctl.runtime.segmentation import segment, segment_file

SHAPE, SMALL = (input_px(24, 2), input_px(32, 2)), (input_px(8, 2), input_px(12, 2))
CHUNK = (input_px(512, 2), input_px(512, 2))


@pytest.fixture
def case(tmp_path: Path) -> EngineCase:
    return integer_case(tmp_path)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, case: EngineCase) -> FakeOnnxRuntime:
    """Two GPUs beside a model that was exported before they came; 1 GiB for both."""
    cuda = FakeCuda(devices=2)
    cuda.install(monkeypatch)
    found = FakeOnnxRuntime(cuda)
    found.install(monkeypatch)
    return found


def opened(case: EngineCase, *, slots: int = 2) -> OnnxRuntimeCudaEngine:
    return OnnxRuntimeCudaEngine(request_for(case.model, [SHAPE, SMALL], slots=slots))


def wrong_labels(engine: OnnxRuntimeCudaEngine, case: EngineCase) -> int:
    """Run tiles of both shapes through two slots, two in flight; count the labels that are not PyTorch's."""
    shapes, wrong = [SHAPE, SMALL, SMALL, SHAPE, SHAPE], 0
    tiles: list[NDArray[np.uint8]] = [
        random_pixels(case.model.spec, (1, 1, *shape), seed).astype(np.uint8) for seed, shape in enumerate(shapes)
    ]
    for index in range(len(tiles) + 1):
        if index < len(tiles):
            engine.buffer(index % 2, shapes[index])[:] = tiles[index]
            engine.submit(index % 2, None)
        if index:
            expected = case.logits(tiles[index - 1], 128, 1).argmax(axis=1)
            labels = engine.result((index - 1) % 2).labels
            wrong += expected.size if labels.shape != expected.shape else int((labels != expected).sum())
    return wrong


def choice() -> EngineChoice:
    """The engine for tiles of at most one chunk, so that small images have several."""
    return EngineChoice(
        name="onnxruntime-cuda",
        description="ONNX Runtime on a fake",
        reason="the test asked for it",
        open=OnnxRuntimeCudaEngine,
        bytes_needed=lambda request: 0 if max(request.shapes[0]) <= CHUNK[0] else 1 << 50,
    )


def test_each_slot_and_shape_is_a_graph_that_is_replayed_and_all_is_given_back(
    gpu: FakeOnnxRuntime, case: EngineCase
) -> None:
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 5
    assert gpu.sessions[0].options["use_tf32"] == "0"
    del engine
    gc.collect()
    assert not gpu.cuda.streams.blocks


def test_what_cannot_be_recorded_runs_call_by_call_and_is_told_once(
    gpu: FakeOnnxRuntime, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.can_be_captured = False
    with opened(case) as engine:
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 0
    (said,) = [one.getMessage() for one in caplog.records if "CUDA graphs" in one.getMessage()]
    assert "graph capture feature" in said


def test_memory_is_taken_before_a_graph_is_recorded(gpu: FakeOnnxRuntime, case: EngineCase) -> None:
    gpu.arena_bytes = 1024
    with opened(case) as engine:
        assert engine.slots == 2
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 5


def test_memory_that_a_recording_asks_for_is_not_taken_for_too_little_of_it(
    gpu: FakeOnnxRuntime, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.takes_memory_when_recorded = True
    with opened(case) as engine:
        assert engine.slots == 2
        assert wrong_labels(engine, case) == 0
    assert gpu.replayed == 0
    assert "BFCArena" in caplog.text


def missing_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_slot, "upload", lambda *_: None)


def missing_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_slot, "download", lambda *_: None)


def one_graph_for_all_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = OnnxRuntimeSlot.bind

    def bind(slot: OnnxRuntimeSlot, session: Any, device: int, graph_ids: dict[tuple[int, int], int]) -> None:
        real(slot, session, device, dict.fromkeys(graph_ids, min(graph_ids.values())))

    monkeypatch.setattr(OnnxRuntimeSlot, "bind", bind)


@pytest.mark.parametrize("defect", [missing_upload, missing_download, one_graph_for_all_shapes])
def test_these_tests_see_a_copy_that_is_missing_and_the_graph_of_another_shape(
    gpu: FakeOnnxRuntime,
    case: EngineCase,
    monkeypatch: pytest.MonkeyPatch,
    defect: Callable[[pytest.MonkeyPatch], None],
) -> None:
    defect(monkeypatch)
    with opened(case) as engine:
        assert wrong_labels(engine, case) > 100


def test_a_network_that_does_not_wait_for_its_pixels_is_caught(
    gpu: FakeOnnxRuntime, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(case) as engine:
        monkeypatch.setattr(onnxruntime_slot, "wait_for", lambda _: None)
        engine.buffer(0, SHAPE)[:] = 0
        engine.submit(0, None)
        with pytest.raises((RaceError, DataError), match="beside a pending upload"):
            engine.result(0)
        gpu.cuda.streams.drop()


@pytest.mark.parametrize("part", ["libraries", "layers"])
def test_the_processor_in_place_of_the_gpu_is_refused(
    gpu: FakeOnnxRuntime, case: EngineCase, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.has_libraries, gpu.cpu_nodes = part != "libraries", int(part == "layers")
    with pytest.raises(UnavailableError, match="processor, and not on the GPU") as caught, opened(case):
        pass
    assert ("libcudnn.so.9" if part == "libraries" else "CPU EP") in caught.value.cause
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE
    assert not capsys.readouterr().out, "only the command line prints"


def test_the_real_library_without_the_gpu_is_refused_in_the_words_of_the_fake(
    case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeCuda().install(monkeypatch)  # and the onnxruntime of this machine
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("NOT RUN: this onnxruntime has CUDA")
    with (
        pytest.warns(UserWarning, match="not in available provider names"),
        pytest.raises(UnavailableError, match="processor, and not on the GPU") as caught,
        opened(case),
    ):
        pass
    assert ON_CPU in caught.value.cause


def test_a_session_that_opens_without_the_gpu_is_refused(
    gpu: FakeOnnxRuntime, case: EngineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(UnavailableError, match="processor") as caught, opened(case):
        pass
    assert "CPUExecutionProvider" in caught.value.cause


def test_too_little_memory_for_one_tile_says_what_is_needed_and_free(gpu: FakeOnnxRuntime, case: EngineCase) -> None:
    gpu.arena_bytes = (2 << 30) // (SHAPE[0] * SHAPE[1])
    with pytest.raises(ResourceError, match=r"needed, 1,0\d\d\.\d MiB are free") as caught, opened(case):
        pass
    assert exit_code(caught.value) is ExitCode.RESOURCE
    assert "BFCArena" in caught.value.cause


def test_where_the_memory_does_not_hold_every_slot_those_that_it_holds_do_the_work(
    gpu: FakeOnnxRuntime, case: EngineCase, caplog: pytest.LogCaptureFixture
) -> None:
    image = random_pixels(case.model.spec, (600, 1100), 3)
    gpu.cuda.fail("cudaMalloc", "cudaErrorMemoryAllocation", call=4)  # two tensors a slot
    with OnnxRuntimeCudaEngine(request_for(case.model, [CHUNK], slots=3)) as engine:
        assert engine.slots == 1
        assert gpu.cuda.streams.device_bytes() < 2 * CHUNK[0] * CHUNK[1], "what the second had taken is given back"
    assert "too little memory for 3 tiles in flight: going on with 1" in caplog.text
    assert not gpu.cuda.streams.device_bytes()
    gpu.cuda.fail("cudaMalloc", "cudaErrorMemoryAllocation", call=4)
    np.testing.assert_array_equal(
        segment(image, case.model, engine=choice()), segment(image, case.model, engine="onnxruntime")
    )


@pytest.mark.parametrize("code", ["cudaErrorLaunchFailure", "cudaErrorIllegalAddress", "cudaErrorDevicesUnavailable"])
def test_a_device_lost_in_the_middle_ends_with_69_and_typing_it_again_ends_well(
    gpu: FakeOnnxRuntime, case: EngineCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    image, output = random_pixels(case.model.spec, (600, 1100), 3), tmp_path / "labels.ome.tif"
    tifffile.imwrite(tmp_path / "image.tif", image)
    output.write_bytes(b"what was there before")
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
    gpu.cuda.lose(code, after=3 * (WARM_UPS + 1) * 4 + 3)  # three slots begin with four shapes
    with pytest.raises(UnavailableError, match="GPU was lost") as caught:
        run()
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE
    assert LOST[code] in caught.value.cause
    assert output.read_bytes() == b"what was there before"
    cuda = FakeCuda()  # a new process has a new context
    cuda.install(monkeypatch)
    FakeOnnxRuntime(cuda).install(monkeypatch)
    assert run().tiles == 6
    np.testing.assert_array_equal(tifffile.imread(output), segment(image, case.model, engine="onnxruntime"))


def test_two_devices_share_the_tiles(gpu: FakeOnnxRuntime, case: EngineCase) -> None:
    request = request_for(case.model, [SHAPE, SMALL], slots=1)
    with open_on_devices(
        request, devices=(0, 1), open_on=lambda one, index: OnnxRuntimeCudaEngine(one, device=index)
    ) as engine:
        assert engine.slots == 2
        assert wrong_labels(engine, case) == 0  # type: ignore[arg-type]
    assert [one.options["device_id"] for one in gpu.sessions] == ["0", "1"]
    assert gpu.replayed == 5
