"""What the card can do, measured: products of matrices and copies, through PyTorch.

A product of two large matrices of random numbers is the most that a network's convolutions can reach; zeros would run
faster than real data. Each figure is the median of the repeats; a repeat is many products between two synchronisations.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.gpu.rows import Facts, Measurement
from benchmarks.gpu.settings import Settings

NEEDS = ("torch",)
MATRIX = "matrix product"
COPY = "copy"
PRECISIONS = ("fp16", "bf16", "tf32", "fp32")
"""tf32 keeps 10 of the 23 bits of fp32; PyTorch must be asked for it."""


def peak_measurements(settings: Settings) -> Iterator[Measurement]:
    """Yield the matrix products, and where there is a GPU the copies."""
    for precision in PRECISIONS:
        if settings.rehearse and precision == "tf32":  # processors have none
            continue
        yield Measurement(
            facts={"name": MATRIX, "precision": precision},
            work=partial(matrix_product, settings, precision),
            needs=NEEDS,
        )
    for direction in () if settings.rehearse else ("to the device", "to the host", "within the device"):
        yield Measurement(
            facts={"name": COPY, "direction": direction},
            work=partial(copy, settings, direction),
            needs=NEEDS,
        )


def matrix_product(settings: Settings, precision: str) -> Facts:
    """Measure a product of square matrices: TFLOP/s, two operations a multiply-add."""
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    device, side = device_name(settings), settings.matrix_side
    with tf32(precision == "tf32"):
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty(side, side, device=device, dtype=dtype)
        seconds = repeated_seconds(lambda: torch.mm(left, right, out=out), settings)
    return {"tflops": 2 * side**3 / statistics.median(seconds) / 1e12, "repeats_seconds": seconds, "side": side}


def copy(settings: Settings, direction: str) -> Facts:
    """Measure a copy between pinned memory of the host and the device, or within the device: bytes copied a second."""
    import torch

    size = settings.copy_bytes
    device = torch.empty(size, dtype=torch.uint8, device="cuda")
    if direction == "within the device":
        other = torch.empty_like(device)
    else:
        other = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    into, out_of = (other, device) if direction == "to the host" else (device, other)
    seconds = repeated_seconds(lambda: into.copy_(out_of, non_blocking=True), settings)
    return {"gigabytes_per_second": size / statistics.median(seconds) / 1e9, "repeats_seconds": seconds, "bytes": size}


def device_name(settings: Settings) -> str:
    """Return what PyTorch calls the device that is measured."""
    return "cpu" if settings.rehearse else "cuda"


def synchronise() -> None:
    """Wait until the GPU has done what it was told to, if there is one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def repeated_seconds(work: Callable[[], Any], settings: Settings) -> list[float]:
    """Return the seconds of one call of `work`, in each repeat of as many calls as fill its time; warmed up before."""
    for _ in range(2):
        work()
    synchronise()
    begun = time.perf_counter()
    work()
    synchronise()
    calls = max(1, round(settings.repeat_seconds / max(time.perf_counter() - begun, 1e-6)))
    found = []
    for _ in range(settings.repeats):
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        synchronise()
        found.append((time.perf_counter() - begun) / calls)
    return found


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let PyTorch use tf32 in fp32 products and convolutions, or not; as it was afterwards."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
