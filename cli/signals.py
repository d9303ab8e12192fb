"""Ctrl-C and the system's request to end: say so at once, let every `finally` clean up, and report the right exit code.

The second request ends at once: nothing at a final path is ever half written, so there is nothing to lose but tidiness.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from unetctl.cli.exit_codes import ExitCode

SAME_REQUEST_S = 0.3
"""Wrappers such as `uv run` hand on the Ctrl-C that the terminal has already sent: two within this time are one."""


SAID = {
    ExitCode.INTERRUPTED: "interrupted: cleaning up; Ctrl-C once more stops at once",
    ExitCode.TERMINATED: "asked to end: cleaning up",
}


@dataclass(slots=True)
class StopRequest:
    """What came, if anything: the exit code that it calls for, and when."""

    code: ExitCode | None = None
    at: float = 0.0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the signals to stop into one `KeyboardInterrupt` in the main thread for as long as the body runs."""
    request = StopRequest()

    def on_signal(number: int, _: FrameType | None) -> None:
        if request.code is not None:
            if time.monotonic() - request.at > SAME_REQUEST_S:
                os._exit(request.code)
            return
        request.code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        request.at = time.monotonic()
        if sys.stderr is not None:
            text = SAID[request.code] if not sys.stderr.isatty() else f"\n{SAID[request.code]}"  # below the bar or ^C
            os.write(2, text.encode() + b"\n")  # not print: the signal may have come in the middle of one
        raise KeyboardInterrupt

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` stays what it is
            before[number] = signal.signal(number, on_signal)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
