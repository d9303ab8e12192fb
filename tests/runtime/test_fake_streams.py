"""The fake GPU catches what a real one punishes at random: each race that a program can make, seeded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fake_cuda import FakeCuda
from tests.fake_streams import UNWRITTEN, RaceError, Stream
from unetctl.runtime import cuda
from unetctl.runtime.cuda import call
from unetctl.runtime.cuda_memory import DevicePlanes, device_memory, download, pinned_array, upload
from unetctl.runtime.cuda_stream import open_event, open_stream, record, synchronize, wait_for


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    cuda.use_device(0)
    return fake


@pytest.fixture
def planes(gpu: FakeCuda) -> Iterator[DevicePlanes]:
    with device_memory(8) as address:
        yield DevicePlanes(address=address, planes=1, height=1, row_bytes=8)
        gpu.streams.drop()


@pytest.fixture
def pixels(gpu: FakeCuda) -> NDArray[np.uint8]:
    return pinned_array(8)[None, None]


@pytest.fixture
def stream(planes: DevicePlanes, pixels: NDArray[np.uint8]) -> Iterator[Stream]:
    with open_stream() as stream:
        yield stream
        stream.pending.clear()


def test_nothing_runs_before_it_is_waited_for(
    gpu: FakeCuda, planes: DevicePlanes, pixels: NDArray[np.uint8], stream: Stream
) -> None:
    with open_event() as event:
        download(planes, pixels, stream)
        record(event, stream)
        download(planes, pixels, stream)
        assert (pixels == UNWRITTEN).all(), "a result that is read too early is no result"
        wait_for(event)
        assert gpu.streams.ran == ["download"], "an event waits for what is before it and no more"
        assert (pixels == 0xCC).all()


def test_pixels_that_change_under_a_pending_copy_are_caught(
    planes: DevicePlanes, pixels: NDArray[np.uint8], stream: Stream
) -> None:
    upload(pixels, planes, stream)
    pixels[..., 3] = 1
    with pytest.raises(RaceError, match="changed under a pending upload"):
        synchronize(stream)


def test_two_streams_on_one_buffer_are_caught(planes: DevicePlanes, pixels: NDArray[np.uint8], stream: Stream) -> None:
    upload(pixels, planes, stream)
    with open_stream() as other:
        with pytest.raises(RaceError, match="another stream"):
            download(planes, pixels, other)
        synchronize(stream)
        download(planes, pixels, other)


def test_memory_that_is_freed_under_pending_work_is_caught(
    planes: DevicePlanes, pixels: NDArray[np.uint8], stream: Stream
) -> None:
    upload(pixels, planes, stream)
    with pytest.raises(RaceError, match="freed under a pending upload"):
        call("cudaFree", planes.address)


def test_memory_of_nobody_is_caught(planes: DevicePlanes, pixels: NDArray[np.uint8], stream: Stream) -> None:
    beyond = DevicePlanes(address=planes.address + 4, planes=1, height=1, row_bytes=8)
    upload(pixels, beyond, stream)
    with pytest.raises(RaceError, match="not memory that was allocated"):
        synchronize(stream)


def test_memory_that_is_freed_twice_is_caught(gpu: FakeCuda) -> None:
    address = call("cudaMalloc", 8)
    call("cudaFree", address)
    with pytest.raises(RaceError, match="freed already"):
        call("cudaFree", address)
