"""A GPU's memory and streams without a GPU: real bytes, and work that waits until it is waited for.

What is put on a stream runs when the stream is synchronised or an event behind it is waited for, and not before. What
a GPU would punish at random raises `RaceError` here: pinned memory that the host changes under a pending copy, two
streams on one buffer, memory that is freed while work on it is pending, addresses of nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""First address and one past the last."""

DEVICE = 1 << 48
"""The first address on the device; none of the host is so high, so that none is taken for the other."""
UNWRITTEN = 0xA5
"""What pinned memory holds while a copy to it is pending: a result that is read too early is this."""


class RaceError(AssertionError):
    """The program used memory that was not its own at that moment."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One operation on a stream."""

    name: str
    run: Callable[[], None]
    reads: tuple[Span, ...] = ()
    writes: tuple[Span, ...] = ()
    seen: tuple[bytes, ...] = ()
    """What the host's memory held when it was put on the stream."""


@dataclass(eq=False)
class Stream:
    """A handle that is a number too, as TensorRT takes it."""

    number: int
    device: int
    pending: list[Work] = field(default_factory=list)
    done: int = 0
    recording: list[Work] | None = None
    is_invalid: bool = False

    def __int__(self) -> int:
        return self.number


class FakeStreams:
    """The memory of host and device, and the streams that work in it."""

    def __init__(self) -> None:
        self.blocks: dict[int, NDArray[np.uint8]] = {}
        self.streams: list[Stream] = []
        self.ran: list[str] = []
        """The names of all work that ran."""
        self._next = DEVICE

    def allocate(self, size: int, *, pinned: bool) -> int:
        """Return the address of new memory, full of what was there before."""
        block = np.full(size, 0xCC, np.uint8)
        address = block.ctypes.data if pinned else self._next
        self._next += 0 if pinned else -(-size // 256) * 256 + 256
        self.blocks[address] = block
        return address

    def free(self, address: int) -> None:
        """Take memory back."""
        if address not in self.blocks:
            raise RaceError(f"{address:#x} is freed, and was never allocated or is freed already")
        span = (address, address + len(self.blocks[address]))
        for stream in self.streams:
            for work in stream.pending:
                if _meet((span,), work.reads + work.writes):
                    raise RaceError(f"memory is freed under a pending {work.name}")
        del self.blocks[address]

    def device_bytes(self) -> int:
        """Return what is taken on the device."""
        return sum(len(block) for address, block in self.blocks.items() if address >= DEVICE)

    def view(self, span: Span) -> NDArray[np.uint8]:
        """Return the bytes of a span."""
        for address, block in self.blocks.items():
            if address <= span[0] and span[1] <= address + len(block):
                return block[span[0] - address : span[1] - address]
        raise RaceError(f"{span[0]:#x} to {span[1]:#x} is not memory that was allocated")

    def put(self, stream: Stream, work: Work) -> None:
        """Put work on a stream, or into the graph that it records."""
        if stream.recording is not None:
            stream.recording.append(work)
            return
        for other in self.streams:
            for earlier in other.pending if other is not stream else ():
                if _meet(work.writes, earlier.reads + earlier.writes) or _meet(work.reads, earlier.writes):
                    raise RaceError(f"{work.name} and {earlier.name} of another stream use the same memory")
        for span in work.writes:
            if span[0] < DEVICE:
                self.view(span)[:] = UNWRITTEN
        stream.pending.append(replace(work, seen=self._seen(work)))

    def copy(
        self, target: int, target_pitch: int, source: int, source_pitch: int, width: int, rows: int, *, to_device: bool
    ) -> Work:
        """Return the work of a copy of `rows` rows of `width` bytes, each `pitch` bytes after the one before."""
        assert width <= min(target_pitch, source_pitch), "a row is longer than its pitch"
        assert (source < DEVICE, target < DEVICE) == (to_device, not to_device), "a copy in the wrong direction"
        writes, reads = (
            (at, at + pitch * (rows - 1) + width) for at, pitch in ((target, target_pitch), (source, source_pitch))
        )

        def run() -> None:
            there, here = self.view(writes), self.view(reads)
            for row in range(rows):
                there[row * target_pitch :][:width] = here[row * source_pitch :][:width]

        return Work(name="upload" if to_device else "download", run=run, reads=(reads,), writes=(writes,))

    def run(self, stream: Stream, until: int | None = None) -> None:
        """Run what is on a stream, or the first of it until `until` operations of the stream are done."""
        while stream.pending and (until is None or stream.done < until):
            work = stream.pending[0]
            if self._seen(work) != work.seen:
                raise RaceError(f"pinned memory was changed under a pending {work.name}")
            work.run()
            self.ran.append(work.name)
            del stream.pending[:1]
            stream.done += 1

    def drop(self) -> None:
        """Forget all pending work: the device is gone."""
        for stream in self.streams:
            stream.pending.clear()

    def _seen(self, work: Work) -> tuple[bytes, ...]:
        return tuple(self.view(span).tobytes() for span in work.reads + work.writes if span[0] < DEVICE)


def _meet(some: tuple[Span, ...], others: tuple[Span, ...]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
