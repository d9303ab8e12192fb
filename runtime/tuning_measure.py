"""Measures settings in processes of their own, and keeps the two that were used last open, so that they can take turns.

Where the memory does not hold both, one is closed before the other is opened, which is slower and no less right.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

from unetctl.runtime.errors import ResourceError
from unetctl.runtime.memory import MemoryPlan
from unetctl.runtime.tuning import Setting
from unetctl.runtime.tuning_process import Opener, serve_rounds
from unetctl.runtime.tuning_work import shape_works

MOST_OPEN = 2
PATIENCE_S = 5.0
"""How long a process may take to end by itself."""


@dataclass(slots=True, kw_only=True)
class _Running:
    process: BaseProcess
    connection: Connection
    expected_bytes: int
    kept_px: int


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C in the body, which a process that is started there inherits: its imports would show a traceback."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say what signals do
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Bench:
    """Measures settings; a context manager that ends its processes."""

    def __init__(
        self,
        openers: Mapping[tuple[str, str], Opener],
        plan: Callable[[Setting], MemoryPlan],
        *,
        memory_bytes: int,
    ) -> None:
        """`openers` are by engine and precision and are pickled; `plan` says what a setting works on.

        `memory_bytes` is what the processes may take together: more than one is open only if it holds both.
        """
        self.peak_bytes: dict[Setting, int] = {}
        """The largest resident memory of each setting's process."""
        self._openers = openers
        self._plan = plan
        self._memory_bytes = memory_bytes
        self._running: dict[Setting, _Running] = {}  # what was used last stands last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for one in list(self._running):
            self._close(one, kill=error is not None)

    def measure(self, setting: Setting) -> float:
        """Return the kept megapixels a second of one round; the first opens the engine. Raises `UnetctlError`."""
        if setting not in self._running:
            self._open(setting)
        running = self._running.pop(setting)
        self._running[setting] = running
        try:
            running.connection.send(True)
        except OSError:
            self._failed(setting)
        found = self._received(setting)
        if not isinstance(found, tuple):
            raise TypeError(f"a round gives seconds and bytes, not {found!r}")
        seconds, self.peak_bytes[setting] = found
        return running.kept_px / 1e6 / float(seconds)

    def _open(self, setting: Setting) -> None:
        plan = self._plan(setting)
        works = shape_works(plan.tiles, setting.tiles.batch)
        while self._running and (
            len(self._running) >= MOST_OPEN
            or plan.expected_bytes + sum(one.expected_bytes for one in self._running.values()) > self._memory_bytes
        ):
            self._close(next(iter(self._running)))
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads that no longer run
        ours, theirs = context.Pipe()
        opener = self._openers[setting.engine, setting.precision]
        process = context.Process(target=serve_rounds, args=(theirs, opener, setting, works), daemon=True)
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()  # or the end of the process would not be seen
        self._running[setting] = _Running(
            process=process,
            connection=ours,
            expected_bytes=plan.expected_bytes,
            kept_px=sum(one.kept_px for one in works),
        )
        self._received(setting)

    def _received(self, setting: Setting) -> object:
        try:
            found: object = self._running[setting].connection.recv()
        except (EOFError, OSError):
            self._failed(setting)
        if isinstance(found, Exception):
            self._close(setting)
            raise found
        return found

    def _failed(self, setting: Setting) -> None:
        """Raise `ResourceError`: the process ended by itself, and the usual reason is the memory."""
        process = self._running[setting].process
        process.join(PATIENCE_S)
        self._close(setting, kill=True)
        raise ResourceError(
            f"{setting.engine} ended while it was measured (exit code {process.exitcode})",
            cause="the system ends a program that takes too much memory" if process.exitcode == -9 else "",
            hint="a smaller --max-memory",
        )

    def _close(self, setting: Setting, *, kill: bool = False) -> None:
        running = self._running.pop(setting)
        if not kill:
            try:
                running.connection.send(False)
                running.process.join(PATIENCE_S)
            except OSError:
                pass
        running.connection.close()
        if running.process.is_alive():
            running.process.kill()
            running.process.join()
