"""How much of the GPU's memory was taken at most while something ran, by whatever took it: looked at every 20 ms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from benchmarks.gpu_rows import lacking

PERIOD_SECONDS = 0.02


class DeviceMemory:
    """A context manager; `peak_bytes` is what was taken beyond what was taken when it was entered, None without a GPU.

    What PyTorch keeps of earlier work is given back first.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None

    def __enter__(self) -> Self:
        self._free = _free_bytes_reader()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._free is not None:
            self._before = self._free()
            self.peak_bytes = 0
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        assert self._free is not None
        assert self.peak_bytes is not None
        while not self._ended.wait(PERIOD_SECONDS):
            self.peak_bytes = max(self.peak_bytes, self._before - self._free())


def _free_bytes_reader() -> Callable[[], int] | None:
    """Return what asks CUDA for the free memory of the current device, or None where there is no GPU."""
    if not lacking(("torch",)):
        import torch

        if not torch.cuda.is_available():
            return None
        torch.cuda.empty_cache()
        return lambda: int(torch.cuda.mem_get_info()[0])
    from unetctl.runtime import cuda

    return cuda.free_device_bytes if cuda.device_count() else None
