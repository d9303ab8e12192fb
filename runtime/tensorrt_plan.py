"""A plan in the memory of the device, and what it means when TensorRT refuses something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unetctl.runtime.cuda import free_device_bytes
from unetctl.runtime.cuda_words import NOTHING_LOST, out_of_memory
from unetctl.runtime.engine_file import EngineFile
from unetctl.runtime.engine_trust import trusted_plan
from unetctl.runtime.errors import DataError, UnavailableError, UnetctlError
from unetctl.runtime.spec import PixelType, Scope
from unetctl.runtime.tensorrt_library import TensorRtLibrary


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlan:
    """A plan that is ready to run; the slots share it and its weights."""

    engine: Any
    """An `ICudaEngine`"""
    log: Any
    shape: tuple[int, int]
    """What its one tile reads, `(H, W)`."""
    activation_bytes: int
    """What one context works in."""


def start_runtime(library: TensorRtLibrary, log: Any) -> Any:
    """Return TensorRT's `Runtime`. A GPU must have been found before: without one its next call ends the process."""
    try:
        return library.module.Runtime(log)
    except TypeError as error:  # a null pointer from C++, in the words of its binding
        raise UnavailableError(
            f"{library.name} {library.version} could not start",
            cause="; ".join(log.errors) or str(error),
            hint="its version must fit the driver and the GPU: unetctl doctor shows both",
        ) from error


def load_plan(library: TensorRtLibrary, runtime: Any, log: Any, file: EngineFile, *, trust_foreign: bool) -> LoadedPlan:
    """Load a plan onto the current device.

    Raises `RefusedError` for a foreign plan without `trust_foreign`, `DataError` for one whose tensors are not those of
    its record, `ResourceError` for too little memory and `UnavailableError` for what TensorRT refuses.
    """
    engine = runtime.deserialize_cuda_engine(trusted_plan(file, trust_foreign=trust_foreign))
    if engine is None:
        raise refused(log, f"{library.name} {library.version} refuses {file.path}")
    found = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        found[name] = (tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name))
    if found != (expected := _tensors(library.module, file)):
        raise DataError(
            f"{file.path} has other inputs and outputs than its record says",
            cause=f"it has {found}, and the record means {expected}",
            hint="build it again from the ONNX model: unetctl export --model model.onnx --trt",
        )
    return LoadedPlan(
        engine=engine,
        log=log,
        shape=file.record.input_yx,
        activation_bytes=max(256, int(engine.device_memory_size_v2)),
    )


def refused(log: Any, what: str) -> UnetctlError:
    """Return the error of something that TensorRT did not do; `log` is emptied of its reasons.

    TensorRT gives no codes, so CUDA is asked first: on a lost device every call fails, and this one raises it.
    """
    messages = list(log.errors)
    log.errors.clear()
    free_bytes = free_device_bytes()
    cause = "; ".join(messages)[:500]
    if "out of memory" in cause.lower() or "outofmemory" in cause.lower():
        return out_of_memory(0, free_bytes=free_bytes, cause=cause)
    return UnavailableError(
        what, cause=cause or "it does not say why", saved=NOTHING_LOST, hint="unetctl doctor, or another --engine"
    )


def _tensors(trt: Any, file: EngineFile) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return the shape and the type of every input and output that the graph of this record has."""
    record, spec = file.record, file.record.spec
    two_bytes = (2,) if spec.pixel_type is PixelType.UINT16 else ()
    shapes: dict[str, tuple[int, ...]] = {"image": (1, len(spec.channels), *record.input_yx, *two_bytes)}
    if "labels" in record.export.outputs:
        shapes["labels"] = (1, *record.output_yx)
    if "probabilities" in record.export.outputs:
        shapes["probabilities"] = (1, len(spec.classes), *record.output_yx)
    found = {name: (shape, trt.DataType.UINT8) for name, shape in shapes.items()}
    if spec.normalisation.scope is Scope.IMAGE:
        found |= {name: ((len(spec.channels),), trt.DataType.FLOAT) for name in ("shift", "scale")}
    return found
