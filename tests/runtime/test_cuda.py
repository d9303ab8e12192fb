"""CUDA as the TensorRT engine uses it: what its errors become, memory, streams and graphs, on the fake."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from tests.fake_cuda import FakeCuda
from unetctl.cli.exit_codes import ExitCode, exit_code
from unetctl.runtime import cuda
from unetctl.runtime.cuda import call, device, device_count
from unetctl.runtime.cuda_memory import DevicePlanes, device_memory, download, pinned_array, upload
from unetctl.runtime.cuda_stream import capture, open_event, open_stream, record, replay, synchronize, wait_for
from unetctl.runtime.cuda_words import LOST
from unetctl.runtime.errors import ResourceError, UnavailableError


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda(total_bytes=1 << 20)
    fake.install(monkeypatch)
    cuda.use_device(0)
    return fake


def test_without_the_bindings_there_are_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert device_count() == 0
    assert "not installed" in cuda.why_no_device()
    with pytest.raises(UnavailableError, match="no CUDA device 0"):
        device(0)


def test_without_a_gpu_the_reason_is_cudas(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCuda(devices=0).install(monkeypatch)
    assert device_count() == 0
    with pytest.raises(UnavailableError) as caught:
        device(0)
    assert "no CUDA-capable device is detected" in caught.value.cause
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE


def test_a_gpu_that_is_not_there_is_named(gpu: FakeCuda) -> None:
    assert device(0).compute_capability == "8.9"
    assert (device(0).driver_version, device(0).runtime_version) == ("13.0", "13.5")
    with pytest.raises(UnavailableError, match="no CUDA device 1"):
        device(1)


def test_too_little_memory_says_what_is_needed_and_what_is_free(gpu: FakeCuda) -> None:
    with device_memory(1 << 19), pytest.raises(ResourceError) as caught, device_memory(1 << 20):
        pass
    assert "1.0 MiB are needed, 0.5 MiB are free" in caught.value.what
    assert "out of memory" in caught.value.cause
    assert exit_code(caught.value) is ExitCode.RESOURCE
    assert gpu.cudaGetLastError() == (0,), "whoever shares this runtime would find it"


@pytest.mark.parametrize("code", sorted(LOST))
def test_a_lost_device_is_unavailable_and_says_what_is_safe(gpu: FakeCuda, code: str) -> None:
    gpu.fail("cudaMalloc", code)
    with pytest.raises(UnavailableError, match="GPU was lost") as caught:
        call("cudaMalloc", 8)
    assert code in caught.value.cause
    assert caught.value.saved
    assert "again" in caught.value.hint
    assert exit_code(caught.value) is ExitCode.UNAVAILABLE


def test_memory_that_cannot_be_pinned_is_not_called_the_gpus(gpu: FakeCuda) -> None:
    gpu.fail("cudaHostAlloc", "cudaErrorMemoryAllocation")
    with pytest.raises(ResourceError, match="this machine's memory"):
        pinned_array(100)


def test_pinned_memory_lives_as_long_as_a_view_of_it(gpu: FakeCuda) -> None:
    labels = pinned_array(100).reshape(10, 10)[2:4]
    gc.collect()
    assert len(gpu.streams.blocks) == 1
    assert not labels.any(), "what was there before is not a result"
    del labels
    assert not gpu.streams.blocks


def test_device_memory_goes_back_whatever_happens(gpu: FakeCuda) -> None:
    with pytest.raises(KeyboardInterrupt), device_memory(100):
        raise KeyboardInterrupt
    assert gpu.streams.device_bytes() == 0


def test_small_planes_go_to_the_top_left_of_larger_ones_and_back(gpu: FakeCuda) -> None:
    pixels, found = pinned_array(24).reshape(2, 3, 4), pinned_array(24).reshape(2, 3, 4)
    pixels[:] = np.arange(24).reshape(2, 3, 4)
    with open_stream() as stream, device_memory(2 * 5 * 7) as address:
        planes = DevicePlanes(address=address, planes=2, height=5, row_bytes=7)
        upload(pixels, planes, stream)
        download(planes, found, stream)
        synchronize(stream)
        there = gpu.streams.view((address, address + 70)).reshape(2, 5, 7).copy()
        with pytest.raises(ValueError, match="does not fit"):
            upload(pixels.reshape(1, 6, 4), planes, stream)
    np.testing.assert_array_equal(there[:, :3, :4], pixels)
    assert (there[:, 3:] == 0xCC).all()
    np.testing.assert_array_equal(found, pixels)


def test_a_graph_does_what_was_recorded_each_time_with_new_pixels(gpu: FakeCuda) -> None:
    pixels, found = pinned_array(8)[None, None], pinned_array(8)[None, None]
    with open_stream() as stream, open_event() as event, device_memory(8) as address:
        planes = DevicePlanes(address=address, planes=1, height=1, row_bytes=8)

        def enqueue() -> None:
            upload(pixels, planes, stream)
            download(planes, found, stream)

        graph, why_not = capture(stream, enqueue)
        assert not why_not
        assert not gpu.streams.ran, "recording runs nothing"
        for value in (3, 4):
            pixels[:] = value
            replay(graph, stream)
            record(event, stream)
            wait_for(event)
            assert (found == value).all()


def test_what_cannot_be_recorded_is_told_and_the_stream_goes_on(gpu: FakeCuda) -> None:
    with open_stream() as stream:
        graph, why_not = capture(stream, lambda: synchronize(stream))
        assert graph is None
        assert "not permitted when stream is capturing" in why_not
        assert gpu.cudaGetLastError() == (0,)
        synchronize(stream)


@pytest.mark.parametrize(
    ("driver", "said"), [(0, "not installed"), (12080, "for CUDA 12.8, and cuda-bindings for 13.5")]
)
def test_a_driver_that_is_missing_or_too_old_is_called_what_it_is(
    gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, driver: int, said: str
) -> None:
    refused = gpu.cudaError_t.cudaErrorInsufficientDriver
    monkeypatch.setattr(gpu, "cudaGetDeviceCount", lambda: (refused, None))
    monkeypatch.setattr(gpu, "cudaDriverGetVersion", lambda: (gpu.cudaError_t.cudaSuccess, driver))
    assert device_count() == 0
    assert said in cuda.why_no_device()
    assert "cudaErrorInsufficientDriver" in cuda.why_no_device()


def test_on_this_machine_cuda_gives_an_answer_and_no_exception() -> None:
    pytest.importorskip("cuda.bindings", reason="NOT RUN: cuda-bindings is not installed")
    assert device_count() >= 0
    assert bool(device_count()) == (not cuda.why_no_device())
