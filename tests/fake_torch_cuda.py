"""A `torch.cuda` without a GPU: streams, events and graphs, whose work the processor does when it is waited for.

What is copied on a stream waits until somebody waits for the stream; a graph is the operations that were recorded, with
the tensors that they were recorded with, and replaying it is doing them again into the same memory. So a copy that is
missing, an event that nobody waits for and a result that is read too early give other labels, as on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike, NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from unetctl.trainer import torch_cuda

NO_ROOM = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.10 GiB is free."
)
LOST = (
    "CUDA error: {}\nSearch for `cudaError' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html "
    "for more information.\nCUDA kernel errors might be asynchronously reported at some other API call."
)
NO_CAPTURE = "CUDA error: operation not permitted when stream is capturing"


class FakeTorchCuda:
    """The names of `torch.cuda` that the engine uses, and what goes wrong."""

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.replayed = 0
        self.lost = ""
        """CUDA's sentence, once the device is lost"""
        self.lose_after: tuple[int, str] | None = None
        self.others_first = False
        """Whoever waits for a stream finds that all others went ahead, as far as nothing holds them."""
        self.can_be_captured = True
        self.has_room_for_graphs = True
        self.slots_with_room = 99
        self.flags: set[tuple[bool, bool]] = set()
        """What cuDNN was told while a graph was recorded: TF32, and to time its kernels"""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be `torch.cuda`."""
        names = {
            "is_available": lambda: True,
            "get_device_name": lambda: "NVIDIA Fake 1",
            "mem_get_info": lambda: (1100 << 20, 8 << 30),
            "synchronize": self.synchronize,
            "Stream": lambda: FakeStream(self),
            "Event": FakeEvent,
            "CUDAGraph": lambda: FakeGraph(self),
            "graph_pool_handle": lambda: (0, 1),
            "stream": _on_stream,
            "graph": self.graph,
        }
        for name, value in names.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch_cuda, "pinned_zeros", self.pinned)

    def pinned(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Take pinned memory: three arrays a slot."""
        self.slots_with_room -= 1
        if self.slots_with_room < 0:
            raise torch.OutOfMemoryError(NO_ROOM)
        return np.zeros(count, dtype)

    def synchronize(self) -> None:
        for stream in self.streams:
            stream.synchronize()

    @contextmanager
    def graph(self, graph: FakeGraph, *, pool: Any, stream: FakeStream, capture_error_mode: str) -> Iterator[None]:
        """Record what is done in the block."""
        assert capture_error_mode == "thread_local", "readers in other threads must not spoil it"
        if not self.has_room_for_graphs:
            raise torch.OutOfMemoryError(NO_ROOM)
        if not self.can_be_captured:
            raise torch.AcceleratorError(NO_CAPTURE)
        cudnn = torch.backends.cudnn
        self.flags.add((cudnn.allow_tf32, cudnn.benchmark))
        with _Recording(graph):
            yield

    def check(self) -> None:
        """Fail as every call does once the device is lost."""
        if self.lose_after and self.replayed >= self.lose_after[0]:
            self.lost = self.lose_after[1]
        if self.lost:
            for stream in self.streams:
                stream.pending.clear()
            raise torch.AcceleratorError(LOST.format(self.lost))


class FakeStream:
    """Work that waits."""

    def __init__(self, cuda: FakeTorchCuda) -> None:
        self.cuda, self.pending, self.done, self.put_count = cuda, list[Callable[[], Any]](), 0, 0
        cuda.streams.append(self)

    def put(self, work: Callable[[], Any]) -> None:
        self.pending.append(work)
        self.put_count += 1

    def run(self, until: int) -> None:
        if self.cuda.others_first:
            self.cuda.others_first = False
            for other in self.cuda.streams:
                if other is not self:
                    other.run(other.put_count)
            self.cuda.others_first = True
        while self.pending and self.done < until:
            self.cuda.check()
            work = self.pending.pop(0)
            self.done += 1
            with torch.inference_mode():
                work()

    def synchronize(self) -> None:
        self.cuda.check()
        self.run(self.put_count)

    def wait_event(self, event: FakeEvent) -> None:
        self.put(event.reach)


class FakeEvent:
    """A place in the work of a stream."""

    def __init__(self, *, blocking: bool) -> None:
        assert blocking, "waiting would take a processor from readers and writers"
        self._reach: Callable[[], None] = lambda: None

    def record(self, stream: FakeStream) -> None:
        until = stream.put_count
        self._reach = lambda: stream.run(until)

    def reach(self) -> None:
        self._reach()

    def synchronize(self) -> None:
        self._reach()


class FakeGraph:
    """Operations with the tensors that they were recorded with."""

    def __init__(self, cuda: FakeTorchCuda) -> None:
        self.cuda, self.done = cuda, list[tuple[Any, Any, Any, Any]]()

    def replay(self) -> None:
        """Put it on the current stream."""
        _current[-1].put(self._again)

    def _again(self) -> None:
        self.cuda.check()
        self.cuda.replayed += 1
        for operation, given, named, found in self.done:
            again = operation(*given, **named)
            for old, new in zip(_tensors(found), _tensors(again), strict=True):
                if old is not new:
                    old.copy_(new)


def _tensors(found: Any) -> list[torch.Tensor]:
    return [one for one in (found if isinstance(found, tuple | list) else (found,)) if isinstance(one, torch.Tensor)]


class _Recording(TorchDispatchMode):
    def __init__(self, graph: FakeGraph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        found = operation(*given, **(named or {}))
        self._graph.done.append((operation, given, named or {}, found))
        return found


class _Waiting(TorchDispatchMode):
    """Let copies wait on the stream; anything else is done at once, after what the stream has."""

    def __init__(self, stream: FakeStream) -> None:
        super().__init__()
        self._stream = stream

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if operation is torch.ops.aten.copy_.default:
            self._stream.put(lambda: operation(*given, **(named or {})))
            return given[0]
        if operation not in VIEWS:
            self._stream.synchronize()
        return operation(*given, **(named or {}))


VIEWS = {
    torch.ops.aten.view.default,
    torch.ops.aten.view.dtype,
    torch.ops.aten.slice.Tensor,
    torch.ops.aten.reshape.default,
    torch.ops.aten._reshape_alias.default,
    torch.ops.aten.lift_fresh.default,
}
"""They say where memory is, and touch none of it."""
_current: list[FakeStream] = []


@contextmanager
def _on_stream(stream: FakeStream) -> Iterator[None]:
    _current.append(stream)
    try:
        with _Waiting(stream):
            yield
    finally:
        _current.pop()
