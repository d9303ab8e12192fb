"""Run any graph through TensorRT, one call after the other: for the comparison at export, which looks at logits too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.cuda import DeviceFacts
from unetctl.runtime.cuda_memory import DevicePlanes, device_memory, download, pinned_array, upload
from unetctl.runtime.cuda_stream import open_stream, synchronize
from unetctl.runtime.errors import DataError
from unetctl.runtime.tensorrt_build import build_plan
from unetctl.runtime.tensorrt_callbacks import make_log
from unetctl.runtime.tensorrt_library import TensorRtLibrary
from unetctl.runtime.tensorrt_plan import refused, start_runtime


def run_graph(
    path: Path,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    library: TensorRtLibrary,
    device: DeviceFacts,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Run named inputs through the ONNX file at `path` and yield all of its outputs by name.

    Every shape that comes is built once, which takes TensorRT minutes. Raises what `build_plan` raises.
    """
    log = make_log(library.module)
    runtime = start_runtime(library, log)
    engines: dict[tuple[int, ...], Any] = {}
    for inputs in batches:
        batch, _, height, width, *_ = shape = inputs["image"].shape
        if shape not in engines:
            built = build_plan(path, library=library, device=device, batch=batch, shape=(height, width))
            engines[shape] = runtime.deserialize_cuda_engine(built.plan)
        if engines[shape] is None:
            raise refused(log, f"{library.name} {library.version} refuses {path}")
        yield _run(library.module, engines[shape], log, inputs)


def _run(trt: Any, engine: Any, log: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    if lacking := [one for one in names if one not in inputs and engine.get_tensor_mode(one) == trt.TensorIOMode.INPUT]:
        raise DataError(f"the graph wants {', '.join(lacking)}, which was not given")
    arrays = {name: _pinned(trt, engine, name) for name in names}
    for name, values in inputs.items():
        arrays[name][:] = values
    with ExitStack() as stack:
        stream = stack.enter_context(open_stream())
        there = {name: _on_device(array, stack) for name, array in arrays.items()}
        for name in inputs:
            upload(_flat(arrays[name]), there[name], stream)
        context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.STATIC)
        if context is None:
            raise refused(log, "TensorRT makes no execution context")
        for name, place in there.items():
            context.set_tensor_address(name, place.address)
        if not context.execute_async_v3(int(stream)):
            raise refused(log, "TensorRT did not start a tile")
        outputs = [name for name in names if name not in inputs]
        for name in outputs:
            download(there[name], _flat(arrays[name]), stream)
        synchronize(stream)
    return {name: arrays[name] for name in outputs}


def _pinned(trt: Any, engine: Any, name: str) -> NDArray[Any]:
    """Return a pinned array of the shape and type of a tensor."""
    types = {
        trt.DataType.UINT8: np.uint8,
        trt.DataType.FLOAT: np.float32,
        trt.DataType.HALF: np.float16,
        trt.DataType.INT32: np.int32,
        trt.DataType.INT64: np.int64,
    }
    kind = types.get(engine.get_tensor_dtype(name))
    if kind is None:
        raise DataError(f"the graph's {name} is of a type that is not compared: {engine.get_tensor_dtype(name)}")
    shape = tuple(engine.get_tensor_shape(name))
    return pinned_array(int(np.prod(shape)) * np.dtype(kind).itemsize).view(kind).reshape(shape)


def _on_device(array: NDArray[Any], stack: ExitStack) -> DevicePlanes:
    address = stack.enter_context(device_memory(array.nbytes))
    return DevicePlanes(address=address, planes=1, height=1, row_bytes=array.nbytes)


def _flat(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)[None, None]
