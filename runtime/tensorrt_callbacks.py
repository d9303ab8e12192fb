"""What TensorRT calls back: its log, and how far a build is.

No exception may leave a callback: on the other side is C++ that would end the process. A Ctrl-C arrives in whatever
Python is running, so often in one of these; it is kept, the build is asked to stop, and it is raised afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

OnProgress = Callable[[float, str], None]
"""Takes the share that is done, 0 to 1, and what the library says it is doing."""

KEPT_MESSAGES = 20


def make_log(trt: Any) -> Any:
    """Return an `ILogger` that prints nothing and keeps in `errors` what the library calls an error."""
    most = int(trt.ILogger.Severity.ERROR)  # as numbers: two severities do not compare by how severe they are

    class Log(trt.ILogger):  # type: ignore[misc]  # its base is known when it runs
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= most and len(self.errors) < KEPT_MESSAGES:
                self.errors.append(" ".join(message.split()))

    return Log()


class BuildProgress:
    """The phases that are running, each within a step of another, as one share of the whole."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.stopped_by: BaseException | None = None
        self._on_progress = on_progress
        self._steps: dict[str, tuple[int, int]] = {}
        self._lock = Lock()  # the library's threads call at once
        self._share = 0.0

    def start(self, phase: str, steps: int) -> bool:
        """Note that a phase of so many steps began; like the next two, return whether the build shall go on."""
        return self._noted(phase, (0, max(1, steps)))

    def step(self, phase: str, index: int) -> bool:
        """Note that the step `index` of a phase is done."""
        _, steps = self._steps.get(phase, (0, index + 1))
        return self._noted(phase, (index + 1, steps))

    def finish(self, phase: str) -> bool:
        """Note that a phase ended."""
        return self._noted(phase, None)

    def _noted(self, phase: str, state: tuple[int, int] | None) -> bool:
        try:
            with self._lock:
                if state is None:
                    self._steps.pop(phase, None)
                else:
                    self._steps[phase] = state
                share, width = 0.0, 1.0
                for done, steps in self._steps.values():  # from the outermost in
                    share, width = share + width * min(1.0, done / steps), width / steps
                self._share = max(
                    self._share, min(1.0, share)
                )  # phases may come anew; a bar that runs back says nothing
            if self.stopped_by is None:
                self._on_progress(self._share, phase)
        except BaseException as error:
            self.stopped_by = self.stopped_by or error
        return self.stopped_by is None


def make_monitor(trt: Any, progress: BuildProgress) -> Any:
    """Return an `IProgressMonitor` that tells `progress`, and stops the build when that says so."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
