"""The CUDA device as unetctl needs it: what it is, and what its errors mean. Over `cuda-bindings`, without torch.

Every call of CUDA goes through `call`, which turns a return code that is not success into one of our errors: too little
memory is a `ResourceError` with what was needed and what is free, and everything else, a lost device above all, is an
`UnavailableError`. What a kernel did wrong is told by whatever call comes next, so any call may raise either.
NOT RUN on a GPU so far; every name was checked in cuda-bindings 12.9 and 13.5.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from unetctl.runtime.cuda_words import LOST, lost_device, out_of_memory, refused_call
from unetctl.runtime.errors import UnavailableError, UnetctlError

LOG = logging.getLogger(__name__)

INSTALL = 'pip install "cuda-bindings>=12.9"'


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One GPU, as an engine file records it and as a person knows it."""

    index: int
    name: str
    compute_capability: str
    """As `8.9`"""
    total_bytes: int
    free_bytes: int
    driver_version: str
    """The newest CUDA that the driver knows, as `13.0`: not the driver's own number"""
    runtime_version: str
    """The CUDA that cuda-bindings was made for"""


def import_cudart() -> Any:
    """Import the runtime API, or raise `UnavailableError` with the line that installs it."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise UnavailableError("cuda-bindings is not installed", cause=str(error), hint=INSTALL) from error
    return runtime


def device_count() -> int:
    """Return the number of CUDA devices: 0 without cuda-bindings, without a driver and without a GPU.

    Ask this before the first call of TensorRT: without a driver its runtime is a null pointer, and the next call of
    that ends the process.
    """
    try:
        cudart = import_cudart()
    except UnavailableError:
        return 0
    error, count = cudart.cudaGetDeviceCount()
    return int(count) if error == cudart.cudaError_t.cudaSuccess else 0


def why_no_device() -> str:
    """Say why `device_count` is 0."""
    try:
        cudart = import_cudart()
    except UnavailableError as missing:
        return missing.what
    error, count = cudart.cudaGetDeviceCount()
    if error == cudart.cudaError_t.cudaSuccess:
        return "" if count else "the driver knows no CUDA device"
    if error != cudart.cudaError_t.cudaErrorInsufficientDriver:
        return _text(cudart, error)
    (_, driver), (_, own) = cudart.cudaDriverGetVersion(), cudart.cudaRuntimeGetVersion()
    if not driver:  # CUDA calls this an old driver too
        return f"NVIDIA's driver is not installed, or does not run ({error.name})"
    return f"the driver is for CUDA {_version(driver)}, and cuda-bindings for {_version(own)} ({error.name})"


def device(index: int = 0) -> DeviceFacts:
    """Return the facts of one device, which becomes the current one. Raises `UnavailableError` if there is none."""
    found = device_count()
    if index >= found:
        raise UnavailableError(
            f"there is no CUDA device {index}",
            cause=why_no_device() or f"the driver knows {found}, counted from 0",
            hint="nvidia-smi lists them; install NVIDIA's driver if it does not run, or use --engine auto",
        )
    use_device(index)
    properties = call("cudaGetDeviceProperties", index)
    free_bytes, total_bytes = call("cudaMemGetInfo")
    return DeviceFacts(
        index=index,
        name=properties.name.decode(errors="replace"),
        compute_capability=f"{properties.major}.{properties.minor}",
        total_bytes=int(total_bytes),
        free_bytes=int(free_bytes),
        driver_version=_version(call("cudaDriverGetVersion")),
        runtime_version=_version(call("cudaRuntimeGetVersion")),
    )


def use_device(index: int) -> None:
    """Make a device the current one of the calling thread: CUDA keeps it for each thread."""
    call("cudaSetDevice", index)


def free_device_bytes() -> int:
    """Return what is free on the current device."""
    free, _ = call("cudaMemGetInfo")
    return int(free)


def call(name: str, *arguments: Any, needed_bytes: int = 0) -> Any:
    """Call one function of the runtime API and return what it gives: nothing, one value or a tuple.

    `needed_bytes` is named in the error if the memory does not suffice. Raises `ResourceError` and `UnavailableError`.
    """
    cudart = import_cudart()
    error, *values = getattr(cudart, name)(*arguments)
    if error != cudart.cudaError_t.cudaSuccess:
        raise _failure(cudart, name, error, needed_bytes)
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def release(name: str, *arguments: Any) -> None:
    """Give something back. What goes wrong is logged only: after a lost device nothing can be given back any more."""
    cudart = import_cudart()
    error, *_ = getattr(cudart, name)(*arguments)
    if error != cudart.cudaError_t.cudaSuccess:
        LOG.debug("%s: %s", name, _text(cudart, error))


def _failure(cudart: Any, name: str, error: Any, needed_bytes: int) -> UnetctlError:
    cause = f"{name}: {_text(cudart, error)}"
    if error == cudart.cudaError_t.cudaErrorMemoryAllocation:
        cudart.cudaGetLastError()  # forget it, or whoever shares this runtime finds it after a call of their own
        return out_of_memory(needed_bytes, free_bytes=_free_bytes(cudart), cause=cause)
    return lost_device(cause) if error.name in LOST else refused_call(cause)


def _free_bytes(cudart: Any) -> int | None:
    error, free, _ = cudart.cudaMemGetInfo()
    return int(free) if error == cudart.cudaError_t.cudaSuccess else None


def _text(cudart: Any, error: Any) -> str:
    """Return a code in CUDA's own words: its name, number and sentence."""
    _, sentence = cudart.cudaGetErrorString(error)
    return f"{error.name} ({int(error)}), {sentence.decode(errors='replace')}"


def _version(number: int) -> str:
    """Return `13.5` for 13050; empty for 0, which means no driver."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else ""
