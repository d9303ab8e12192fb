"""An onnxruntime-gpu without a GPU: its Python interface, over the real ONNX Runtime of the processor.

Tensors lie in the memory of the fake CUDA, apart from the host's. As the real one, it records a graph for each thread
and `gpu_graph_id` and then replays what was recorded, whatever is bound by then; it goes to the processor in silence
where it is allowed to, knows the options that version 1.31 knows, and fails in its words.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from tests.fake_api import LostDeviceError
from tests.fake_cuda import FakeCuda
from tests.fake_streams import DEVICE, RaceError, Span, _meet

OPTIONS = {"arena_extend_strategy", "cudnn_conv_algo_search", "device_id", "enable_cuda_graph", "use_tf32"}
"""Those of the provider's options, as they stand in the binary of 1.31.1, that are used."""
ON_CPU = (
    "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been "
    "explicitly disabled by the user."
)
NO_CAPTURE = (
    "This session cannot use the graph capture feature as requested by the user as all compute graph nodes have not "
    "been partitioned to the CUDAExecutionProvider"
)
NO_ROOM = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'node_conv2d' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for "
    "requested buffer of size {}"
)
LOST = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure {}: {} ; GPU=0 ; hostname=fake ; "
    "file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=448 ; "
    "expr=cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));"
)


@dataclass
class Options:
    """`SessionOptions`"""

    log_severity_level: int = 2
    enable_mem_pattern: bool = True
    entries: dict[str, str] = field(default_factory=dict)

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class FakeOnnxRuntime:
    """The module on one device, and what goes wrong on it: set before a session is opened."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.arena_bytes = 0
        """Of the device, that a run takes for each pixel in; a session keeps the most that it took."""
        self.has_libraries = True
        self.cpu_nodes = 0
        self.can_be_captured = True
        self.takes_memory_when_recorded = False
        self.sessions: list[Session] = []
        self.replayed = 0
        self.logger_severity = 2

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what `import onnxruntime` gives."""
        module: Any = ModuleType("onnxruntime")
        module.__spec__, module.__version__ = ModuleSpec("onnxruntime", None), onnxruntime.__version__
        module.SessionOptions, module.RunOptions = Options, onnxruntime.RunOptions
        module.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
        module.set_default_logger_severity = lambda severity: setattr(self, "logger_severity", severity)
        module.preload_dlls = lambda: None if self.has_libraries else print("Failed to load libcudnn.so.9")
        module.InferenceSession = self._session
        monkeypatch.setitem(sys.modules, "onnxruntime", module)

    def _session(
        self, path: Path, options: Options | onnxruntime.SessionOptions, providers: list[Any], enable_fallback: int = 1
    ) -> Any:
        if not isinstance(options, Options) or providers == ["CPUExecutionProvider"]:
            return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert self.logger_severity == 4, "it would print a warning at every session"
        ((name, chosen),) = providers
        assert name == "CUDAExecutionProvider"
        assert set(chosen) <= OPTIONS, "an unknown option is refused"
        is_on_gpu = self.has_libraries
        if (self.cpu_nodes or not is_on_gpu) and options.entries.get("session.disable_cpu_ep_fallback") == "1":
            raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : {ON_CPU}")
        captures = chosen["enable_cuda_graph"] == "1"
        if captures and not self.can_be_captured:
            if not enable_fallback:
                raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : {NO_CAPTURE}")
            is_on_gpu = False  # it prints what went wrong, and takes the processor
        self.sessions.append(Session(self, path, is_on_gpu=is_on_gpu, captures=captures, options=chosen))
        return self.sessions[-1]


