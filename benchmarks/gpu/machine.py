"""What computes: the card and its state as `nvidia-smi` tells it, who else uses it, the processor, the libraries."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGES = (
    *("unetctl", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt"),
    *("tensorrt-rtx", "cuda-bindings", "nvidia-cudnn-cu13", "nvidia-cublas", "numpy", "tifffile", "imagecodecs"),
    *("safetensors", "pytest", "hypothesis"),
)
FIELDS = {
    "name": "gpu",
    "driver_version": "driver",
    "clocks.sm": "sm_clock",
    "clocks.max.sm": "sm_clock_max",
    "clocks.mem": "memory_clock",
    "power.draw": "power",
    "power.limit": "power_limit",
    "temperature.gpu": "temperature",
    "utilization.gpu": "utilization",
    "memory.used": "memory_used",
    "memory.total": "memory_total",
}
"""What `nvidia-smi` is asked, and how the report calls it."""
PERIOD_SECONDS = 3.0


def machine() -> dict[str, Any]:
    """Return what computes, before anything is measured."""
    return {
        "gpu": gpu_state(),
        "other_programs_on_the_gpu": other_programs(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def libraries() -> dict[str, str]:
    """Return the versions of what is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def gpu_state() -> dict[str, str] | str:
    """Return the state of the first GPU, or why it is not known."""
    values = _ask(f"--query-gpu={','.join(FIELDS)}")
    if isinstance(values, str):
        return values
    first = [one.strip() for one in values[0].split(",")] if values else []
    return dict(zip(FIELDS.values(), first, strict=False)) or "nvidia-smi names no GPU"


def other_programs() -> list[str] | str:
    """Return the programs that hold memory of a GPU, asked before this benchmark does, or why they are not known."""
    return _ask("--query-compute-apps=process_name,used_memory")


def _ask(question: str) -> list[str] | str:
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not here"
    try:
        asked = subprocess.run(
            ["nvidia-smi", question, "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    if asked.returncode:
        return f"nvidia-smi ended with {asked.returncode}: {(asked.stdout + asked.stderr).strip()[:200]}"
    return [line.strip() for line in asked.stdout.splitlines() if line.strip()]


def processor_name() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class StateWatch:
    """A context manager that asks for the state of the GPU now and then; `summary` is what it was meanwhile."""

    def __init__(self) -> None:
        self._states: list[dict[str, str]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if shutil.which("nvidia-smi") is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def summary(self) -> dict[str, str]:
        """Return the lowest and highest of each figure, of when the GPU was at work; empty if nothing was seen."""
        at_work = [one for one in self._states if _number(one.get("utilization", "")) > 0] or self._states
        return {name: _range([one[name] for one in at_work if name in one]) for name in WATCHED} if at_work else {}

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD_SECONDS):
            state = gpu_state()
            if isinstance(state, dict):
                self._states.append(state)


WATCHED = ("sm_clock", "memory_clock", "power", "temperature", "utilization")


def _range(values: Sequence[str]) -> str:
    ordered = sorted(values, key=_number)
    return f"{ordered[0]} to {ordered[-1]}" if ordered else ""


def _number(text: str) -> float:
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return 0.0
