"""Three stages side by side: fill, compute, drain.

    jobs -> [reader threads: fill(slot, job)] -> [engine thread: submit, collect] -> [writer threads: drain] -> done
                    ^                                                                       |
                    +--------------------------- free slots <-------------------------------+

A slot is one place in the engine's own memory. A reader fills it, the engine computes it, a writer drains its result
and gives it back; so the number of slots bounds what is in memory, and nothing is copied between the stages. The module
knows stages, slots, threads and the first error, and nothing of images.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from unetctl.runtime.channel import Channel, ClosedError

Job = TypeVar("Job")
Result = TypeVar("Result")

POLL_SECONDS = 0.1
"""How long the calling thread sleeps between two looks for Ctrl-C."""

PATIENCE_SECONDS = 1.0
"""How long a run that is given up waits for its threads; a tile that is being computed cannot always be stopped."""


@dataclass(kw_only=True)
class StageTimes:
    """Where the time went, in seconds; `fill` and `drain` are summed over their threads."""

    wall: float = 0.0
    fill: float = 0.0
    compute: float = 0.0
    """At least one job was with the engine."""
    drain: float = 0.0
    engine_waited: float = 0.0
    """The engine had nothing to do because no slot was filled."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, stage: str, seconds: float) -> None:
        """Add the seconds that one thread spent in `fill` or `drain`."""
        with self._lock:
            setattr(self, stage, getattr(self, stage) + seconds)


BUSY, INPUT, OUTPUT = "busy", "input", "output"
"""What a thread does: its work, waiting for something to work on, or waiting for room for what it made."""


class Observer(Protocol):
    """Is told what the threads do, by the threads themselves; times are those of `time.perf_counter`."""

    def span(self, stage: str, doing: str, started: float, ended: float) -> None:
        """Note what the calling thread did: it is `fill`, `compute` or `drain`; the spans of a thread follow it."""

    def thread_ended(self, stage: str, cpu_seconds: float) -> None:
        """Note the processor time that the calling thread took, at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages(Generic[Job, Result]):
    """What each stage does. `submit` may return before the work is done; `collect` waits for it."""

    fill: Callable[[int, Job], None]
    submit: Callable[[int, Job], None]
    collect: Callable[[int, Job], Result]
    drain: Callable[[Job, Result], None]


def run_pipeline(
    jobs: Iterable[Job],
    stages: Stages[Job, Result],
    *,
    slots: int,
    readers: int = 1,
    writers: int = 1,
    observer: Observer | None = None,
) -> StageTimes:
    """Run every job through the stages; return when all are drained. An `observer` is told what each thread did.

    The first exception of any thread, or Ctrl-C in the calling thread, stops all of them and is raised.
    """
    run = _Run(jobs, stages, slots=slots, readers=readers, writers=writers, observer=observer)
    started = time.perf_counter()
    run.start()
    try:
        while run.is_running():
            run.finished.wait(POLL_SECONDS)
    except BaseException as error:
        run.fail(error)
        raise
    finally:
        run.join()
    if run.error is not None:
        raise run.error
    run.times.wall = time.perf_counter() - started
    run.times.engine_waited = run.ready.waited_seconds
    return run.times


class _Run(Generic[Job, Result]):
    """The threads of one run and what they share."""

    def __init__(
        self,
        jobs: Iterable[Job],
        stages: Stages[Job, Result],
        *,
        slots: int,
        readers: int,
        writers: int,
        observer: Observer | None,
    ) -> None:
        self.stages = stages
        self.times = StageTimes()
        self.error: BaseException | None = None
        self.finished = threading.Event()
        self.free: Channel[int] = Channel(range(slots))
        self.ready: Channel[tuple[int, Job, float]] = Channel()  # and when its filling began
        self.done: Channel[tuple[int, Job, Result]] = Channel()
        self._observer = observer
        self._jobs = iter(jobs)
        self._lock = threading.Lock()
        self._readers_left, self._writers_left = readers, writers
        bodies = [
            *((f"reader {number + 1}", "fill", self._read) for number in range(readers)),
            ("engine", "compute", self._compute),
            *((f"writer {number + 1}", "drain", self._write) for number in range(writers)),
        ]
        self._threads = [
            threading.Thread(name=name, target=self._guard, args=(stage, body), daemon=True)
            for name, stage, body in bodies
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def is_running(self) -> bool:
        return not self.finished.is_set()

    def fail(self, error: BaseException) -> None:
        """Remember the first error and wake every thread, so that each ends at its next step."""
        with self._lock:
            self.error = self.error or error
        for channel in (self.free, self.ready, self.done):
            channel.close(discard=True)
        self.finished.set()

    def join(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()) if self.error else None)

    def _guard(self, stage: str, body: Callable[[], None]) -> None:
        try:
            body()
            if self._observer is not None:
                self._observer.thread_ended(stage, time.thread_time())
        except BaseException as error:  # whatever it is, the calling thread raises it
            self.fail(error)

    def _note(self, stage: str, *spans: tuple[str, float, float]) -> None:
        if self._observer is not None:
            for doing, started, ended in spans:
                if ended > started:
                    self._observer.span(stage, doing, started, ended)

    def _next_job(self) -> Job:
        with self._lock:
            for job in self._jobs:
                return job
            raise ClosedError

    def _read(self) -> None:
        try:
            while True:
                asked = time.perf_counter()
                slot = self.free.take()
                job = self._next_job()
                started = time.perf_counter()
                self.stages.fill(slot, job)
                ended = time.perf_counter()
                self.times.add("fill", ended - started)
                self.ready.put((slot, job, started))
                self._note("fill", (OUTPUT, asked, started), (BUSY, started, ended))
        except ClosedError:
            with self._lock:
                self._readers_left -= 1
                last = self._readers_left == 0
            self.free.close()  # the other readers need not wait for slots when the jobs are used up
            if last:
                self.ready.close()

    def _compute(self) -> None:
        flying: deque[tuple[int, Job]] = deque()
        since = time.perf_counter()  # the engine has been idle, or at the oldest job in flight
        try:
            while True:
                item = self.ready.take_now() if flying else self.ready.take()
                if item is not None:
                    slot, job, filled_since = item
                    if not flying:
                        asked, since = since, time.perf_counter()
                        begun = min(max(asked, filled_since), since)  # until then no slot was free to be filled
                        self._note("compute", (OUTPUT, asked, begun), (INPUT, begun, since))
                    self.stages.submit(slot, job)
                    flying.append((slot, job))
                    continue
                slot, job = flying.popleft()
                result = self.stages.collect(slot, job)
                asked, since = since, time.perf_counter()
                self.times.compute += since - asked
                self.done.put((slot, job, result))
                self._note("compute", (BUSY, asked, since))
        except ClosedError:
            self.done.close()

    def _write(self) -> None:
        try:
            while True:
                asked = time.perf_counter()
                slot, job, result = self.done.take()
                started = time.perf_counter()
                self.stages.drain(job, result)
                ended = time.perf_counter()
                self.times.add("drain", ended - started)
                self.free.put(slot)
                self._note("drain", (INPUT, asked, started), (BUSY, started, ended))
        except ClosedError:
            with self._lock:
                self._writers_left -= 1
                last = self._writers_left == 0
            if last and self.error is None:
                self.finished.set()
