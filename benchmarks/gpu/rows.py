"""Rows: what every part of `benchmarks.gpu` gives, one a measurement, written as soon as it is there.

    {"part": "speed", "name": "bare engine", "engine": "torch", ..., "mpx_per_second": 214.0, "seconds_taken": 4.1}
    {"part": "speed", "name": "bare engine", "engine": "torch", ..., "failed": "out of memory: ..."}
    {"part": "speed", "name": "bare engine", "engine": "torch", ..., "left_out": "the time was used up"}

A row that failed or was left out stops nothing: what a machine cannot do is a result too.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Facts = Mapping[str, Any]

TIME_IS_UP = "the time was used up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One thing to measure: what the row says of it, and how it is done."""

    facts: Facts
    work: Callable[[], Facts]
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""
    is_typical: bool = True
    """What it takes says how long the next ones will take."""


@dataclass(slots=True)
class Clock:
    """Seconds that a part may take; a measurement is begun only if one like most of those before would fit."""

    seconds: float
    _begun: float = field(default_factory=time.monotonic)
    _taken: list[float] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.seconds - (time.monotonic() - self._begun)

    @property
    def is_up(self) -> bool:
        """Tell whether another measurement would not fit."""
        return self.left < statistics.median(self._taken or [0.0])

    def note(self, seconds: float) -> None:
        """Note what a measurement took."""
        self._taken.append(seconds)


def measured(measurements: Iterable[Measurement], clock: Clock) -> Iterator[Row]:
    """Yield one row a measurement, in order; what does not fit in the time is named as left out."""
    for one in measurements:
        if clock.is_up:
            yield {**one.facts, "left_out": TIME_IS_UP}
        elif missing := lacking(one.needs):
            yield {**one.facts, "left_out": f"not installed: {', '.join(missing)}"}
        else:
            begun = time.monotonic()
            row = {**one.facts, **attempted(one.work)}
            taken = time.monotonic() - begun
            if one.is_typical:
                clock.note(taken)
            yield {**row, "seconds_taken": round(taken, 2)}


def attempted(work: Callable[[], Facts]) -> Facts:
    """Return what `work` returns, or why it failed in one line."""
    try:
        return work()
    except Exception as error:  # whatever a driver or a library raises is a line of the report
        return {"failed": in_one_line(error)}


def in_one_line(error: BaseException) -> str:
    """Return an error as one line: what, and why."""
    text = str(error).strip()
    first = getattr(error, "what", "") or (text.splitlines()[0] if text else type(error).__name__)
    cause = str(getattr(error, "cause", "") or "").strip()
    line = f"{first}: {cause.splitlines()[0]}" if cause else first
    is_memory = isinstance(error, MemoryError) or "out of memory" in text.lower()
    return f"out of memory: {line}"[:400] if is_memory else line[:400]


def lacking(packages: Iterable[str]) -> list[str]:
    """Return those of these packages that cannot be imported; nothing is imported."""
    return [one for one in packages if importlib.util.find_spec(one) is None]


def append_row(path: Path, row: Row) -> None:
    """Add a row to a file, so that it is there whatever happens next."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file; a last line that was cut off, because its writer was ended, is not one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
