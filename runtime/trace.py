"""What each thread did and when, as a file that ui.perfetto.dev opens: Chrome's trace events, a row a thread.

    [
    {"ph":"M","name":"thread_name","pid":1,"tid":1,"args":{"name":"reader 1"}}     a row gets its name
    {"ph":"X","name":"read","pid":1,"tid":1,"ts":1042.5,"dur":810.25,"args":{}}    a span, in microseconds
    {"ph":"C","name":"memory, MiB","pid":1,"tid":0,"ts":1853.0,"args":{"MiB":412}} a curve

An event is written when it is over and then forgotten, so a run of days takes no more memory than one of seconds. The
spans of a row must nest or follow each other, but may come in any order; so a file that was cut off still opens.
Source: Google's "Trace Event Format", and Perfetto's "Visualizing external trace formats".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from unetctl.runtime.store import translated_disk_errors

BUFFER_BYTES = 1 << 16


class Trace:
    """A trace file being written; a context manager. `origin` is the moment, of `time.perf_counter`, that is its 0."""

    def __init__(self, path: Path, *, origin: float) -> None:
        self._path = path
        self._origin = origin
        self._lock = threading.Lock()
        self._rows: dict[int, int] = {}

    def __enter__(self) -> Self:
        with translated_disk_errors(self._path.parent):
            self._file = self._path.open("w", encoding="ascii", buffering=BUFFER_BYTES)
            self._file.write('[\n{"ph":"M","name":"process_name","pid":1,"tid":0,"args":{"name":"unetctl segment"}}')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with translated_disk_errors(self._path.parent), self._file:
            self._file.write("\n]\n")

    def span(self, name: str, started: float, ended: float, **arguments: float) -> None:
        """Write what the calling thread did from one moment to another."""
        begin, end = self._nanoseconds(started), self._nanoseconds(ended)
        self._write({"ph": "X", "name": name, "ts": begin / 1e3, "dur": (end - begin) / 1e3, "args": arguments})

    def value(self, name: str, moment: float, **values: float) -> None:
        """Write one point of a curve."""
        self._write({"ph": "C", "name": name, "ts": self._nanoseconds(moment) / 1e3, "args": values})

    def _nanoseconds(self, moment: float) -> int:
        """Round a moment, not a length: so the spans of a row that follow each other don't overlap."""
        return round((moment - self._origin) * 1e9)

    def _write(self, event: Mapping[str, Any]) -> None:
        thread = threading.current_thread()
        with self._lock, translated_disk_errors(self._path.parent):
            row = self._rows.get(id(thread))
            if row is None:
                row = self._rows[id(thread)] = len(self._rows) + 1
                self._put(
                    {
                        "ph": "M",
                        "name": "thread_name",
                        "args": {"name": "main" if thread is threading.main_thread() else thread.name},
                    },
                    row,
                )
                self._put({"ph": "M", "name": "thread_sort_index", "args": {"sort_index": row}}, row)
            self._put(event, row)

    def _put(self, event: Mapping[str, Any], row: int) -> None:
        self._file.write(",\n" + json.dumps({**event, "pid": 1, "tid": row}, separators=(",", ":")))
