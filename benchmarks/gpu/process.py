"""A command with a limit of time: it and all that it started are ended when it is up."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PERIOD_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    finished: bool
    """Within its time."""
    code: int
    last_words: str


def run_within(
    command: Sequence[str],
    seconds: float,
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command for at most so many seconds, with all it says in the file `log`; `on_wait` is called meanwhile."""
    ends = time.monotonic() + seconds
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            while process.poll() is None and time.monotonic() < ends:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PERIOD_SECONDS)
                on_wait()
            finished = process.poll() is not None
        finally:
            _end(process)
    text = log.read_text("utf-8", errors="replace").strip()
    return Ended(finished=finished, code=process.returncode, last_words=text.splitlines()[-1][:300] if text else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a command, with the processes of its group where the system has such."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
