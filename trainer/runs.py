"""The folder of one training run, and how runs are named.

runs/<name>/
    model.safetensors         the chosen weights; only a complete run has it
    metrics.json              the scores, what it was trained on, how long it took
    report.html               all of it on one page, which needs no network
    evaluation.html           scores and pictures of single images, once `unetctl evaluate` has made it
    model-card.md             what is to be known of the model by whoever gets it
    history.csv, losses.png   every step's loss and every validation
    predictions/000300.png    image, truth, prediction and errors at step 300
    events/                   the course of the run for TensorBoard
    config.toml               the project's toml as it was (as `unetctl.toml` it would make this folder a project)
    checkpoint.safetensors    while it runs: the best weights so far
    resume.safetensors        while it runs: what `--resume` needs
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unetctl.runtime.errors import MissingInputError, OutputError, StorageError, UnetctlError, UsageError
from unetctl.runtime.system import lock_file
from unetctl.trainer.config import Config

RUNS = "runs"
"""The folder of all runs of a project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Where one run's files are."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def model(self) -> Path:
        """The chosen weights; the file is there if and only if the run is complete."""
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The best weights so far."""
        return self.path / "checkpoint.safetensors"

    @property
    def resume(self) -> Path:
        """What is needed to continue."""
        return self.path / "resume.safetensors"

    @property
    def history(self) -> Path:
        """Losses and scores of every step."""
        return self.path / "history.csv"

    @property
    def events(self) -> Path:
        """The folder of what TensorBoard shows."""
        return self.path / "events"

    @property
    def report(self) -> Path:
        """The run on one page."""
        return self.path / "report.html"

    @property
    def card(self) -> Path:
        """The text that goes with the model."""
        return self.path / "model-card.md"

    def prediction(self, step: int) -> Path:
        """Return the picture of the validation after `step`."""
        return self.path / "predictions" / f"{step:06d}.png"


def choose_run(config: Config, run: str | None, *, resume: bool) -> RunFolder:
    """Return the folder of a new run, or of the one to continue: the one named, else the newest that is unfinished.

    Raises `UsageError` for a name that is none, `OutputError` if a new run's folder exists, and `MissingInputError` if
    there is nothing to continue.
    """
    folder = config.folder / RUNS
    if run is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run):
        raise UsageError(f"a run cannot be called {run!r}", hint="use letters, digits, and . _ - after the first")
    if not resume:
        chosen = RunFolder(path=folder / (run or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")))
        if chosen.path.exists():
            raise OutputError(
                f"{chosen.path} exists", hint="choose another --run, or continue it with --resume if it is unfinished"
            )
        return chosen
    if run is None:
        found = sorted(folder.glob("*/resume.safetensors"), key=lambda path: path.stat().st_mtime_ns)
        unfinished = [one for one in (RunFolder(path=path.parent) for path in found) if not one.model.exists()]
        if not unfinished:
            raise MissingInputError(f"there is no unfinished run in {folder}", hint="unetctl train starts one")
        return unfinished[-1]
    chosen = RunFolder(path=folder / run)
    if chosen.model.exists():
        raise OutputError(f"the run {run} is complete: there is nothing to continue", hint="choose another --run")
    if not chosen.resume.exists():
        raise MissingInputError(
            f"the run {run} cannot be continued",
            cause=f"{chosen.resume} is not there: the run was never started, or stopped before its first validation",
            hint="remove its folder and train without --resume, or choose another --run",
        )
    return chosen


@contextmanager
def opened(run: RunFolder, config: Config) -> Iterator[None]:
    """Make the run's folder where it is missing, hold its lock, and turn failures of the disk into `StorageError`."""
    try:
        (run.path / "predictions").mkdir(parents=True, exist_ok=True)
        lock = lock_file(run.path / ".lock")
        if lock is None:
            raise OutputError(f"{run.path} is in use by another unetctl train", hint="wait, or choose another --run")
        with lock:
            if not (run.path / "config.toml").exists():
                (run.path / "config.toml").write_bytes(config.path.read_bytes() if config.path.exists() else b"")
            yield
    except UnetctlError:
        raise
    except OSError as error:
        raise StorageError(
            f"{run.path} cannot be written",
            cause=str(error),
            saved="what the last validation wrote" if run.resume.exists() else "",
            hint="make room, then continue with --resume",
        ) from error
