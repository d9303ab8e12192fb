"""What the processor can do: `python -m benchmarks.matrix_peak`, GFLOP/s of a product of square matrices in PyTorch.

In fp32 and bf16, on all cores, the best of a second's tries. No network can be much faster: its work is such products.
Prints JSON.
"""

from __future__ import annotations

import json
import time

import torch


def gflops(dtype: torch.dtype, *, side: int = 4096, seconds: float = 1.0) -> float:
    """Return the best GFLOP/s of a product of two `side` x `side` matrices."""
    left, right = torch.ones(side, side, dtype=dtype), torch.ones(side, side, dtype=dtype)
    best, ends = 0.0, time.perf_counter() + seconds
    torch.mm(left, right)
    while time.perf_counter() < ends:
        begun = time.perf_counter()
        torch.mm(left, right)
        best = max(best, 2 * side**3 / (time.perf_counter() - begun) / 1e9)
    return best


if __name__ == "__main__":
    print(json.dumps({"fp32": gflops(torch.float32), "bf16": gflops(torch.bfloat16)}))
