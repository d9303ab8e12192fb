"""`unetctl train`: annotated images in, a trained network out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unetctl.cli import output
from unetctl.cli.extras import needs_extra
from unetctl.cli.progress import progress
from unetctl.cli.project import load_project, with_data
from unetctl.cli.wording import path_text, safe_text, seconds_text

if TYPE_CHECKING:
    from unetctl.trainer.config import Config
    from unetctl.trainer.outcome import Progress, TrainResult


def train(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="Settings; default: unetctl.toml of the project you are in."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", metavar="FOLDER", help="Folder with images/ and labels/, instead of those in the settings."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", "-r", metavar="NAME", help="Name of the run; default: the time.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that was stopped.")] = False,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Steps, instead of [train] steps.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed, instead of [train] seed.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the checkpoint only.")] = False,
) -> None:
    """Train the network on the project's images and labels.

    Makes runs/<name>/ with the checkpoint, a report, a model card, metrics, and what TensorBoard shows while it trains.
    """
    config = _overridden(with_data(load_project(config_file), data), steps=steps, seed=seed)
    with needs_extra("train", "training"):
        from unetctl.trainer.train import train as train_network

    speaks = os.environ.get("RANK", "0") == "0"  # torchrun starts the others, which say nothing but their errors
    quiet = quiet or not speaks
    last: list[Progress] = []
    with progress("reading the data", quiet=quiet) as update:
        update(0, 0)

        def on_progress(now: Progress) -> None:
            last[:] = [now]
            update(now.step, now.steps, _beside_the_bar(now), left_s=now.seconds_left, title="training")

        def on_notice(text: str) -> None:
            if not quiet:
                output.notice(f"notice: {text}")

        try:
            result = train_network(config, run=run, resume=resume, on_progress=on_progress, on_notice=on_notice)
        except KeyboardInterrupt:
            if last and last[-1].validation is not None:  # what --resume needs was saved
                given = {"--config": config_file, "--data": data, "--run": run, "--steps": steps, "--seed": seed}
                words = [
                    word for option, value in given.items() if value is not None for word in (option, _word(value))
                ]
                output.notice("what the last validation saved is kept; to continue:")
                output.next_command("unetctl", "train", "--resume", *words)
            raise
    if not speaks:
        return
    if quiet:
        output.result(str(result.model))
    else:
        _show(result)


def _word(value: Path | str | int) -> Path | str:
    return str(value) if isinstance(value, int) else value


def _beside_the_bar(now: Progress) -> str:
    score = "" if now.validation is None else f", validation Dice {now.validation:.3f}"
    return f"loss {now.loss:.3f}{score}"


def _show(result: TrainResult) -> None:
    from unetctl.trainer.runs import RunFolder

    made = RunFolder(path=result.folder)
    output.heading(path_text(result.model))
    output.pairs(
        [
            (
                "steps",
                f"{result.steps:,} in {seconds_text(result.seconds)}; best at step {result.best_step:,}",
            ),
            *_score_rows("validation", result.validation),
            *_score_rows("test", result.test),
            ("report", path_text(made.report)),
            ("model card", path_text(made.card)),
        ]
    )
    output.next_command("unetctl", "export")


def _score_rows(part: str, scores: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the scores of one part, those of each class below them."""
    if scores is None:
        return []
    by_class = [
        f"{safe_text(name)}: {'does not occur' if value is None else f'{value:.3f}'}"
        for name, value in scores["dice"].items()
    ]
    error = f"{100 * scores['pixel_error']:.2f} % of pixels wrong"
    return [(part, f"mean Dice {scores['mean_dice']:.3f} ({', '.join(by_class)}), {error}")]


def _overridden(config: Config, *, steps: int | None, seed: int | None) -> Config:
    """Return the settings with what the command line says instead."""
    train = config.train
    return replace(
        config,
        train=replace(train, steps=train.steps if steps is None else steps, seed=train.seed if seed is None else seed),
    )
