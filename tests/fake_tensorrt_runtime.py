"""A TensorRT without a GPU: plans that carry their ONNX model, run by ONNX Runtime in the memory of the fake CUDA.

It has the names that TensorRT 10.3 to 11.4 share and no others, fails in their words, works only when its stream is
waited for, and ends the test where the real one would end the process.
"""

from __future__ import annotations

import sys
import weakref
from enum import IntEnum
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fake_cuda import FakeCuda
from tests.fake_plan import Arrays, FakeBuilder, example, read_plan, session
from tests.fake_streams import Span, Work
from tests.fake_tensorrt import FakePart, fake_module
from tests.runtime.tensorrt_names import common_names

CAPTURING = (
    "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (operation not permitted when stream is capturing)"
)
NO_ROOM = "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)"
NO_WEIGHTS = "[virtualMemoryBuffer.cpp::resizePhysical::144] Error Code 2: OutOfMemory (Requested size was {} bytes.)"
DataType = IntEnum("DataType", ["UINT8", "FLOAT", "HALF", "INT32", "INT64"])
TYPES = {np.dtype("u1"): DataType.UINT8, np.dtype("f4"): DataType.FLOAT}
Strategy = IntEnum("Strategy", sorted(common_names()["ExecutionContextAllocationStrategy"]))
Mode = IntEnum("Mode", sorted(common_names()["TensorIOMode"]))
INPUTS = ("image", "shift", "scale")


class SegmentationFaultError(BaseException):
    """What the real library does not raise: it ends the process."""


class FakeTensorRt(FakeBuilder):
    """The library on one device, and how much of its memory a tile takes: in a context, and for scratch in kernels."""

    def __init__(self, cuda: FakeCuda, *, activation_bytes: int = 4096) -> None:
        super().__init__()
        self.cuda, self.activation_bytes, self.scratch_bytes = cuda, activation_bytes, 0
        self.can_be_captured = True

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what `import tensorrt` gives."""
        module = fake_module(common_names(), self.calls, self.builder, self.parser)
        module.DataType, module.Runtime = DataType, self.runtime
        module.ExecutionContextAllocationStrategy, module.TensorIOMode = Strategy, Mode
        module.__spec__ = ModuleSpec("tensorrt", None)  # torch looks whether it is there
        monkeypatch.setitem(sys.modules, "tensorrt", module)

    def allocate(self, size: int, owner: Any) -> int:
        """Take memory on the device for as long as `owner` lives; 0 if there is none."""
        code, address = self.cuda.cudaMalloc(size)
        if code:
            return 0
        weakref.finalize(owner, self.cuda.cudaFree, address).atexit = False
        return int(address)

    def runtime(self, log: Any) -> FakePart:
        """Be `trt.Runtime`."""
        if not self.cuda.devices:
            raise SegmentationFaultError
        return self.part("Runtime", deserialize_cuda_engine=lambda plan: self._engine(plan, log))

    def _engine(self, plan: bytes, log: Any) -> FakePart | None:
        model, image = read_plan(plan)
        tensors = example(model, image)
        engine = self.part(
            "ICudaEngine",
            num_io_tensors=len(tensors),
            device_memory_size_v2=self.activation_bytes * image[0],
            get_tensor_name=list(tensors).__getitem__,
            get_tensor_shape=lambda name: tensors[name].shape,
            get_tensor_dtype=lambda name: TYPES[tensors[name].dtype],
            get_tensor_mode=lambda name: Mode.INPUT if name in INPUTS else Mode.OUTPUT,
        )
        if not self.allocate(len(model), engine):
            log.log(1, NO_WEIGHTS.format(len(model)))
            return None
        itself = weakref.ref(engine)  # as in C++, a context keeps its engine, and an engine no context
        engine._values["create_execution_context"] = lambda strategy: self._context(itself(), strategy, plan, log)
        return engine

    def _context(self, engine: Any, strategy: Any, plan: bytes, log: Any) -> FakePart | None:
        state, size = FakeContext(self, plan, log), engine.device_memory_size_v2
        if strategy == Strategy.STATIC:
            state.set_device_memory(self.allocate(size, state), size)
        methods = {name: getattr(state, name) for name in ("set_device_memory", "set_tensor_address")}
        return self.part("IExecutionContext", engine=engine, execute_async_v3=state.execute, **methods)


class FakeContext:
    """What an execution context knows, and what it does on a stream."""

    def __init__(self, library: FakeTensorRt, plan: bytes, log: Any) -> None:
        self._library, self._log = library, log
        self._model, image = read_plan(plan)
        self._tensors: Arrays = example(self._model, image)
        self._addresses: dict[str, int] = {}
        self._activations: Span = (0, 0)
        self._is_started = self._is_set_up = False

    def set_device_memory(self, address: int, size: int) -> None:
        self._activations = (address, address + size)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self._tensors

    def execute(self, number: int) -> bool:
        cuda, library = self._library.cuda, self._library
        stream = next(one for one in cuda.streams.streams if one.number == number)
        if stream.recording is not None and not (self._is_set_up and library.can_be_captured):
            stream.is_invalid = True
            return self._refuse(CAPTURING)
        scratch = 0 if self._is_started else library.scratch_bytes * self._tensors["image"].shape[0]
        if scratch and not library.allocate(scratch, self):
            return self._refuse(NO_ROOM)
        self._is_started = True
        assert set(self._addresses) == set(self._tensors), "a tensor has no memory"
        spans = {name: (at, at + self._tensors[name].nbytes) for name, at in self._addresses.items()}
        reads = {name: spans.pop(name) for name in INPUTS if name in spans}

        def run() -> None:
            cuda.network_ran()
            self._is_set_up = True  # what is loaded in the first run is there once that is done, not once it is begun
            cuda.streams.view(self._activations)[:] = 0xEE
            inputs = {name: self._array(name, span) for name, span in reads.items()}
            for name, found in zip(spans, session(self._model).run(list(spans), inputs), strict=True):
                self._array(name, spans[name])[:] = found

        writes, inputs = (*spans.values(), self._activations), tuple(reads.values())
        cuda.streams.put(stream, Work(name="network", run=run, reads=inputs, writes=writes))
        return True

    def _array(self, name: str, span: Span) -> NDArray[Any]:
        like = self._tensors[name]
        return self._library.cuda.streams.view(span).view(like.dtype).reshape(like.shape)

    def _refuse(self, message: str) -> bool:
        self._log.log(1, message)
        return False
