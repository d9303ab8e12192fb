"""One slot of ONNX Runtime on a GPU: a stream for its copies, memory at addresses that never change, a graph a shape.

    pinned tiles --copy--> image on the device --session--> labels on the device --copy--> pinned labels
    stream of the slot                         stream of the session            stream of the slot

ONNX Runtime has one stream for all slots and returns when it is done there. So the networks run one after another, the
copies of one slot run beside the network of another, and between two networks the processor has its say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetctl.runtime.cuda import release
from unetctl.runtime.cuda_memory import DevicePlanes, device_memory, download, pinned_zeros, upload
from unetctl.runtime.cuda_stream import record, wait_for
from unetctl.runtime.engine_onnxruntime import import_onnxruntime
from unetctl.runtime.slot_memory import SlotMemory
from unetctl.runtime.spec import ModelSpec, Scope

Shape = tuple[int, int]

NO_GRAPH = "-1"
"""ONNX Runtime's `gpu_graph_id` of a run that is neither recorded nor replayed."""


class OnnxRuntimeSlot:
    """A slot: its memory of the host stays, what it has on the device is bound to a session and unbound."""

    def __init__(
        self, spec: ModelSpec, batch: int, area_px: int, outputs: Sequence[str], *, stream: Any, event: Any
    ) -> None:
        self._batch = batch
        self._memory = SlotMemory(spec, batch, area_px, list(outputs), allocate=pinned_zeros)
        per_image = spec.normalisation.scope is Scope.IMAGE
        self._figures = {name: pinned_zeros(len(spec.channels), np.float32) for name in ("shift", "scale") if per_image}
        self._stream, self._event = stream, event
        self._shape: Shape = (0, 0)
        self._addresses: dict[str, int] = {}
        self._bound: dict[Shape, tuple[Any, Any]] = {}
        self._device = ExitStack()

    def bind(self, session: Any, device: int, graph_ids: Mapping[Shape, int]) -> None:
        """Take memory on the device and bind it to `session`, with a graph for each shape.

        Raises `ResourceError`; `unbind` gives back what was taken until then.
        """
        for name, size in self._device_bytes(graph_ids).items():
            self._addresses[name] = self._device.enter_context(device_memory(size))
        for shape, graph_id in graph_ids.items():
            self.shaped(shape)
            inputs, outputs = self._inputs(), self._memory.outputs()
            binding = session.io_binding()
            for name, array in inputs.items():
                binding.bind_input(name, "cuda", device, array.dtype, array.shape, self._addresses[name])
            for name, array in outputs.items():
                binding.bind_output(name, "cuda", device, array.dtype, array.shape, self._addresses[name])
            self._bound[shape] = binding, _run_options(str(graph_id))

    def unbind(self) -> None:
        """Wait for the copies and give back all that is on the device; the session must not be running."""
        release("cudaStreamSynchronize", self._stream)
        self._bound, self._addresses = {}, {}
        self._device.close()

    def shaped(self, shape: Shape) -> NDArray[Any]:
        """Return the pinned input as `[N, C, *shape]`."""
        self._shape = shape
        return self._memory.shaped(self._batch, shape)

    def set_figures(self, shift: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        """Set the figures of the image's normalisation for the next start."""
        self._figures["shift"][:], self._figures["scale"][:] = shift, scale

    def start(self) -> None:
        """Start the copy of what `shaped` handed out last to the device."""
        for name, array in self._inputs().items():
            flat = array.view(np.uint8).reshape(1, 1, -1)
            upload(flat, self._there(name, flat), self._stream)
        record(self._event, self._stream)

    def compute(self, session: Any, *, recorded: bool = True) -> None:
        """Wait for that copy, run the network, and start the copy of its outputs to the host.

        The graph of the shape is replayed, or recorded if it is not there; unless `recorded`, there is none.
        """
        wait_for(self._event)  # the session's stream knows nothing of the slot's
        binding, options = self._bound[self._shape]
        session.run_with_iobinding(binding, options if recorded else _run_options(NO_GRAPH))
        for name, array in self._memory.outputs().items():
            flat = array.reshape(1, 1, -1)
            download(self._there(name, flat), flat, self._stream)
        record(self._event, self._stream)

    def wait(self) -> None:
        """Wait for the outputs of what was computed to be in pinned memory."""
        wait_for(self._event)

    def outputs(self) -> dict[str, NDArray[np.uint8]]:
        """Return the pinned outputs in the shape that the input gives."""
        return self._memory.outputs()

    def _device_bytes(self, shapes: Iterable[Shape]) -> dict[str, int]:
        """Return what each tensor takes in the shape in which it is the largest: not for all of them the same one."""
        found: dict[str, int] = {}
        for shape in shapes:
            self.shaped(shape)
            for name, array in (*self._inputs().items(), *self._memory.outputs().items()):
                found[name] = max(array.nbytes, found.get(name, 0))
        return found

    def _inputs(self) -> dict[str, NDArray[Any]]:
        return {"image": self._memory.bytes_view(), **self._figures}

    def _there(self, name: str, flat: NDArray[np.uint8]) -> DevicePlanes:
        return DevicePlanes(address=self._addresses[name], planes=1, height=1, row_bytes=flat.size)


def _run_options(graph_id: str) -> Any:
    options = import_onnxruntime().RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph_id)
    return options
