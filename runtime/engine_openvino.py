"""The OpenVINO engine: x86 and Arm processors, and Intel GPUs (NOT RUN on one so far).

One compiled model serves every shape of a plan, and has one asynchronous request a slot; where all tiles have the same
regular shape its size is fixed, so that activations take a third less memory (`openvino_memory`). The precision is
always set: on a processor with bf16, OpenVINO would otherwise take it without a word, and with it other labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.compile_cache import CompileCache, processor_identity
from unetctl.runtime.engine import Result, normalisation_inputs, refuse_other_outputs
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import StorageError, UnavailableError
from unetctl.runtime.library_errors import translated
from unetctl.runtime.model import Model
from unetctl.runtime.openvino_memory import engine_bytes, fixed_input
from unetctl.runtime.precision import Precision
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics

__all__ = ["OpenVinoEngine", "engine_bytes", "run_file", "status"]

INSTALL = 'pip install "unetctl[openvino]"'
PROCESSOR = "CPU"


class OpenVinoEngine:
    """An `Engine` over one compiled model."""

    def __init__(self, request: EngineRequest) -> None:
        self.slots = request.slots
        self._request = request
        self._spec = request.model.spec

    def __enter__(self) -> Self:
        request = self._request
        self._openvino = import_openvino()
        compiled, self._blob = _compiled(request)
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
        while self._requests:
            with suppress(RuntimeError):  # that it was cancelled, or what its result would have raised
                self._requests.pop().wait()  # until then it writes into the memory that is given back next
        del self._memory, self._blob

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


def _settings(device: str, threads: int, hint: Precision | None, *, streams: int = 1) -> dict[str, str]:
    """Return the properties to compile with; they decide what is computed, so none is left to the library."""
    common = {
        "INFERENCE_PRECISION_HINT": "bf16" if hint is Precision.BF16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",  # by default one tile on all threads: two side by side take twice the memory
        "NUM_STREAMS": str(streams),
    }
    if device.startswith("GPU"):
        return common
    # Without pinning, because readers and writers need the same processors.
    return {**common, "INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}


def _compiled(request: EngineRequest) -> tuple[Any, NDArray[np.uint8] | None]:
    """Compile a model, or take what was compiled of the same bytes before. Raises `DataError`.

    The second is what the compiled model reads its weights from: it must live as long.
    """
    model, device = request.model, request.device or PROCESSOR
    settings = _settings(device, request.threads, request.hint, streams=request.streams)
    core = _core()
    fixed = fixed_input(request)
    cache = _cache() if request.caches else None
    key = {**_key(model, device, settings), "image": fixed} if cache else {}
    if cache and (entry := cache.load(key)) is not None:
        # With free sizes weights are read when the first tile of a size comes, maybe hours later: not from a file then.
        blob = entry.blob if fixed else entry.blob.copy()
        try:
            compiled = core.import_model(import_openvino().Tensor(blob, shared_memory=True), device, settings)
        except RuntimeError:  # the library refuses what it wrote itself: it is made again, below
            del entry, blob
            cache.remove(key)
        else:
            entry.let_go()
            return compiled, blob
    with translated("OpenVINO", str(model.path)):
        graph = core.read_model(str(model.path))
        if fixed:
            graph.reshape({"image": fixed})
        compiled = core.compile_model(graph, device, settings)
    if cache and _sha256(model.path) == model.sha256:  # or the file was replaced since it was read
        with suppress(RuntimeError):  # a device that cannot export
            cache.save(key, compiled.export_model().getbuffer())
    return compiled, None


def _cache() -> CompileCache | None:
    """Return the user's cache; None where this user has no folder to write to, who then compiles each time."""
    try:
        return CompileCache()
    except StorageError:
        return None


def _key(model: Model, device: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return all that decides what the library makes of a model."""
    core = _core()
    return {
        "model": model.sha256,
        "openvino": str(import_openvino().__version__),
        "device": [device, core.get_property(device, "FULL_DEVICE_NAME")],
        "capabilities": sorted(core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
        "processor": processor_identity(),
        "settings": dict(settings),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _core() -> Any:
    """Return OpenVINO's own core, which loads the plugin of a device once."""
    return import_openvino().Core()


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:
    """Run named inputs through a model file with this engine's settings; yield every output, for the comparison."""
    import_openvino()
    with translated("OpenVINO", str(path)):
        compiled = _core().compile_model(str(path), PROCESSOR, _settings(PROCESSOR, threads, None))
    request = compiled.create_infer_request()
    for inputs in batches:
        with translated("OpenVINO", str(path)):
            found = request.infer(dict(inputs))
        # A tensor may have several names: of a cast that OpenVINO leaves out, both ends.
        yield {name: np.array(array) for one, array in found.items() for name in one.get_names()}


def status(device: str = PROCESSOR) -> EngineStatus:
    """Say whether OpenVINO can run on `device` (`CPU`, `GPU`, `GPU.1`) here, and in what."""
    try:
        openvino = import_openvino()
    except UnavailableError as error:
        return EngineStatus(name="openvino", version="", usable=False, why_not=error.what, hint=INSTALL)
    version, found = str(openvino.__version__).split("-")[0], tuple(_core().available_devices)
    if not any(one == device or one.startswith(f"{device}.") for one in found):
        why_not = f"OpenVINO finds no {device} here; it finds {', '.join(found) or 'nothing'}"
        hint = "leave out --device" + (", or install Intel's driver" if device.startswith("GPU") else "")
        return EngineStatus(name="openvino", version=version, usable=False, why_not=why_not, hint=hint)
    # A GPU was in no comparison at export, so it computes in fp32 and is tried on the golden tiles before it runs.
    has_bf16 = device == PROCESSOR and "BF16" in _core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    return EngineStatus(
        name="openvino",
        version=version,
        usable=True,
        device=device,
        hints=(Precision.BF16,) if has_bf16 else (),
    )