@dataclass
class Binding:
    """`IOBinding`: a type, a shape and an address for each name."""

    inputs: dict[str, tuple[Any, tuple[int, ...], int]] = field(default_factory=dict)
    outputs: dict[str, tuple[Any, tuple[int, ...], int]] = field(default_factory=dict)

    def bind_input(self, name: str, kind: str, device: int, dtype: Any, shape: Any, address: int) -> None:
        assert (kind, address >= DEVICE) == ("cuda", True), "memory of the host is bound as the device's"
        self.inputs[name] = dtype, tuple(shape), address

    def bind_output(self, name: str, kind: str, device: int, dtype: Any, shape: Any, address: int) -> None:
        assert (kind, address >= DEVICE) == ("cuda", True), "memory of the host is bound as the device's"
        self.outputs[name] = dtype, tuple(shape), address


class Session:
    """`InferenceSession`"""

    def __init__(self, module: FakeOnnxRuntime, path: Path, *, is_on_gpu: bool, captures: bool, options: Any) -> None:
        self._module, self._captures, self.options = module, captures, options
        self._real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._providers = ["CUDAExecutionProvider"] * is_on_gpu + ["CPUExecutionProvider"]
        self._graphs: dict[tuple[int, str], Binding] = {}
        self._arena = 0

    def get_providers(self) -> list[str]:
        return self._providers

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def io_binding(self) -> Binding:
        return Binding()

    def run(self, names: Any, inputs: dict[str, NDArray[Any]]) -> Any:
        return self._real.run(names, inputs)

    def run_with_iobinding(self, binding: Binding, options: Any) -> None:
        graph = threading.get_ident(), options.get_run_config_entry("gpu_graph_id")
        skips, is_recorded = graph[1] == "-1", False
        if skips:
            pass
        elif self._captures and graph in self._graphs:
            self._module.replayed += 1
            binding = self._graphs[graph]
        elif self._captures:
            self._graphs[graph] = Binding(inputs=dict(binding.inputs), outputs=dict(binding.outputs))
            is_recorded = True
        cuda = self._module.cuda
        with cuda.lock:
            if cuda.lost:
                raise Fail(LOST.format(int(cuda.lost), cuda.cudaGetErrorString(cuda.lost)[1].decode()))
            self._take(binding, is_recorded=is_recorded)
            spans = {name: self._span(one) for name, one in (*binding.inputs.items(), *binding.outputs.items())}
            for stream in cuda.streams.streams:
                for work in stream.pending:
                    if _meet(tuple(spans.values()), work.writes if work.name == "upload" else work.reads + work.writes):
                        raise RaceError(f"the network runs beside a pending {work.name} of the same memory")
            inputs = {name: self._array(one).copy() for name, one in binding.inputs.items()}
            found = self._real.run(list(binding.outputs), inputs)
            for array, one in zip(found, binding.outputs.values(), strict=True):
                self._array(one)[:] = array
            cuda.streams.ran.append("network")
            try:
                cuda.network_ran()
            except LostDeviceError:
                cuda.streams.drop()
                raise Fail(LOST.format(int(cuda.lost), cuda.cudaGetErrorString(cuda.lost)[1].decode())) from None

    def _take(self, binding: Binding, *, is_recorded: bool) -> None:
        """Let the arena grow to what this run takes, but not in a recording; the same shape takes no more."""
        pixels = int(np.prod(binding.inputs["image"][1]))
        more = self._module.arena_bytes * pixels - self._arena
        if is_recorded and (more > 0 or self._module.takes_memory_when_recorded):
            raise RuntimeException(NO_ROOM.format(max(more, 1)))
        if more > 0:
            code, _ = self._module.cuda.cudaMalloc(more)
            if code:
                raise RuntimeException(NO_ROOM.format(more))
            self._arena += more

    def _span(self, tensor: tuple[Any, tuple[int, ...], int]) -> Span:
        dtype, shape, address = tensor
        return address, address + int(np.prod(shape)) * np.dtype(dtype).itemsize

    def _array(self, tensor: tuple[Any, tuple[int, ...], int]) -> NDArray[Any]:
        dtype, shape, _ = tensor
        found: NDArray[Any] = self._module.cuda.streams.view(self._span(tensor)).view(dtype).reshape(shape)
        return found
