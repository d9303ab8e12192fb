"""Memory of the device, pinned memory of the host, and copies between them.

Only pinned memory is copied while the processor goes on: CUDA would wait for other memory's copy, and a captured graph
refuses it. All sizes are bytes; an image lies on the device as `DevicePlanes`.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unetctl.runtime.cuda import call, import_cudart, release
from unetctl.runtime.errors import ResourceError


@contextmanager
def device_memory(size_bytes: int) -> Iterator[int]:
    """Yield the address of `size_bytes` on the current device, aligned to 256 bytes. Raises `ResourceError`.

    No stream may still use it when the block ends.
    """
    address = call("cudaMalloc", size_bytes, needed_bytes=size_bytes)
    try:
        yield int(address)
    finally:
        release("cudaFree", address)


def pinned_array(size_bytes: int) -> NDArray[np.uint8]:
    """Return an array `[size_bytes]` of zeros in memory that copies run from and to by themselves.

    It goes back when the last view of it is gone: a result may outlive its engine. Raises `ResourceError`.
    """
    cudart = import_cudart()
    try:
        address = call("cudaHostAlloc", size_bytes, cudart.cudaHostAllocDefault)
    except ResourceError as error:
        raise ResourceError(
            f"{size_bytes / 2**20:,.1f} MiB of this machine's memory cannot be pinned for the GPU",
            cause=error.cause,
            saved=error.saved,
            hint="a smaller --max-memory, or end other programs",
        ) from error
    memory = (ctypes.c_uint8 * size_bytes).from_address(int(address))
    weakref.finalize(memory, cudart.cudaFreeHost, address).atexit = False
    array: NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8)
    array[:] = 0
    return array


def pinned_zeros(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros `[count]` in pinned memory, as `SlotMemory` allocates. Raises `ResourceError`."""
    kind = np.dtype(dtype)
    return pinned_array(count * kind.itemsize).view(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlanes:
    """`[planes, height, row_bytes]` on the device."""

    address: int
    planes: int
    height: int
    row_bytes: int


def upload(host: NDArray[np.uint8], device: DevicePlanes, stream: Any) -> None:
    """Put on `stream` the copy of pinned `[planes, h, w]` to the top left of each plane on the device."""
    kind = import_cudart().cudaMemcpyKind.cudaMemcpyHostToDevice
    _copy(host, device, stream, kind, to_device=True)


def download(device: DevicePlanes, host: NDArray[np.uint8], stream: Any) -> None:
    """Put on `stream` the copy of the top left of each plane on the device to pinned `[planes, h, w]`."""
    kind = import_cudart().cudaMemcpyKind.cudaMemcpyDeviceToHost
    _copy(host, device, stream, kind, to_device=False)


def _copy(host: NDArray[np.uint8], device: DevicePlanes, stream: Any, kind: Any, *, to_device: bool) -> None:
    planes, height, row_bytes = host.shape
    if planes > device.planes or height > device.height or row_bytes > device.row_bytes:
        raise ValueError(f"{host.shape} does not fit {device}")
    if (height, row_bytes) == (device.height, device.row_bytes):
        ends = (device.address, host.ctypes.data) if to_device else (host.ctypes.data, device.address)
        call("cudaMemcpyAsync", *ends, host.nbytes, kind, stream)
        return
    for plane in range(planes):
        there = device.address + plane * device.height * device.row_bytes
        here = host[plane].ctypes.data
        rows = (there, device.row_bytes, here, row_bytes) if to_device else (here, row_bytes, there, device.row_bytes)
        call("cudaMemcpy2DAsync", *rows, row_bytes, height, kind, stream)
