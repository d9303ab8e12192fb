"""The runs that `benchmarks.speed` compares: commands in processes of their own, with what each took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unetctl.runtime.system import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """An engine, what it computes in, and the model file that it needs for that."""

    engine: str
    precision: str
    model: Path

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that was run to its end."""

    seconds: float
    """Wall-clock time, from starting the program."""
    processor_seconds: float
    """Of all its threads."""
    output: str


class FailedError(Exception):
    """A command ended with an error; its last words are the message."""


def timed(command: Sequence[str | Path], *, folder: Path | None = None) -> Ended:
    """Run a command and return what it took. Raises `FailedError`."""
    begun = time.perf_counter()
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as complaint:
        with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=complaint, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
        complaint.seek(0)
        last_words = complaint.read().strip()[-400:]
    if process.returncode:
        raise FailedError(f"{' '.join(words[1:3])} ended with {process.returncode}: {last_words}")
    return Ended(
        seconds=seconds,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        output=output,
    )


def segment(one: Contestant, slide: Path, *options: str) -> tuple[Ended, dict[str, Any]]:
    """Type `unetctl segment` and return what it took, and its own report."""
    program = Path(sys.executable).with_name("unetctl")
    chosen = ("--engine", one.engine, "--precision", one.precision)
    ended = timed([program, "segment", slide, "--model", one.model, *chosen, "--overwrite", "--json", *options])
    report: dict[str, Any] = json.loads(ended.output)
    return ended, report


def bare(one: Contestant, report: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run the same tiles through the bare engine, and return its speed."""
    file = folder / "report.json"
    write_atomically(file, json.dumps(report).encode())
    program = [sys.executable, "-m", "benchmarks.bare", one.engine, one.precision, one.model, file]
    found: dict[str, float] = json.loads(timed(program).output)
    return found


def hand_written(slide: Path, checkpoint: Path, folder: Path) -> dict[str, float]:
    """Run the loop that most people write: its `seconds` by the wall clock, and its `peak_memory_bytes`."""
    ended = timed([sys.executable, "-m", "benchmarks.hand_written", slide, folder / "hand.tif", checkpoint])
    return {"seconds": ended.seconds, **json.loads(ended.output)}


def matrix_peak() -> dict[str, float]:
    """Return the processor's GFLOP/s in a product of matrices, by precision."""
    found: dict[str, float] = json.loads(timed([sys.executable, "-m", "benchmarks.matrix_peak"]).output)
    return found
