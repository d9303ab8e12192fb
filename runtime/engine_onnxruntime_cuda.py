"""The ONNX Runtime engine on an NVIDIA GPU: any tile at once, without an engine that is built for minutes.

One session serves all slots and shapes, recorded as a CUDA graph for each slot and shape. One worker thread opens it
and runs it, because ONNX Runtime keeps graphs for the thread that recorded them. All memory is taken before the first
tile; where that of the device does not hold every slot, those that it holds do the work.
NOT RUN on a GPU so far: run against the fakes in tests, which compute with the real ONNX Runtime on the processor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count, product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from unetctl.runtime import cuda
from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.cuda_stream import open_event, open_stream
from unetctl.runtime.cuda_words import out_of_memory, translated_cuda
from unetctl.runtime.device_tiles import Shape, largest_shapes
from unetctl.runtime.engine import Result, normalisation_inputs, refuse_other_outputs, slot_bytes
from unetctl.runtime.engine_onnxruntime import import_onnxruntime
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import DataError, ResourceError, UnavailableError
from unetctl.runtime.model import Model
from unetctl.runtime.onnxruntime_session import INSTALL, PROVIDER, open_cuda_session, preload
from unetctl.runtime.onnxruntime_slot import OnnxRuntimeSlot
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.tile_choice import SLOTS

LOG = logging.getLogger(__name__)

NAME = "onnxruntime-cuda"
WARM_UPS = 2
"""Runs of a shape before it is recorded: memory that is taken in the first cannot be taken while it is recorded."""
LIBRARY_BYTES = 2048 << 20
"""Of the host: CUDA, cuDNN and ONNX Runtime. NOT MEASURED."""
DEVICE_LIBRARY_BYTES = 768 << 20
"""Of the device, for CUDA's and cuDNN's own. NOT MEASURED."""
ACTIVATION_FACTOR = 2.4
"""Of the device, over `activation_values`: that of ONNX Runtime's arena on a processor, with what convolutions work in.
NOT MEASURED on a GPU."""


class OnnxRuntimeCudaEngine:
    """An `Engine` over one ONNX Runtime session on one GPU."""

    def __init__(self, request: EngineRequest, *, device: int = 0) -> None:
        self.slots = request.slots  # fewer once entered, where the memory of the device does not hold them all
        self._request = request
        self._index = device

    def __enter__(self) -> Self:
        request = self._request
        cuda.device(self._index)  # raises where there is none, before ONNX Runtime takes a processor in its place
        area = max(height * width for height, width in request.shapes)
        with ExitStack() as stack:
            worker = stack.enter_context(ThreadPoolExecutor(1, NAME))
            slots = [
                OnnxRuntimeSlot(
                    *(request.model.spec, request.batch, area, request.model.record.outputs),
                    stream=stack.enter_context(open_stream()),
                    event=stack.enter_context(open_event()),
                )
                for _ in range(request.slots)
            ]
            for slot in slots:
                stack.callback(slot.unbind)
            self._session, self._slots = worker.submit(self._ready, slots).result()
            self._worker = worker
            self._pending: list[Future[None]] = [Future() for _ in self._slots]
            self._keep = stack.pop_all()
        self.slots = len(self._slots)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        cuda.release("cudaSetDevice", self._index)
        del self._session
        self._keep.close()  # a slot lets go of its bindings, which hold the session, before the memory of its graphs
        del self._slots

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's pinned input as `[N, C, H, W]`."""
        return self._slots[slot].shaped(shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start the slot's copy to the device, and hand it to the worker thread for the rest."""
        spec = self._request.model.spec
        cuda.use_device(self._index)  # CUDA keeps it for each thread, and this is another than the one that entered
        if spec.normalisation.scope is Scope.IMAGE:
            self._slots[slot].set_figures(*normalisation_inputs(spec, statistics))
        self._slots[slot].start()
        self._pending[slot] = self._worker.submit(self._compute, self._session, self._slots[slot])

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        self._pending[slot].result()
        cuda.use_device(self._index)
        self._slots[slot].wait()
        found = self._slots[slot].outputs()
        return Result(labels=found["labels"], probabilities=found.get("probabilities"))

    def _ready(self, slots: list[OnnxRuntimeSlot]) -> tuple[Any, list[OnnxRuntimeSlot]]:
        """Open the session and bind the slots; in the worker. Without graphs where they cannot be recorded."""
        cuda.use_device(self._index)
        try:
            return self._bound(slots, graphs=True)
        except ResourceError as error:  # of memory that was asked for while a graph was recorded, too
            why_not = error.cause
        except (DataError, UnavailableError) as error:
            if "captur" not in error.cause.lower():
                raise
            why_not = error.cause
        for slot in slots:
            slot.unbind()
        found = self._bound(slots, graphs=False)  # raises again if there is too little memory in truth
        LOG.warning("the GPU is driven call by call and not by CUDA graphs, which is a little slower: %s", why_not)
        return found

    def _bound(self, slots: list[OnnxRuntimeSlot], *, graphs: bool) -> tuple[Any, list[OnnxRuntimeSlot]]:
        """Open the session, and bind one slot after another; return those that the memory of the device holds.

        Each runs with every shape, so that nothing is set up, taken or recorded during the run. Raises
        `ResourceError` with what is needed and what is free if the device does not hold one.
        """
        request, graph_ids = self._request, count(1)
        free_bytes, ready = cuda.free_device_bytes(), list[OnnxRuntimeSlot]()
        try:
            precision = request.model.record.precision
            session = open_cuda_session(request.model.path, self._index, graphs=graphs, precision=precision)
            refuse_other_outputs(request.model, [one.name for one in session.get_outputs()])
            for slot in slots:
                slot.bind(session, self._index, {shape: next(graph_ids) for shape in request.shapes})
                for recorded, shape in product((*[False] * WARM_UPS, True), request.shapes):
                    slot.shaped(shape)
                    slot.start()
                    self._compute(session, slot, recorded=recorded)
                    slot.wait()
                ready.append(slot)
        except ResourceError as error:
            if not ready:
                needed = max(device_bytes(request.model, one, request.batch, 1) for one in request.shapes)
                raise out_of_memory(needed, free_bytes=free_bytes, cause=error.cause) from error
            slots[len(ready)].unbind()
            LOG.warning(
                "the GPU has too little memory for %d tiles in flight: going on with %d, more slowly (%s)",
                *(len(slots), len(ready), error.cause or error.what),
            )
        return session, ready

    def _compute(self, session: Any, slot: OnnxRuntimeSlot, *, recorded: bool = True) -> None:
        """Run a slot that was started; in the worker."""
        cuda.use_device(self._index)
        with translated_cuda("ONNX Runtime", "tiles", free_bytes=cuda.free_device_bytes):
            slot.compute(session, recorded=recorded)


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    """Run named inputs through a model file with this engine's settings; yield every output, for the comparison."""
    session = open_cuda_session(path, cuda.device().index, graphs=False)
    names = [one.name for one in session.get_outputs()]
    for inputs in batches:
        with translated_cuda("ONNX Runtime", str(path), free_bytes=cuda.free_device_bytes):
            found = session.run(None, dict(inputs))
        yield dict(zip(names, found, strict=True))


def status(index: int = 0) -> EngineStatus:
    """Say whether ONNX Runtime can run on the GPU of this index, and load the GPU's libraries to see it."""
    if not cuda.device_count():
        why_not = f"no NVIDIA GPU that CUDA can use: {cuda.why_no_device()}"
        return EngineStatus(name=NAME, version="", usable=False, why_not=why_not, hint=INSTALL)
    try:
        device, onnxruntime = cuda.device(index), import_onnxruntime()
        version, providers = onnxruntime.__version__, onnxruntime.get_available_providers()
        missing = preload() if PROVIDER in providers else ""
    except UnavailableError as error:
        return EngineStatus(name=NAME, version="", usable=False, why_not=error.what, hint=INSTALL)
    except AttributeError as error:  # of two variants one was removed: an empty module is left
        return EngineStatus(name=NAME, version="", usable=False, why_not=str(error), hint=INSTALL)
    if PROVIDER not in providers:
        why_not = f"this onnxruntime is not the one for GPUs: it has {', '.join(providers)}"
        return EngineStatus(name=NAME, version=version, usable=False, why_not=why_not, hint=INSTALL)
    if missing:
        return EngineStatus(name=NAME, version=version, usable=False, why_not=missing, hint=INSTALL)
    return EngineStatus(
        name=NAME,
        version=version,
        usable=True,
        device=f"{device.name}, compute capability {device.compute_capability}",
    )


def engine_bytes(request: EngineRequest) -> int:
    """Predict the bytes of this machine's own memory that this engine adds at its peak; the GPU's are not counted."""
    spec, shape = request.model.spec, request.shapes[0]
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    return LIBRARY_BYTES + 2 * 4 * weight_values(network) + request.slots * slot_bytes(spec, shape, request.batch)


def device_bytes(model: Model, shape: Shape, batch: int, slots: int) -> int:
    """Estimate the memory of the device for tiles of `shape`: the slots share all but their pixels and labels."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    value_bytes = 2 if model.record.precision == "fp16" else 4
    values = ACTIVATION_FACTOR * activation_values(*shape, network) * batch + weight_values(network)
    return DEVICE_LIBRARY_BYTES + int(value_bytes * values) + slots * slot_bytes(spec, shape, batch)


def fixed_shapes(model: Model, *, index: int = 0) -> tuple[Shape, ...]:
    """Return the largest input shapes for the free memory of a GPU; none if it holds any that is worth its memory."""
    free_bytes = cuda.device(index).free_bytes
    return largest_shapes(model.spec.depth, free_bytes, lambda shape: device_bytes(model, shape, 1, SLOTS))
