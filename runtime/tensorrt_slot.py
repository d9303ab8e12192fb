"""One slot of the TensorRT engine: a stream, memory at addresses that never change, a context a plan, a graph a shape.

    pinned tiles --copy--> image on the device --context--> labels on the device --copy--> pinned labels

All of that is put on the slot's own stream, so that its copies run beside the network of another slot. It is recorded
as a CUDA graph at its first run with a shape and started with one call from then on. A plan is for one tile, and runs
once for each of a batch. It may be larger than the tiles: valid convolutions let the top left of its input decide the
top left of its output, and the rest may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.cuda import release
from unetctl.runtime.cuda_memory import DevicePlanes, device_memory, download, pinned_zeros, upload
from unetctl.runtime.cuda_stream import capture, close_graph, record, replay, synchronize, wait_for
from unetctl.runtime.geometry import shrinkage_px
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import ModelSpec, Scope
from unetctl.runtime.tensorrt_plan import LoadedPlan, refused


@dataclass(slots=True, kw_only=True)
class Lane:
    """What runs the tiles of one shape."""

    plan: LoadedPlan
    context: Any
    """Of the slot and the plan alone: a context runs one tile at a time."""
    graph: Any = None
    is_tried: bool = False
    """It was recorded, or cannot be."""


class TensorRtSlot:
    """A slot: its memory of the host stays, what it has on the device is loaded and unloaded."""

    def __init__(
        self, spec: ModelSpec, batch: int, area_px: int, outputs: Sequence[str], *, stream: Any, event: Any
    ) -> None:
        self._spec, self._batch, self._outputs = spec, batch, outputs
        self._memory = SlotMemory(spec, batch, area_px, list(outputs), allocate=pinned_zeros)
        per_image = spec.normalisation.scope is Scope.IMAGE
        self._figures = {name: pinned_zeros(len(spec.channels), np.float32) for name in ("shift", "scale") if per_image}
        self._stream, self._event = stream, event
        self._shape = (0, 0)
        self._lanes: dict[tuple[int, int], Lane] = {}
        self._addresses: dict[str, int] = {}
        self._device = ExitStack()

    def load(self, trt: Any, plans: Mapping[tuple[int, int], LoadedPlan]) -> None:
        """Take memory on the device and make a context for each plan; `plans` says which runs the tiles of a shape.

        Raises `ResourceError`; `unload` gives back what was taken until then.
        """
        for name, size in device_bytes(self._spec, self._outputs, plans.values()).items():
            self._addresses[name] = self._device.enter_context(device_memory(size))
        contexts = {id(plan): self._make_context(trt, plan) for plan in plans.values()}
        self._lanes = {shape: Lane(plan=plan, context=contexts[id(plan)]) for shape, plan in plans.items()}

    def unload(self) -> None:
        """Wait for the stream and give back all that is on the device."""
        release("cudaStreamSynchronize", self._stream)
        for lane in self._lanes.values():
            if lane.graph is not None:
                close_graph(lane.graph)
        self._lanes = {}  # the contexts go before the memory that they use
        self._addresses = {}
        self._device.close()

    def shaped(self, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the pinned input as `[N, C, *shape]`."""
        self._shape = shape
        return self._memory.shaped(self._batch, shape)

    def set_figures(self, shift: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        """Set the figures of the image's normalisation for the next start."""
        self._figures["shift"][:], self._figures["scale"][:] = shift, scale

    def start(self) -> str:
        """Start what `shaped` handed out last. Returns why it could not be recorded, told once a shape, or nothing."""
        lane, why_not = self._lanes[self._shape], ""
        if lane.graph is not None:
            replay(lane.graph, self._stream)
        else:
            self._enqueue(lane)
            if not lane.is_tried:
                synchronize(self._stream)  # what a library sets up in its first run must be done before recording
                lane.graph, why_not = capture(self._stream, lambda: self._enqueue(lane))
                lane.is_tried = True
        record(self._event, self._stream)
        return why_not

    def wait(self) -> None:
        """Wait until what was started is done and its outputs are in pinned memory."""
        wait_for(self._event)

    def outputs(self) -> dict[str, NDArray[np.uint8]]:
        """Return the pinned outputs in the shape that the input gives."""
        return self._memory.outputs()

    def _make_context(self, trt: Any, plan: LoadedPlan) -> Any:
        context = plan.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise refused(plan.log, "TensorRT makes no execution context")
        context.set_device_memory(self._addresses["activations"], plan.activation_bytes)
        for name, address in self._addresses.items():
            if name != "activations" and not context.set_tensor_address(name, address):
                raise refused(plan.log, f"TensorRT refuses the memory of {name}")
        return context

    def _enqueue(self, lane: Lane) -> None:
        """Put the copies and the network on the stream, one tile after another."""
        plan, channels = lane.plan, len(self._spec.channels)
        for name, figures in self._figures.items():
            upload(figures.view(np.uint8)[None, None], self._there(name, 1, 1, figures.nbytes), self._stream)
        height, width = self._shape
        tiles = self._memory.bytes_view().reshape(self._batch * channels, height, -1)
        outputs = {name: one.reshape(-1, *one.shape[-2:]) for name, one in self._memory.outputs().items()}
        lost = shrinkage_px(self._spec.depth)
        rows, row_bytes = plan.shape[0], plan.shape[1] * tiles.shape[2] // width
        for tile in range(self._batch):
            image = self._there("image", channels, rows, row_bytes)
            upload(tiles[tile * channels : (tile + 1) * channels], image, self._stream)
            if not lane.context.execute_async_v3(int(self._stream)):
                raise refused(plan.log, "TensorRT did not start a tile")
            for name, planes in outputs.items():
                each = len(planes) // self._batch
                there = self._there(name, each, rows - lost, plan.shape[1] - lost)
                download(there, planes[tile * each : (tile + 1) * each], self._stream)

    def _there(self, name: str, planes: int, height: int, row_bytes: int) -> DevicePlanes:
        return DevicePlanes(address=self._addresses[name], planes=planes, height=height, row_bytes=row_bytes)


def device_bytes(spec: ModelSpec, outputs: Iterable[str], plans: Iterable[LoadedPlan]) -> dict[str, int]:
    """Return what a slot takes on the device, by tensor, and under `activations` what its contexts work in."""
    found: dict[str, int] = {"activations": 256}
    if spec.normalisation.scope is Scope.IMAGE:
        found |= {"shift": 4 * len(spec.channels), "scale": 4 * len(spec.channels)}
    lost, item = shrinkage_px(spec.depth), np.dtype(spec.pixel_type.value).itemsize
    for plan in plans:
        height, width = plan.shape
        area = (height - lost) * (width - lost)
        sizes = {"labels": area, "probabilities": len(spec.classes) * area}
        needed = {name: sizes[name] for name in outputs} | {
            "image": len(spec.channels) * height * width * item,
            "activations": plan.activation_bytes,
        }
        found |= {name: max(size, found.get(name, 0)) for name, size in needed.items()}
    return found
