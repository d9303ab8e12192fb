"""What the TensorRT engine has on the device: its plans and slots, for as many tiles at a time as the memory holds."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from unetctl.runtime.cuda import DeviceFacts, free_device_bytes, out_of_memory
from unetctl.runtime.engine_build import Accept
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import ResourceError
from unetctl.runtime.tensorrt_callbacks import make_log
from unetctl.runtime.tensorrt_choice import PlanNeeds, choose_plans
from unetctl.runtime.tensorrt_library import TensorRtLibrary
from unetctl.runtime.tensorrt_plan import load_plan, start_runtime
from unetctl.runtime.tensorrt_slot import TensorRtSlot, device_bytes

LOG = logging.getLogger(__name__)


class TensorRtLoad:
    """Loads plans into slots, and plans for half as many tiles where the memory of the device does not suffice."""

    def __init__(
        self,
        request: EngineRequest,
        slots: Sequence[TensorRtSlot],
        library: TensorRtLibrary,
        device: DeviceFacts,
        *,
        accept: Accept,
        trust_foreign: bool,
    ) -> None:
        self._request, self._slots = request, slots
        self._library, self._device = library, device
        self._accept, self._trust_foreign = accept, trust_foreign
        self._log = make_log(library.module)
        self._runtime: Any = start_runtime(library, self._log)
        self._most_batch = sys.maxsize  # of a plan, until the memory does not suffice for one
        self._batch = request.batch
        self._needed_bytes = self._free_bytes = 0

    def load(self, then: Callable[[], None]) -> None:
        """Load the best plans into every slot and do `then`; take those for fewer tiles until the memory suffices.

        Raises `ResourceError` with what is needed and what is free if it does not suffice for one tile.
        """
        while True:
            self.unload()
            try:
                self._fill()
                then()
                return
            except ResourceError as error:
                self.halve(error)

    def halve(self, error: ResourceError) -> None:
        """Let the next `load` take plans for half as many tiles. Raises `ResourceError` where it is one already."""
        if self._batch == 1 and self._needed_bytes:
            raise out_of_memory(self._needed_bytes, free_bytes=self._free_bytes, cause=error.cause) from error
        if self._batch == 1:
            raise error
        LOG.warning(
            "the GPU has too little memory for %d tiles at a time: going on with %d (%s)",
            *(self._batch, self._batch // 2, error.cause or error.what),
        )
        self._most_batch = self._batch // 2

    def unload(self) -> None:
        """Wait for all slots and give back what they have on the device."""
        for slot in self._slots:
            slot.unload()

    def _fill(self) -> None:
        request, model = self._request, self._request.model
        self._needed_bytes, self._batch = 0, min(request.batch, self._most_batch)
        needs = PlanNeeds(model=model, shapes=request.shapes, batch=request.batch, most_batch=self._most_batch)
        files = choose_plans(needs, self._library, self._device, accept=self._accept, trust_foreign=self._trust_foreign)
        self._free_bytes = free_device_bytes()
        by_path = {file.path: file for file in files.values()}
        self._batch = max(file.record.batch for file in by_path.values())
        self._needed_bytes = sum(file.record.plan_bytes for file in by_path.values())
        loaded = {
            path: load_plan(self._library, self._runtime, self._log, file, trust_foreign=self._trust_foreign)
            for path, file in by_path.items()
        }
        each = device_bytes(model.spec, model.record.outputs, loaded.values())
        self._needed_bytes += len(self._slots) * sum(each.values())
        for slot in self._slots:
            slot.load(self._library.module, {shape: loaded[file.path] for shape, file in files.items()})
