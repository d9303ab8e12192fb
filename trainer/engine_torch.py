"""The torch engine: the reference, straight from a checkpoint, in fp32 on a CPU or a CUDA device.

It runs the same per-pixel graph that the exporter writes (`unetctl.trainer.deploy`), eagerly, in one worker thread.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.engine import Engine, Result, normalisation_inputs, slot_bytes
from unetctl.runtime.engines import EngineChoice, EngineRequest, EngineStatus
from unetctl.runtime.errors import ResourceError, UnavailableError
from unetctl.runtime.model import Model
from unetctl.runtime.spec import ExportRecord, PixelType, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.deploy import DeployGraph, image_bytes

LIBRARY_BYTES = 256 << 20
ACTIVATION_FACTOR = 2.0
"""Peak over `activation_values`: measured up to 1.6 beyond `LIBRARY_BYTES` (16 to 64 channels, tiles of 700, 1212 px,
torch 2.13). It varies, because memory goes back to the C library and not always from there to the system."""


class TorchEngine:
    """An `Engine` over a checkpoint; `request.model` gives the outputs and is otherwise not used."""

    def __init__(self, checkpoint: Checkpoint, request: EngineRequest, *, device: str = "cpu") -> None:
        self.slots = request.slots
        self._checkpoint = checkpoint
        self._request = request
        self._device = device

    def __enter__(self) -> Self:
        if self._device != "cpu" and not torch.cuda.is_available():
            raise UnavailableError(
                f"torch has no device {self._device}",
                cause="torch.cuda.is_available() is false",
                hint="install the driver and the CUDA build of torch, or use the CPU",
            )
        spec, request = self._checkpoint.spec, self._request
        self._graph = DeployGraph(self._checkpoint.network, spec, request.model.record.outputs).to(self._device).eval()
        dtype = np.uint16 if spec.pixel_type is PixelType.UINT16 else np.uint8
        values = request.batch * len(spec.channels) * max(height * width for height, width in request.shapes)
        self._memory = [np.zeros(values, dtype=dtype) for _ in range(self.slots)]
        self._inputs: list[NDArray[Any]] = list(self._memory)
        self._pending: list[Future[Result]] = [Future() for _ in range(self.slots)]
        self._worker = ThreadPoolExecutor(1, "torch", initializer=torch.set_num_threads, initargs=(request.threads,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's input memory as `[N, C, H, W]`."""
        full = (self._request.batch, len(self._checkpoint.spec.channels), *shape)
        self._inputs[slot] = self._memory[slot][: int(np.prod(full))].reshape(full)
        return self._inputs[slot]

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Hand the slot to the worker thread."""
        self._pending[slot] = self._worker.submit(self._run, self._inputs[slot], statistics)

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        return self._pending[slot].result()

    def _run(self, image: NDArray[Any], statistics: Statistics | None) -> Result:
        inputs = [torch.from_numpy(image_bytes(image)).to(self._device)]
        if self._checkpoint.spec.normalisation.scope is Scope.IMAGE:
            figures = normalisation_inputs(self._checkpoint.spec, statistics)
            inputs += [torch.from_numpy(one).to(self._device) for one in figures]
        try:
            with torch.inference_mode():
                found = [one.cpu().numpy() for one in self._graph(*inputs)]
        except torch.OutOfMemoryError as error:
            raise ResourceError(
                f"torch has too little memory for {image.shape} on {self._device}", hint="a smaller --max-memory"
            ) from error
        return Result(labels=found[0], probabilities=found[1] if len(found) > 1 else None)


def torch_choice(checkpoint: Checkpoint, *, device: str = "auto") -> EngineChoice:
    """Return the torch engine for `checkpoint` as `unetctl.runtime` takes it; `auto` is CUDA where there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"

    def open_engine(request: EngineRequest) -> Engine:
        return TorchEngine(checkpoint, request, device=device)

    return EngineChoice(
        name="torch",
        description=f"torch {torch.__version__} on {device}",
        reason="only torch runs a checkpoint",
        open=open_engine,
        bytes_needed=engine_bytes,
    )


def engine_bytes(model: Model, shape: tuple[int, int], batch: int, slots: int) -> int:
    """Predict the bytes that this engine adds at its peak: an upper bound, fitted to peaks that were measured."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    values = ACTIVATION_FACTOR * activation_values(*shape, network) * batch + weight_values(network)
    return LIBRARY_BYTES + int(4 * values) + slots * slot_bytes(spec, shape, batch)


def checkpoint_model(checkpoint: Checkpoint, outputs: tuple[str, ...] = ("labels",)) -> Model:
    """Describe a checkpoint as a `Model`, so that `unetctl.runtime` can segment with it without an export."""
    with checkpoint.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    record = ExportRecord(
        created=checkpoint.spec.created,
        precision="fp32",
        outputs=outputs,
        comparison={},
        versions={"torch": torch.__version__},
    )
    return Model(path=checkpoint.path, spec=checkpoint.spec, record=record, golden=checkpoint.golden, sha256=sha256)


def status() -> EngineStatus:
    """Say what the torch engine would run on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return EngineStatus(name="torch", version=torch.__version__, usable=True, device=device)
