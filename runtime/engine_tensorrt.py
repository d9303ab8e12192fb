"""The TensorRT engine: NVIDIA GPUs, through plans that were built for exactly this GPU and library.

Its slots work side by side on streams of their own, so that the copies of one run beside the network of another. Where
the memory of the device does not suffice, the batch is halved and what was in flight is started again; nothing is lost.
A GPU is looked for before TensorRT is touched: without one TensorRT would end the process.

NOT RUN on a GPU so far: run against the fakes in tests, with names that exist in TensorRT 10.3 to 11.4.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from unetctl.runtime.engine import Result, normalisation_inputs, slot_bytes
from unetctl.runtime.engine_acceptance import accept_engine
from unetctl.runtime.engine_file import SUFFIX, EngineFile, read_engine_file
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import ResourceError, UnavailableError, UnetctlError
from unetctl.runtime.memory import BATCH
from unetctl.runtime.model import Model
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics
from unetctl.runtime.tensorrt_library import TENSORRT, TENSORRT_RTX, TensorRtLibrary, load_tensorrt
from unetctl.runtime.tensorrt_load import TensorRtLoad
from unetctl.runtime.tensorrt_run import run_graph
from unetctl.runtime.tensorrt_slot import TensorRtSlot

LOG = logging.getLogger(__name__)

LIBRARY_BYTES = 1536 << 20
"""Of the host: CUDA and TensorRT. NOT MEASURED."""
PLAN_COPIES = 2
"""The plan as it is read, and as TensorRT takes it apart. NOT MEASURED."""
HINT = 'with an NVIDIA GPU and its driver: pip install "unetctl[trt]" (or "unetctl[trt-rtx]" for an RTX card)'


class TensorRtEngine:
    """An `Engine` over one plan or several, on one GPU. `trust_foreign` lets it load plans that others built."""

    def __init__(self, request: EngineRequest, *, device: int = 0, trust_foreign: bool = False) -> None:
        self.slots = request.slots
        self._request = request
        self._index = device
        self._trust_foreign = trust_foreign
        self._flying: list[int] = []
        self._is_told = False

    def __enter__(self) -> Self:
        request = self._request
        device = cuda.device(self._index)  # raises where there is none, before TensorRT is imported
        library = library_for(request.model.path)
        area = max(height * width for height, width in request.shapes)
        with ExitStack() as stack:
            self._slots = [
                TensorRtSlot(
                    *(request.model.spec, request.batch, area, request.model.record.outputs),
                    stream=stack.enter_context(open_stream()),
                    event=stack.enter_context(open_event()),
                )
                for _ in range(self.slots)
            ]
            self._load = TensorRtLoad(
                *(request, self._slots, library, device), accept=self._accept, trust_foreign=self._trust_foreign
            )
            stack.callback(self._load.unload)
            self._load.load(self._warm_up)
            self._keep = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cuda.release("cudaSetDevice", self._index)
        self._keep.close()
        del self._slots, self._load

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's pinned input as `[N, C, H, W]`."""
        return self._slots[slot].shaped(shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start the slot."""
        spec = self._request.model.spec
        cuda.use_device(self._index)  # CUDA keeps it for each thread, and this is another than the one that entered
        if spec.normalisation.scope is Scope.IMAGE:
            self._slots[slot].set_figures(*normalisation_inputs(spec, statistics))
        self._flying.append(slot)
        self._went(partial(self._start, slot))

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        cuda.use_device(self._index)
        while not self._went(self._slots[slot].wait):
            pass  # it was started again, in smaller pieces
        self._flying.remove(slot)
        found = self._slots[slot].outputs()
        return Result(labels=found["labels"], probabilities=found.get("probabilities"))

    def _went(self, step: Callable[[], None]) -> bool:
        """Do a step. Where the memory does not suffice, halve the batch, start again all in flight and return False."""
        try:
            step()
            return True
        except ResourceError as error:
            self._load.halve(error)
        self._load.load(self._restart)  # not in the handler: its error keeps what the failed step had on the device
        return False

    def _restart(self) -> None:
        for slot in self._flying:
            self._start(slot)

    def _start(self, slot: int) -> None:
        why_not = self._slots[slot].start()
        if why_not and not self._is_told:
            self._is_told = True
            LOG.warning("the GPU is driven call by call and not by a CUDA graph, which is a little slower: %s", why_not)

    def _warm_up(self) -> None:
        """Run every slot with every shape once, so that nothing is set up or recorded during the run."""
        for shape in self._request.shapes:
            for index, slot in enumerate(self._slots):
                slot.shaped(shape)
                self._start(index)
                slot.wait()

    def _accept(self, file: EngineFile) -> Mapping[str, Any]:
        return accept_engine(file, partial(TensorRtEngine, device=self._index))


def library_for(path: Path) -> TensorRtLibrary:
    """Return the library for the model at `path`: of an engine that of its record, else TensorRT, or the one for RTX.

    Raises `UnavailableError` where it is not installed.
    """
    if path.suffix == SUFFIX:
        return load_tensorrt(read_engine_file(path).record.kind)
    try:
        return load_tensorrt(TENSORRT)
    except UnavailableError as error:
        try:
            return load_tensorrt(TENSORRT_RTX)
        except UnavailableError:
            raise error from None


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    """Run named inputs through a model file and yield every output, for the comparison; builds each shape first."""
    device = cuda.device()
    yield from run_graph(path, batches, library=library_for(path), device=device)


def status() -> EngineStatus:
    """Say whether TensorRT can run here. It is not imported where there is no GPU."""
    installed = {name: _version(name) for name in (TENSORRT, TENSORRT_RTX)}
    name, version = next(((name, one) for name, one in installed.items() if one), (TENSORRT, ""))
    if not cuda.device_count():
        why_not = f"no NVIDIA GPU that CUDA can use: {cuda.why_no_device()}"
        return EngineStatus(name="tensorrt", version=version, usable=False, why_not=why_not, hint=HINT)
    try:
        library, device = load_tensorrt(name), cuda.device()
    except UnetctlError as error:
        why_not = f"{error.what}: {error.cause}" if error.cause else error.what
        return EngineStatus(name="tensorrt", version=version, usable=False, why_not=why_not, hint=error.hint)
    return EngineStatus(
        name="tensorrt",
        version=library.version if name == TENSORRT else f"for RTX {library.version}",
        usable=True,
        device=f"{device.name}, compute capability {device.compute_capability}",
    )


def engine_bytes(model: Model, shape: tuple[int, int], batch: int, slots: int) -> int:
    """Predict the bytes of this machine's own memory that this engine adds at its peak; the GPU's are not counted."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    return LIBRARY_BYTES + PLAN_COPIES * 4 * weight_values(network) + slots * slot_bytes(spec, shape, batch)


def fixed_shapes(model: Model) -> tuple[tuple[int, int], ...]:
    """Return the input shapes of the plans of `model` for this GPU, or of those that would be built for want of any."""
    return tensorrt_choice.fixed_shapes(model, library_for(model.path), cuda.device(), batch=BATCH)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
