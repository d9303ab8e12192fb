"""How much of the GPU's memory was taken at most while something ran, by whatever took it: looked at every 20 ms.

The driver's management library (NVML) is asked, and not CUDA: a call of CUDA by another thread can spoil the recording
of a graph that the engine is just making.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

PERIOD_SECONDS = 0.02


class DeviceMemory:
    """A context manager; `peak_bytes` is what was taken beyond what was taken when it was entered, None without NVML.

    What PyTorch keeps of earlier work is given back first.
    """

    def __init__(self, used_bytes: Callable[[], int] | None = None) -> None:
        self.peak_bytes: int | None = None
        self._used_bytes = used_bytes

    def __enter__(self) -> Self:
        _give_back_torchs()
        self._used_bytes = self._used_bytes or _nvml()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._used_bytes is not None:
            self._before = self._used_bytes()
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
        assert self._used_bytes is not None
        assert self.peak_bytes is not None
        while not self._ended.wait(PERIOD_SECONDS):
            self.peak_bytes = max(self.peak_bytes, self._used_bytes() - self._before)


def _give_back_torchs() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()  # or what CUDA itself takes would be counted for whoever comes first
        torch.cuda.empty_cache()


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _nvml() -> Callable[[], int] | None:
    """Return what asks for the bytes that are taken on the first visible GPU; None where NVML or a GPU is missing."""
    try:
        library = ctypes.CDLL("nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1")
    except OSError:
        return None
    device = ctypes.c_void_p()
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    index = int(first) if first.isdecimal() else 0
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)):
        return None

    def used_bytes() -> int:
        memory = _Memory()
        library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
        return int(memory.used)

    return used_bytes
