"""The OpenVINO engine: x86 and Arm processors, in fp32.

One compiled model with free sizes serves every shape of a plan, and has one asynchronous request a slot. The precision
is always set: on a processor with bf16, OpenVINO would otherwise take it without a word, and with it other labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.engine import Result, normalisation_inputs, refuse_other_outputs, slot_bytes
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import UnavailableError
from unetctl.runtime.library_errors import translated
from unetctl.runtime.model import Model
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics

INSTALL = 'pip install "unetctl[openvino]"'
DEVICE = "CPU"

LIBRARY_BYTES = 128 << 20
WEIGHT_COPIES = 2.2
"""The file as it is read, and the weights reordered for the processor's vectors."""
ACTIVATION_FACTOR = 1.55
"""Peak of the activations over `activation_values`: measured 1.11 to 1.47 (8, 32, 64 channels; tiles of 1212 to 2236 px
and their cut neighbours; two threads; OpenVINO 2026.4.1)."""
AVERAGED_ACTIVATION_FACTOR = 3.7
"""The same with a model that averages, whose passes share their memory less well: a block that a small tensor of one
pass takes is a large one of another. Measured 2.47 to 3.44 (16, 64 channels; tiles of 700 to 1724 px)."""


class OpenVinoEngine:
    """An `Engine` over one compiled model."""

    def __init__(self, request: EngineRequest) -> None:
        self.slots = request.slots
        self._request = request
        self._spec = request.model.spec

    def __enter__(self) -> Self:
        request = self._request
        self._openvino = import_openvino()
        compiled = compile_model(request.model.path, threads=request.threads)
        outputs = [one.get_any_name() for one in compiled.outputs]
        refuse_other_outputs(request.model, outputs)
        area = max(height * width for height, width in request.shapes)
        self._memory = [SlotMemory(self._spec, request.batch, area, outputs) for _ in range(self.slots)]
        self._requests = [compiled.create_infer_request() for _ in range(self.slots)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for one in self._requests if error is not None else ():
            one.cancel()  # a tile that nobody waits for is not computed to its end
        for one in self._requests:
            with suppress(RuntimeError):  # that it was cancelled, or what its result would have raised
                one.wait()  # until then it writes into the memory that is given back next
        del self._requests, self._memory

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's input memory as `[N, C, H, W]`."""
        return self._memory[slot].shaped(self._request.batch, shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start the slot's request; image and outputs are the engine's own memory, and are not copied."""
        memory, request = self._memory[slot], self._requests[slot]
        own: dict[str, NDArray[Any]] = {"image": memory.bytes_view(), **memory.outputs()}
        copied: dict[str, NDArray[Any]] = {}  # nobody else keeps these arrays until the request has read them
        if self._spec.normalisation.scope is Scope.IMAGE:
            copied["shift"], copied["scale"] = normalisation_inputs(self._spec, statistics)
        with translated("OpenVINO", f"tiles {own['image'].shape}"):
            for name, array in (*own.items(), *copied.items()):
                request.set_tensor(name, self._openvino.Tensor(array, shared_memory=name in own))
            request.start_async()

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        with translated("OpenVINO", "tiles"):
            self._requests[slot].wait()
        found = self._memory[slot].outputs()
        return Result(labels=found["labels"], probabilities=found.get("probabilities"))


def import_openvino() -> Any:
    """Import openvino, or raise `UnavailableError` with the line that installs it."""
    try:
        import openvino
    except ImportError as error:
        raise UnavailableError("openvino is not installed", cause=str(error), hint=INSTALL) from error
    return openvino


def compile_model(path: Path, *, threads: int) -> Any:
    """Compile a model with free sizes for the processor, in fp32. Raises `DataError` if it is refused."""
    openvino = import_openvino()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",  # one tile on all threads: two side by side take twice the memory
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "NO",  # readers and writers need the same processors
    }
    with translated("OpenVINO", str(path)):
        return openvino.Core().compile_model(str(path), DEVICE, settings)


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:
    """Run named inputs through a model file with this engine's settings; yield every output, for the comparison."""
    request = compile_model(path, threads=threads).create_infer_request()
    for inputs in batches:
        with translated("OpenVINO", str(path)):
            found = request.infer(dict(inputs))
        # A tensor may have several names: of a cast that OpenVINO leaves out, both ends.
        yield {name: np.array(array) for one, array in found.items() for name in one.get_names()}


def status() -> EngineStatus:
    """Say whether OpenVINO can run here."""
    try:
        openvino = import_openvino()
    except UnavailableError as error:
        return EngineStatus(name="openvino", version="", usable=False, why_not=error.what, hint=INSTALL)
    version = str(openvino.__version__).split("-")[0]
    return EngineStatus(name="openvino", version=version, usable=True, device=f"{DEVICE}, fp32")


def engine_bytes(model: Model, shape: tuple[int, int], batch: int, slots: int) -> int:
    """Predict the bytes that this engine adds at its peak: an upper bound, fitted to peaks that were measured."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    factor = AVERAGED_ACTIVATION_FACTOR if model.record.averaging > 1 else ACTIVATION_FACTOR
    values = factor * activation_values(*shape, network) * batch + WEIGHT_COPIES * weight_values(network)
    return LIBRARY_BYTES + int(4 * values) + slots * slot_bytes(spec, shape, batch)
