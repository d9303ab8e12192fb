"""A CUDA without a GPU, as `cuda.bindings.runtime`: the functions that we call, with real codes and words."""
# ruff: noqa: N802, N815 - the names are CUDA's

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from tests.cuda_names import CODES, CONSTANTS
from tests.fake_api import Code, FakeApi, api
from tests.fake_streams import Stream, Work


class FakeCuda(FakeApi):
    """The functions. The current device is one for each thread, as it is in CUDA."""

    def __init__(self, *, devices: int = 1, total_bytes: int = 1 << 30) -> None:
        super().__init__(devices=devices, total_bytes=total_bytes)
        self._thread = threading.local()

    @api(1)
    def cudaGetDeviceCount(self) -> Any:
        return self.devices or Code.cudaErrorNoDevice

    @api(1)
    def cudaGetDeviceProperties(self, index: int) -> Any:
        return SimpleNamespace(name=b"NVIDIA Fake 1", major=8, minor=9)

    @api(0)
    def cudaSetDevice(self, index: int) -> Any:
        self._thread.device = index
        return None if index < self.devices else Code.cudaErrorInvalidDevice

    @api(2)
    def cudaMemGetInfo(self) -> Any:
        return self.total_bytes - self.streams.device_bytes(), self.total_bytes

    @api(1)
    def cudaDriverGetVersion(self) -> int:
        return 13000

    @api(1)
    def cudaRuntimeGetVersion(self) -> int:
        return 13050

    def cudaGetErrorString(self, code: Code) -> tuple[Code, bytes]:
        return Code.cudaSuccess, CODES[code.name][1].encode()

    def cudaGetLastError(self) -> tuple[Code]:
        found, self.last = self.last, self.lost or Code.cudaSuccess
        return (found,)

    @api(1)
    def cudaMalloc(self, size: int) -> Any:
        if self.streams.device_bytes() + size > self.total_bytes:
            return Code.cudaErrorMemoryAllocation
        return self.streams.allocate(size, pinned=False)

    @api(1)
    def cudaHostAlloc(self, size: int, flags: int) -> Any:
        return self.streams.allocate(size, pinned=True)

    @api(0)
    def cudaFree(self, address: int) -> None:
        self.streams.free(address)

    cudaFreeHost = cudaFree

    @api(1)
    def cudaStreamCreateWithFlags(self, flags: int) -> Stream:
        assert flags == CONSTANTS["cudaStreamNonBlocking"]
        self.streams.streams.append(Stream(0xF000 + len(self.streams.streams), self._thread.device))
        return self.streams.streams[-1]

    @api(0)
    def cudaStreamDestroy(self, stream: Stream) -> None:
        assert not stream.pending, "a stream is destroyed with work on it"

    @api(0)
    def cudaStreamSynchronize(self, stream: Stream) -> Any:
        if stream.recording is not None:
            stream.is_invalid = True
            return Code.cudaErrorStreamCaptureUnsupported
        return self.streams.run(stream)

    @api(1)
    def cudaEventCreateWithFlags(self, flags: int) -> Any:
        return SimpleNamespace(stream=None, until=0)

    @api(0)
    def cudaEventRecord(self, event: Any, stream: Stream) -> None:
        event.stream, event.until = stream, stream.done + len(stream.pending)

    @api(0)
    def cudaEventSynchronize(self, event: Any) -> None:
        self.streams.run(event.stream, event.until)

    @api(0)
    def cudaEventDestroy(self, event: Any) -> None: ...

    @api(0)
    def cudaStreamBeginCapture(self, stream: Stream, mode: int) -> None:
        stream.recording, stream.is_invalid = [], False

    @api(1)
    def cudaStreamEndCapture(self, stream: Stream) -> Any:
        graph, stream.recording = stream.recording, None
        return Code.cudaErrorStreamCaptureInvalidated if stream.is_invalid else graph

    @api(1)
    def cudaGraphInstantiate(self, graph: list[Work], flags: int) -> Any:
        return list(graph)

    @api(0)
    def cudaGraphLaunch(self, graph: list[Work], stream: Stream) -> Any:
        if stream.device != self._thread.device:
            return Code.cudaErrorInvalidResourceHandle
        for work in graph:
            self.streams.put(stream, work)
        return None

    @api(0)
    def cudaGraphDestroy(self, graph: list[Work]) -> None: ...

    @api(0)
    def cudaGraphExecDestroy(self, graph: list[Work]) -> None: ...

    @api(0)
    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: Stream) -> Any:
        to_device = kind == CONSTANTS["cudaMemcpyKind.cudaMemcpyHostToDevice"]
        return self.streams.put(stream, self.streams.copy(target, size, source, size, size, 1, to_device=to_device))

    @api(0)
    def cudaMemcpy2DAsync(self, *arguments: Any) -> Any:
        *_, stream = arguments
        to_device = arguments[-2] == CONSTANTS["cudaMemcpyKind.cudaMemcpyHostToDevice"]
        return self.streams.put(stream, self.streams.copy(*arguments[:-2], to_device=to_device))
