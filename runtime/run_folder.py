"""The folder that a run works in, beside its output, and the one step in which the output appears.

    slide.labels.ome.tif          the output: absent, or complete
    .slide.labels.ome.tif.run/    lock, chunk store, journal, the files being written; gone when the run ends

The lock belongs to the process and dies with it, so a folder that nobody holds was left by a run that was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unetctl.runtime.errors import MissingInputError, OutputError
from unetctl.runtime.system import lock_file

FILES = {"lock", "chunks.bin", "journal.bin", "result.ome.tif", "trace.json"}
"""What a run keeps in its folder."""


def run_folder_of(output: Path) -> Path:
    """Return the folder in which the run that makes `output` works."""
    return output.parent / f".{output.name}.run"


@contextmanager
def run_folder(output: Path) -> Iterator[Path]:
    """Make the run folder of `output`, hold its lock, and remove it at the end, whatever happens.

    What a killed run left is removed first. Raises `OutputError` when another run holds it or it cannot be made.
    """
    folder = run_folder_of(output)
    if not output.parent.is_dir():
        raise MissingInputError(f"{output.parent} is no folder", hint="make it, or choose another --output")
    try:
        folder.mkdir(exist_ok=True)
        lock = lock_file(folder / "lock")
    except OSError as error:
        raise OutputError(f"{output.parent}: nothing can be written there", cause=str(error)) from error
    if lock is None:
        raise OutputError(
            f"{output} is being made by another run",
            cause=_holder(folder / "lock"),
            hint="wait for it, or choose another --output",
        )
    try:
        with lock:
            _empty(folder)
            try:
                lock.truncate(0)
                lock.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
                lock.flush()
                yield folder
            finally:
                _empty(folder)
                if os.name != "nt":  # while the lock is held, so that the folder of a next run is never taken for ours
                    shutil.rmtree(folder, ignore_errors=True)
    finally:
        if os.name == "nt":  # there an open file cannot be removed, and neither can one that the next run has opened
            with suppress(OSError):
                (folder / "lock").unlink()
                folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove what a killed run left; refuse a folder with anything else in it, and touch nothing there."""
    entries = {entry.name: entry for entry in folder.iterdir()}
    if foreign := sorted(entries.keys() - FILES):
        raise OutputError(f"{folder} holds {foreign[0]}, which no run of unetctl makes", hint="move it elsewhere")
    for name in entries.keys() - {"lock"}:
        entries[name].unlink()


def _holder(lock: Path) -> str:
    try:
        held = json.loads(lock.read_text())
        return f"process {held['process']} on {held['machine']} holds it"
    except (OSError, ValueError, KeyError):
        return ""
