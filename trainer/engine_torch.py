"""The torch engine: the reference, straight from a checkpoint, in fp32 unless another precision is asked for by name.

It runs the same per-pixel graph that the exporter writes (`unetctl.trainer.deploy`): on a processor eagerly, in one
worker thread; on an NVIDIA GPU as `unetctl.trainer.torch_cuda` does.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.device_tiles import Shape, largest_shapes
from unetctl.runtime.engine import Engine, Result, normalisation_inputs, slot_bytes
from unetctl.runtime.engines import EngineChoice, EngineRequest, EngineStatus
from unetctl.runtime.errors import ResourceError, UnavailableError, UsageError
from unetctl.runtime.model import Model
from unetctl.runtime.precision import Precision
from unetctl.runtime.precision_choice import AUTO, parse_precision
from unetctl.runtime.spec import ExportRecord, PixelType, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.deploy import DeployGraph, image_bytes
from unetctl.trainer.lowered import DTYPES, in_precision
from unetctl.trainer.torch_cuda import TorchCudaEngine, device_bytes, free_bytes, host_bytes

LIBRARY_BYTES = 256 << 20
ACTIVATION_FACTOR = 2.0
"""Peak over `activation_values`: measured up to 1.6 beyond `LIBRARY_BYTES` (16 to 64 channels, tiles of 700, 1212 px,
torch 2.13). It varies, because memory goes back to the C library and not always from there to the system."""


class TorchEngine:
    """An `Engine` on the processor; `request.model` gives the outputs and is otherwise not used."""

    def __init__(self, checkpoint: Checkpoint, request: EngineRequest) -> None:
        self.slots = request.slots
        self._checkpoint = checkpoint
        self._request = request

    def __enter__(self) -> Self:
        spec, request = self._checkpoint.spec, self._request
        network = in_precision(self._checkpoint.network, request.hint)
        self._graph = DeployGraph(network, spec, request.model.record.outputs).eval()
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
        inputs = [torch.from_numpy(image_bytes(image))]
        if self._checkpoint.spec.normalisation.scope is Scope.IMAGE:
            figures = normalisation_inputs(self._checkpoint.spec, statistics)
            inputs += [torch.from_numpy(one) for one in figures]
        try:
            with torch.inference_mode():
                found = [one.numpy() for one in self._graph(*inputs)]
        except torch.OutOfMemoryError as error:
            raise ResourceError(
                f"torch has too little memory for {image.shape}", hint="a smaller --max-memory"
            ) from error
        return Result(labels=found[0], probabilities=found[1] if len(found) > 1 else None)


def torch_choice(checkpoint: Checkpoint, *, device: str = "auto", precision: str = AUTO) -> EngineChoice:
    """Return the torch engine for `checkpoint` as `unetctl.runtime` takes it; `auto` is CUDA where there is one.

    `precision` is `auto`, which is fp32, or a name. No export compared what is not fp32 on a processor: the choice says
    that it must be tried first. Raises `UsageError` and `UnavailableError`.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    is_on_gpu, hint = device != "cpu", _hint(precision, device)

    def open_engine(request: EngineRequest) -> Engine:
        request = replace(request, hint=hint)
        return TorchCudaEngine(checkpoint, request) if is_on_gpu else TorchEngine(checkpoint, request)

    def fixed_shapes(model: Model) -> tuple[Shape, ...]:
        room = free_bytes() if is_on_gpu else None
        return (
            () if room is None else largest_shapes(model.spec.depth, room, lambda one: device_bytes(model, one, 1, 3))
        )

    return EngineChoice(
        name="torch",
        description=f"torch {torch.__version__} on {device}" + (f", {hint}" if hint else ""),
        reason="only torch runs a checkpoint",
        open=open_engine,
        bytes_needed=host_bytes if is_on_gpu else engine_bytes,
        fixed_shapes=fixed_shapes,
        hint=hint,
        precision_reason="asked for; its golden tiles were tried" if hint else "the checkpoint's own",
        is_tried_first=is_on_gpu or hint is not None,
    )


def _hint(precision: str, device: str) -> Precision | None:
    """Return what the network is to be computed in, None for fp32. Raises `UsageError` and `UnavailableError`."""
    if precision in (AUTO, Precision.FP32):
        return None
    asked = parse_precision(precision)
    if asked not in DTYPES:
        raise UsageError(
            f"a checkpoint cannot be computed in {asked}",
            cause=f"{asked} is a model of its own",
            hint=f"unetctl export --precision {asked}",
        )
    if asked is Precision.FP16 and device == "cpu":
        raise UnavailableError(
            "torch computes in fp16 on a GPU alone", cause="torch.cuda.is_available() is false", hint="--precision bf16"
        )
    return asked


def engine_bytes(request: EngineRequest) -> int:
    """Predict the bytes that this engine adds at its peak: an upper bound, fitted to peaks that were measured."""
    spec, shape = request.model.spec, request.shapes[0]
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    values = ACTIVATION_FACTOR * activation_values(*shape, network) * request.batch + weight_values(network)
    return LIBRARY_BYTES + int(4 * values) + request.slots * slot_bytes(spec, shape, request.batch)


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
    is_on_gpu = torch.cuda.is_available()
    return EngineStatus(
        name="torch",
        version=torch.__version__,
        usable=True,
        device=torch.cuda.get_device_name() if is_on_gpu else "CPU",
        hints=(Precision.FP16, Precision.BF16) if is_on_gpu else (Precision.BF16,),
    )
