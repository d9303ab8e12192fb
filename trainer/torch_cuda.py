"""The torch engine on an NVIDIA GPU: pinned memory, copies beside the network, one CUDA graph a shape.

    stream of slot 0   | copy in |                      | copy out |
    stream of slot 1             | copy in |                       | copy out |
    one for networks             | network of 0         | network of 1         |

The networks run one after another, so the graphs of all shapes share one pool of memory. Graphs, and not
torch.compile: what is computed are cuDNN's convolutions either way, recording them takes milliseconds a shape, and a
compiler for each shape takes minutes and a tool chain. cuDNN chooses kernels by its rules and not by timing them, in
fp32 without TF32: see docs/decisions/0011-kernels-are-chosen-by-rule.md.
NOT RUN on a GPU so far: run against a fake in tests, on the processor.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from unetctl.runtime.cost import activation_values, layers, weight_values
from unetctl.runtime.cuda_words import translated_cuda
from unetctl.runtime.device_tiles import Shape
from unetctl.runtime.engine import Result, normalisation_inputs, slot_bytes
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import ResourceError, UnavailableError
from unetctl.runtime.model import Model
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.statistics import Statistics
from unetctl.trainer.checkpoint import Checkpoint
from unetctl.trainer.deploy import DeployGraph
from unetctl.trainer.lowered import in_precision

LOG = logging.getLogger(__name__)

WARM_UPS = 2
"""Runs of a shape before it is recorded: what libraries set up in their first cannot be."""
LIBRARY_BYTES = 2048 << 20
"""Of the host: CUDA and cuDNN. NOT MEASURED."""
DEVICE_LIBRARY_BYTES = 768 << 20
"""Of the device, for CUDA's and cuDNN's own. NOT MEASURED."""
ACTIVATION_FACTOR = 2.0
"""Of the device, over `activation_values`, with what convolutions work in. NOT MEASURED on a GPU."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """What runs the tiles of one shape: inputs at addresses that never change, and outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] = ()
    graph: torch.cuda.CUDAGraph | None = None


class TorchSlot:
    """Pinned memory of one slot, its bytes on the device, and the stream of its copies."""

    def __init__(self, spec: ModelSpec, request: EngineRequest, device: str) -> None:
        area = max(height * width for height, width in request.shapes)
        outputs = list(request.model.record.outputs)
        self.memory = SlotMemory(spec, request.batch, area, outputs, allocate=pinned_zeros)
        self.shape: Shape = (0, 0)
        self.figures = pinned_zeros(2 * len(spec.channels), np.float32)
        sizes = {"image": 1, "figures": self.figures.nbytes} | dict.fromkeys(outputs, 1)
        for shape in request.shapes:
            self.memory.shaped(request.batch, shape)
            for name, array in (("image", self.memory.bytes_view()), *self.memory.outputs().items()):
                sizes[name] = max(sizes[name], array.nbytes)
        self._device = {name: torch.empty(size, dtype=torch.uint8, device=device) for name, size in sizes.items()}
        cuda: Any = torch.cuda  # whose streams and events have no types
        self.stream = cuda.Stream()
        self.arrived, self.computed, self.finished = (cuda.Event(blocking=True) for _ in range(3))

    def there(self, name: str, host: NDArray[Any]) -> Tensor:
        """Return the device's bytes of `host`, flat."""
        return self._device[name][: host.nbytes]


