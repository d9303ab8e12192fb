"""The ONNX Runtime engine on a processor of any kind; for NVIDIA GPUs there is `engine_onnxruntime_cuda`.

One session with free sizes serves every shape of a plan, as fast as a session for each would, and holds the weights
once. Inputs and outputs are bound to memory that the engine owns: nothing is copied. `submit` hands a slot to one
worker thread, so that the caller can prepare the next one while a batch is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.engine import Result, normalisation_inputs, refuse_other_outputs, slot_bytes
from unetctl.runtime.engines import EngineRequest, EngineStatus
from unetctl.runtime.errors import UnavailableError
from unetctl.runtime.library_errors import translated
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import Scope
from unetctl.runtime.statistics import Statistics

INSTALL = 'pip install "unetctl[cpu]"'
VARIANTS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
"""Distributions that all own the module `onnxruntime`: the one installed last overwrites the others."""


class OnnxRuntimeEngine:
    """An `Engine` over one ONNX Runtime session."""

    def __init__(self, request: EngineRequest) -> None:
        self.slots = request.slots
        self._request = request
        self._spec = request.model.spec

    def __enter__(self) -> Self:
        request, spec = self._request, self._spec
        self._session = open_session(request.model.path, threads=request.threads)
        outputs = [one.name for one in self._session.get_outputs()]
        refuse_other_outputs(request.model, outputs)
        area = max(height * width for height, width in request.shapes)
        self._memory = [SlotMemory(spec, request.batch, area, outputs) for _ in range(self.slots)]
        self._pending: list[Future[Result]] = [Future() for _ in range(self.slots)]
        self._run_options = import_onnxruntime().RunOptions()
        self._worker = ThreadPoolExecutor(1, "onnxruntime")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run_options.terminate = error is not None  # a tile that nobody waits for is not computed to its end
        self._worker.shutdown(wait=True, cancel_futures=True)
        del self._session, self._memory

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's input memory as `[N, C, H, W]`."""
        return self._memory[slot].shaped(self._request.batch, shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Hand the slot to the worker thread."""
        self._pending[slot] = self._worker.submit(self._run, self._memory[slot], statistics)

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        return self._pending[slot].result()

    def _run(self, memory: SlotMemory, statistics: Statistics | None) -> Result:
        binding = self._session.io_binding()
        inputs: dict[str, NDArray[Any]] = {"image": memory.bytes_view()}
        if self._spec.normalisation.scope is Scope.IMAGE:
            inputs["shift"], inputs["scale"] = normalisation_inputs(self._spec, statistics)
        outputs = memory.outputs()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        with translated("ONNX Runtime", f"tiles {inputs['image'].shape}"):
            self._session.run_with_iobinding(binding, self._run_options)
        return Result(labels=outputs["labels"], probabilities=outputs.get("probabilities"))


def import_onnxruntime() -> Any:
    """Import onnxruntime, or raise `UnavailableError` with the line that installs it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", cause=str(error), hint=INSTALL) from error
    return onnxruntime


def open_session(path: Path, *, threads: int) -> Any:
    """Load a model into an `InferenceSession` with options that were measured on two cores.

    Raises `DataError` if the model is refused.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.enable_mem_pattern = False  # with several shapes it took a quarter more memory and was not faster
    # Threads that spin between two layers take the processor from readers and writers, and win nothing on large tiles.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with translated("ONNX Runtime", str(path)):
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_file(path: Path, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int) -> Iterator[dict[str, Any]]:
    """Run named inputs through a model file with this engine's settings; yield every output, for the comparison."""
    session = open_session(path, threads=threads)
    names = [one.name for one in session.get_outputs()]
    for inputs in batches:
        with translated("ONNX Runtime", str(path)):
            found = session.run(None, dict(inputs))
        yield dict(zip(names, found, strict=True))


def status() -> EngineStatus:
    """Say whether ONNX Runtime can run here, and which of its variants are installed over each other."""
    installed = {name: installed_version(name) for name in VARIANTS if installed_version(name)}
    several = f"{' and '.join(installed)} are installed and overwrite each other" if len(installed) > 1 else ""
    tidy = f"pip uninstall {' '.join(installed)}; then {INSTALL}" if several else ""
    try:
        onnxruntime = import_onnxruntime()
        version = onnxruntime.__version__
    except (UnavailableError, AttributeError) as error:  # of two variants one was removed: an empty module is left
        why = getattr(error, "cause", "") or str(error)
        return EngineStatus(name="onnxruntime", version="", usable=False, why_not=several or why, hint=tidy or INSTALL)
    return EngineStatus(
        name="onnxruntime",
        version=version,
        usable=True,
        why_not=several,
        hint=tidy,
        device="CPU",
    )


LIBRARY_BYTES = 64 << 20
WEIGHT_COPIES = 2.2
"""The file as it is read, and the weights reordered for the processor's vectors."""
ARENA_FACTOR = 2.4
"""Peak of the arena over `activation_values`: the layout ORT works in is made and undone, and freed blocks leave gaps.
Measured 1.95 to 2.32 (16, 32, 64 channels; tiles of 700 to 1724 px and their cut neighbours; ONNX Runtime 1.31.1). A
model that averages takes no more."""


def engine_bytes(request: EngineRequest) -> int:
    """Predict the bytes that this engine adds at its peak: an upper bound, fitted to peaks that were measured."""
    spec, shape = request.model.spec, request.shapes[0]
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    values = ARENA_FACTOR * activation_values(*shape, network) * request.batch + WEIGHT_COPIES * weight_values(network)
    return LIBRARY_BYTES + int(4 * values) + request.slots * slot_bytes(spec, shape, request.batch)


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution; empty if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
