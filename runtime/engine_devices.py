"""Several GPUs of one kind as one engine: each has slots, streams and kernels of its own, and one thread starts all.

    slots of the pipeline     0   1   2   3   4   5
    device                    0   1   0   1   0   1

All run the same kernels: those of one plan with TensorRT, those that cuDNN's rules choose for such a GPU with ONNX
Runtime. The labels of a tile depend on the tile and the kernels alone, so the result is that of one GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from unetctl.runtime import cuda
from unetctl.runtime.engine import Engine, Result
from unetctl.runtime.engines import EngineRequest
from unetctl.runtime.errors import UsageError
from unetctl.runtime.statistics import Statistics


class SeveralDevices:
    """An `Engine` over several, one a device; each has as many slots as it would have alone."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines
        self.slots = sum(one.slots for one in engines)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            opened = [stack.enter_context(one) for one in self._engines]  # what the first builds, the others find
            places = [[(one, slot) for slot in range(one.slots)] for one in opened]
            self._places = [place for turn in zip_longest(*places) for place in turn if place is not None]
            self._keep = stack.pop_all()
        self.slots = len(self._places)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._places
        self._keep.__exit__(kind, error, traceback)

    def buffer(self, slot: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the input of a slot."""
        engine, own = self._places[slot]
        return engine.buffer(own, shape)

    def submit(self, slot: int, statistics: Statistics | None) -> None:
        """Start a slot on its device."""
        engine, own = self._places[slot]
        engine.submit(own, statistics)

    def result(self, slot: int) -> Result:
        """Wait for a slot."""
        engine, own = self._places[slot]
        return engine.result(own)


def open_on_devices(
    request: EngineRequest, *, devices: Sequence[int], open_on: Callable[[EngineRequest, int], Engine]
) -> Engine:
    """Return an engine on the GPUs of these indices; `open_on` makes that of one.

    Raises `UnavailableError` for one that is not there, and `UsageError` for GPUs of different kinds: each would choose
    kernels of its own, and the labels would depend on which GPU had which tile.
    """
    first, *others = (cuda.device(index) for index in devices)
    for one in others:
        if (one.name, one.compute_capability) != (first.name, first.compute_capability):
            raise UsageError(
                f"the GPUs {first.index} and {one.index} are not of one kind",
                cause=f"{first.index} is {first.name}, and {one.index} is {one.name}",
                hint="--devices takes GPUs of one kind; start a run for each of the others",
            )
    engines = [open_on(request, index) for index in devices]
    return SeveralDevices(engines) if others else engines[0]