class TorchCudaEngine:
    """An `Engine` over a checkpoint on the first GPU, or on `device`."""

    def __init__(self, checkpoint: Checkpoint, request: EngineRequest, *, device: str = "cuda") -> None:
        self.slots = request.slots  # fewer once entered, where the memory of the device does not hold them all
        self._spec, self._checkpoint, self._request, self._device = checkpoint.spec, checkpoint, request, device

    def __enter__(self) -> Self:
        request = self._request
        if not torch.cuda.is_available():
            raise UnavailableError(
                f"torch has no device {self._device}",
                cause="torch.cuda.is_available() is false",
                hint="install the driver and the CUDA build of torch, or use the CPU",
            )
        with self._on_the_gpu():
            network = in_precision(copy.deepcopy(self._checkpoint.network), request.hint)
            graph: Any = DeployGraph(network, self._spec, request.model.record.outputs)
            cuda: Any = torch.cuda  # whose streams have no types
            self._network = graph.to(self._device, memory_format=torch.channels_last).eval()
            self._compute, self._pool = cuda.Stream(), cuda.graph_pool_handle()
            self._lanes = {shape: self._lane(shape) for shape in request.shapes}
            for lane in self._lanes.values():  # after all ran: the memory of the runs is in no graph's way
                self._record(lane)
            self._slots = [TorchSlot(self._spec, request, self._device)]
            try:
                for _ in range(1, request.slots):
                    self._slots.append(TorchSlot(self._spec, request, self._device))
            except (torch.OutOfMemoryError, ResourceError) as error:
                LOG.warning(
                    "the GPU has too little memory for %d tiles in flight: going on with %d, more slowly (%s)",
                    *(request.slots, len(self._slots), error),
                )
            torch.cuda.synchronize()
        self.slots = len(self._slots)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # of a lost device
            torch.cuda.synchronize()
        del self._slots, self._lanes, self._network

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the slot's pinned input as `[N, C, H, W]`."""
        self._slots[slot].shape = shape
        return self._slots[slot].memory.shaped(self._request.batch, shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Put the copies and the network of the slot on their streams; all return at once."""
        one = self._slots[slot]
        image, outputs, lane = one.memory.bytes_view(), one.memory.outputs(), self._lanes[one.shape]
        hosts: dict[str, NDArray[Any]] = {"image": image}
        if self._spec.normalisation.scope is Scope.IMAGE:
            one.figures[:] = np.concatenate(normalisation_inputs(self._spec, statistics))
            hosts["figures"] = one.figures
        with self._on_the_gpu():
            with torch.cuda.stream(one.stream):
                for name, host in hosts.items():
                    one.there(name, host).copy_(_flat(host), non_blocking=True)
                one.arrived.record(one.stream)
            with torch.cuda.stream(self._compute):
                self._compute.wait_event(one.arrived)
                lane.inputs[0].view(-1).copy_(one.there("image", image))
                for at, there in enumerate(lane.inputs[1:]):
                    there.copy_(one.there("figures", one.figures).view(torch.float32)[at * len(there) :][: len(there)])
                self._run(lane)
                for (name, host), found in zip(outputs.items(), lane.outputs, strict=True):
                    one.there(name, host).copy_(found.reshape(-1))
                one.computed.record(self._compute)
            with torch.cuda.stream(one.stream):
                one.stream.wait_event(one.computed)
                for name, host in outputs.items():
                    _flat(host).copy_(one.there(name, host), non_blocking=True)
                one.finished.record(one.stream)

    def result(self, slot: int) -> Result:
        """Wait for the slot."""
        with self._on_the_gpu():
            self._slots[slot].finished.synchronize()
        found = self._slots[slot].memory.outputs()
        return Result(labels=found["labels"], probabilities=found.get("probabilities"))

    def _lane(self, shape: Shape) -> Lane:
        """Return what runs tiles of `shape`, after the network ran with it, so that nothing is set up later."""
        channels = len(self._spec.channels)
        item = np.dtype(self._spec.pixel_type.value).itemsize
        full = (self._request.batch, channels, *shape, *((item,) if item > 1 else ()))
        inputs = [torch.zeros(full, dtype=torch.uint8, device=self._device)]
        if self._spec.normalisation.scope is Scope.IMAGE:
            inputs += [torch.zeros(channels, device=self._device) for _ in range(2)]
        lane = Lane(inputs=tuple(inputs))
        torch.cuda.synchronize()
        with torch.cuda.stream(self._compute):
            for _ in range(WARM_UPS):
                self._run(lane)
        self._compute.synchronize()
        lane.outputs = ()
        return lane

    def _record(self, lane: Lane) -> None:
        """Record the network; where that cannot be, or memory does not suffice for it, it is called each time."""
        recorded = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(recorded, pool=self._pool, stream=self._compute, capture_error_mode="thread_local"):
                lane.outputs = self._network(*lane.inputs)
            lane.graph = recorded
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "captur" not in str(error).lower():
                raise
            lane.outputs = ()
            LOG.warning("the GPU is driven call by call and not by a CUDA graph, which is a little slower: %s", error)

    def _run(self, lane: Lane) -> None:
        """Put the network on the current stream."""
        if lane.graph is not None:
            lane.graph.replay()
        else:
            lane.outputs = self._network(*lane.inputs)

    @contextmanager
    def _on_the_gpu(self) -> Iterator[None]:
        """Compute as this engine does, and turn torch's errors into ours."""
        request = self._request
        needed = max(device_bytes(request.model, shape, request.batch, self.slots) for shape in request.shapes)
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        translate = translated_cuda("torch", "tiles", needed_bytes=needed, free_bytes=free_bytes)
        with translate, flags, torch.inference_mode():
            yield


def pinned_zeros(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros `[count]` in memory that copies run from and to by themselves."""
    kind = np.dtype(dtype)
    memory: NDArray[Any] = torch.zeros(count * kind.itemsize, dtype=torch.uint8, pin_memory=True).numpy()
    return memory.view(kind)


def free_bytes() -> int | None:
    """Return what is free on the device; None if it does not say."""
    try:
        return torch.cuda.mem_get_info()[0]
    except RuntimeError:
        return None


def host_bytes(request: EngineRequest) -> int:
    """Predict the bytes of this machine's own memory that this engine adds at its peak; the GPU's are not counted."""
    return LIBRARY_BYTES + request.slots * slot_bytes(request.model.spec, request.shapes[0], request.batch)


def device_bytes(model: Model, shape: Shape, batch: int, slots: int) -> int:
    """Estimate the memory of the device for tiles of `shape`, in fp32: slots share all but their pixels and labels."""
    spec = model.spec
    network = layers(spec.depth, spec.base_channels, len(spec.channels), len(spec.classes))
    values = ACTIVATION_FACTOR * activation_values(*shape, network) * batch + weight_values(network)
    return DEVICE_LIBRARY_BYTES + int(4 * values) + slots * slot_bytes(spec, shape, batch)


def _flat(host: NDArray[Any]) -> Tensor:
    return torch.from_numpy(host.view(np.uint8).reshape(-1))
