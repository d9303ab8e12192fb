"""Random streams that are a function of the seed and the step alone, so that a continued run draws the same numbers."""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, purpose: str, number: int = 0) -> int:
    """Return the 63-bit seed of the stream for `purpose` at step or epoch `number`."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """Return a generator at the start of that stream."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose, number))


def shuffled(step: int, count: int, seed: int) -> int:
    """Return which of `count` items step `step` (from 1) takes: each once an epoch, in an order of the epoch's own."""
    epoch, place = divmod(step - 1, count)
    return int(torch.randperm(count, generator=generator(seed, "order", epoch))[place])
