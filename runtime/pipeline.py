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
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Item = TypeVar("Item")

POLL_SECONDS = 0.1
"""How long the calling thread sleeps between two looks for Ctrl-C."""

PATIENCE_SECONDS = 1.0
"""How long a run that is given up waits for its threads; a tile that is being computed cannot always be stopped."""


class ClosedError(Exception):
    """The channel was closed: there is nothing more to take or no one left to give to."""


class Channel(Generic[Item]):
    """A queue between two stages that can be closed, and that adds up how long its takers waited."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items = deque(items)
        self._changed = threading.Condition()
        self._closed = False
        self.waited_seconds = 0.0

    def put(self, item: Item) -> None:
        """Add an item; it is dropped when the channel is closed, because then nobody will take it."""
        with self._changed:
            if not self._closed:
                self._items.append(item)
                self._changed.notify()

    def take(self) -> Item:
        """Remove and return the oldest item; wait for one. Raises `ClosedError` when there will be none."""
        with self._changed:
            if not self._items and not self._closed:
                started = time.perf_counter()
                self._changed.wait_for(lambda: self._items or self._closed)
                self.waited_seconds += time.perf_counter() - started
            if not self._items:
                raise ClosedError
            return self._items.popleft()

    def take_now(self) -> Item | None:
        """Remove and return the oldest item, or return None when there is none at this moment."""
        with self._changed:
            return self._items.popleft() if self._items else None

    def close(self, *, discard: bool = False) -> None:
        """Let takers have what is left (or nothing, with `discard`) and then end."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages(Generic[Job, Result]):
    """What each stage does. `submit` may return before the work is done; `collect` waits for it."""

    fill: Callable[[int, Job], None]
    submit: Callable[[int, Job], None]
    collect: Callable[[int, Job], Result]
    drain: Callable[[Job, Result], None]


def run_pipeline(
    jobs: Iterable[Job], stages: Stages[Job, Result], *, slots: int, readers: int = 1, writers: int = 1
) -> StageTimes:
    """Run every job through the stages; return when all are drained.

    The first exception of any thread, or Ctrl-C in the calling thread, stops all of them and is raised.
    """
    run = _Run(jobs, stages, slots=slots, readers=readers, writers=writers)
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
        self, jobs: Iterable[Job], stages: Stages[Job, Result], *, slots: int, readers: int, writers: int
    ) -> None:
        self.stages = stages
        self.times = StageTimes()
        self.error: BaseException | None = None
        self.finished = threading.Event()
        self.free: Channel[int] = Channel(range(slots))
        self.ready: Channel[tuple[int, Job]] = Channel()
        self.done: Channel[tuple[int, Job, Result]] = Channel()
        self._jobs = iter(jobs)
        self._lock = threading.Lock()
        self._readers_left, self._writers_left = readers, writers
        bodies = [self._read] * readers + [self._compute] + [self._write] * writers
        self._threads = [threading.Thread(target=self._guard, args=(body,), daemon=True) for body in bodies]

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

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # whatever it is, the calling thread raises it
            self.fail(error)

    def _next_job(self) -> Job:
        with self._lock:
            for job in self._jobs:
                return job
            raise ClosedError

    def _read(self) -> None:
        try:
            while True:
                slot = self.free.take()
                job = self._next_job()
                started = time.perf_counter()
                self.stages.fill(slot, job)
                self.times.add("fill", time.perf_counter() - started)
                self.ready.put((slot, job))
        except ClosedError:
            with self._lock:
                self._readers_left -= 1
                last = self._readers_left == 0
            self.free.close()  # the other readers need not wait for slots when the jobs are used up
            if last:
                self.ready.close()

    def _compute(self) -> None:
        flying: deque[tuple[int, Job]] = deque()
        busy_since = 0.0
        try:
            while True:
                item = self.ready.take_now() if flying else self.ready.take()
                if item is not None:
                    busy_since = busy_since if flying else time.perf_counter()
                    self.stages.submit(*item)
                    flying.append(item)
                    continue
                self._collect(flying)
                if not flying:
                    self.times.compute += time.perf_counter() - busy_since
        except ClosedError:
            self.done.close()

    def _collect(self, flying: deque[tuple[int, Job]]) -> None:
        slot, job = flying.popleft()
        self.done.put((slot, job, self.stages.collect(slot, job)))

    def _write(self) -> None:
        try:
            while True:
                slot, job, result = self.done.take()
                started = time.perf_counter()
                self.stages.drain(job, result)
                self.times.add("drain", time.perf_counter() - started)
                self.free.put(slot)
        except ClosedError:
            with self._lock:
                self._writers_left -= 1
                last = self._writers_left == 0
            if last and self.error is None:
                self.finished.set()
