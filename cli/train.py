"""`unetctl train`: annotated images in, a trained network out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.extras import needs_extra
from unetctl.cli.progress import progress
from unetctl.cli.project import load_project
from unetctl.cli.wording import command_text, path_text, percent_text, seconds_text

if TYPE_CHECKING:
    from unetctl.trainer.config import Config
    from unetctl.trainer.train import Progress, TrainResult


def train(
    config_file: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of the project you are in.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", metavar="FOLDER", help="Folder with images/ and labels/, instead of those in the settings.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", "-r", metavar="NAME", help="Name of the run; default: a new number.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that was stopped.")] = False,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Steps, instead of [train] steps.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed, instead of [train] seed.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the checkpoint only.")] = False,
) -> None:
    """Train the network on the project's images and labels.

    Makes runs/<name>/ with the checkpoint, metrics, a plot of the losses and pictures of predictions.
    """
    config = _overridden(load_project(config_file), data=data, steps=steps, seed=seed)
    with needs_extra("train", "training"):
        from unetctl.trainer.train import train as train_network
    try:
        with progress("training", quiet=quiet) as update:
            result = train_network(config, run=run, resume=resume, on_progress=lambda now: _show(now, update))
    except KeyboardInterrupt:
        words = ["unetctl", "train", "--resume", *(["--run", run] if run else [])]
        output.notice(f"continue with: {command_text(*words)}")
        raise


def _overridden(config: Config, *, data: Path | None, steps: int | None, seed: int | None) -> Config:
    """Return the settings with what the command line says instead."""
    changes: dict[str, Any] = {}
    if data is not None:
        folder = data.absolute()
        changes["data"] = replace(config.data, images=str(folder / "images"), labels=str(folder / "labels"))
    if steps is not None or seed is not None:
        given = {key: value for key, value in (("steps", steps), ("seed", seed)) if value is not None}
        changes["train"] = replace(config.train, **given)
    return replace(config, **changes)
