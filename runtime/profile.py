"""Where the time of a run goes: what each stage did and waited for, added up while it happens, and written to a trace.

    read       waits for input: the disk that holds the image       for output: an empty slot
    network    waits for input: a filled slot                       for output: a slot that a writer still holds
    write      waits for input: labels                              for output: the disk that takes them
    finish     pyramid, file, check and picture, after the last tile: nothing runs beside it

Without a `Profile` nothing of this is recorded. With one it is a few clock readings a tile and two a read of the file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unetctl.runtime.pipeline import BUSY, INPUT, OUTPUT
from unetctl.runtime.report import StageProfile
from unetctl.runtime.system import current_memory_bytes
from unetctl.runtime.trace import Trace

STAGES = {"fill": "read", "compute": "network", "drain": "write"}
"""What the stages of the pipeline do here."""

WAITS = {
    ("read", INPUT): "wait for the disk",
    ("read", OUTPUT): "wait for a free slot",
    ("network", INPUT): "wait for a tile",
    ("network", OUTPUT): "wait for a writer",
    ("write", INPUT): "wait for labels",
    ("write", OUTPUT): "wait for the disk",
}


@dataclass(kw_only=True)
class _Sums:
    threads: int = 0
    processor: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: {BUSY: 0.0, INPUT: 0.0, OUTPUT: 0.0})


class Profile:
    """Adds up one run; an `Observer` of its pipeline."""

    def __init__(self) -> None:
        self.read_bytes = 0
        """Bytes read from the image's file while the tiles went through."""
        self._sums = {stage: _Sums() for stage in (*STAGES.values(), "finish")}
        self._trace: Trace | None = None
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._origin = time.perf_counter()

    @contextmanager
    def traced(self, path: Path) -> Iterator[None]:
        """Write what happens in the body to `path`."""
        with Trace(path, origin=self._origin) as self._trace:
            yield
        self._trace = None

    def span(self, stage: str, doing: str, started: float, ended: float) -> None:
        """Note what the calling thread of the pipeline did; what it spent in files meanwhile was waiting."""
        name = STAGES[stage]
        on_disk, size = self._take_disk() if doing == BUSY else (0.0, 0)
        waiting = INPUT if name == "read" else OUTPUT
        with self._lock:
            seconds = self._sums[name].seconds
            seconds[doing] += ended - started - on_disk
            seconds[waiting] += on_disk
            self.read_bytes += size if name == "read" else 0
        if self._trace is None:
            return
        if doing != BUSY:
            self._trace.span(WAITS[name, doing], started, ended)
            return
        disk = {"disk_ms": round(on_disk * 1e3, 3), "disk_bytes": size} if size else {}
        self._trace.span(name, started, ended, **disk)
        if name == "write":
            self._trace.value("memory, MiB", ended, MiB=round(current_memory_bytes() / 2**20, 1))

    def thread_ended(self, stage: str, cpu_seconds: float) -> None:
        """Note the processor time of a thread of the pipeline."""
        with self._lock:
            sums = self._sums[STAGES[stage]]
            sums.threads += 1
            sums.processor += 0.0 if stage == "compute" else cpu_seconds

    def disk(self, seconds: float, size: int) -> None:
        """Note what the calling thread waited for a file, and for how many bytes."""
        mine = self._mine.__dict__
        mine["seconds"] = mine.get("seconds", 0.0) + seconds
        mine["size"] = mine.get("size", 0) + size

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note what the calling thread does in the body: `tiles`, `finish`, or something before them."""
        started, processor = time.perf_counter(), time.process_time()
        yield
        ended, processor = time.perf_counter(), time.process_time() - processor
        self._take_disk()  # of the statistics: another pass
        if name == "tiles":
            others = sum(one.processor for one in self._sums.values())
            self._sums["network"].processor = max(0.0, processor - others)
        elif name == "finish":
            self._sums["finish"].threads = 1
            self._sums["finish"].processor = processor
            self._sums["finish"].seconds[BUSY] = ended - started
        if self._trace is not None:
            self._trace.span(name, started, ended)

    def stages(self, moved: Mapping[str, tuple[int, int]]) -> tuple[StageProfile, ...]:
        """Return the sums; `moved` are the bytes that went into and came out of each stage."""
        return tuple(
            StageProfile(
                stage=name,
                threads=sums.threads,
                busy=sums.seconds[BUSY],
                waited_for_input=sums.seconds[INPUT],
                waited_for_output=sums.seconds[OUTPUT],
                processor=sums.processor,
                bytes_in=moved[name][0],
                bytes_out=moved[name][1],
            )
            for name, sums in self._sums.items()
        )

    def _take_disk(self) -> tuple[float, int]:
        mine = self._mine.__dict__
        return mine.pop("seconds", 0.0), mine.pop("size", 0)
