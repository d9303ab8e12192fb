"""The folder that a run works in, beside its output, and its lock.

    slide.labels.ome.tif          the output: absent, or complete
    .slide.labels.ome.tif.run/    lock, record, chunk store, journal, the files being written

The lock belongs to the process and dies with it, so a folder that nobody holds was left by a run that was stopped. A
run that ends well takes its folder with it; one that fails leaves it if there is work in it, and the next goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unetctl.runtime.errors import MissingInputError, OutputError
from unetctl.runtime.run_record import RECORD
from unetctl.runtime.store import DATA, JOURNAL
from unetctl.runtime.system import lock_file

LOCK, WORK = "lock", frozenset((RECORD, DATA, JOURNAL))
FILES = WORK | {LOCK, "result.ome.tif", "trace.json"}
"""What a run keeps in its folder; and halves of these, named as `atomic_path` does."""


@dataclass(slots=True)
class RunFolder:
    """A run folder whose lock is held."""

    path: Path
    has_work: bool
    """Whether there are tiles in it, by all that is known: then it outlives a failure."""
    is_published: bool = False
    """Whether the labels are at the output's path, so that nobody needs the folder."""

    def clear(self, *, work: bool = True) -> None:
        """Remove all that a run makes there but the lock; with `work` false, only what is not worth keeping."""
        for entry in self.path.iterdir():
            if entry.name != LOCK and (work or entry.name not in WORK):
                entry.unlink()
        if work:
            self.has_work = False


def run_folder_of(output: Path) -> Path:
    """Return the folder in which the run that makes `output` works."""
    return output.parent / f".{output.name}.run"


def has_work(path: Path) -> bool:
    """Tell whether a run folder holds anything that was computed: a folder without a single record does not."""
    journal = path / JOURNAL
    return journal.exists() and journal.stat().st_size > 0


@contextmanager
def run_folder(output: Path) -> Iterator[RunFolder]:
    """Make the run folder of `output` or take over what a stopped run left, and hold its lock.

    It is removed at the end, but for one with work in it if the body raises. Raises `OutputError` when another run
    holds it, when it holds what is no run's, or when it cannot be made.
    """
    path = run_folder_of(output)
    if not output.parent.is_dir():
        raise MissingInputError(f"{output.parent} is no folder", hint="make it, or choose another --output")
    try:
        path.mkdir(exist_ok=True)
        lock = lock_file(path / LOCK)
    except OSError as error:
        raise OutputError(f"{output.parent}: nothing can be written there", cause=str(error)) from error
    if lock is None:
        raise OutputError(
            f"{output} is being made by another run",
            cause=_holder(path / LOCK),
            hint="wait for it, or choose another --output",
        )
    remove = False
    try:
        with lock:
            _refuse_foreign(path)
            folder = RunFolder(path, has_work=has_work(path))
            try:
                lock.truncate(0)
                lock.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
                lock.flush()
                yield folder
                remove = True
            finally:
                remove = remove or not folder.has_work
                with suppress(OSError):  # what a viewer or a thread holds open on Windows
                    folder.clear(work=remove)
                if remove and os.name != "nt":  # under the lock, so that the next run's folder is never taken for ours
                    shutil.rmtree(path, ignore_errors=True)
    finally:
        if remove and os.name == "nt":  # there nobody can remove an open file, be it open here or in the next run
            with suppress(OSError):
                (path / LOCK).unlink()
                path.rmdir()


def _refuse_foreign(path: Path) -> None:
    """Raise `OutputError` for a folder with anything in it that is no run's, and touch nothing there."""
    names = sorted(entry.name for entry in path.iterdir())
    halves = tuple(f".{name}." for name in FILES)
    if foreign := [one for one in names if one not in FILES and not (one.startswith(halves) and one.endswith(".part"))]:
        raise OutputError(f"{path} holds {foreign[0]}, which no run of unetctl makes", hint="move it elsewhere")


def _holder(lock: Path) -> str:
    try:
        held = json.loads(lock.read_text())
        return f"process {held['process']} on {held['machine']} holds it"
    except (OSError, ValueError, KeyError):
        return ""
