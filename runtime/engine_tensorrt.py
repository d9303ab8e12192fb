"""The TensorRT engine: NVIDIA GPUs, through plans that were built for exactly this GPU and library.

Its slots work side by side on streams of their own, so that the copies of one run beside the network of another. All
memory is taken before the first tile; where that of the device does not hold every slot, those that it holds do the
work, more slowly and with the same labels. A GPU is looked for before TensorRT is touched: without one TensorRT would
end the process.

NOT RUN on a GPU so far: run against the fakes in tests, with names that exist in TensorRT 10.3 to 11.4.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from unetctl.runtime import cuda, tensorrt_choice
from unetctl.runtime.cost import layers, weight_values
from unetctl.runtime.cuda_stream import open_event, open_stream
from unetctl.runtime.cuda_words import out_of_memory
from unetctl.runtime.engine import Result, normalisation_inputs, slot_bytes
from unetctl.runtime.engine_acceptance import accept_engine
from unetctl.runtime.engine_file import SUFFIX, EngineFile, read_engine_file
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import ResourceError, UnetctlError
from unetctl.runtime.model import Model
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.tensorrt_callbacks import make_log
from unetctl.runtime.tensorrt_choice import Shape, choose_plans
from unetctl.runtime.tensorrt_library import (
    TENSORRT,
    TENSORRT_RTX,
    TensorRtLibrary,
    library_for_gpu,
    load_tensorrt,
)
from unetctl.runtime.tensorrt_plan import load_plan, start_runtime
from unetctl.runtime.tensorrt_run import run_graph
from unetctl.runtime.tensorrt_slot import TensorRtSlot, device_bytes

LOG = logging.getLogger(__name__)

LIBRARY_BYTES = 1536 << 20
"""Of the host: CUDA and TensorRT. NOT MEASURED."""
PLAN_COPIES = 2
"""The plan as it is read, and as TensorRT takes it apart. NOT MEASURED."""
HINT = 'with an NVIDIA GPU and its driver: pip install "unetctl[trt]" (or "unetctl[trt-rtx]" for an RTX card)'


class TensorRtEngine:
    """An `Engine` over one plan or several, on one GPU. `trust_foreign` lets it load plans that others built."""

    def __init__(self, request: EngineRequest, *, device: int = 0, trust_foreign: bool = False) -> None:
        self.slots = request.slots  # fewer once entered, where the memory of the device does not hold them all
        self._request = request
        self._index = device
        self._trust_foreign = trust_foreign
        self._is_told = False

    def __enter__(self) -> Self:
        request = self._request
        device = cuda.device(self._index)  # raises where there is none, before TensorRT is imported
        library = library_for(request.model.path, device)
        files = choose_plans(
            *(request.model, request.shapes, library, device), accept=self._accept, trust_foreign=self._trust_foreign
        )
        area = max(height * width for height, width in request.shapes)
        with ExitStack() as stack:
            slots = [
                TensorRtSlot(
                    *(request.model.spec, request.batch, area, request.model.record.outputs),
                    stream=stack.enter_context(open_stream()),
                    event=stack.enter_context(open_event()),
                )
                for _ in range(request.slots)
            ]
            for slot in slots:
                stack.callback(slot.unload)
            self._slots = self._loaded(slots, files, library)
            self._keep = stack.pop_all()
        self.slots = len(self._slots)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cuda.release("cudaSetDevice", self._index)
        self._keep.close()
        del self._slots, self._runtime

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's pinned input as `[N, C, H, W]`."""
        return self._slots[slot].shaped(shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start the slot."""
        spec = self._request.model.spec
        cuda.use_device(self._index)  # CUDA keeps it for each thread, and this is another than the one that entered
        if spec.normalisation.scope is Scope.IMAGE:
            self._slots[slot].set_figures(*normalisation_inputs(spec, statistics))
        self._start(self._slots[slot])

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        cuda.use_device(self._index)
        self._slots[slot].wait()
        found = self._slots[slot].outputs()
        return Result(labels=found["labels"], probabilities=found.get("probabilities"))

    def _loaded(
        self, slots: Sequence[TensorRtSlot], files: Mapping[Shape, EngineFile], library: TensorRtLibrary
    ) -> list[TensorRtSlot]:
        """Load the plans, and into the slots one after another; return those that the memory of the device holds.

        Raises `ResourceError` with what is needed and what is free if it does not hold one.
        """
        model, log = self._request.model, make_log(library.module)
        self._runtime = start_runtime(library, log)
        by_path = {file.path: file for file in files.values()}
        free_bytes, needed_bytes = cuda.free_device_bytes(), sum(one.record.plan_bytes for one in by_path.values())
        ready: list[TensorRtSlot] = []
        try:
            loaded = {
                path: load_plan(library, self._runtime, log, file, trust_foreign=self._trust_foreign)
                for path, file in by_path.items()
            }
            needed_bytes += sum(device_bytes(model.spec, model.record.outputs, loaded.values()).values())
            for slot in slots:
                slot.load(library.module, {shape: loaded[file.path] for shape, file in files.items()})
                self._warm_up(slot)
                ready.append(slot)
        except ResourceError as error:
            if not ready:
                raise out_of_memory(needed_bytes, free_bytes=free_bytes, cause=error.cause) from error
            slots[len(ready)].unload()
            LOG.warning(
                "the GPU has too little memory for %d tiles in flight: going on with %d, more slowly (%s)",
                *(len(slots), len(ready), error.cause or error.what),
            )
        return ready

    def _warm_up(self, slot: TensorRtSlot) -> None:
        """Run a slot with every shape once, so that nothing is set up, taken or recorded during the run."""
        for shape in self._request.shapes:
            slot.shaped(shape)
            self._start(slot)
            slot.wait()

    def _start(self, slot: TensorRtSlot) -> None:
        why_not = slot.start()
        if why_not and not self._is_told:
            self._is_told = True
            LOG.warning("the GPU is driven call by call and not by a CUDA graph, which is a little slower: %s", why_not)

    def _accept(self, file: EngineFile) -> Mapping[str, Any]:
        return accept_engine(file, partial(TensorRtEngine, device=self._index))


def library_for(path: Path, device: cuda.DeviceFacts) -> TensorRtLibrary:
    """Return the library for the model at `path`: of an engine that of its record, else what builds for the GPU.

    Raises `UnavailableError` where it is not installed.
    """
    if path.suffix == SUFFIX:
        return load_tensorrt(read_engine_file(path).record.kind)
    return library_for_gpu(device.compute_capability)


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    """Run named inputs through a model file and yield every output, for the comparison; builds each shape first."""
    device = cuda.device()
    yield from run_graph(path, batches, library=library_for(path, device), device=device)


def status(index: int = 0) -> EngineStatus:
    """Say whether TensorRT can run here, on the GPU of this index. It is not imported where there is no GPU."""
    version = _version(TENSORRT) or _version(TENSORRT_RTX)
    if not cuda.device_count():
        why_not = f"no NVIDIA GPU that CUDA can use: {cuda.why_no_device()}"
        return EngineStatus(name="tensorrt", version=version, usable=False, why_not=why_not, hint=HINT)
    try:
        device = cuda.device(index)
        library = library_for_gpu(device.compute_capability)
    except UnetctlError as error:
        why_not = f"{error.what}: {error.cause}" if error.cause else error.what
        return EngineStatus(name="tensorrt", version=version, usable=False, why_not=why_not, hint=error.hint)
    return EngineStatus(
        name="tensorrt",
        version=f"for RTX {library.version}" if library.is_rtx else library.version,
        usable=True,
        device=f"{device.name}, compute capability {device.compute_capability}",
    )


def engine_bytes(request: EngineRequest) -> int:
    """Predict the bytes of this machine's own memory that this engine adds at its peak; the GPU's are not counted."""
    spec, shape = request.model.spec, request.shapes[0]
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    return (
        LIBRARY_BYTES
        + PLAN_COPIES * 4 * weight_values(network)
        + request.slots * slot_bytes(spec, shape, request.batch)
    )


def fixed_shapes(model: Model, *, index: int = 0, trust_foreign: bool = False) -> tuple[Shape, ...]:
    """Return the input shapes of the plans of `model` for a GPU, or of those that would be built for want of any."""
    device = cuda.device(index)
    library = library_for(model.path, device)
    return tensorrt_choice.fixed_shapes(model, library, device, trust_foreign=trust_foreign)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
